"""What is installed from a wheel, and what an sdist holds, is what the tree has."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import paceline
from harness.cli.path import files
from tests.processes import ROOT

BUILD = """import sys
from setuptools import build_meta

folder = sys.argv[1]
build_meta.build_wheel(folder)
build_meta.build_sdist(folder)
"""
FOLDERS = ["docs", "tests", ".ci"]
FILES = ["pyproject.toml", "MANIFEST.in", "Makefile", "constraints.txt", ".gitignore", "paceline.py"]
TEXTS = ["README.md", "CHANGELOG.md", "LICENSE"]


PRIVATE = {"aiohttp", "kombu", "locust", "transformers", "uvicorn"}
"""Packages of which we use private parts: docs/dependencies.md says which."""


def tree(*names: str) -> Iterator[str]:
    """The files of these files and folders of the checkout, without what Python leaves there."""
    for name in names:
        for path in [ROOT / name, *(ROOT / name).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def test_every_data_file_of_a_package_is_declared() -> None:
    """By a glob of package-data: else an editable install has it and a wheel lacks it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    found = {path for name, globs in declared.items() for glob in globs for path in (ROOT / name).glob(glob)}
    data = [name for name in tree(*paceline.PACKAGES) if not name.endswith(".py")]
    assert [name for name in data if ROOT / name not in found] == []
    assert all((ROOT / name).is_file() for name in files())


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_tree(tmp_path: Path) -> None:
    """Built from a copy, since a build leaves files beside the sources, and a later one would pick them up."""
    pytest.importorskip("setuptools", minversion="77", reason="builds without pip's isolation, which needs a network")
    source, built = tmp_path / "source", tmp_path / "built"
    everything = sorted({*tree(*paceline.PACKAGES), *tree(*FOLDERS, *FILES, *TEXTS)})
    for name in everything:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    built.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BUILD, built], cwd=source, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        installed = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(installed) == sorted(["paceline.py", *tree(*paceline.PACKAGES)])
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    assert [name for name in everything if name not in packed] == []


def requirements() -> list[Requirement]:
    """Of pyproject.toml: those of every user, and those of every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def constraints() -> dict[str, str]:
    """Package -> the version that the tests run with."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return dict(line.lower().split("==", 1) for line in lines)


def test_what_the_tests_run_with_is_within_the_bounds() -> None:
    """constraints.txt names one version of each."""
    pinned = constraints()
    for needed in requirements():
        assert needed.specifier.contains(pinned[needed.name.lower()]), needed


def test_packages_whose_private_parts_are_used_have_a_narrow_bound() -> None:
    """A minor version of which nothing is known is not installed, and the newest one allowed is tested."""
    pinned = constraints()
    bounded = {needed.name: needed for needed in requirements() if needed.name in PRIVATE}
    assert set(bounded) == PRIVATE
    for name, needed in bounded.items():
        tested = Version(pinned[name])
        assert not needed.specifier.contains(f"{tested.major}.{tested.minor + 1}.0"), needed
