"""A server's shape as data, and its behaviour as a discrete-event model; lean, so that many runs take seconds.

Rules of this file
  1. Everything random comes from the one seeded generator that is passed in; time is a float that only grows.
  2. Jobs in service share one virtual clock of work. It runs at `speed(n)`: workers that do not disturb each other give
     1, a batch or contention slows all that are in service alike.
"""

from __future__ import annotations

import heapq
import math
import random
import tomllib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "shapes"
OTHERS = Path(__file__).parent / "others"  # of earlier comparisons


@dataclass(frozen=True)
class Shape:
    """One server and the client's circumstances; what is not said is off."""

    name: str
    about: str = ""
    workers: int = 16  # in service at once; what comes on top waits
    service_s: float = 0.1  # mean, of one alone
    law: str = "exponential"  # or constant, lognormal, mixture, bimodal, pareto
    sigma: float = 1.0  # of the lognormal
    long_share: float = 0.02  # of the mixture: this share of jobs is 50 times as long as the others
    neighbours: int = 0  # workers that others take and give back at random, for 4 s in the mean
    drop_over: int | None = None  # of more jobs than these at the server, the newest is never answered
    silent_share: float = 0.0  # of requests that are never answered, at random, whatever is in flight
    timeout_s: float = 5.0  # of the client, for what is never answered
    contention: float = 0.0  # each other one in service makes all slower by this share
    coherence: float = 0.0  # the same, by n (n - 1): the universal scalability law
    crowd: int = 0  # up to so many in service do not disturb each other
    crowding: float = 0.0  # each one past `crowd` makes all slower by this share
    queue: int | None = None  # waiting places; none: endless
    retry_after_s: float | None = None  # what a refusal says
    rate_per_s: float | None = None  # token bucket
    burst: int = 20
    quota: tuple[int, float] | None = None  # so many requests are accepted in each window of so many seconds
    refused_share: float = 0.0  # of requests, at random, whatever is in flight
    error_share: float = 0.0  # of answers that are a 500, at random
    stall_every_s: float | None = None
    stall_s: float = 1.0
    outages: tuple[tuple[float, float], ...] = ()  # (begin, end): every new job is refused
    crash: bool = False  # what is in service or waits when an outage begins is lost
    outage_as: str = "rejected"  # the outcome of what is refused or lost, or connection_error
    steps: tuple[tuple[float, int], ...] = ()  # (when, workers)
    slower: tuple[tuple[float, float], ...] = ()  # (when, factor of the service time)
    network_s: float = 0.0  # of an answer on its way back
    reports: str = ""  # what answers say of the queue: "queue", or "first" for the time to the first event
    first_s: float = 0.0  # without a queue
    demand: int | None = None  # most that the application ever has in flight
    clients: int = 1
    stagger_s: float = 0.0  # between the clients' starts
    stay_s: float | None = None  # a client leaves after so long
    beside: int = 0  # one more client, from the start, with a static limit of so many
    duration_s: float = 60.0
    suite: bool = True  # the test suite plays it; others are played by hand
    expect: dict[str, float] = field(default_factory=dict)  # of our limit: quantiles over seeds (expected.py)

    def presence(self) -> list[tuple[float, float]]:
        """When each client joins and leaves; the static one is the last."""
        stay_s = math.inf if self.stay_s is None else self.stay_s
        joins = [k * self.stagger_s for k in range(self.clients)]
        spans = [(at, min(self.duration_s, at + stay_s)) for at in joins]
        return spans + [(0.0, self.duration_s)] * (self.beside > 0)

    def is_out(self, now: float) -> bool:
        """Whether the server accepts nothing now."""
        return any(begin <= now < end for begin, end in self.outages)


def load(path: Path) -> Shape:
    """A shape from its TOML file."""
    data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    for key in ("steps", "slower", "outages"):
        if key in data:
            data[key] = tuple(tuple(pair) for pair in data[key])
    if "quota" in data:
        data["quota"] = tuple(data["quota"])
    return Shape(name=path.stem, **data)


def shapes(folder: Path = FOLDER) -> list[Shape]:
    """All of a folder, by name."""
    return [load(path) for path in sorted(folder.glob("*.toml"))]


class Server:
    """Takes jobs by number, says which are done when; refuses by returning False."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self.shape = shape
        self._rng = rng
        self._workers = shape.workers
        self._factor = 1.0
        self._work = 0.0  # virtual clock: work done on each job in service
        self._at = 0.0  # real time up to which it is right
        self._serving: list[tuple[float, int]] = []  # (virtual end, job)
        self._waiting: deque[int] = deque()
        self._window, self._window_used = -1, 0
        self._tokens, self._tokens_at = float(shape.burst), 0.0
        changes = [(at, "workers", float(n)) for at, n in shape.steps] + [(at, "slower", f) for at, f in shape.slower]
        if shape.stall_every_s:
            for k in range(1, math.ceil(shape.duration_s / shape.stall_every_s)):
                changes += [(k * shape.stall_every_s, "stall", 1.0)]
                changes += [(k * shape.stall_every_s + shape.stall_s, "stall", 0.0)]
        changes += _of_neighbours(shape, rng)
        if shape.crash:
            changes += [(begin, "crash", 0.0) for begin, _ in shape.outages]
        self._changes = deque(sorted(changes))
        self._crowd = shape.crowd or math.inf
        self._stalled = False
        self._offered: dict[int, float] = {}
        self.waited_s: dict[int, float] = {}  # of jobs in service, if the server reports it
        self.lost: list[int] = []  # jobs that a crash ended, until the caller takes them

    def drops(self) -> bool:
        """Whether a job that is offered now is never answered."""
        shape = self.shape
        if shape.silent_share and self._rng.random() < shape.silent_share:
            return True
        return shape.drop_over is not None and len(self._serving) + len(self._waiting) >= shape.drop_over

    def offer(self, job: int, now: float) -> bool:
        """Take a job, or refuse it."""
        shape = self.shape
        if shape.is_out(now):
            return False
        if shape.refused_share and self._rng.random() < shape.refused_share:
            return False
        if shape.quota is not None:
            window = int(now // shape.quota[1])
            if window != self._window:
                self._window, self._window_used = window, 0
            if self._window_used >= shape.quota[0]:
                return False
            self._window_used += 1
        if shape.rate_per_s is not None:
            self._tokens = min(shape.burst, self._tokens + (now - self._tokens_at) * shape.rate_per_s)
            self._tokens_at = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
        if len(self._serving) < self._workers:
            self._advance(now)
            self._begin(job)
        elif shape.queue is not None and len(self._waiting) >= shape.queue:
            return False
        else:
            self._waiting.append(job)
            if shape.reports:
                self._offered[job] = now
        return True

    def next_event(self) -> float:
        """When something happens if nobody offers anything."""
        end = math.inf
        if self._serving and not self._stalled:
            end = self._at + max(0.0, self._serving[0][0] - self._work) / self._speed()
        return min(end, self._changes[0][0]) if self._changes else end

    def step(self, now: float) -> int | None:
        """Let what is due at `now` happen; the job that is done, if it was that."""
        if self._changes and self._changes[0][0] <= now:
            self._advance(now)
            _, what, value = self._changes.popleft()
            if what == "workers":
                self._workers = int(value)
            elif what == "slower":
                self._factor = value
            elif what == "crash":
                self.lost = [*(job for _, job in self._serving), *self._waiting]
                self._serving.clear()
                self._waiting.clear()
            else:
                self._stalled = value > 0
            self._fill()
            return None
        self._advance(now)
        end, job = heapq.heappop(self._serving)
        self._work = max(self._work, end)
        self._fill()
        return job

    def _fill(self) -> None:
        while self._waiting and len(self._serving) < self._workers:
            self._begin(self._waiting.popleft())

    def _begin(self, job: int) -> None:
        if self.shape.reports:
            self.waited_s[job] = self._at - self._offered.pop(job, self._at)
        heapq.heappush(self._serving, (self._work + self._draw(), job))

    def _advance(self, now: float) -> None:
        if self._serving and not self._stalled:
            self._work += (now - self._at) * self._speed()
        self._at = now

    def _speed(self) -> float:
        shape, others = self.shape, len(self._serving) - 1
        slower = 1.0 + shape.contention * others + shape.coherence * others * (others + 1)
        if others >= self._crowd:
            slower += shape.crowding * (others + 1 - self._crowd)
        return 1.0 / slower

    def _draw(self) -> float:
        shape = self.shape
        return LAWS[shape.law](self._rng, shape) * shape.service_s * self._factor


def _of_neighbours(shape: Shape, rng: random.Random) -> list[tuple[float, str, float]]:
    """Changes of the number of workers by others: they take some and give them back."""
    found, at, free = list[tuple[float, str, float]](), 0.0, shape.workers
    while shape.neighbours and (at := at + rng.expovariate(0.25)) < shape.duration_s:
        free = shape.workers if free < shape.workers else shape.workers - shape.neighbours
        found.append((at, "workers", float(free)))
    return found


def _mixture(rng: random.Random, shape: Shape) -> float:
    short = 1.0 / (1.0 + 49.0 * shape.long_share)
    return short * (50.0 if rng.random() < shape.long_share else 1.0)


LAWS: dict[str, Callable[[random.Random, Shape], float]] = {
    "constant": lambda rng, shape: 1.0,
    "exponential": lambda rng, shape: rng.expovariate(1.0),
    "lognormal": lambda rng, shape: rng.lognormvariate(-(shape.sigma**2) / 2, shape.sigma),
    "mixture": _mixture,
    # Of unequal shares: with equal ones the median of a run is one time or the other by chance.
    "bimodal": lambda rng, shape: 0.2 if rng.random() < 0.6 else 2.2,
    # Alpha 1.7; the mean of the uncut law is 1.
    "pareto": lambda rng, shape: min(100.0, 0.7 / 1.7 * rng.paretovariate(1.7)),
}
"""Service times with a mean of 1."""
