"""Simulations that take seconds of pure computing run without the measurement of coverage, which doubles their time."""

from pathlib import Path

import pytest

HEAVY = [Path(__file__).parent / name for name in ("capacity", "limits", "statistics", "sweep")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tests beside them cover the same lines."""
    for item in items:
        if item.path.parent in HEAVY or item.path.name == "test_gate.py":
            item.add_marker(pytest.mark.no_cover)
