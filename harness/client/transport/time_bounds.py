"""Bounds on the parts of an exchange: opening the connection, and the time until the answer begins."""

from __future__ import annotations

from harness.base import units
from harness.client.errors import SettingError


class LateError(TimeoutError):
    """A part of an exchange took longer than its own bound; the message names both."""


def check_bounds(timeout_s: float, connect_timeout_s: float | None, first_byte_timeout_s: float | None) -> None:
    """Raise SettingError for a bound that is not above 0."""
    bounds = {
        "timeout_s": timeout_s,
        "connect_timeout_s": connect_timeout_s,
        "first_byte_timeout_s": first_byte_timeout_s,
    }
    for name, value in bounds.items():
        if value is not None and not value > 0:
            raise SettingError(f"{name}={value!r} must be above 0")


def no_connection(bound_s: float) -> LateError:
    """The connection was not open in time."""
    return LateError(f"no connection within {units.seconds(bound_s)}")


def no_answer(bound_s: float) -> LateError:
    """The answer did not begin in time."""
    return LateError(f"no first byte of the answer within {units.seconds(bound_s)}")
