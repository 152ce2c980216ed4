"""Packages and files that the code names in strings, which import-linter cannot see."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.cli.path import SAMPLES
from harness.experiment.spec import SAMPLE_PAIRS
from tests.processes import ROOT

ROOTS = ("harness", "mock_server", "model_server", "reports", "scenarios")
_NAMED = re.compile(rf"({'|'.join(ROOTS)})(\.[a-z_0-9]+)+")
# Named by strings against a contract on imports, on purpose: file -> the packages it may name.
EXCEPTIONS = {
    # Finds plug-ins of every kind by their folder, and imports one only when a command asks for it.
    "harness/plugins.py": {"scenarios", "reports.charts", "reports.formats", "mock_server.faults"},
}


@cache
def _strings() -> list[tuple[str, str]]:
    """(file, dotted name) of every string in the code that is the name of a package or module of ours."""
    return [
        (str(path.relative_to(ROOT)), node.value)
        for path in sorted(path for root in ROOTS for path in (ROOT / root).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_module(node.value)
    ]


def _is_module(text: str) -> bool:
    return _NAMED.fullmatch(text) is not None and not text.endswith(".log")


@cache
def _contracts() -> list[dict[str, Any]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = config["tool"]["importlinter"]["contracts"]
    return found


def _forbidden(file: str, name: str) -> bool:
    """Whether a contract of import-linter forbids the file to import the module."""
    source = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    return any(
        any(_inside(source, package) for package in contract["source_modules"])
        and any(_inside(name, package) for package in contract["forbidden_modules"])
        for contract in _contracts()
        if contract["type"] == "forbidden"
    )


def _inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("kind", sorted(plugins.KINDS))
def test_each_kind_of_plugin_names_a_package(kind: str) -> None:
    """Its folder is where the import system finds the package."""
    spec = importlib.util.find_spec(plugins.KINDS[kind])
    assert spec is not None
    assert str(plugins.folder(kind)) in list(spec.submodule_search_locations or ())


def test_each_string_with_a_name_of_ours_names_a_module() -> None:
    """A renamed module leaves no string behind."""
    named = _strings()
    assert {name for file, name in named if file == "harness/plugins.py"} == set(plugins.KINDS.values()) - {"scenarios"}
    assert [(file, name) for file, name in named if importlib.util.find_spec(name) is None] == []


def test_strings_follow_the_contracts_on_imports() -> None:
    """Exceptions are listed here, and each is in use."""
    # The string "scenarios" names a package in KINDS; elsewhere it may be a word.
    named = [*_strings(), *(("harness/plugins.py", package) for package in plugins.KINDS.values())]
    against = {(file, name) for file, name in named if _forbidden(file, name)}
    assert against == {(file, name) for file, names in EXCEPTIONS.items() for name in names}


def test_paths_of_sample_data_are_files() -> None:
    """The input of similarity lies beside the scenarios and is the one that `paceline path` gives."""
    assert SAMPLE_PAIRS.is_file()
    assert [ROOT / path for path in SAMPLES] == [Path(SAMPLE_PAIRS)]
