"""The mock's own ceiling on small requests: CPU of its process per request, and the rate of one core to itself.

`python -m tests.bench.mock_ceiling [--profile NAME] [--seconds S]`
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from harness.experiment.event_loop import new_event_loop
from tests.bench.wire import closed_loop, mock, request

CONNECTIONS = 32
PAIR = {"text1": "The old baker found a grey umbrella.", "text2": "A grey umbrella was found by the old baker."}


def measured(profile: str, seconds: float, rounds: int = 3) -> tuple[float, float]:
    """CPU seconds per request of the mock's process in the best round, and requests per second in the quickest."""
    costs, rates = [], []
    with mock(profile) as (port, process), asyncio.Runner(loop_factory=new_event_loop) as runner:
        for _ in range(rounds):
            before = sum(process.cpu_times()[:2])
            latencies, _, took_s = runner.run(closed_loop(port, request("/similarity", PAIR), CONNECTIONS, seconds))
            costs.append((sum(process.cpu_times()[:2]) - before) / len(latencies))
            rates.append(len(latencies) / took_s)
    return min(costs), max(rates)


def main(arguments: list[str]) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", default="null")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(arguments)
    cost_s, rate = measured(options.profile, options.seconds)
    print(f"mock {options.profile}: {cost_s * 1e6:.1f} µs of CPU per request, {1 / cost_s:,.0f}/s of a core to itself")
    print(f"answered here, beside the client and all else: {rate:,.0f}/s")


if __name__ == "__main__":
    main(sys.argv[1:])
