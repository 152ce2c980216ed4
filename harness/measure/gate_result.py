"""The result of a gate: one check for each condition, and whether the candidate may go on."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.measure import json_files
from harness.measure.comparison_result import FigureComparison
from harness.measure.diff_result import Changed

GATE_VERSION = 1
CheckStatus = Literal["passed", "failed", "inconclusive"]
GateStatus = Literal["passed", "failed", "inconclusive", "invalid"]


class GateCheck(msgspec.Struct, frozen=True):
    """One check of one case: a condition of the SLO, or a figure or capacity against the baseline."""

    name: str
    kind: Literal["slo", "regression", "capacity"]
    case: str
    status: CheckStatus
    text: str  # value, interval and limit in one sentence, and the remark
    remark: str = ""  # why it is inconclusive, or that it was confirmed
    figure: FigureComparison | None = None  # of a check against the baseline


class Gate(msgspec.Struct, frozen=True):
    """gate.json."""

    schema_version: int
    status: GateStatus
    text: str
    checks: list[GateCheck]
    baseline: str
    candidate: str
    paired: bool
    pairs: int  # pairs, or repeats of the candidate
    confirmation: int  # further pairs that a failure had to repeat itself in; 0 if none was needed
    limit: float  # a change for the worse up to this share does not count
    noise_floor: float | None  # the change that the baseline shows against itself; null without pairs of it
    started_at: str = ""  # of the candidate's run; ISO 8601, UTC
    reasons: list[str] = []  # faults that make the measurement invalid
    notes: list[str] = []  # why the measurement is not whole
    stopped: bool = False  # before its end, by the user
    changed: list[Changed] = []  # conditions that differ from the baseline's


def encode(gate: Gate) -> bytes:
    """Indented JSON that ends with a newline."""
    return json_files.encode(gate)


def decode(data: bytes) -> Gate:
    """Read gate.json. Raises msgspec.ValidationError or DecodeError with the location."""
    json_files.check_version(data, GATE_VERSION)
    return json_files.decode(data, Gate)
