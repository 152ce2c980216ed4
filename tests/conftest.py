"""What holds for all tests: machines are shared, so no test fails for being slow once, and no test reads a self-test
that the user of this machine has stored. Slow tests begin first."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.processes import uncovered_children
from tests.shares import in_shares
from tests.unmeasured import unmeasured

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

QUICK = {"unit", "contract"}
"""Folders whose tests are quick unless they are marked as slow."""

# Threads of several processes that wait for each other on two cores take two and a half times the CPU.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="paceline-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Nothing that is read here becomes garbage; the first worker alone measures the coverage of imports."""
    gc.disable()
    try:
        with ExitStack() as stack:
            if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
                stack.enter_context(unmeasured(session.config))
            return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The coverage of the processes that a test starts is measured only where the test is marked so.

    A test that is marked `no_cover` is measured nowhere: pytest-cov alone would measure its fixtures.
    """
    with ExitStack() as stack:
        if item.get_closest_marker("covered_processes") is None:
            stack.enter_context(uncovered_children())
        if item.get_closest_marker("no_cover") is not None:
            stack.enter_context(unmeasured(item.config))
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, each has files of slow tests, and runs them first.

    Tests that compute for seconds are marked `no_cover`, because the measurement of coverage more than doubles their
    time, and others cover the same lines. Property tests are marked here: they repeat what examples beside them do.
    """
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.no_cover)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow: dict[Path, list[pytest.Item]] = {}
    quick = []
    for item in items:
        if item.get_closest_marker("slow") is not None or item.path.parent.name not in QUICK:
            slow.setdefault(item.path, []).append(item)
        else:
            quick.append(item)
    if workers > 1:
        items[:] = in_shares(list(slow.values()), quick, workers)
