"""The public names of `harness.client`: complete, loaded on first use, documented."""

from __future__ import annotations

import subprocess
import sys

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
    assert ours == {f"harness.client{end}" for end in ("", "._lazy", ".errors", ".items", ".types")}


def test_a_name_loads_only_its_own_module() -> None:
    loaded = _modules_after("from harness.client import Retry, Knee")
    assert "harness.client.layers.retry" in loaded
    assert not {"aiohttp", "numpy", "harness.client.layers.cache", "harness.client.transport"} & loaded


def test_a_star_import_brings_every_name() -> None:
    from harness import client

    names: dict[str, object] = {}
    exec("from harness.client import *", names)  # noqa: S102 - a star import is allowed at module level only
    assert set(client.__all__) == set(names) - {"__builtins__"}
    assert {"Send", "Limit", "Strategy", "Sample", "SettingError", "ItemError", "BadResponse"} <= set(names)
