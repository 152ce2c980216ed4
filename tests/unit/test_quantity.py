"""Durations and rates with units, on the command line and in settings; plain numbers go on working."""

from __future__ import annotations

import pytest

from harness import plugins
from harness.base.quantity import duration_s, rate_per_s
from harness.client import stack


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30", 30.0), ("0.5", 0.5), (".5", 0.5), ("30s", 30.0), ("500ms", 0.5), ("250us", 0.00025), ("2min", 120.0)),
        *(("250µs", 0.00025), ("250 \u03bcs", 0.00025)),
        *(("5m", 300.0), ("1.5h", 5400.0), (" 30 S ", 30.0), ("1e3ms", 1.0), ("-5", -5.0), (7, 7.0), (0.25, 0.25)),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    """In seconds."""
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "per_s"),
    [
        ("100", 100.0),
        ("100/s", 100.0),
        ("6000/min", 100.0),
        ("3600 / h", 1.0),
        ("0.5/sec", 0.5),
        ("120/minute", 2.0),
        (3, 3.0),
    ],
)
def test_rates(text: str | float, per_s: float) -> None:
    """Per second."""
    assert rate_per_s(text) == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["", "s", "5 parsecs", "100/s", "1,5s", "nan", "inf", "1e999", "5s5s", "--5", True])
def test_what_is_no_duration_is_refused(text: str | bool) -> None:
    """With a ValueError, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011 - its caller says what is allowed
        duration_s(text)


@pytest.mark.parametrize("text", ["", "/s", "100s", "100/ms", "100/s/s", "nan", "inf"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """As above."""
    with pytest.raises(ValueError):  # noqa: PT011 - its caller says what is allowed
        rate_per_s(text)


def test_settings_take_units_by_their_names() -> None:
    """`..._s` a duration, `..._per_s` a rate; of layers, too."""
    assert plugins.make("load", "poisson:rate_per_s=600/min").rate_per_s == 10.0
    assert plugins.make("strategy", "jobs:poll_s=50ms").poll_s == pytest.approx(0.05)
    named = stack.parse(["deadline:timeout_s=1.5min", "rate-limit:rate_per_s=30/min,tokens_per_s=1000"])
    assert named == {"deadline": {"timeout_s": 90.0}, "rate-limit": {"rate_per_s": 0.5, "tokens_per_s": 1000.0}}
