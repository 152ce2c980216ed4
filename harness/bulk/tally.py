"""Counts, rates and the recent share of dead letters of a run."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

import msgspec

from harness.base.clock import Clock, clock
from harness.bulk.row_items import DeadLetterReason
from harness.client.errors import UsageError
from harness.client.redaction import one_line
from harness.client.types import Outcome, Request, Response, Send

# Number of last lines over which the dead-letter share is computed.
WINDOW = 1_000
RATE_S = 20.0
"""Seconds over which the present rate is computed."""


class RowCounts(msgspec.Struct):
    """Totals over all sessions of a run."""

    ok: int = 0
    # Class -> dead letters.
    dead: dict[str, int] = {}
    # Class -> HTTP status -> dead letters.
    statuses: dict[str, dict[str, int]] = {}
    # Class -> text of its first dead letter.
    samples: dict[str, str] = {}
    blank: int = 0
    # Rows for which --where does not hold.
    left_out: int = 0
    from_cache: int = 0
    # Harmless deviations of answers from the API.
    oddities: int = 0
    attempts: int = 0  # HTTP exchanges
    failed_attempts: int = 0
    # Seconds in exchanges, summed over concurrent ones.
    exchange_s: float = 0.0
    failed_exchange_s: float = 0.0
    sessions: int = 0
    active_s: float = 0.0  # wall time of all sessions

    @property
    def dead_lines(self) -> int:
        return sum(self.dead.values())

    @property
    def passed_over(self) -> int:
        """Lines that are no items."""
        return self.blank + self.left_out

    @property
    def settled(self) -> int:
        """Lines with an answer or a dead letter."""
        return self.ok + self.dead_lines


class ExchangeMeter:
    """Counts every exchange, and the exchanges in flight.

    While answers are not saved yet, a new exchange waits one turn of the loop: a kill never loses more calls than were
    in flight. An exception of a user's `send` counts as a bad response.
    """

    def __init__(self, inner: Send, counts: RowCounts, endpoint: str = "") -> None:
        self._inner = inner
        # The server; empty if it is not known.
        self.endpoint = endpoint
        self._counts = counts
        self._now: Clock | None = None
        self.in_flight = 0
        # Requests that ended since the last result was saved.
        self.unkept = 0

    async def __call__(self, request: Request, /) -> Response:
        now = self._now = self._now or clock()
        counts = self._counts
        if self.unkept:
            await asyncio.sleep(0)
        self.in_flight += 1
        started = now()
        failed = False
        try:
            response = await self._inner(request)
            if response.outcome is Outcome.not_sent:
                counts.attempts -= 1
            failed = response.outcome is not Outcome.ok
            return response  # noqa: TRY300 - an else would stand between the exceptions and the counting
        except (OSError, UsageError):
            # Errors of a disk, a pipe or a setting do not belong to this request.
            raise
        except Exception as error:
            failed = True
            return broken(error, started, now())
        finally:
            took_s = now() - started
            self.in_flight -= 1
            counts.attempts += 1
            counts.exchange_s += took_s
            if failed:
                counts.failed_attempts += 1
                counts.failed_exchange_s += took_s


def broken(error: Exception, sent: float = math.nan, done: float = math.nan) -> Response:
    """The response for an exception of user code."""
    return Response(Outcome.bad_response, sent=sent, done=done, error=f"{type(error).__name__}: {error}")


class DeadLetterShare:
    """The share of dead letters among the last `WINDOW` lines; pure."""

    def __init__(self, maximum: float, least: int) -> None:
        self._maximum = maximum
        self._least = least
        self._last: deque[bool] = deque(maxlen=max(WINDOW, least))
        self.dead = 0

    def add(self, dead: bool) -> None:
        """Count one more settled line."""
        if len(self._last) == self._last.maxlen:
            self.dead -= self._last[0]
        self._last.append(dead)
        self.dead += dead

    @property
    def lines(self) -> int:
        return len(self._last)

    @property
    def exceeded(self) -> bool:
        """Whether there are enough lines, and too many of them are dead letters."""
        return len(self._last) >= self._least and self.dead > self._maximum * len(self._last)


class Speed:
    """Recent rate in lines per second, from a running count."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> float:
        """The rate at this instant."""
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[0][0] > RATE_S:
            self._points.popleft()
        (then, before), (_, after) = self._points[0], self._points[-1]
        return (after - before) / (now - then) if now > then else 0.0


def add_dead(counts: RowCounts, reason: DeadLetterReason) -> None:
    """Count one more dead letter and its reason."""
    kind = reason.kind
    counts.dead[kind] = counts.dead.get(kind, 0) + 1
    if reason.status:
        statuses = counts.statuses.setdefault(kind, {})
        statuses[str(reason.status)] = statuses.get(str(reason.status), 0) + 1
    if reason.error and kind not in counts.samples:
        counts.samples[kind] = f"{reason.where}: {one_line(reason.error.removeprefix(f'{reason.where}: '))}"


def as_builtins(counts: RowCounts) -> dict[str, Any]:
    """As plain data, for a checkpoint or a summary."""
    plain: dict[str, Any] = msgspec.to_builtins(counts)
    return plain
