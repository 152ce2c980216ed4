"""Parts of the scenarios that need Locust or gevent: each in a process of its own, for importing them patches it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.covered_processes]


def run(script: str) -> list[str]:
    """Lines that the script printed; an error of it is ours."""
    line = [sys.executable, "-W", "error::RuntimeWarning", "-c", textwrap.dedent(script)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_real_threads_beside_a_patched_process() -> None:
    """Blocking calls run at the same time, errors are handed over, what was cancelled is not run, threads end."""
    out = run(
        """
        from gevent import monkey; monkey.patch_all()
        import time
        import psutil
        from scenarios.locust_bridge.real_threads import NativeExecutor
        nap = monkey.get_original("time", "sleep")
        process = psutil.Process()
        before = process.num_threads()
        executor = NativeExecutor(4)
        nap(0.05)
        print(process.num_threads() - before)
        begun = time.monotonic()
        naps = [executor.submit(nap, 0.3) for _ in range(8)]
        while not all(future.done() for future in naps):
            nap(0.01)
        print(0.55 < time.monotonic() - begun < 2.4)
        broken = executor.submit(divmod, 1, 0)
        named = executor.submit(int, "ff", base=16)
        while not (broken.done() and named.done()):
            nap(0.01)
        print(type(broken.exception()).__name__, named.result())
        blocked = [executor.submit(nap, 0.2) for _ in range(4)]
        never, last = executor.submit(print, "never"), executor.submit(int, "7")
        print(never.cancel())
        executor.shutdown()
        while process.num_threads() > before:
            nap(0.01)
        print(last.done(), never.cancelled(), all(future.done() for future in blocked))
        """
    )
    assert out == ["4", "True", "ZeroDivisionError 255", "True", "True True True"]


ROWS = """
        import numpy as np
        from locust.stats import RequestStats
        from harness.client.types import Outcome
        from harness.measure.record.rows_file import REQUEST_DTYPE
        from scenarios.locust_bridge.locust_statistics import merge
        rng = np.random.default_rng(1)
        def rows(count, start=0):
            made = np.zeros(count, REQUEST_DTYPE)
            made["index"] = np.arange(start, start + count)
            made["due"] = rng.integers(0, 10**9, count)
            made["first_sent"] = made["sent"] = made["due"] + 10**6
            made["done"] = made["due"] + (rng.lognormal(np.log(5e6), 1.0, count)).astype(int)
            return made
"""


def test_a_batch_of_rows_is_what_as_many_events_would_be() -> None:
    """Totals, extremes, histogram and errors equal those of `log_request` and `log_error`, one by one."""
    out = run(
        ROWS
        + """
        ours, theirs = RequestStats(), RequestStats()
        for batch in range(5):
            made = rows(200, 200 * batch)
            made["outcome"] = rng.choice([Outcome.ok, Outcome.ok, Outcome.server_error, Outcome.timed_out], 200)
            merge(ours, made, 1000.0 + batch, "similarity")
            for row in made:
                theirs.log_request("POST", "similarity", (row["done"] - row["due"]) / 1e6, 0)
                if row["outcome"]:
                    theirs.log_error("POST", "similarity", Outcome(row["outcome"]).name)
        key = ("similarity", "POST")
        for one, other in ((ours.total, theirs.total), (ours.get(*key), theirs.get(*key))):
            print(one.num_requests == other.num_requests == 1000, one.num_failures == other.num_failures > 0)
            print(one.min_response_time == other.min_response_time, one.max_response_time == other.max_response_time)
            print(abs(one.total_response_time - other.total_response_time) < 1e-6)
            print(dict(one.response_times) == dict(other.response_times))
            print(one.num_reqs_per_sec == {1000 + second: 200 for second in range(5)})
        left = {key: error.occurrences for key, error in ours.errors.items()}
        print(left == {key: error.occurrences for key, error in theirs.errors.items()} and len(left) == 2)
        print(all(error.first_seen == 1000.0 and error.last_seen == 1004.0 for error in ours.errors.values()))
        """
    )
    assert set(" ".join(out).split()) == {"True"}


def test_what_was_never_sent_is_no_request_and_tasks_have_names_of_their_own() -> None:
    """Unsent rows are left out; a mix is counted by task."""
    out = run(
        ROWS
        + """
        stats, made = RequestStats(), rows(100)
        made["first_sent"][:10] = -1
        merge(stats, made, 1.0, lambda index: "even" if index % 2 == 0 else "odd")
        print(stats.total.num_requests, stats.get("even", "POST").num_requests, stats.get("odd", "POST").num_requests)
        made["first_sent"] = -1
        merge(stats, made, 2.0, "none")
        print(stats.total.num_requests, sorted(name for name, _ in stats.entries))
        """
    )
    assert out == ["90 45 45", "90 ['even', 'odd']"]


def test_locusts_totals_go_into_the_first_end_and_nowhere_else() -> None:
    """Without records, or where the process was killed before its end, nothing is written."""
    out = run(
        ROWS
        + """
        import tempfile
        from pathlib import Path
        from harness.measure.record.files import paths
        from harness.measure.record.sealed_json import read_sealed, seal
        from harness.measure.record.rows_file import End, Header, REQUEST_ROW, encode_header
        from scenarios.locust_bridge.locust_statistics import note_totals
        folder = Path(tempfile.mkdtemp())
        stats = RequestStats()
        made = rows(7)
        made["outcome"][:2] = Outcome.rejected
        merge(stats, made, 1.0, "x")
        note_totals(stats, folder, "case", 0)
        print(list(folder.iterdir()))
        for process in (0, 1):
            path = paths(folder, "case", 0, process)
            path.requests.write_bytes(encode_header(Header("requests", "case", 0, process, 0.0, REQUEST_ROW.size)))
        note_totals(stats, folder, "case", 0)
        print(len(list(folder.iterdir())))
        for process in (0, 1):
            paths(folder, "case", 0, process).end.write_bytes(seal(End(7, 7, 7, 0)))
        note_totals(stats, folder, "case", 0)
        ends = [read_sealed(paths(folder, "case", 0, n).end, End) for n in (0, 1)]
        print([(end.locust_requests, end.locust_failures) for end in ends])
        """
    )
    assert out == ["[]", "2", "[(7, 2), (None, None)]"]


def test_a_load_that_begins_without_some_applications_says_so() -> None:
    """Those that are not ready in time join later: what is due before that is counted as not sent."""
    out = run(
        """
        import logging
        import sys
        from types import SimpleNamespace
        from scenarios.locust_bridge import coordinator as coordinators
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        coordinators.READY_S = 0.05
        hook = SimpleNamespace(add_listener=lambda listener: None)
        sent = []
        runner = SimpleNamespace(
            register_message=lambda *_: None, target_user_count=3, send_message=lambda word, data: sent.append(word)
        )
        events = SimpleNamespace(test_start=hook, spawning_complete=hook)
        coordinator = coordinators.Coordinator(SimpleNamespace(runner=runner, events=events), spec=None)
        coordinator.ready.add("only-1")
        coordinator._go()
        print(sent)
        coordinator.reset()
        coordinator.ready |= {"a", "b", "c"}
        coordinator._go()
        print(len(sent))
        """
    )
    assert out[0].startswith("the load begins with 1 of 3 client applications, the others were not ready after 0.05 s")
    assert out[1:] == ["['paceline_go']", "2"]


def test_a_greenlet_that_fails_is_logged_and_fails_the_process() -> None:
    """Nobody waits for it: without that it would end in silence."""
    out = run(
        """
        import logging
        import sys
        import gevent
        import locust.log
        from scenarios.locust_bridge.coordinator import supervised
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        greenlet = supervised(lambda: 1 // 0)
        gevent.joinall([greenlet])
        gevent.sleep(0.05)
        print(locust.log.unhandled_greenlet_exception)
        """
    )
    assert "ZeroDivisionError" in "".join(out)
    assert out[-1] == "True"
