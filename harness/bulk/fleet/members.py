"""The workers of a run as the coordinator knows them: their last beats and what they have in work."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.bulk.fleet.messages import Beat, Progress
from harness.bulk.tally import RATE_S, RowCounts, Speed

# A worker at less than this share of the median speed is a straggler, if chance does not explain that.
_SLOW, _SIGMAS = 0.5, 3.0
# Seconds of silence, and of slow work, that are noticeable.
_SILENT_S, _NOTICEABLE_S = 5.0, 10.0


@dataclass
class Member:
    """One worker."""

    name: str
    host: str = ""
    pid: int = 0
    heard_at: float = 0.0
    since: float = 0.0
    in_flight: int = 0
    waits_s: float = 0.0
    progress: list[Progress] = field(default_factory=list)
    # Range -> lines of it that others had done before.
    found_done: dict[int, int] = field(default_factory=dict)
    # Lines done in ranges before the present ones.
    before: int = 0
    # Those and the lines done in the present ones.
    done: int = 0
    speed: Speed = field(default_factory=Speed)
    rate_per_s: float = 0.0

    def own_lines(self, number: int, counts: RowCounts) -> int:
        """Lines of a range that this worker has done itself."""
        return max(0, counts.settled - self.found_done.get(number, 0))


class Members:
    """All workers that have been heard and were not lost."""

    def __init__(self) -> None:
        self.all: dict[str, Member] = {}
        # Ranges to have ready; known to be more once workers come.
        self.expected = 1
        self.lost: deque[str] = deque(maxlen=20)

    def heard(self, beat: Beat, now: float) -> None:
        """Take the news of a worker."""
        member = self.all.get(beat.worker)
        if member is None:
            member = self.all[beat.worker] = Member(beat.worker, since=now)
        member.host, member.pid, member.in_flight, member.heard_at = beat.host, beat.pid, beat.in_flight, now
        member.progress, member.waits_s = beat.progress, beat.waits_s
        ended = [(report.finished.number, report.counts) for report in beat.reports]
        for number, counts in [*ended, *((each.number, each.counts) for each in beat.stopped)]:
            member.before += member.own_lines(number, counts)
            member.found_done.pop(number, None)
        member.done = member.before + sum(member.own_lines(each.number, each.counts) for each in beat.progress)
        member.rate_per_s = member.speed.add(now, member.done)

    def granted(self, worker: str, number: int, done: int) -> None:
        """A worker gets a range in which so many lines are done."""
        self.all[worker].found_done[number] = done

    def left(self, worker: str) -> None:
        """A worker is gone."""
        if self.all.pop(worker, None) is not None:
            self.lost.append(worker)

    def progress_of(self, worker: str) -> list[Progress]:
        """The ranges in work at a worker."""
        return self.all[worker].progress if worker in self.all else []

    @property
    def wanted_ahead(self) -> int:
        """Ranges to cut before they are asked for."""
        return 2 * max(self.expected, len(self.all))

    def newest(self, left: Mapping[int, Progress]) -> dict[int, Progress]:
        """The latest state of each range in work, or of those that nobody works on, as they were `left`.

        A silent worker may still name one that is at another worker, and a worker that begins has not read yet how far
        the one before it came.
        """
        found = dict(left)
        for each in (each for member in self.all.values() for each in member.progress):
            if each.counts.sessions and (each.number not in found or each.epoch > found[each.number].epoch):
                found[each.number] = each
        return found

    @property
    def waits_s(self) -> float:
        """Seconds for which the server has taken no connection of any worker that has work."""
        return min((member.waits_s for member in self.all.values() if member.progress), default=0.0)

    def described(self, now: float) -> list[dict[str, Any]]:
        """The workers as plain data, stragglers marked."""
        rates = [member.rate_per_s for member in self.all.values() if now - member.since >= _NOTICEABLE_S]
        usual = statistics.median(rates) if len(rates) > 1 else 0.0
        return [
            {
                "worker": member.name,
                "host": member.host,
                "pid": member.pid,
                "ranges": [[each.number, each.epoch] for each in member.progress],
                "lines": member.done,
                "in_flight": member.in_flight,
                "rate_per_s": round(member.rate_per_s, 3),
                "silent_s": round(now - member.heard_at, 1),
                "straggler": _lags(member, usual, now),
            }
            for member in self.all.values()
        ]


def _lags(member: Member, usual: float, now: float) -> bool:
    """Whether a worker is much slower than the others, or silent. One that waits for the server is neither."""
    if not member.progress:
        return False
    worked_s = min(now - member.since, RATE_S)
    if now - member.heard_at > _SILENT_S:
        return True
    if member.waits_s or worked_s < _NOTICEABLE_S:
        return False
    expected, done = usual * worked_s, member.rate_per_s * worked_s
    return done < _SLOW * expected and expected - done > _SIGMAS * math.sqrt(expected)
