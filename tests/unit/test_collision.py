"""Other distributions may have packages with the names of ours: the command says so before it imports them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import paceline
from tests.processes import ROOT

RUN = "import sys; sys.path[:0] = sys.argv[1:]; import paceline; paceline.main()"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with paceline's own module, and packages that hold nothing but their mark."""
    folder = tmp_path / "site"
    for name in paceline.PACKAGES:
        package(folder / name, paceline.MARK.decode() + 'it."""')
    (folder / "harness" / "__main__.py").write_text("def main():\n    print('ran')\n")
    shutil.copy(paceline.__file__, folder)
    return folder


def package(folder: Path, text: str) -> Path:
    """A package with this `__init__.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(text)
    return folder


def start(*path: Path) -> tuple[int, str, str]:
    """Exit code and output of the command, with these folders first on the module path and no other packages."""
    line = [sys.executable, "-S", "-P", "-c", RUN, *map(str, path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_without_a_collision_the_command_runs(site: Path) -> None:
    """Nothing is said."""
    assert start(site) == (0, "ran\n", "")


@pytest.mark.parametrize("name", paceline.PACKAGES)
def test_a_package_before_ours_on_the_path_is_named(name: str, site: Path, tmp_path: Path) -> None:
    """One line, exit code 2; the other package is not imported."""
    other = package(tmp_path / "other" / name, "print('imported')")
    code, out, err = start(tmp_path / "other", site)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"the package {name!r} is not paceline's: found {other / '__init__.py'}, expected {site / name}" in err


@pytest.mark.parametrize("name", paceline.PACKAGES)
def test_a_distribution_that_has_overwritten_ours_is_named(name: str, site: Path) -> None:
    """pip lets the last distribution win without a word."""
    package(site / name, '"""Quarterly reports."""')
    info = site / "quarterly-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quarterly\nVersion: 2.1\n")
    (info / "top_level.txt").write_text(f"{name}\n")
    code, out, err = start(site)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{name!r} is not paceline's" in err
    assert "(of quarterly 2.1)" in err


@pytest.mark.parametrize("gone", ["reports", "reports/__init__.py"])
def test_a_package_that_lacks_files_is_named(gone: str, site: Path) -> None:
    """As after another distribution that had overwritten it was uninstalled: pip removes what both had."""
    path = site / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, out, err = start(site)
    assert (code, out) == (2, "")
    assert err == f"paceline: the package 'reports' is not complete at {site / 'reports'}: install paceline again\n"


def test_a_folder_before_ours_is_named_where_ours_is_found_later(site: Path, tmp_path: Path) -> None:
    """An editable install is found after the whole path, so that a folder without `__init__.py` comes first."""
    shutil.rmtree(site / "reports")
    (tmp_path / "cwd" / "reports").mkdir(parents=True)
    code, _, err = start(tmp_path / "cwd", site)
    assert code == 2
    assert f"'reports' is not paceline's: found {tmp_path / 'cwd' / 'reports' / '(no __init__.py)'}" in err


def test_the_packages_of_this_tree_have_their_mark() -> None:
    """All that pyproject.toml installs, and no other."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert sorted(tools["packages"]["find"]["include"]) == [f"{name}*" for name in paceline.PACKAGES]
    for name in paceline.PACKAGES:
        assert (ROOT / name / "__init__.py").read_bytes().startswith(paceline.MARK), name
    assert paceline.collision() is None
