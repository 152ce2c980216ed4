"""A client that lacks a processor, on a real machine: the verdict says so, and says nothing where one is free."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from harness.measure.record.plan import Measured
from harness.measure.record.run_queue import RunQueueSampler
from harness.measure.reduce.summary import Observed, observe
from tests.http.test_case_runner import play
from tests.processes import mock, spec

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be bound to a processor")
PROFILE = "# Answers after two milliseconds.\n[service]\nbase_s = 0.002\n"


@contextmanager
def busy_loops(core: int, number: int, apart: bool = False) -> Iterator[None]:
    """Processes that want all of this processor. Each says when it runs, and ends after 20 seconds at the latest.

    `apart`: each in a session of its own, as programs of other users are; the scheduler may share by sessions.
    """
    code = (
        f"import os, threading, sys\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\n"
        "threading.Timer(20, os._exit, [0]).start()\nwhile True: pass"
    )
    loops = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=apart)
        for _ in range(number)
    ]
    try:
        for loop in loops:
            assert loop.stdout is not None
            loop.stdout.readline()
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
            assert loop.stdout is not None
            loop.stdout.close()


@contextmanager
def bound_to(core: int) -> Iterator[None]:
    """This thread and those that it starts run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.fixture
def core() -> int:
    """A processor of this process, on a system that counts the waits for it."""
    sampler = RunQueueSampler()
    sampler.start()
    if sampler.longest() is None:
        pytest.skip("this system has no schedstat")
    return max(os.sched_getaffinity(0))


def measured(tmp_path: Path, core: int, loops: int, items: int) -> Observed:
    """One repeat whose client is bound to this processor, and its verdict."""
    with mock(PROFILE, tmp_path) as server:
        trial = spec(server.url, tmp_path / "records", "queue-stream:concurrency=2", items=items)
        with busy_loops(core, loops), bound_to(core):
            play(trial)
    return observe(trial, tmp_path, Measured(), [], 0)


def codes(found: Observed) -> set[str]:
    return {reason.code for reason in found.verdict.reasons}


def test_three_busy_loops_beside_the_client_starve_it(tmp_path: Path, core: int) -> None:
    """On the same processor: invalid, with the share of the time for which it waited."""
    found = measured(tmp_path, core, loops=3, items=300)
    assert found.case is not None
    assert found.case.resources.run_queue_share is not None
    assert found.case.resources.run_queue_share > 0.1
    assert "client_starved" in codes(found)
    assert found.verdict.status == "invalid"


def test_a_client_with_a_processor_of_its_own_is_not_starved(tmp_path: Path, core: int) -> None:
    """Skipped where others use the processor: then the client may be starved indeed."""
    busy_before = psutil.cpu_times(percpu=True)[core]
    found = measured(tmp_path, core, loops=0, items=600)
    busy_after = psutil.cpu_times(percpu=True)[core]
    spans = [after - before for before, after in zip(busy_before, busy_after, strict=True)]
    if busy_after.idle - busy_before.idle < 0.3 * sum(spans):
        pytest.skip("other programs use this processor")
    assert found.case is not None
    assert found.case.resources.run_queue_share is not None
    assert "client_starved" not in codes(found)
