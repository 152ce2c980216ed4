"""The parameters of a fit as its profile has them: the report, the proof and `/info` say what is played. Pure."""

from __future__ import annotations

from dataclasses import replace

from harness.fitting.fitted_parameters import Estimate, Fit
from harness.fitting.residuals import cv_of
from mock_server.profile import Profile

_SERVICE = ("base_s", "per_item_s", "per_token_s", "per_square_s")
_GENERATION = (
    "ttft_base_s", "ttft_per_prompt_token_s", "ttft_per_square_s", "ttft_per_running_s",
    "itl_base_s", "itl_per_running_s", "itl_per_context_token_s", "running_max",
)  # fmt: skip
_LIMITS = ("in_flight", "rate_per_s", "burst", "retry_after_s")
_UNNAMED = ("overhead_s", "linger_s", "batch_max_tokens", "batch_overhead_tokens")
"""Parameters that no estimate may name: read from the server, found by simulation, or the mock's own time."""


def parameters(profile: Profile, streams: bool = False) -> dict[str, float]:
    """The parameters that a fit can find, by their names in a report. `streams`: of a language model."""
    capacity, generation = profile.capacity, profile.generation
    found: dict[str, float | None] = {"overhead_s": profile.network.overhead_s}
    if streams:
        found |= {name: getattr(generation, name) for name in _GENERATION}
        found |= {"ttft_cv": cv_of(generation.ttft_jitter), "itl_cv": cv_of(generation.itl_jitter)}
    else:
        found |= {name: getattr(profile.service, name) for name in _SERVICE}
        found |= {
            "cv": cv_of(profile.service.jitter),
            "linger_s": capacity.batch_linger_s,
            "workers": capacity.workers,
            "batch_max_items": capacity.batch_max_items,
            "batch_max_tokens": capacity.batch_max_tokens,
            "batch_overhead_tokens": capacity.batch_overhead_tokens,
            "pad_multiple": capacity.pad_multiple,
            "tokens_per_word": profile.tokens.per_word,
            "special_tokens": profile.tokens.special,
        }
    found["queue_max"] = generation.queue_max if streams else capacity.queue_max
    found |= {name: getattr(profile.limits, name) for name in _LIMITS}
    return {name: value for name, value in found.items() if value is not None}


def as_written(found: Fit, profile: Profile) -> Fit:
    """The fit with estimates that have the values of its profile; what the records do not determine stays as it is.

    A profile has base time as overhead where a mock takes that long anyway, and numbers of six digits.
    """
    values = parameters(profile, found.streams is not None)
    measured = {one.name for one in found.estimates if one.determined or one.error is not None}
    estimates = [
        replace(one, value=values[one.name]) if one.name in measured & values.keys() else one for one in found.estimates
    ]
    named = {one.name for one in estimates}
    more = [Estimate(name, values[name]) for name in _UNNAMED if values.get(name) and name not in named]
    return replace(found, estimates=(*estimates, *more))
