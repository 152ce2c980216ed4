"""What a run has done and what it cost: counts, rates, and the share that failed lately."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

import msgspec

from harness.base.clock import Clock, clock
from harness.bulk.row_items import Reason
from harness.client.errors import UsageError
from harness.client.redaction import one_line
from harness.client.types import Outcome, Request, Response, Send

WINDOW = 1_000  # lines over which the dead-letter share is watched
_RATE_S = 20.0  # seconds over which the present rate is taken


class Counts(msgspec.Struct):
    """Of all sessions of a run together."""

    ok: int = 0
    dead: dict[str, int] = {}  # class -> lines set aside
    statuses: dict[str, dict[str, int]] = {}  # class -> HTTP status -> lines set aside
    samples: dict[str, str] = {}  # class -> what was said of the first line that was set aside
    blank: int = 0
    from_cache: int = 0
    oddities: int = 0  # in answers: what was not as the API says, and did not matter
    attempts: int = 0  # HTTP exchanges
    failed_attempts: int = 0
    exchange_s: float = 0.0  # seconds in exchanges, summed over those in flight together
    failed_exchange_s: float = 0.0
    sessions: int = 0
    active_s: float = 0.0  # wall time of all sessions

    @property
    def dead_lines(self) -> int:
        return sum(self.dead.values())

    @property
    def settled(self) -> int:
        """Lines that asked for something and have got their end."""
        return self.ok + self.dead_lines


class Meter:
    """Counts every exchange that passes; what is in flight, too.

    While there are answers that were not kept yet, a new exchange waits a turn of the loop, so that they are: a kill
    never costs more calls than were in flight. Whatever a `send` of the user's own raises is a bad response.
    """

    def __init__(self, inner: Send, counts: Counts) -> None:
        self._inner = inner
        self._counts = counts
        self._now: Clock | None = None
        self.in_flight = 0
        self.unkept = 0  # requests that came to an end since a result was last kept

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
            raise  # a disk or a pipe that takes no more, a setting: not of this request
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
    """What code of the user's own has made of a request by raising."""
    return Response(Outcome.bad_response, sent=sent, done=done, error=f"{type(error).__name__}: {error}")


class Share:
    """The share of dead letters among the last `WINDOW` lines; pure."""

    def __init__(self, maximum: float, least: int) -> None:
        self._maximum = maximum
        self._least = least
        self._last: deque[bool] = deque(maxlen=max(WINDOW, least))
        self.dead = 0

    def add(self, dead: bool) -> None:
        """One more line has its end."""
        if len(self._last) == self._last.maxlen:
            self.dead -= self._last[0]
        self._last.append(dead)
        self.dead += dead

    @property
    def lines(self) -> int:
        return len(self._last)

    @property
    def exceeded(self) -> bool:
        """There are enough lines to tell, and too many of them are dead letters."""
        return len(self._last) >= self._least and self.dead > self._maximum * len(self._last)


class Speed:
    """Lines a second of late; fed with a running count."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> float:
        """The rate at this instant."""
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[0][0] > _RATE_S:
            self._points.popleft()
        (then, before), (_, after) = self._points[0], self._points[-1]
        return (after - before) / (now - then) if now > then else 0.0


def add_dead(counts: Counts, reason: Reason) -> None:
    """One more dead letter, and why."""
    kind = reason.kind
    counts.dead[kind] = counts.dead.get(kind, 0) + 1
    if reason.status:
        statuses = counts.statuses.setdefault(kind, {})
        statuses[str(reason.status)] = statuses.get(str(reason.status), 0) + 1
    if reason.error and kind not in counts.samples:
        counts.samples[kind] = f"line {reason.line}: {one_line(reason.error)}"


def as_builtins(counts: Counts) -> dict[str, Any]:
    """As plain data, for a checkpoint or a summary."""
    plain: dict[str, Any] = msgspec.to_builtins(counts)
    return plain
