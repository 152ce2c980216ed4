"""The parameters of a fitted server, with what the records determine and what they do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from harness.client.errors import UsageError
from harness.fitting.batch_units import Structure
from harness.fitting.generation import StreamLaw
from harness.fitting.inversion import Law
from harness.fitting.refusal_bounds import Refusals
from harness.fitting.residuals import cv_of
from mock_server.jitter import Constant, Jitter
from mock_server.profile import Tokens

SURE = 0.03
"""A parameter is determined if its standard error is at most this share of it."""


@dataclass(frozen=True)
class Estimate:
    """One parameter. `error` is its standard error; `note` says why it is not determined."""

    name: str
    value: float
    error: float | None = None
    note: str = ""

    @property
    def determined(self) -> bool:
        """Whether the loads determine it."""
        return not self.note


@dataclass(frozen=True)
class KnownParameters:
    """Parameters that the user knows and the fit must not change."""

    workers: int | None = None  # slots of a language model
    batch_items: int | None = None

    def check(self, streams: bool) -> None:
        """Raise UsageError for what such a server does not have."""
        if streams and self.batch_items not in {None, 1}:
            raise UsageError(
                f"--batch-items {self.batch_items}: a language model has no such batches; its slots are --workers"
            )


class NotFitted(Exception):  # noqa: N818 - a finding, not a fault
    """The server cannot be fitted; the message is one line."""


@dataclass(frozen=True)
class Fit:
    """The parameters of a server."""

    structure: Structure
    law: Law | None
    jitter: Jitter | None
    streams: StreamLaw | None
    stream_jitters: tuple[Jitter, Jitter] | None
    refusals: Refusals
    estimates: tuple[Estimate, ...]
    overhead_tokens: float = 0.0
    tokens: Tokens = field(default_factory=Tokens)
    # The most padded tokens of a batch; 0: all batches were full or there were none.
    batch_tokens_seen: int = 0
    white_box: bool = False
    # How batches are made up is reported by the server, and not to be searched for.
    policy_known: bool = False
    # A batch with the most items left others waiting, or the user knows that number.
    batch_known: bool = True
    overhead_jitter: Jitter = field(default_factory=Constant)


def batch_estimates(made: Fit) -> list[Estimate]:
    assert made.law is not None  # noqa: S101 - of batches
    found, structure = made.law, made.structure
    estimates = []
    for name, value in found.values.items():
        if name not in found.terms:
            continue
        error = found.errors[name]
        wide = error > SURE * max(value, 1e-12)
        estimates.append(Estimate(name, value, error, "its interval is wide" if wide else ""))
    for name, same in (("per_item_s", "batches have the same size"), ("per_token_s", "requests have the same length")):
        if name in found.dropped:
            estimates.append(Estimate(name, 0.0, None, "it is smaller than its error, and counts as 0"))
        elif name not in found.terms:
            estimates.append(Estimate(name, 0.0, None, f"all {same}: it is part of base_s"))
    unsure = ""
    most = made.refusals.in_flight_seen
    if not structure.workers:
        unsure = f"bounded below: nothing waited, with up to {most} requests in flight"
    estimates.append(Estimate("workers", structure.workers, None, unsure))
    if not unsure and not made.batch_known:
        unsure = f"bounded below: no batch of {structure.batch_items} left others waiting"
    estimates.append(Estimate("batch_max_items", structure.batch_items, None, unsure))
    if found.values["per_token_s"] > 0:
        estimates.append(Estimate("pad_multiple", structure.pad_multiple))
        if made.tokens != Tokens():
            estimates += [
                Estimate("tokens_per_word", made.tokens.per_word), Estimate("special_tokens", made.tokens.special)
            ]  # fmt: skip
    assert made.jitter is not None  # noqa: S101 - of batches
    cv = cv_of(made.jitter)
    estimates.append(Estimate("cv", cv, cv / math.sqrt(2 * len(found.ratios))))
    return [*estimates, *bound_estimates(made.refusals, structure.workers, structure.batch_items)]


def bound_estimates(bounds: Refusals, workers: int, batch_items: int = 1) -> list[Estimate]:
    """The bounds of a server, and the Retry-After of its refusals if it is fixed."""
    at_once = bounds.at_once_max(workers)
    limited = bounds.rate_per_s is not None or at_once is not None
    known = {
        "in_flight": at_once,
        "queue_max": bounds.queue_max(workers, batch_items),
        "rate_per_s": bounds.rate_per_s,
        "burst": bounds.burst,
        # The queue of the mock has a wait of its own.
        "retry_after_s": bounds.retry_after_s if limited else None,
    }
    found = [Estimate(name, value) for name, value in known.items() if value is not None]
    if not bounds.burst_known:
        note = "bounded below: it may not have been full again after the loads before"
        found = [replace(one, note=note) if one.name == "burst" else one for one in found]
    if bounds.quota is not None:
        note = "after the first refusal too few were accepted for a rate: a quota, which the mock does not play"
        found.append(Estimate("quota", bounds.quota, None, note))
    if bounds.in_flight is None and bounds.queue is None:
        note = "bounded below: that many were in flight, and none was refused for it"
        found.append(Estimate("in_flight", bounds.in_flight_seen, None, note))
    return found
