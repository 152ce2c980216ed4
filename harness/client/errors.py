"""The error tree. Everything a user can cause derives from `UsageError` and is answered by one line and exit code 2."""

from __future__ import annotations

from harness.client.outcome import Outcome


class PacelineError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(PacelineError):
    """A mistake of the caller; the message names the value, its place and the allowed values."""


class SettingError(UsageError, ValueError):
    """A setting outside its range: names field, value and range."""


class ItemError(PacelineError):
    """One line of the input is not an item of this task; names the field. Counted, never fatal by itself."""


class BadResponse(PacelineError):  # noqa: N818 - named after the outcome it becomes
    """An answer that is not a success although its status is one: a body that violates the API.

    Args:
        message: Reason, one line for people.
        outcome: Outcome of the exchange, for an API that says in its body that it is overloaded or failed. Default
            `Outcome.bad_response`.
    """

    def __init__(self, message: str, outcome: Outcome = Outcome.bad_response) -> None:
        super().__init__(message)
        self.outcome = outcome
