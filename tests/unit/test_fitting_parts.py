"""The parts of a fit: residuals, refusals, figures, batches, and a server that reports its batches."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.client.types import Outcome, Request, Response
from harness.fitting.batch_units import Structure, grouped, units_of
from harness.fitting.bench import Batch, Bench, Policy, queue_stamp_s
from harness.fitting.calibration import Calibration, CalibrationPlan
from harness.fitting.estimates import fits
from harness.fitting.fit_loads import WordLengths
from harness.fitting.fitted_parameters import Fit, NotFitted, bound_estimates
from harness.fitting.fitter import FitSettings, check_playable
from harness.fitting.inversion import law
from harness.fitting.load_figures import figures, loss, relative, scatter, steadiness
from harness.fitting.refusal_bounds import Refusals, refusals, with_waits
from harness.fitting.request_shapes import Shape
from harness.fitting.residuals import jitter_of
from harness.fitting.seen import Seen
from harness.fitting.suitability import failures
from harness.fitting.white_box import law_of, pad_multiple, tokens_of, workers
from mock_server.jitter import Constant, Empirical, Exponential, Gamma, Lognormal
from mock_server.profile import Tokens


def seen(sent: list[float], done: list[float], refused: list[bool] | None = None, concurrency: int = 4) -> Seen:
    """Requests of one length."""
    count = len(sent)
    nothing, no = np.full(count, np.nan), np.array(refused or [False] * count)
    return Seen(
        "load", concurrency, tuple(Shape("similarity", (10,)) for _ in sent), np.array(sent), nothing, nothing,
        np.array(done), ~no, no, np.where(no, 429.0, 200.0), np.zeros(count), np.array(sent),
    )  # fmt: skip


@pytest.mark.parametrize("law_", [Lognormal(cv=0.3), Gamma(cv=0.8), Exponential()], ids=["lognormal", "gamma", "exp"])
def test_the_law_of_the_residuals_is_recognised(law_: Lognormal | Gamma | Exponential) -> None:
    draw = law_.sampler(Random(5))
    found = jitter_of(np.array([draw() for _ in range(4000)]))
    if isinstance(law_, Exponential):
        # Also a gamma law with a coefficient of variation of 1.
        assert isinstance(found, Exponential) or (isinstance(found, Gamma) and abs(found.cv - 1) < 0.05)
    else:
        assert type(found) is type(law_)
        assert found.cv == pytest.approx(law_.cv, rel=0.05)


def test_equal_times_have_no_jitter_and_two_kinds_of_times_have_a_measured_one() -> None:
    assert jitter_of(np.full(100, 1.0)) == Constant()
    two = np.concatenate([np.full(300, 0.5), np.full(300, 1.5)])
    found = jitter_of(two)
    assert isinstance(found, Empirical)
    assert np.mean(found.factors) == pytest.approx(1.0)


def test_answers_that_come_together_are_a_batch_but_not_more_than_fit_into_one() -> None:
    one = seen([0.0] * 5, [0.1, 0.1, 0.1, 0.2, 0.2])
    assert [len(group) for group in grouped(one, Structure(batch_items=8), 0.01)] == [3, 2]
    assert [len(group) for group in grouped(one, Structure(batch_items=2), 0.01)] == [2, 1, 2]
    assert [len(group) for group in grouped(one, Structure(), 0.01)] == [1] * 5


def test_service_times_follow_from_the_instants_of_sending_and_answering() -> None:
    # One worker: ten requests at once are answered every 10 ms.
    burst = seen([0.0] * 10, [0.002 + 0.01 * (place + 1) for place in range(10)])
    lone = seen([place * 0.1 for place in range(10)], [place * 0.1 + 0.012 for place in range(10)], concurrency=1)
    one = Structure(workers=1)
    found = law([units_of(burst, one, 0.0), units_of(lone, one, 0.0)], one)
    assert found.values["base_s"] == pytest.approx(0.010, rel=1e-6)
    # What a request alone takes more.
    assert found.values["overhead_s"] == pytest.approx(0.002, rel=1e-6)
    assert found.spread < 1e-6
    two = Structure(workers=2)
    assert law([units_of(burst, two, 0.0), units_of(lone, two, 0.0)], two).spread > 0.05


def test_refusals_at_a_number_in_flight_are_a_bound_and_others_are_a_rate() -> None:
    burst = seen([0.0] * 6, [1.0] * 4 + [0.0] * 2, [False] * 4 + [True] * 2)
    assert refusals(burst, None, []) == Refusals(in_flight=4, in_flight_seen=4)
    # Every second of 100/s is refused, with nothing in flight.
    instants = [place / 100 for place in range(200)]
    arrivals = seen(instants, instants, [place % 2 == 1 for place in range(200)], concurrency=0)
    found = refusals(burst, arrivals, [])
    assert found.in_flight is None
    # The first of them is taken, and the next one is not.
    assert found.burst == 1
    assert found.rate_per_s == pytest.approx(50.0, rel=0.01)
    assert refusals(seen([0.0], [1.0]), None, []) == Refusals(in_flight_seen=1)


def test_a_quota_is_no_rate_and_is_noted() -> None:
    burst = seen([0.0] * 30, [1.0] * 30, [False] * 25 + [True] * 5)
    instants = [place / 100 for place in range(100)]
    arrivals = seen(instants, instants, [place >= 40 for place in range(100)], concurrency=0)
    found = refusals(burst, arrivals, [])
    assert found.rate_per_s is None
    assert found.burst is None
    assert found.quota == 40
    (noted,) = [one for one in bound_estimates(found, 1) if one.name == "quota"]
    assert not noted.determined


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("queue;dur=1.5, service;dur=20", 0.0015),
        ("queue;dur=12", 0.012),
        ("queue;dur=1.2.3", 0.0),
        ("queue;dur=.", 0.0),
        ("queue;dur=1e9", 0.0),
        ("queue;dur=" + "9" * 400, 0.0),
        ("", 0.0),
    ],
)
def test_a_stamp_of_the_queue_is_a_number_or_nothing(header: str, seconds: float) -> None:
    assert queue_stamp_s(header) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "policy", [{"items_max": 10**9}, {"items_max": 1, "pad_multiple": 5000}, {"items_max": 1, "linger_s": 1e9}]
)
def test_a_policy_that_no_mock_can_play_is_no_policy(policy: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(policy, Policy)
    msgspec.convert({"items_max": 8}, Policy)


def test_lengths_that_no_mock_can_pad_to_are_padded_to_a_part_of_them() -> None:
    assert pad_multiple([Batch(0, 1, 8192, 10, 0.1), Batch(0, 1, 16384, 10, 0.1)]) == 4096
    assert pad_multiple([Batch(0, 1, 4099, 10, 0.1)]) == 1


def test_a_fit_that_no_mock_can_play_is_not_fitted() -> None:
    batches = [Batch(k, 1, 16 * (k % 4 + 1), 10, 0.01 * (k % 4 + 1)) for k in range(40)]
    found = law_of(batches, 0.0, 0.0)
    made = Fit(Structure(1, 2_000_000), found, Constant(), None, None, Refusals(), ())
    with pytest.raises(NotFitted, match=r"beyond what a mock can play: capacity.batch_max_items = 2000000: "):
        check_playable(made, 0.0)
    check_playable(replace(made, structure=Structure(1, 8)), 0.0)


def test_a_server_that_hangs_is_asked_for_one_stamp_and_has_none(tmp_path: Path) -> None:
    """Each request may take its time-out of 60 s, and a fit has five minutes."""
    wanted = FitSettings(out=tmp_path / "x.toml", server="null", records=tmp_path / "run")
    run, asked = wanted.run(simulated=True), []

    async def send(request: Request) -> Response:
        asked.append(request)
        return Response(Outcome.timed_out)

    server = SimpleNamespace(ask=lambda dialogue: asyncio.run(dialogue(send)))
    session: Any = SimpleNamespace(server=server)
    assert Bench(run, session).queue_s(WordLengths("levels", 6, 60)) == 0.0
    assert len(asked) == 1


def streamed(gaps: int) -> Seen:
    """40 answers, each with so many tokens after the first."""
    starts = np.arange(40) * 0.1
    base = seen(starts.tolist(), (starts + 0.02 + 0.01 * gaps).tolist(), concurrency=1)
    shapes = tuple(Shape("generate", (10 + place % 5,), 8) for place in range(40))
    rows = np.repeat(np.arange(40), gaps).astype(float)
    tokens = {"first": starts + 0.02, "chunks": np.full(40, gaps + 1.0)}
    return replace(base, shapes=shapes, gaps=np.full(40 * gaps, 0.01), gap_rows=rows, **tokens)


def test_answers_in_one_piece_have_no_time_between_tokens() -> None:
    whole, tokens = (Calibration(CalibrationPlan(), idle=streamed(gaps)) for gaps in (0, 2))
    assert "did not come token by token" in str(failures(whole))
    assert failures(tokens) is None


def test_an_answer_without_any_token_does_not_count() -> None:
    idle = streamed(2)
    # The first byte is then that of the head.
    idle.chunks[3], idle.first[3] = 0, idle.sent[3] + 0.0001
    found = fits(Calibration(CalibrationPlan(), idle=idle, burst=streamed(2)), 0.001)[0]
    assert found.streams is not None
    assert found.streams.values["itl_base_s"] == pytest.approx(0.01)
    assert len(found.streams.first_ratios) == 79
    assert found.streams.first_ratios == pytest.approx(np.ones(79))


def test_retry_after_is_fixed_computed_or_missing() -> None:
    bound = Refusals(in_flight=4)
    assert with_waits(bound, [2.0, 2.0, None]).retry_after_s == 2.0
    assert with_waits(bound, [1.0, 2.0]).retry_after_s is None
    assert with_waits(bound, [1.0, 2.0]).has_retry_after
    assert not with_waits(bound, [None, None]).has_retry_after
    assert with_waits(bound, []) == bound


def test_figures_and_errors_of_a_load() -> None:
    instants = [place / 10 for place in range(100)]
    one = figures(seen(instants, [at + 0.02 for at in instants], concurrency=0))
    other = figures(seen(instants, [at + 0.03 for at in instants], concurrency=0))
    assert one.p50 == pytest.approx(0.02)
    assert one.p99 is None
    assert relative(one, other, "p50") == pytest.approx(0.5)
    assert relative(one, other, "refused") == 0.0
    assert relative(one, other, "ttft_p50") is None
    assert 0.2 < loss([(one, other)]) < 0.5
    assert loss([]) == float("inf")


def test_equal_runs_have_no_scatter() -> None:
    rng = Random(1)
    instants = [place / 10 for place in range(400)]
    one = seen(instants, [at + rng.uniform(0.01, 0.02) for at in instants], concurrency=0)
    assert scatter([one, one], [one, one])["p50"] == 0.0
    other = seen(instants, [at + rng.uniform(0.01, 0.02) for at in instants], concurrency=0)
    assert 0.0 < scatter([one, other], [one])["p50"] < 0.1


def test_a_server_that_died_early_has_figures_all_the_same() -> None:
    """Its answers stand in one block of sixteen, and most draws have none of them."""
    instants = [place / 100 for place in range(2560)]
    dead = seen(instants, [at + 0.01 for at in instants], concurrency=0)
    dead = replace(dead, ok=np.arange(2560) < 160)
    assert scatter([dead, dead], [dead, dead])["p50"] == 0.0
    assert steadiness(dead) > 0.9
    none = replace(dead, ok=np.zeros(2560, bool))
    assert scatter([none, none], [none, none]) == {}
    assert steadiness(none) == 0.0


def test_a_pause_shows_in_the_windows_of_a_load() -> None:
    steady = [place / 100 for place in range(400)]
    assert steadiness(seen(steady, [at + 0.01 for at in steady])) > 0.9
    paused = [at if at < 2 else at + 1 for at in steady]
    assert steadiness(seen(paused, [at + 0.01 for at in paused])) < 0.5


def test_the_times_that_a_server_tells_give_its_law() -> None:
    batches = [
        Batch(number * 1.0, items, length, items * length, 0.002 + 0.0001 * items * length + 1e-7 * items * length**2)
        for number, (items, length) in enumerate((i, s) for i in (1, 2, 4, 8) for s in (16, 32, 64, 128, 256))
    ]
    found = law_of(batches, 0.001, 0.0)
    assert found.values["base_s"] == pytest.approx(0.002, rel=1e-3)
    assert found.values["per_token_s"] == pytest.approx(0.0001, rel=1e-3)
    assert found.values["per_square_s"] == pytest.approx(1e-7, rel=1e-3)
    assert found.values["overhead_s"] == 0.001
    assert pad_multiple(batches) == 16
    assert workers([batches]) == 1
    assert workers([[Batch(0.0, 1, 16, 16, 2.0), Batch(1.0, 1, 16, 16, 2.0), Batch(2.0, 1, 16, 16, 1.0)]]) == 2


@pytest.mark.parametrize(("per_word", "special"), [(0.5, 2.0), (1.0, 2.0), (1.4, 9.0)])
def test_tokens_are_counted_as_the_server_counts_them(per_word: float, special: float) -> None:
    """A pair of texts of which the longer one counts, plain words, and pieces of words with a template around them."""
    words = [6, 12, 24, 40, 60, 90, 120, 200] * 6
    idle = replace(
        seen([float(place) for place in range(48)], [place + 0.01 for place in range(48)]),
        shapes=tuple(Shape("similarity", (count + 2, count + 2)) for count in words),
    )
    theirs = [round(special + per_word * count) for count in words]
    together = [Batch(0.0, 2, -(-count // 16) * 16, 2 * count, 0.01) for count in theirs]
    apart = [Batch(0.0, 1, -(-count // 16) * 16, count, 0.01) for count in theirs for _ in range(2)]
    for batches in (together, apart, apart[20:]):
        found = tokens_of(idle, batches)
        assert found.per_word == pytest.approx(per_word, abs=0.01)
        assert found.special == pytest.approx(special, abs=0.5)
    # A server remembers the last batches only; one length shows how many tokens are added, or the share that counts.
    one = replace(idle, shapes=(Shape("similarity", (12,)),) * 48)
    assert tokens_of(one, [Batch(0.0, 1, 16, 15, 0.01)] * 20) == Tokens(special=5.0)
    assert tokens_of(one, [Batch(0.0, 1, 16, 7, 0.01)] * 20) == Tokens(per_word=0.7, special=0.0)
    assert tokens_of(idle, [Batch(0.0, 3, 16, 15, 0.01)]) == Tokens()
