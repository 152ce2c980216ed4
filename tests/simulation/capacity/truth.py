"""The true capacity of each profile, without any of paceline's code: `python -m tests.simulation.capacity.truth`.

Each model is a formula, or a discrete-event simulation of a few lines with many times the requests of a search. The
command prints the capacities that `profiles.py` states; it takes some minutes.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Figures = tuple[float, float]
"""The figure of the SLO's time, and the share of errors."""


def poisson(rng: Random, rate: float, n: int) -> list[float]:
    """Arrival instants."""
    at, found = 0.0, []
    for _ in range(n):
        at += rng.expovariate(rate)
        found.append(at)
    return found


def fifo(arrivals: list[float], workers: int, draw: Callable[[], float]) -> Array:
    """Sojourn times of a queue with several workers (Kiefer and Wolfowitz)."""
    free, found = [0.0] * workers, []
    for at in arrivals:
        start = max(at, heapq.heappop(free))
        end = start + draw()
        heapq.heappush(free, end)
        found.append(end - at)
    return settled(found)


def settled(values: list[float]) -> Array:
    """Without the first tenth, in which the system fills."""
    return np.array(values[len(values) // 10 :])


def p(values: Array, share: float) -> float:
    return float(np.quantile(values, share))


def workers(rate: float, n: int) -> Figures:
    """M/M/8, p99 of the sojourn by Erlang's formula and bisection."""
    c, mu = 8, 10.0
    if rate >= c * mu:
        return math.inf, 0.0
    a = rate / mu
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    waits = blocked / (1 - a / c * (1 - blocked))

    def tail(t: float) -> float:
        gap = c - 1 - a
        if abs(gap) < 1e-9:
            return math.exp(-mu * t) * (1 + waits * mu * t)
        return math.exp(-mu * t) + waits * (math.exp(-mu * t) - math.exp(-mu * t * (c - a))) / gap

    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > 0.01 else (low, middle)
    return high, 0.0


def constant(rate: float, n: int) -> Figures:
    """M/D/4."""
    return p(fifo(poisson(Random(1), rate, n), 4, lambda: 0.05), 0.99), 0.0


def queue_bound(rate: float, n: int) -> Figures:
    """M/M/4/12: the share that finds the system full."""
    c, k, a = 4, 12, rate * 0.04
    weights = [a**i / math.factorial(i) if i <= c else a**i / (math.factorial(c) * c ** (i - c)) for i in range(k + 1)]
    return 0.0, weights[k] / sum(weights)


def rate_limit(rate: float, n: int) -> Figures:
    """A token bucket of 40 that fills at 60/s."""
    tokens, last, refused = 40.0, 0.0, 0
    for at in poisson(Random(1), rate, n):
        tokens, last = min(40.0, tokens + 60 * (at - last)), at
        if tokens >= 1 - 1e-9:
            tokens -= 1
        else:
            refused += 1
    return 0.03, refused / n


def knee(rate: float, n: int) -> Figures:
    """No queue: the time of a call is fixed by the calls present when it arrives, itself included."""
    return _by_calls(rate, n, lambda calls: 0.05 + 0.0025 * max(0, calls - 20))


def knee_exponential(rate: float, n: int) -> Figures:
    """The same with a time that grows by a tenth for each further call, up to fifty times."""
    return _by_calls(rate, n, lambda calls: 0.05 * min(50.0, math.exp(0.1 * max(0, calls - 20))))


def _by_calls(rate: float, n: int, time_s: Callable[[int], float]) -> Figures:
    ends: list[float] = []
    found = []
    for at in poisson(Random(1), rate, n):
        while ends and ends[0] <= at:
            heapq.heappop(ends)
        took = time_s(len(ends) + 1)
        heapq.heappush(ends, at + took)
        found.append(took)
    return p(settled(found), 0.99), 0.0


def usl(rate: float, n: int) -> Figures:
    """64 places share one machine: n calls each run at 1 / (1 + sigma (n - 1) + kappa n (n - 1)); others wait."""
    arrivals = deque(poisson(Random(1), rate, n))
    now = work = 0.0
    running: list[tuple[float, float]] = []  # (work clock at the end, arrival)
    waiting: deque[float] = deque()
    found = []
    while arrivals or running:
        k = len(running)
        factor = 1 + 0.03 * (k - 1) + 0.0005 * k * (k - 1) if k else 1.0
        end = now + (running[0][0] - work) * factor if running else math.inf
        if arrivals and arrivals[0] <= end:
            work += (arrivals[0] - now) / factor if running else 0.0
            now = arrivals.popleft()
            waiting.append(now)
        else:
            work, now = running[0][0], end
            found.append(now - heapq.heappop(running)[1])
        while waiting and len(running) < 64:
            heapq.heappush(running, (work + 0.05, waiting.popleft()))
    return p(settled(found), 0.99), 0.0


def llm(rate: float, n: int) -> Figures:
    """Twelve sequences of 16 tokens at once: p95 of the time to the first token, the wait for a place included."""
    rng = Random(1)
    sigma2 = math.log(1 + 0.25**2)
    events: list[tuple[float, int, float, int]] = [(at, 0, at, 0) for at in poisson(rng, rate, n // 4)]
    waiting: deque[float] = deque()
    found, running = [], 0
    while events:
        now, kind, arrived, tokens = heapq.heappop(events)
        if kind == 0:
            waiting.append(arrived)
        else:
            if tokens == 1:
                found.append(now - arrived)
            if tokens == 16:
                running -= 1
            else:
                step = 0.02 + 0.001 * (running - 1)
                heapq.heappush(events, (now + step, 1, arrived, tokens + 1))
        while waiting and running < 12:
            running += 1
            first = (0.08 + 0.01 * (running - 1)) * rng.lognormvariate(-sigma2 / 2, math.sqrt(sigma2))
            heapq.heappush(events, (now + first, 1, waiting.popleft(), 1))
    return p(settled(found), 0.95), 0.0


def cliff(concurrency: float, n: int) -> Figures:
    """Up to 40 calls in the server a call waits for 40 / 16 services of 100 ms at most; from 41 on it takes 500 ms."""
    calls = int(concurrency)
    return (0.5 if calls > 40 else math.ceil(calls / 16) * 0.1), 0.0


def slow_warmup(rate: float, n: int) -> Figures:
    """The steady state: M/G/6, lognormal."""
    rng, sigma2 = Random(1), math.log(1 + 0.5**2)
    arrivals = poisson(rng, rate, n)
    return p(fifo(arrivals, 6, lambda: 0.06 * rng.lognormvariate(-sigma2 / 2, math.sqrt(sigma2))), 0.99), 0.0


def batches(rate: float, n: int) -> Figures:
    """One worker takes all that wait, up to 16."""
    arrivals = poisson(Random(1), rate, n)
    free, place, found = 0.0, 0, []
    while place < n:
        start = max(free, arrivals[place])
        size = 1
        while size < 16 and place + size < n and arrivals[place + size] <= start:
            size += 1
        free = start + 0.03 + 0.004 * size
        found += [free - at for at in arrivals[place : place + size]]
        place += size
    return p(settled(found), 0.99), 0.0


def capacity(model: Callable[[float, int], Figures], limit_s: float, high: float, n: int, whole: bool = False) -> float:
    """The highest load at which the time is below its limit and errors are below 1 %, by bisection."""
    low = 0.0
    while high - low > (1 if whole else 0.002 * high):
        middle = float(int(low + high) // 2) if whole else (low + high) / 2
        seconds, errors = model(middle, n)
        low, high = (middle, high) if seconds < limit_s and errors < 0.01 else (low, middle)
    return low if whole else (low + high) / 2


def main(n: int = 400_000) -> None:
    """Print the capacity of every profile."""
    from tests.simulation.capacity.profiles import PROFILES

    for one in PROFILES:
        found = capacity(one.model, one.limit_s, 500.0, n, one.by == "concurrency")
        sys.stdout.write(f"{one.name}: {found:.4g} (stated: {one.capacity:g})\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
