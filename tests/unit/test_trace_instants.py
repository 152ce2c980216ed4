"""How a result says at which instants the requests of a trace were sent."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from harness.measure.judge.trace_words import instants_words, kept_words, trace_lines, trace_words
from harness.measure.judge.verdict import verdict
from harness.measure.record.rows_file import REQUEST_DTYPE
from harness.measure.reduce.columns import Repeat
from harness.measure.reduce.instants import with_instants
from harness.measure.result import Distribution, Load
from harness.measure.token_result import TokenCount, TokenFigures
from harness.measure.trace_result import Instants, TraceFacts
from tests.unit.test_measure_verdict import SOUND, case

TRACE = TraceFacts("m.jsonl", "mooncake", 60, 0, 12.0, 60, 1176.2, 24.3, shared_share=0.312, sessions=3, closed=True)


def repeat(late_s: list[float]) -> Repeat:
    """Requests that were sent so late; NaN: never."""
    rows = np.zeros(len(late_s), REQUEST_DTYPE)
    rows["due"] = np.arange(len(late_s)) * 10**8
    pairs = zip(rows["due"], late_s, strict=True)
    rows["first_sent"] = [-1 if math.isnan(late) else due + round(late * 1e9) for due, late in pairs]
    return Repeat(0, rows, np.zeros(0), [])


def test_instants_are_of_all_requests_that_were_sent() -> None:
    """Of all repeats, failures included."""
    found = with_instants(TRACE, [repeat([0.0, 0.0005, float("nan")]), repeat([0.001, 0.02])])
    assert found is not None
    assert found.instants is not None
    assert found.instants == Instants(4, 0.75, pytest.approx(0.0005), pytest.approx(0.02), pytest.approx(0.02))


def test_without_a_trace_or_without_requests_there_are_none() -> None:
    assert with_instants(None, [repeat([0.0])]) is None
    assert with_instants(TRACE, [repeat([float("nan")])]) == TRACE
    assert instants_words(TRACE) == ""


def test_words_say_what_was_replayed() -> None:
    assert trace_words(TRACE) == (
        "m.jsonl (mooncake): 60 requests with 1,176 input and 24.3 output tokens in the mean; 31.2 % of the input "
        "tokens repeat the beginning of an earlier prompt; 3 sessions of several turns (closed); nothing was changed"
    )
    changed = msgspec.structs.replace(TRACE, changes=["played 2 times as fast", "cut 9 s after its first arrival"])
    assert trace_words(changed).endswith("; played 2 times as fast; cut 9 s after its first arrival")


def test_words_say_what_the_server_had_kept() -> None:
    """By its own count, where it gives one."""
    counted = TokenFigures(60, 60, 0, 0, 0, 0, TokenCount(60, 1000, 17, 1, 17, 20, 30), None, None)
    assert kept_words(msgspec.structs.replace(case(), tokens=counted)) == ""
    counted = msgspec.structs.replace(counted, cached=TokenCount(60, 276, 5, 0, 5, 9, 9))
    known = msgspec.structs.replace(case(), tokens=counted, trace=TRACE)
    assert trace_lines(known) == [trace_words(TRACE), "27.6 % of the input tokens were cached by the server's count"]
    assert trace_lines(case()) == []


@pytest.mark.parametrize(("share", "codes"), [(1.0, []), (0.99, []), (0.98, ["instants"])])
def test_the_verdict_says_why_requests_were_not_sent_at_their_instants(share: float, codes: list[str]) -> None:
    """The run stays valid: latencies count from the instants."""
    late = msgspec.structs.replace(TRACE, instants=Instants(60, share, 0.0002, 0.004, 0.0042))
    lag = Distribution(n=60, max=0.0041)
    judged = verdict([msgspec.structs.replace(case(), trace=late, lag_s=lag)], [SOUND])
    assert (judged.status, [reason.code for reason in judged.reasons]) == ("valid", codes)
    if codes:
        assert "Only 98 % of the requests were sent within 1 ms of their instant" in judged.reasons[0].text
        assert "Use a quieter machine, a lower --speed, or the strategy" in judged.reasons[0].text
        assert "late): they were released up to 4.1 ms late. Latencies" in judged.reasons[0].text


def test_a_trace_at_one_rate_after_another_has_no_speed_to_lower() -> None:
    """A sweep and a capacity search have no --speed."""
    late = msgspec.structs.replace(TRACE, instants=Instants(60, 0.5, 0.0002, 0.004, 0.0042))
    swept = Load("replay", {"path": "m.jsonl", "mean_rate_per_s": 40.0})
    (reason,) = verdict([msgspec.structs.replace(case(), trace=late, load=swept)], [SOUND]).reasons
    assert "Use a quieter machine, lower rates, or the strategy unbounded" in reason.text
    assert "--speed" not in reason.text
