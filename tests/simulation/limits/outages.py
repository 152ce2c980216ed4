"""How soon a job goes on after an outage: `python -m tests.simulation.limits.outages`.

16 workers of 0.1 s, exponential. In the lean model, recovery is the time from the end of the outage until 50 successes
come at 85 % of the server's rate, the worst of five seeds. In the product, the real strategy, retry layer and mock play
15,000 items in virtual time: the time of the job beside that of a static limit of 20, the mean of two seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from harness.client.limits.knee import Knee
from harness.experiment.simulate import simulate
from tests.simulation.limits.run import Played, play
from tests.simulation.limits.server import Shape

SECONDS = (0.2, 1.0, 5.0, 30.0)
BEGIN = 10.3
SHAPE = Shape("outage", workers=16)
KINDS = {
    "refused, 503": SHAPE,
    "refused, connections": replace(SHAPE, outage_as="connection_error"),
    "crash": replace(SHAPE, outage_as="connection_error", crash=True),
    "refused, Retry-After 1 s": replace(SHAPE, retry_after_s=1.0),
}
PROFILE = """
[service]
base_s = 0.1
jitter = {{kind = "exponential"}}
[capacity]
workers = 16
queue_max = 1000000
[[faults]]
{fault}
delay_s = 0.005
start_s = 10.0
end_s = {end}
"""
FAULTS = {
    "503": 'kind = "status"\nstatus = 503',
    "503, Retry-After 1 s": 'kind = "status"\nstatus = 503\nretry_after_s = 1.0',
    "reset": 'kind = "reset"',
}
WINDOW, SHARE = 50, 0.85
WORKERS, SLOW_S = (4, 8, 16), 5.0
OURS, STATIC = "adaptive", "queue-stream:concurrency=20"


def recovery_s(played: Played, end: float, per_s: float) -> float:
    """Seconds from the end of the outage to the first window of successes at the server's rate."""
    done = [at for at in played.done if at >= end]
    for first, last in zip(done, done[WINDOW:], strict=False):
        if WINDOW / max(1e-9, last - first) >= SHARE * per_s:
            return first - end
    return float("inf")


def lean(shape: Shape, seconds: float, seeds: int = 5) -> float:
    """The worst recovery over the seeds."""
    end = BEGIN + seconds
    shape = replace(shape, outages=((BEGIN, end),), duration_s=end + 20.0)
    return max(recovery_s(play(shape, Knee, seed), end, 160.0) for seed in range(1, seeds + 1))


def brief(workers: int, begin: float, seed: int) -> float:
    """Recovery from 0.2 s without any acceptance, which may begin in a drain, in the look at more or at rest."""
    end = begin + 0.2
    shape = replace(SHAPE, workers=workers, outages=((begin, end),), duration_s=end + 8.0)
    return recovery_s(play(shape, Knee, seed), end, workers / SHAPE.service_s)


def product(fault: str, seconds: float, strategy: str, seeds: int = 2, items: int = 15_000) -> float:
    """Seconds of the job."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outage.toml"
        path.write_text(PROFILE.format(fault=fault, end=10.0 + seconds), encoding="utf-8")
        return fmean(
            simulate(f"{strategy}+retry:retries=10", path, items=items, seed=seed).virtual_s
            for seed in range(1, seeds + 1)
        )


def slow_of_100(workers: int) -> int:
    """How many of 100 outages of 0.2 s take more than 5 s."""
    return sum(brief(workers, 10.0 + 0.031 * seed, seed) > SLOW_S for seed in range(21, 121))


def table() -> Iterator[str]:
    """The lines of docs/adaptive.md."""
    heads = [f"{seconds:g} s" for seconds in SECONDS]
    yield f"| recovery after an outage of | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for name, shape in KINDS.items():
        yield f"| {name} | {' | '.join(f'{lean(shape, seconds):.1f} s' for seconds in SECONDS)} |"
    yield ""
    yield f"| 15,000 items, adaptive (static 20), an outage of | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for name, fault in FAULTS.items():
        cells = [
            f"{product(fault, seconds, OURS):.0f} s ({product(fault, seconds, STATIC):.0f} s)" for seconds in SECONDS
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield f"| of 100 outages of 0.2 s | {' | '.join(f'{workers} workers' for workers in WORKERS)} |"
    yield "|---" * (len(WORKERS) + 1) + "|"
    yield f"| over after more than {SLOW_S:g} s | {' | '.join(str(slow_of_100(workers)) for workers in WORKERS)} |"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
