"""Service times: the latencies of attempts that were sent while the server was drained; pure.

Rules of this file
  1. Only attempts sent after the queue had time to end count, and only when most of them are back.
  2. Drains of the last time are pooled, as a few dozen answers say little about times that vary.
  3. A queue can only make a drain look slower. So a drain that is faster beyond noise replaces what was known at once;
     one that is slower has to be confirmed, preferably when all clients drain together.
  4. Where a drain lowered latency nearly as much as the number in flight, the queue did not end: drain deeper, soon.
     That is noise, if it found a service time that is known well.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from harness.client.limits.knee.quantiles import Quantiles, low_suffice, quantiles
from harness.client.limits.knee.window import LATENCY_MIN_S
from harness.client.types import Sample

# Drains that are remembered.
REMEMBERED = 12
# Answers of a drain below which it says nothing.
ANSWERS_MIN = 3
# Differences that count, in standard errors, and the share of the service time that no drain is sure of.
FASTER, SLOWER, UNSURE = 2.0, 3.0, 0.02
# Weight of slower drains: alone, and when all clients drain; the sum that confirms.
ALONE, TOGETHER, CONFIRMED = 1, 3, 6
# Drains that follow soon: at first, after a faster one, after a change of the service time, after too shallow a one.
SOON_FIRST, SOON_FASTER, SOON_CHANGED, SOON_SHALLOW = 4, 3, 2, 2
# Share of the limit that a drain leaves, the least share, and the factor by which it gets deeper.
DEPTH, DEPTH_MIN, DEEPER = 0.7, 0.2, 0.6
# A queue did not end if latency fell to no less than this multiple of the share of the limit.
NOT_ENDED, SHALLOW = 1.25, 0.8
# Answers from which the service time is known well, and the limit from which a drain has answers enough to say that it
# found that time again. Clients with few in flight need every answer: among them drains that are repeated soon.
KNOWN_WELL, MANY = 100, 14.0


@dataclass
class Drain:
    """A drain in progress: attempts sent from `begins` to `ends` count; most are back at `known_at`."""

    begins: float
    ends: float
    known_at: float
    # The share of the limit that it left, and the latencies before it.
    share: float
    before: Quantiles | None
    # Whether it cannot be deeper.
    deepest: bool
    # Whether all clients of the machine drain at this instant.
    together: bool
    latencies_s: list[float] = field(default_factory=list)
    # The limit before it.
    value: float = 0.0
    # Attempts that ended meanwhile, each of which was followed by another.
    begun: int = 0
    # Answers since the limit was lowered.
    ended: int = 0
    # Whether the start goes on after it.
    in_start: bool = False

    def add(self, sample: Sample) -> None:
        """Count an answer."""
        self.ended += 1
        if self.begins <= sample.sent < self.ends:
            self.latencies_s.append(max(LATENCY_MIN_S, sample.latency_s) / sample.work)
        if self.begins <= sample.done < self.ends:
            self.begun += 1

    def is_faster(self, known: Quantiles) -> bool:
        """Whether it has answers enough, and they were faster."""
        return len(self.latencies_s) >= ANSWERS_MIN and quantiles(self.latencies_s, self.begun).wide_s < known.wide_s


class Base:
    """The service times of the server, as far as they are known."""

    def __init__(self) -> None:
        self.known: Quantiles | None = None
        self.depth = DEPTH
        # Drains that are to follow sooner than usual.
        self.soon = SOON_FIRST
        self._drains: deque[tuple[list[float], int]] = deque(maxlen=REMEMBERED)
        self._slower = 0

    @property
    def count(self) -> int:
        """Answers from which it is known."""
        return 0 if self.known is None else self.known.count

    def rested(self, latencies_s: list[float], found: Quantiles) -> None:
        """Learn from a window at the lowest limit there is, which no drain can undercut."""
        if self.known is not None:
            error_s = _error_s(self.known, found, low=False)
            if abs(found.wide_s - self.known.wide_s) > SLOWER * error_s:
                self._drains.clear()
        self._remember(latencies_s, len(latencies_s))

    def learn(self, drain: Drain, value: float) -> bool:
        """Learn from a drain whose attempts are back. True if the service time has changed."""
        if len(drain.latencies_s) < ANSWERS_MIN:
            return False
        found = quantiles(drain.latencies_s, drain.begun)
        self.soon = max(0, self.soon - 1)
        self._judge_depth(drain, found)
        changed = False
        if self.known is not None:
            low = low_suffice(self.known, value)
            difference_s = found.mean_s(low) - self.known.mean_s(low)
            error_s = _error_s(self.known, found, low)
            if difference_s > SLOWER * error_s:
                self._slower += TOGETHER if drain.together else ALONE
                if self._slower < CONFIRMED:
                    self.soon = max(1, self.soon)
                    return False
                changed, self.soon = True, SOON_CHANGED
                self._drains.clear()
            elif difference_s < -FASTER * error_s:
                self.soon = SOON_FASTER
                self._drains.clear()
        self._slower = 0
        self._remember(drain.latencies_s, max(drain.begun, len(drain.latencies_s)))
        return changed

    def _judge_depth(self, drain: Drain, found: Quantiles) -> None:
        if drain.before is None or drain.deepest:
            return
        ended = drain.share >= SHALLOW or found.wide_s >= NOT_ENDED * drain.share * drain.before.wide_s
        if not ended and not self._found_again(drain, found):
            self.depth = max(DEPTH_MIN, DEEPER * min(self.depth, drain.share))
            self.soon = max(SOON_SHALLOW, self.soon)
        else:
            self.depth = min(DEPTH, self.depth / DEEPER)

    def _found_again(self, drain: Drain, found: Quantiles) -> bool:
        """Whether a drain of many found a service time that is known well: then the queue did end."""
        if self.known is None or self.known.count < KNOWN_WELL or drain.value < MANY:
            return False
        return found.wide_s <= self.known.wide_s + found.error_s(False)

    def _remember(self, latencies_s: list[float], begun: int) -> None:
        self._drains.append((latencies_s, begun))
        pooled = [latency_s for one, _ in self._drains for latency_s in one]
        self.known = quantiles(pooled, sum(number for _, number in self._drains))


def _error_s(known: Quantiles, found: Quantiles, low: bool) -> float:
    """Standard error of the difference between the known and the found value."""
    return known.error_s(low) * math.sqrt(1 + known.count / found.count) + UNSURE * known.mean_s(low)
