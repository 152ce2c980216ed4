"""The verification of a fitted profile: how far the mock that plays it is from the real server."""

from __future__ import annotations

from typing import Literal

import msgspec

VERIFICATION_VERSION = 1
VerifiedStatus = Literal["supported", "refuted", "bounded below", "not established"]


class VerifiedRow(msgspec.Struct, frozen=True):
    """One figure of one load. Times in seconds."""

    load: str
    figure: str  # rate, p50, p95, p99, ttft_p50, ttft_p95, itl_p50, refused
    measured: float | None  # on the real server; None: too few answers
    played: float | None  # on the mock
    # Played over measured, minus 1; of refusals the difference of the shares. None if one of them is missing.
    error: float | None
    floor: float  # how far the real server is from itself
    tolerance: float
    status: VerifiedStatus
    sensitivity: float | None = None  # 1 / (1 - share of the capacity), above 0.9 of it


class Verification(msgspec.Struct, frozen=True):
    """The verdict on a profile. Its loads were never part of a fit."""

    schema_version: int
    profile: str
    parameters_sha256: str
    target: str
    date: str
    status: VerifiedStatus
    text: str
    rows: list[VerifiedRow]
    schedules: dict[str, str]  # load -> SHA-256 of the schedule that both servers got
    seed: int
    capacity_per_s: float  # of the profile, from which the loads are computed
    environment: dict[str, object] = {}
    invalid: list[str] = []  # loads whose measurement is not valid, with the reason
    void_proof: bool = False  # the profile was changed after it was fitted
    partial: bool = False  # it was interrupted, and has the rows of the loads until then


def encode(found: Verification) -> bytes:
    """Indented JSON that ends with a newline."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
