"""The list of the runs in a folder: what each found, and the trend of each case over time."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.measure import json_files
from harness.measure.diff_result import Changed

RUN_LIST_VERSION = 1
Kind = Literal["run", "sweep", "capacity", "gate"]


class Measured(msgspec.Struct, frozen=True):
    """A figure of one case in one run, as that run's result.json has it."""

    figure: str  # completed, latency_p99 ...
    unit: Literal["1/s", "s"]
    value: float | None
    low: float | None = None  # its interval; null where the run has none
    high: float | None = None


class ListedCase(msgspec.Struct, frozen=True):
    """One case of a listed run."""

    name: str
    scenario: str
    task: str
    failed_share: float | None = None
    slo_passed: bool | None = None  # null without an SLO
    partial: bool = False
    figures: list[Measured] = []


class ListedRun(msgspec.Struct, frozen=True):
    """One run, or one gate."""

    path: str  # relative to the folder
    kind: Kind
    id: str
    started_at: str  # ISO 8601, UTC; empty if the file does not say
    status: str  # valid, invalid, inconclusive; of a gate: passed, failed, inconclusive, invalid
    text: str  # the headline
    simulated: bool = False
    partial: bool = False
    report: bool = False  # there is a report.html
    cases: list[ListedCase] = []


class Left(msgspec.Struct, frozen=True):
    """A directory that is not listed."""

    path: str
    reason: str


class TrendPoint(msgspec.Struct, frozen=True):
    """A figure of one case in one run of a trend."""

    path: str
    started_at: str
    status: str
    partial: bool
    value: float | None
    low: float | None
    high: float | None
    report: bool
    broken: list[Changed] = []  # why it cannot be compared with the point before
    changed: list[Changed] = []  # other conditions that differ from the point before


class Trend(msgspec.Struct, frozen=True):
    """One figure of one case over the runs of a folder, the oldest first."""

    case: str
    scenario: str
    task: str
    simulated: bool
    figure: str
    unit: Literal["1/s", "s"]
    points: list[TrendPoint]


class RunList(msgspec.Struct, frozen=True):
    """What `paceline runs` shows."""

    schema_version: int
    folder: str
    runs: list[ListedRun]  # the newest first
    trends: list[Trend]
    left: list[Left]  # directories that are not listed, each with the reason


def encode(found: RunList) -> bytes:
    """Indented JSON that ends with a newline."""
    return json_files.encode(found)
