"""The client's ceiling: its highest rate against a server that answers at once, measured in the same run.

A result that used more than 70 % of its client's ceiling measures the client; the verdict says so. One ceiling for each
transport of the run, on this machine, with the mock beside it as in the run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness import plugins
from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome
from harness.experiment import target as targets
from harness.experiment.child_process import play
from harness.experiment.spec import CaseSpec
from harness.load.schedule import BACKLOG
from harness.measure.record.files import slug
from harness.measure.record.plan import Transport, transport_name
from harness.measure.record.rows_file import read
from harness.measure.result import Named

PROBES: dict[Transport, tuple[str, int]] = {
    "asyncio": ("queue-stream:concurrency=64", 6_000),
    "lean": ("queue-stream:concurrency=64", 12_000),
    "blocking": ("threads:workers=8", 2_000),
}
"""Transport -> strategy and number of requests: well under a second each."""


def ceilings(
    cases: list[CaseSpec], directory: Path, progress: Callable[[str, dict[str, Any]], None]
) -> dict[str, float]:
    """Requests per second that each transport reached against the null server; one that failed is left out."""
    used = {case.transport for case in cases}
    found: dict[str, float] = {}
    folder = directory / "calibration"
    folder.mkdir(parents=True, exist_ok=True)
    with targets.embedded("null", log=folder / "mock_server.log") as target:
        for transport in sorted(used):
            progress("calibrating", {"transport": transport_name(transport)})
            rate = _ceiling(cases[0], transport, target.url, folder)
            if rate is not None:
                found[transport] = rate
    progress("calibrated", {"ceilings": {transport_name(name): rate for name, rate in found.items()}})
    return found


def _ceiling(case: CaseSpec, transport: Transport, url: str, folder: Path) -> float | None:
    one = probe(case, transport)
    name = slug(one.name, 0, 0)
    for stale in folder.glob(f"{name}*"):
        stale.unlink()
    if play(one.trial(url, folder)).interrupted:
        raise KeyboardInterrupt
    return rate_of(folder / f"{name}.requests")


def probe(case: CaseSpec, transport: Transport) -> CaseSpec:
    """The case that finds a transport's ceiling."""
    text, items = PROBES[transport]
    strategy = plugins.make("strategy", text)
    return msgspec.structs.replace(
        case,
        name=f"ceiling-{transport}",
        transport=transport,
        strategy=Named(plugins.name_of(type(strategy)), plugins.settings_of(strategy)),
        load=Named(BACKLOG),
        stop_s=None,
        # A backlog has no trace; the lengths of its prompts stay.
        trace=None,
        items=items,
        layers=LayerSettings(timeout_s=10.0),
        users=1,
        processes=1,
        scenario="backlog",
    )


def rate_of(path: Path) -> float | None:
    """Successes per second over the middle of a probe: its first and last fifth, start-up and tail, are left out."""
    try:
        _, rows = read(path)
    except (OSError, ValueError):
        return None
    done = np.sort(rows["done"][rows["outcome"] == Outcome.ok])
    if len(done) < 100:
        return None
    first, last = done[len(done) // 5], done[-(len(done) // 5)]
    return float(3 * len(done) / 5 / max(1, last - first) * 1e9)
