"""The error tree. Everything a user can cause derives from `UsageError` and is answered by one line and exit code 2."""

from __future__ import annotations


class PacelineError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(PacelineError):
    """A mistake of the caller; the message names the value, its place and the allowed values."""


class SettingError(UsageError, ValueError):
    """A setting outside its range: names field, value and range."""


class ItemError(PacelineError):
    """One line of the input is not an item of this task; names the field. Counted, never fatal by itself."""


class BadResponse(PacelineError):  # noqa: N818 - named after the outcome it becomes
    """A body that violates the API; becomes the outcome `bad_response`."""
