"""The error tree. Everything a user can cause derives from `UsageError` and is answered by one line and exit code 2."""

from __future__ import annotations


class PacelineError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(PacelineError):
    """The caller asked for something impossible; the message names what, where and what is allowed."""


class SettingError(UsageError, ValueError):
    """A setting outside its range: names field, value and range."""


class ItemError(PacelineError):
    """One line of the input is not an item of this task; names the field. Counted, never fatal by itself."""


class BadResponse(PacelineError):  # noqa: N818 - named after the outcome it becomes
    """A body that is not what the API promises; becomes the outcome `bad_response`."""
