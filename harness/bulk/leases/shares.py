"""Divides a total (requests or tokens per second, calls in flight) among workers by their demand; pure.

Rules of this file
  1. What all workers may use at once never exceeds the total. So a worker gets more only after another one has been
     given less: a share counts until its worker asked again, was lost, or let it expire.
  2. The division is max-min fair: nobody gets more than it can use while another one has less than it can use, and
     equal demands get equal shares. What nobody can use now is divided evenly, so that a new demand need not wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_EPSILON = 1e-9
TURN_S = 1.0
"""Seconds after which the remainder of a division into whole numbers goes to others."""


@dataclass
class _Member:
    demand: float = 0.0
    granted: float = 0.0
    in_use: float = 0.0
    expires_at: float = -math.inf


class Shares:
    """The shares of one total. With `whole` all shares are whole numbers."""

    def __init__(self, total: float, valid_s: float, whole: bool = False) -> None:
        self.total = total
        self._valid_s = valid_s
        self._whole = whole
        self._members: dict[str, _Member] = {}

    def ask(self, worker: str, demand: float, now: float, in_use: float = 0.0) -> float:
        """The share of a worker from now on.

        Args:
            worker: Its name.
            demand: Number that it could use; infinity for as much as it gets.
            now: The present instant.
            in_use: Number that it still uses of an earlier share and cannot give back at once, such as calls in flight.
        """
        member = self._members.setdefault(worker, _Member())
        member.demand, member.in_use = max(demand, in_use), in_use
        taken = sum(_outstanding(other, now) for name, other in self._members.items() if name != worker)
        member.granted = max(0.0, min(self._target(worker, now), self._rounded(self.total - taken)))
        member.expires_at = now + self._valid_s
        return member.granted

    def leave(self, worker: str) -> None:
        """A worker is gone: its share is free."""
        self._members.pop(worker, None)

    def granted(self, worker: str) -> float:
        """The last share of a worker; 0 if it has none."""
        return self._members[worker].granted if worker in self._members else 0.0

    def _target(self, worker: str, now: float) -> float:
        """The fair share by the demands of all workers that have asked lately."""
        demands = {
            name: member.demand for name, member in self._members.items() if name == worker or member.expires_at >= now
        }
        return divided(self.total, demands, self._whole, turn=int(now / TURN_S))[worker]

    def _rounded(self, value: float) -> float:
        return float(math.floor(value + _EPSILON)) if self._whole else value


def _outstanding(member: _Member, now: float) -> float:
    return max(member.granted if member.expires_at >= now else 0.0, member.in_use)


def divided(total: float, demands: dict[str, float], whole: bool = False, turn: int = 0) -> dict[str, float]:
    """The max-min fair shares of a total; the remainder that nobody demands is divided evenly.

    Whole shares of equal demands may differ by one. With another `turn` others get that one.
    """
    shares = dict.fromkeys(demands, 0.0)
    left, open_names = total, sorted(demands)
    while open_names and left > _EPSILON:
        each = left / len(open_names)
        modest = [name for name in open_names if demands[name] <= each]
        if not modest:
            for name in open_names:
                shares[name] = each
            left = 0.0
            break
        for name in modest:
            shares[name] = demands[name]
            left -= demands[name]
        open_names = [name for name in open_names if name not in modest]
    if left > _EPSILON and shares:
        for name in shares:
            shares[name] += left / len(shares)
    return _whole_numbers(shares, turn) if whole else shares


def _whole_numbers(shares: dict[str, float], turn: int) -> dict[str, float]:
    """Rounded down, and the rest handed out one by one to the largest fractions: the sum stays the same."""
    found = {name: float(math.floor(share + _EPSILON)) for name, share in shares.items()}
    rest = round(sum(shares.values()) - sum(found.values()))
    names = sorted(shares)
    place = {name: (number + turn) % len(names) for number, name in enumerate(names)}
    # Fractions that are equal but for rounding take turns.
    for name in sorted(shares, key=lambda each: (round(found[each] - shares[each], 6), place[each]))[:rest]:
        found[name] += 1.0
    return found
