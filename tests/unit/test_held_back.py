"""What a diagnosis says of an adaptive client that its limit's pace, an outage or its maximum held back."""

import pytest

from harness.measure.judge.held_back import held_back
from harness.measure.result import Case, LimitChange, LimitLog, Load, Named, Target


def adaptive(*timeline: LimitChange, applications: int = 1, maximum: int = 200) -> Case:
    """A case of ten seconds."""
    return Case(
        "adaptive",
        Named("adaptive", {"maximum": maximum}),
        Load("backlog"),
        "similarity",
        Target("http://x"),
        makespan_s=10.0,
        limit=LimitLog(len(timeline), 0, {}, list(timeline), applications) if timeline else None,
    )


START = LimitChange(0.0, 4, "start")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (adaptive(), ""),
        (adaptive(START, LimitChange(1.0, 16, "doubling_ended")), ""),
        (
            adaptive(START, LimitChange(3.0, 4, "outage", 10.0), LimitChange(5.5, 4, "outage_ended")),
            " For 2.5 s the server accepted nothing, and the client sent only probes.",
        ),
        (
            adaptive(START, LimitChange(5.0, 12, "paced", 100.0), LimitChange(7.5, 12, "pace_changed", 200.0)),
            " After refusals the client paced its attempts for 50 % of the time, at 150/s in the mean.",
        ),
        (
            adaptive(START, LimitChange(4.0, 200, "doubling")),
            " The limit was at its maximum of 200 for 60 % of the time: a larger one (maximum=400) may give more.",
        ),
        (adaptive(START, LimitChange(4.0, 200, "doubling"), applications=2), ""),
    ],
)
def test_it_is_said_what_held_back(case: Case, expected: str) -> None:
    assert held_back(case) == expected
