"""What holds for all tests: machines are shared, so no test fails for being slow once, and no test reads a self-test
that the user of this machine has stored."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.processes import uncovered_children

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Threads of several processes that wait for each other on two cores take two and a half times the CPU.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="paceline-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The processes of a test that is marked so are started without the measurement of coverage."""
    if item.get_closest_marker("uncovered") is None:
        return (yield)
    with uncovered_children():
        return (yield)
