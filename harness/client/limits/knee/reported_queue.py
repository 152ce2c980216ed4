"""The queue that the server reports: the number in flight that keeps a few own attempts waiting; pure.

Rules of this file
  1. A server says how long a request waited (`Server-Timing: queue`). For a stream without that, the time to the first
     content event beyond the least one is an estimate.
  2. Waiting attempts W = N x (waiting time) / latency (Little's law); the others are served. If more wait than wanted,
     the limit is the number in service plus the wanted ones. That holds whatever other clients do.
  3. If none waits, more are tried: twice as many until a queue was reported, a quarter more afterwards.
  4. A server may have a bottleneck that it does not report. If doubling adds little throughput and no queue was ever
     reported, reports are not trusted any more, and the search goes on. The service time that is compared is that of
     an average attempt. It is compared only if the limit did grow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.client.cause import Cause
from harness.client.types import Sample

if TYPE_CHECKING:
    from harness.client.limits.knee.search import Search

# Answers of a window, or as many as the limit. As many pass before it after a change, as the quick ones come first.
WINDOW = 16
# Own attempts that may wait, for each root of the limit, at least this; and the shares of it without and with a change.
WAIT_ROOT, WAIT_MIN = 0.5, 0.5
NONE, TOO_MANY = 0.5, 1.5
# Growth until a queue was reported, and later, up to the second multiple of the limit with a queue.
START, LATER, LATER_MAX = 2.0, 1.25, 2.0
# The service time may grow by this when the limit is doubled. It did not at the first number of standard errors below,
# or if so many answers do not show it; it did at the second above.
SLOWER_MAX, BELOW, ABOVE, ANSWERS_MAX = math.log(2.0 / 1.3), 1.0, 2.5, 128
# The limit has to be this multiple of the one before, as a bound may have kept it from doubling.
DOUBLED_MIN = 1.5
# The least standard error of a service time, as a share.
ERROR_MIN = 0.02
# The search begins at this part of the limit.
BACK = 8.0
# The least share of the limit that one step leaves.
FALL_MIN = 0.4
# Windows without growth after a refusal, doubled up to the second.
HOLD, HOLD_MAX = 4, 64
# Share of the limit that was in flight when an attempt began, so that the application used it.
USED = 0.9
# The least time to the first event grows by this in each window, so that a change of the server is followed.
AGED = 1.002
# Answers in a row without a report, after which the search goes on.
SILENT = 16


class ReportedQueue:
    """Windows of answers with a report."""

    __slots__ = (
        *("_before", "_first_s", "_hold", "_hold_next", "_latency_s", "_least_s", "_queue_s", "_queued_at"),
        *("_seen", "_silent", "_skip", "_squares", "_used", "_value", "_work", "is_followed"),
        *("is_trusted", "latency_s", "windows"),
    )

    def __init__(self) -> None:
        self.is_trusted = True
        # Answers had reports until now.
        self.is_followed = False
        self._silent = 0
        # Windows that have ended, and the mean latency in the last.
        self.windows, self.latency_s = 0, math.inf
        # The limit of this window, and answers still to pass.
        self._value, self._skip = 0, 0
        # The limit before it was doubled, the service time there, and its standard error as a share.
        self._before: tuple[int, float, float] | None = None
        # The last limit at which a queue was reported; 0: none was.
        self._queued_at = 0
        self._hold, self._hold_next = 0, HOLD
        self._least_s = math.inf
        self._clear()

    def _clear(self) -> None:
        self._seen = self._used = 0
        self._queue_s = self._first_s = self._latency_s = self._squares = self._work = 0.0

    def takes(self, sample: Sample) -> bool:
        """Whether the limit follows the server's reports, this one included."""
        if not self.is_trusted:
            return False
        if sample.queue_s is None and sample.first_s is None:
            self._silent = min(SILENT, self._silent + 1)
        else:
            self._silent = 0
        self.is_followed = self._silent < SILENT and (self._silent == 0 or self._value > 0)
        return self.is_followed

    def refused(self, tolerated: bool) -> None:
        """The limit fell by refusals: no growth for some windows, unless they do not depend on the load."""
        self._before = None
        if tolerated:
            self._hold, self._hold_next = 0, HOLD
        elif not self._hold:
            self._hold, self._hold_next = self._hold_next, min(HOLD_MAX, 2 * self._hold_next)

    def learn(self, sample: Sample, value: int) -> float | None:
        """Count an answer; the number wanted, if it is time for another one."""
        if value != self._value:
            self._clear()
            self._skip = value
            self._value = value
        if sample.limit != value or (sample.queue_s is None and sample.first_s is None):
            return None
        if self._skip:
            self._skip -= 1
            return None
        self._seen += 1
        self._used += sample.in_flight >= USED * value
        latency_s = sample.latency_s
        self._latency_s += latency_s
        if sample.queue_s is not None:
            self._queue_s += sample.queue_s
            latency_s -= sample.queue_s
        else:
            self._first_s += sample.first_s or 0.0
        # Large attempts take longer: that says nothing of the server.
        self._work += sample.work
        self._squares += (latency_s / sample.work) ** 2
        if self._seen < max(WINDOW, value):
            return None
        return self._judge(value)

    def _judge(self, value: int) -> float | None:
        """The number wanted; None: the same. A window whose service time is not clear goes on."""
        count, latency_s = self._seen, self._latency_s / self._seen
        if latency_s <= 0.0:
            self._clear()
            return None
        waiting_s = self._waiting_s(count)
        waiting = value * waiting_s / latency_s
        wanted = max(WAIT_MIN, WAIT_ROOT * math.sqrt(value))
        if waiting > TOO_MANY * wanted:
            self._queued_at, self._before = value, None
            # The limit may be at its minimum already: then it stays, and the next window may show that fewer wait.
            self._close()
            return max(FALL_MIN * value, value - waiting + wanted)
        service = self._service((latency_s - waiting_s) * count / self._work)
        before = self._before
        doubled = before is not None and value >= DOUBLED_MIN * before[0]
        if before is not None and doubled and waiting < NONE * wanted and not self._queued_at:
            slower = self._slower(before[1:], service, value)
            if slower is None:
                return None
            if slower:
                self.is_trusted = False
                return value / BACK
        used = 2 * self._used > count
        self._before = None
        self._close()
        if doubled:
            self._hold_next = max(HOLD, self._hold_next // 2)
        if self._hold:
            self._hold -= 1
        elif waiting < NONE * wanted and used:
            if value < LATER_MAX * self._queued_at:
                return max(value + 1.0, LATER * value)
            self._before = (value, *service)
            return START * value
        return None

    def _close(self) -> None:
        """The window ends, and the next one begins."""
        if self._first_s:
            self._least_s = AGED * min(self._least_s, self._first_s / self._seen)
        self.latency_s = self._latency_s / self._seen
        self._clear()
        self.windows += 1

    def _service(self, mean_s: float) -> tuple[float, float]:
        """The service time of an average attempt, and its standard error as a share."""
        mean_s = max(mean_s, 1e-9)
        spread = max(0.0, self._squares / self._seen / mean_s**2 - 1.0)
        return mean_s, max(ERROR_MIN, math.sqrt(spread / self._seen))

    def _slower(self, before: tuple[float, float], now: tuple[float, float], value: int) -> bool | None:
        """Whether doubling made the service slower, so that it adds little throughput; None: not clear yet."""
        grown = math.log(now[0] / before[0]) - SLOWER_MAX
        error = math.hypot(before[1], now[1])
        if grown <= -BELOW * error:
            return False
        if grown >= ABOVE * error:
            return True
        return False if self._seen >= max(value, ANSWERS_MAX) else None

    def _waiting_s(self, count: int) -> float:
        """Mean waiting time by the reports, or by the first events."""
        if not self._first_s:
            return self._queue_s / count
        mean_s = self._first_s / count
        return mean_s - min(self._least_s, mean_s)


def follow(search: Search, sample: Sample) -> bool:
    """Learn from a success with a report of the server's queue. True if the limit may have changed."""
    before, now = search.value, sample.done
    windows = search.reported_queue.windows
    wanted = search.reported_queue.learn(sample, before)
    if search.reported_queue.windows != windows:
        # Refusals are counted window by window.
        search.ceiling.clear()
        search.latency_s = search.reported_queue.latency_s
    if wanted is None:
        return False
    search.ceiling.passed(before, now)
    # Without reports that can be trusted, the search begins.
    search.phase = "rest" if search.reported_queue.is_trusted else "start"
    search.move(wanted, Cause.queue_reported if wanted < before else Cause.no_queue_reported, now)
    return True
