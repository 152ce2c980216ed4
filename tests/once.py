"""What tests in several workers need is computed by the first of them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


class Once:
    """Values by name, kept in a folder that all workers of a test run have in common."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, object] = {}

    def __call__(self, name: str, make: Callable[[], T]) -> T:
        """The value of that name. Two workers that ask at one time may both make it, and get equal ones."""
        if name not in self._known:
            path = self._folder / f"{name}.pickle"
            if not path.exists():
                self._folder.mkdir(exist_ok=True)
                own = path.with_suffix(f".{os.getpid()}")
                own.write_bytes(pickle.dumps(make()))
                own.replace(path)
            self._known[name] = pickle.loads(path.read_bytes())  # noqa: S301 - written above
        return self._known[name]  # type: ignore[return-value]  # one name, one type


def once_in(folders: pytest.TempPathFactory, name: str) -> Once:
    """For one test file, whose name it has."""
    own = folders.getbasetemp()
    # The folder of a worker lies in the one of the test run.
    return Once((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name)
