"""Checks of settings: field, value and range in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.checks import at_least, between, positive
from harness.client.errors import SettingError, UsageError

numbers = st.one_of(st.integers(-100, 100), st.floats(allow_nan=True, allow_infinity=True))


def refusal(check: Callable[..., None], value: float, *bounds: float) -> str | None:
    """What the check says, if it refuses."""
    try:
        check(SimpleNamespace(fine=1.0, field=value), *bounds, "fine", "field")
    except SettingError as error:
        return str(error)
    return None


@given(numbers)
def test_each_check_accepts_what_it_says(value: float) -> None:
    """NaN and the infinities are never in range."""
    checks = [
        (refusal(positive, value), math.isfinite(value) and value > 0),
        (refusal(at_least, value, -3), math.isfinite(value) and value >= -3),
        (refusal(between, value, -7, 7), -7 <= value <= 7),
    ]
    for refused, fine in checks:
        assert (refused is None) == fine
        assert refused is None or refused.startswith(f"field={value!r} must be ")


def test_the_message_names_the_range() -> None:
    """As a user would write it."""
    settings = SimpleNamespace(x=0, y=200_000)
    with pytest.raises(SettingError, match=r"^x=0 must be above 0$"):
        positive(settings, "x")
    with pytest.raises(SettingError, match=r"^x=0 must be at least 1$"):
        at_least(settings, 1, "x")
    with pytest.raises(UsageError, match=r"^y=200000 must be between 1 and 100000$"):
        between(settings, 1, 100_000, "y")
