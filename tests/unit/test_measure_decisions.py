"""Decisions of limits are kept beside the records, counted, and come back in the result."""

from __future__ import annotations

import math
from pathlib import Path

from harness.client.hooks import LimitDetails
from harness.measure.record.decisions import DecisionLog, is_sound, read
from harness.measure.record.recorder import Recorder
from harness.measure.reduce.limit_changes import POINTS_MAX, limit_log, thinned
from harness.measure.result import LimitChange


def test_what_is_written_comes_back_and_what_found_no_room_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.decisions.jsonl"
    log = DecisionLog(path, t0=100.0, most=2)
    note = log.note(3)
    log.flush()
    assert not path.exists(), "no file where nothing is decided"
    note(LimitDetails(101.5, 4, 8, "more", math.inf))
    log.flush()
    assert [decision.after for decision in read(path)[0]] == [8], "flushed is readable, closed or not"
    note(LimitDetails(102.0, 8, 8, "pace", 12.34567))
    note(LimitDetails(103.0, 8, 4, "slower", math.inf))
    log.close()
    decisions, dropped = read(path)
    assert [(d.t_s, d.application, d.before, d.after, d.cause, d.pace_per_s) for d in decisions] == [
        (1.5, 3, 4, 8, "more", None),
        (2.0, 3, 8, 8, "pace", 12.346),
    ]
    assert dropped == 1


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.decisions.jsonl"
    log = DecisionLog(path, t0=0.0)
    log.note(0)(LimitDetails(1.0, 4, 8, "more", math.inf))
    log.flush()
    path.write_bytes(path.read_bytes() + b"[2.0,0,8,1")
    assert len(read(path)[0]) == 1
    assert is_sound(path, ended=False)
    assert not is_sound(path, ended=True)
    assert read(tmp_path / "none") == ([], 0)


def test_a_disk_that_fails_drops_decisions_and_says_so(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "missing" / "x.jsonl", t0=0.0)
    log.note(0)(LimitDetails(1.0, 4, 8, "more", math.inf))
    log.close()
    log.note(0)(LimitDetails(2.0, 8, 9, "more", math.inf))
    assert log.dropped == 2
    assert "could not write decisions" in str(log.error)


def test_limits_of_all_applications_add_up_and_causes_are_counted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, case="a", t0=0.0, t0_unix_s=0.0)
    first, second = recorder.decisions.note(0), recorder.decisions.note(1)
    first(LimitDetails(1.0, 4, 8, "more", math.inf))
    second(LimitDetails(2.0, 4, 2, "slower", 10.0))
    first(LimitDetails(3.0, 8, 9, "more", 5.0))
    recorder.flush()
    recorder.decisions.close()
    found = limit_log([[recorder.paths]])
    assert found is not None
    assert found.causes == {"more": 2, "slower": 1}
    assert [(step.t_s, step.limit, step.pace_per_s) for step in found.timeline] == [
        (0.0, 8, None),
        (1.0, 12, None),
        (2.0, 10, None),
        (3.0, 11, 15.0),
    ]


def test_thinning_keeps_both_ends_and_the_extremes() -> None:
    steps = [LimitChange(float(number), number % 97, "more") for number in range(5_000)]
    steps[2_503] = LimitChange(2_503.0, 1_000, "spike")
    kept = thinned(steps)
    assert len(kept) <= POINTS_MAX
    assert kept[0] is steps[0]
    assert kept[-1] is steps[-1]
    assert steps[2_503] in kept
    assert thinned(steps[:10]) == steps[:10]
