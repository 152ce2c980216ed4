"""Arguments of hooks: one frozen object for each kind of event.

A hook is called in the event loop, at the moment of the event. It must be quick and must not raise: an exception ends
the request that caused the event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from harness.client.errors import ItemError
from harness.client.types import Request, Response


class LimitDetails(msgspec.Struct, frozen=True):
    """A change of an adaptive limit.

    Attributes:
        at_s: Instant of the answer that led to the change, in seconds on the clock of the event loop.
        before: Attempts allowed in flight until now.
        after: Attempts allowed in flight from now on; equal to `before` where only the pace changed.
        cause: Reason for the change: a `harness.client.cause.Cause`, or a text of a limit of one's own.
        pace_per_s: Attempts that may start, per second; infinite where the limit sets no pace.
    """

    at_s: float
    before: int
    after: int
    cause: str
    pace_per_s: float


class RetryDetails(msgspec.Struct, frozen=True):
    """A retry that has been decided on and now waits.

    Attributes:
        request: The request that is sent again.
        response: The failed attempt: `outcome`, `status`, `error` and `retry_after_s` say why it failed.
        retry_number: 1 for the first retry of this request.
        wait_s: Seconds until the next attempt.
        waited_s: Seconds this request has waited between its earlier attempts.
    """

    request: Request
    response: Response
    retry_number: int
    wait_s: float
    waited_s: float


class HedgeDetails(msgspec.Struct, frozen=True):
    """A second attempt that starts beside a slow first one.

    Attributes:
        request: The request that is sent a second time.
        waited_s: Seconds for which the first attempt has been on the wire without an answer.
    """

    request: Request
    waited_s: float


class BadRow(msgspec.Struct, frozen=True):
    """A row of the input that is not an item of the task.

    Attributes:
        index: Position of the row in the input, from 0.
        row: The row as it came.
        error: Reason; the message names row and field.
    """

    index: int
    row: Any
    error: ItemError


LimitHook = Callable[[LimitDetails], None]
RetryHook = Callable[[RetryDetails], None]
HedgeHook = Callable[[HedgeDetails], None]
BadRowHook = Callable[[BadRow], None]


class SkippedRows:
    """Counts the rows that `items` skips; give it as `on_bad_row`.

    Attributes:
        count: Rows skipped so far.
        last: The row skipped last; None before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last: BadRow | None = None

    def __call__(self, bad: BadRow) -> None:
        self.count += 1
        self.last = bad
