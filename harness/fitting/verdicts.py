"""Rows of a verification: the error of a played figure beside the real server's own run-to-run noise. Pure.

Rules of this file
  1. The floor is what the real server differs from itself: two runs of one load, or the scatter within its runs.
  2. A row is refuted if the error is more than its tolerance and more than twice the floor. It is not established if it
     is not refuted and the floor is above the tolerance, and supported otherwise.
  3. Refusals that neither server made are bounded below: the bound was never reached.
  4. A figure that a server does not have is not established, and neither is any row of a load that is not valid.
  5. A profile is supported only if each decisive load has a supported row, and no decisive figure is missing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from harness.base import units
from harness.fitting.load_figures import NAMES, Figures, relative
from harness.measure.verification_result import VerifiedRow as Row
from harness.measure.verification_result import VerifiedStatus as Status

TOLERANCES = {
    "rate": 0.05,
    "p50": 0.05,
    "p95": 0.10,
    "p99": 0.15,
    "ttft_p50": 0.10,
    "ttft_p95": 0.15,
    "itl_p50": 0.05,
    "refused": 0.02,
}
"""Shares of the figure; of refusals, of the requests."""
TITLES = {
    "rate": "answers/s",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
    "ttft_p50": "TTFT p50",
    "ttft_p95": "TTFT p95",
    "itl_p50": "ITL p50",
    "refused": "refused",
}
DECISIVE = ("rate", "p50", "p95", "ttft_p50", "itl_p50")
"""Without these rows a profile is not established. Tails alone do not prevent that."""
REQUIRED = ("rate", "p50", "p95")
"""Figures that any load of arrivals has if it got enough answers."""
_NOISE = 2.0
"""The floor is at least so many standard errors: twice the floor is then four of them."""
TOLERANT_UP_TO = 0.9
"""Above this share of the capacity a small error of the service time is a large one of the latency."""


@dataclass(frozen=True)
class LoadPair:
    """Runs of one load: on the real server and on the mock. `share` of the capacity; None for other loads."""

    name: str
    real: tuple[Figures, ...]
    mock: tuple[Figures, ...]
    share: float | None
    # Relative standard errors of the figures within one run, by figure.
    scatter: dict[str, float]
    # A run of it was not a valid measurement, and neither was its repetition.
    invalid: bool = False


def rows(pair: LoadPair) -> list[Row]:
    """A row for each figure that either has. Arrivals have those that are required in any case."""
    found = [_row(pair, name) for name in NAMES]
    return [row for row in found if row is not None]


def _row(pair: LoadPair, name: str) -> Row | None:
    measured, played = _mean(pair.real, name), _mean(pair.mock, name)
    if measured is None or played is None:
        wanted = pair.share is not None and name in REQUIRED
        if measured is None and played is None and not wanted:
            return None
        return Row(pair.name, name, measured, played, None, 0.0, TOLERANCES[name], "not established")
    error, floor = _error(name, measured, played), _floor(pair, name)
    status = "not established" if pair.invalid else _status(pair, name, error, floor)
    if name == "refused" and measured == played == 0 and not pair.invalid:
        status = "bounded below"
    near = pair.share is not None and pair.share > TOLERANT_UP_TO
    sensitivity = 1 / max(1e-3, 1 - (pair.share or 0.0)) if near else None
    return Row(pair.name, name, measured, played, error, floor, TOLERANCES[name], status, sensitivity)


def _status(pair: LoadPair, name: str, error: float, floor: float) -> Status:
    """The status of a row that both servers have."""
    tolerance = TOLERANCES[name]
    if abs(error) <= max(tolerance, 2 * floor):
        return "not established" if floor > tolerance else "supported"
    near = pair.share is not None and pair.share > TOLERANT_UP_TO
    return "not established" if near and name not in ("rate", "refused") else "refuted"


def _error(name: str, measured: float, played: float) -> float:
    if name == "refused":
        return played - measured
    return played / measured - 1 if measured > 0 else math.inf


def _mean(runs: Sequence[Figures], name: str) -> float | None:
    values = [value for one in runs if (value := getattr(one, name)) is not None]
    return float(np.mean(values)) if len(values) == len(runs) and values else None


def _floor(pair: LoadPair, name: str) -> float:
    """The real server against itself, and not less than the noise of both means."""
    twice = [abs(error) for one, other in zip(pair.real, pair.real[1:], strict=False)
             if (error := relative(one, other, name)) is not None]  # fmt: skip
    noise = _NOISE * pair.scatter.get(name, 0.0) * math.sqrt(1 / len(pair.real) + 1 / len(pair.mock))
    return max([noise, *twice])


def verdict(found: Sequence[Row], decisive_loads: Collection[str]) -> tuple[Status, str]:
    """The verdict on a profile, and one sentence. Rows of `decisive_loads` must be established, but for the tails."""
    refuted = [row for row in found if row.status == "refuted"]
    if refuted:
        worst = max(refuted, key=lambda row: abs(row.error or 0.0) / row.tolerance)
        return "refuted", f"{len(refuted)} of {len(found)} rows are refuted; the worst is {_said(worst)}"
    open_rows = [row for row in found if row.status == "not established"]
    decisive = [row for row in open_rows if row.figure in DECISIVE and row.load in decisive_loads]
    if decisive:
        return "not established", _why_open(decisive, len(found))
    supported = [row for row in found if row.status == "supported"]
    bare = sorted(set(decisive_loads) - {row.load for row in supported})
    if bare:
        return "not established", f"no row is supported under {', '.join(bare)}"
    more = f", {len(open_rows)} are not established" if open_rows else ""
    return "supported", f"{len(supported)} of {len(found)} rows are supported{more}"


def _why_open(decisive: Sequence[Row], total: int) -> str:
    """Why these rows are not established: a figure is missing, a load is not valid, or the server varies."""
    missing = [row for row in decisive if row.error is None]
    if missing:
        first = missing[0]
        return (
            f"{len(missing)} of {total} rows have no figure, as {TITLES[first.figure]} under {first.load}: too few "
            "requests were answered. Verify it for longer"
        )
    worst = max(decisive, key=lambda row: row.floor / row.tolerance)
    if worst.floor <= worst.tolerance:
        return (
            f"{len(decisive)} of {total} rows are of loads that were not measured validly; the client or the "
            "machine was too slow. Verify it on a quiet machine"
        )
    return (
        f"the server differs from itself too much for {len(decisive)} of {total} rows: {TITLES[worst.figure]} "
        f"under {worst.load} by {units.share(worst.floor)}, with a tolerance of {units.share(worst.tolerance)}. "
        "Verify it on a quiet machine, or for longer"
    )


def _said(row: Row) -> str:
    shown = f"{(row.error or 0) * 100:+.1f} points" if row.figure == "refused" else units.change(row.error or 0)
    return f"{TITLES[row.figure]} under {row.load}: {shown}, floor {units.share(row.floor)}"
