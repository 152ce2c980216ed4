"""What a request costs the generator under Locust, one process: our engine beside Locust's own FastHttpUser."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from harness import plugins
from harness.experiment import target as targets
from harness.experiment.child_process import play
from harness.experiment.spec import Trial
from harness.measure.record.files import find
from harness.measure.record.plan import TaskShare
from harness.measure.record.rows_file import End
from harness.measure.result import Named
from tests.bench.clients import IN_FLIGHT, PAIR, fast_http_user

REQUESTS, ROUNDS = 15_000, 5
RATIO_MAX = 0.5


def _ours(url: str, folder: Path, number: int) -> float:
    """CPU microseconds per request of the whole Locust process, from the load's zero to its end."""
    records = folder / f"ours-{number}"
    records.mkdir()
    (folder / "pair.jsonl").write_text((json.dumps(PAIR) + "\n") * REQUESTS)
    spec = Trial(
        name="ours",
        target=url,
        strategy=Named("queue-stream", {"concurrency": IN_FLIGHT}),
        tasks=[TaskShare(Named("similarity", plugins.settings_of(plugins.make("task", "similarity"))))],
        records=str(records),
        transport="lean",
        items=REQUESTS,
        input=str(folder / "pair.jsonl"),
    )
    play(spec)
    end = msgspec.json.decode(find(records)["ours"][0][0].end.read_bytes(), type=End)
    assert (end.recorded, end.locust_requests, end.locust_failures) == (REQUESTS, REQUESTS, 0)
    return 1e6 * end.cpu_s / REQUESTS


def _fast_http(url: str) -> float:
    """The same for FastHttpUser, its time chosen to make about as many requests."""
    found = fast_http_user(url, 2.0)
    return 1e6 * found["cpu_s"] / found["requests"]


def test_a_request_costs_less_than_locusts_own_fast_user(benchmark: Any, tmp_path: Path) -> None:
    """Client CPU per request under Locust is at most half of FastHttpUser's, side by side, median of the ratios."""
    ours: list[float] = []
    theirs: list[float] = []
    with targets.embedded("null") as server:

        def both() -> None:
            ours.append(_ours(server.url, tmp_path, len(ours)))
            theirs.append(_fast_http(server.url))

        benchmark.pedantic(both, rounds=ROUNDS, iterations=1)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    benchmark.extra_info.update(ours_us=ours, fast_http_us=theirs, ratio=ratio)
    pairs = "  ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(ours, theirs, strict=True))
    print(f"\nclient CPU per request, µs, ours/FastHttpUser: {pairs}  median ratio {ratio:.2f} (at most {RATIO_MAX})")
    assert ratio <= RATIO_MAX
