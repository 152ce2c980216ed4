"""The public names of `harness.client`: complete, loaded on first use, documented."""

from __future__ import annotations

import enum
import inspect
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from harness import client, plugins
from harness.client._lazy import _listed
from harness.client.errors import PacelineError
from tests.processes import ROOT


def _modules_after(code: str) -> set[str]:
    line = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_client_loads_none_of_its_names() -> None:
    """Neither transports nor layers, and no asyncio; the source is parsed at the first name only."""
    loaded = _modules_after("import harness.client")
    assert not {"aiohttp", "asyncio", "numpy"} & loaded
    ours = {name for name in loaded if name.startswith("harness.")}
    assert ours == {"harness.client", "harness.client._lazy"}


def test_the_names_are_found_under_a_loader_that_gives_no_source() -> None:
    """pytest loads the modules of an installed plug-in in this way, and paceline is one."""
    spec = SimpleNamespace(loader=object(), origin=str(ROOT / "harness" / "client" / "__init__.py"))
    assert _listed("harness.client", spec)["Retry"] == "harness.client.layers.retry"


def test_a_name_loads_only_its_own_module() -> None:
    loaded = _modules_after("from harness.client import Retry, Knee")
    assert "harness.client.layers.retry" in loaded
    assert not {"aiohttp", "numpy", "harness.client.layers.cache", "harness.client.transport.async_http"} & loaded


def test_a_star_import_brings_every_name() -> None:
    names: dict[str, object] = {}
    exec("from harness.client import *", names)  # noqa: S102 - a star import is allowed at module level only
    assert set(client.__all__) == set(names) - {"__builtins__"}
    assert {"Send", "Limit", "Strategy", "Sample", "SettingError", "ItemError", "BadResponse"} <= set(names)


PLUGINS = [plugins.load(kind, name) for kind in ("strategy", "limit", "layer", "task") for name in plugins.names(kind)]
PUBLIC = list(dict.fromkeys([*(getattr(client, name) for name in client.__all__), *PLUGINS]))
ENUMS = {"Outcome", "Signal"}


def _entries(doc: str) -> dict[str, str]:
    """Name -> text, of the section "Args:" or "Attributes:"."""
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)*)", doc, re.MULTILINE)
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__qualname__)
def test_every_public_name_has_a_docstring_and_an_entry_for_each_parameter(public: Any) -> None:
    """Each parameter with a default states it, and each time or rate states its unit."""
    doc = inspect.getdoc(public)
    assert doc
    assert doc != inspect.getdoc(object)
    if public.__name__ in ENUMS or getattr(public, "_is_protocol", False) or _is_plain_error(public):
        return
    parameters = inspect.signature(public).parameters
    entries = _entries(doc)
    assert set(entries) >= set(parameters)
    for name, parameter in parameters.items():
        text = entries[name]
        if parameter.default is not inspect.Parameter.empty:
            assert f"Default {_written(parameter.default)}" in text, f"{name}: {text}"
        if name.endswith("_per_s"):
            assert "per second" in text, f"{name}: {text}"
        elif name.endswith("_s"):
            assert "second" in text.lower(), f"{name}: {text}"


def _is_plain_error(public: Any) -> bool:
    """An error that takes its message only."""
    return isinstance(public, type) and issubclass(public, PacelineError)


def _written(default: Any) -> str:
    if isinstance(default, enum.Enum):
        return f"`{default.__class__.__name__}.{default.name}`"
    if isinstance(default, str):
        return f'"{default}"'
    return getattr(default, "__name__", None) or str(default).replace("'", '"')
