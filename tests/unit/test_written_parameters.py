"""What a fit reports and proves is what its profile plays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.fitting.batch_units import Structure
from harness.fitting.candidates import Scales
from harness.fitting.fitted_parameters import Estimate, Fit, batch_estimates
from harness.fitting.generation import StreamLaw
from harness.fitting.inversion import TERMS, Law
from harness.fitting.profile_file import profile_of, rounded
from harness.fitting.refusal_bounds import Refusals
from harness.fitting.written_parameters import as_written, parameters
from mock_server.jitter import Constant, Lognormal

VALUES = dict.fromkeys(TERMS, 0.0) | {"base_s": 0.010, "per_token_s": 0.0001, "overhead_s": 0.001}
ERRORS = {"base_s": 1e-4, "per_token_s": 1e-6, "overhead_s": 1e-5}


def batched(overhead_s: float = 0.001) -> Fit:
    """A server of one worker with a jitter of 20 %."""
    values = VALUES | {"overhead_s": overhead_s}
    terms = tuple(name for name, value in values.items() if value)
    law = Law(values, {name: ERRORS[name] for name in terms}, np.linspace(0.8, 1.2, 101), 0.1, terms)
    made = Fit(Structure(1, 8), law, Lognormal(cv=0.2), None, None, Refusals(in_flight=64), ())
    return replace(made, estimates=tuple(batch_estimates(made)))


def reported(found: Fit) -> dict[str, float]:
    return {one.name: one.value for one in found.estimates if one.determined}


def test_a_refined_fit_has_the_estimates_errors_and_residuals_of_its_scaled_constants() -> None:
    found = Scales(service=1.25, overhead=0.5, jitter=2.0).applied(batched())
    known = {one.name: one for one in found.estimates}
    assert known["base_s"].value == pytest.approx(0.0125)
    assert known["base_s"].error == pytest.approx(1.25e-4)
    assert known["per_token_s"].value == pytest.approx(0.000125)
    assert known["overhead_s"].value == pytest.approx(0.0005)
    assert known["overhead_s"].error == pytest.approx(0.5e-5)
    assert known["cv"].value == pytest.approx(0.4)
    assert found.law is not None
    assert found.law.ratios.max() == pytest.approx(1.2 / 1.25)
    assert found.law.errors == {name: known[name].error for name in found.law.errors}


@pytest.mark.parametrize("scales", [Scales(), Scales(service=1.1234567, overhead=0.7, jitter=1.3)])
@pytest.mark.parametrize("own_s", [0.0, 0.0004, 0.002])
def test_every_reported_parameter_is_the_one_of_the_profile(scales: Scales, own_s: float) -> None:
    found = scales.applied(batched())
    profile = rounded(profile_of(found, own_s))
    said, played = reported(as_written(found, profile)), parameters(profile)
    assert {"base_s", "per_token_s", "overhead_s", "workers", "batch_max_items", "cv", "in_flight"} <= said.keys()
    assert said == {name: played[name] for name in said}
    # All constants that are played are said.
    assert all(name in said for name, value in played.items() if name.endswith("_s") and value)


def test_base_time_that_is_moved_into_the_overhead_is_reported_there() -> None:
    found = batched(overhead_s=0.0)
    written = as_written(found, rounded(profile_of(found, 0.0004)))
    assert reported(written)["base_s"] == pytest.approx(0.0096)
    assert reported(written)["overhead_s"] == pytest.approx(0.0004)
    assert {one.name: one.error for one in written.estimates}["base_s"] == ERRORS["base_s"]


def test_the_same_holds_for_a_language_model() -> None:
    values = {
        "ttft_base_s": 0.03, "ttft_per_prompt_token_s": 0.0004, "ttft_per_square_s": 0.0, "ttft_per_running_s": 0.0,
        "itl_base_s": 0.0081234567, "itl_per_running_s": 0.0, "itl_per_context_token_s": 0.0, "overhead_s": 0.0,
    }  # fmt: skip
    terms = ("ttft_base_s", "ttft_per_prompt_token_s", "itl_base_s")
    law = StreamLaw(16, values, dict.fromkeys(terms, 1e-6), np.ones(9), np.ones(9), 0.0, 0.0, terms)
    estimates = tuple(Estimate(name, values[name], 1e-6) for name in terms)
    estimates = (*estimates, Estimate("running_max", 16))
    made = Fit(Structure(0), None, None, law, (Constant(), Constant()), Refusals(), estimates)
    profile = rounded(profile_of(made, 0.0005))
    said = reported(as_written(made, profile))
    assert said == {
        "ttft_base_s": 0.0295, "ttft_per_prompt_token_s": 0.0004, "itl_base_s": 0.00812346, "running_max": 16,
        "overhead_s": 0.0005,
    }  # fmt: skip
    played = parameters(profile, streams=True)
    assert said == {name: played[name] for name in said}
