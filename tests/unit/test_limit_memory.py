"""What limits learnt is carried from run to run: it saves the start, and is dropped when it is wrong."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bulk.fleet.governor import limit_of
from harness.cli.main import main
from harness.client.errors import UsageError
from harness.client.gate import memory
from harness.client.gate.carried import CarriedLimit, Learnt
from harness.client.gate.memory import LimitMemory, remembering
from harness.client.layer_settings import LayerSettings
from harness.client.limits.aimd import Aimd
from harness.client.limits.fixed import Fixed
from harness.client.limits.knee import Knee
from harness.client.types import Limit, Outcome, Sample
from harness.experiment.simulate import simulate
from harness.measure.judge.wording import layer_words
from harness.measure.result import LayerFigures
from harness.strategies.adaptive import Adaptive
from tests.bulk.helpers import Server, go, write_input
from tests.bulk.helpers import settings as bulk_settings
from tests.simulation.kernel import servers
from tests.simulation.limits.run import Played, play
from tests.simulation.limits.server import Shape

SLOW = Shape("slow", workers=40, service_s=2.0, law="lognormal", sigma=0.5, duration_s=60.0)
ZERO = json.dumps(
    {
        "paceline_limits": 1,
        "servers": [
            {
                "server": "a",
                "limit": "knee",
                "at_unix_s": 1,
                "learnt": {"value": 0, "latency_s": 1, "service_s": 1},
            }
        ],
    }
)


def knee(initial: int | None) -> Limit:
    return Knee() if initial is None else Knee(initial=initial)


def fixed(initial: int | None) -> Limit:
    return Fixed(initial or 4)


def feed(
    limit: CarriedLimit, count: int, latency_s: float = 0.1, outcome: Outcome = Outcome.ok, at: float = 1.0
) -> None:
    """So many attempts under the present limit, all alike."""
    for _ in range(count):
        value = limit.value
        limit.update(Sample(outcome, at, at + latency_s, value, value, 0))


def means(shape: Shape, new: Callable[[], Limit]) -> Played:
    """Sums over three seeds."""
    runs = [play(shape, new, seed) for seed in (1, 2, 3)]
    return Played(ok=sum(run.ok for run in runs), refused=sum(run.refused for run in runs))


def test_a_slow_service_needs_no_start() -> None:
    """A minute of a server that takes two seconds: a tenth more is done."""
    carried = means(SLOW, lambda: CarriedLimit(knee, Learnt(44, 2.1, 1.8)))
    assert carried.ok > 1.1 * means(SLOW, Knee).ok


def test_what_is_no_longer_true_costs_little() -> None:
    """A server with a fifth of the workers: as much is done as by a limit that knew nothing."""
    smaller = Shape("smaller", workers=8, service_s=0.5, law="lognormal", sigma=0.5, duration_s=40.0)
    wrong = means(smaller, lambda: CarriedLimit(knee, Learnt(60, 0.5, 0.5)))
    assert wrong.ok > 0.9 * means(smaller, Knee).ok


def test_a_rate_is_kept_from_the_start() -> None:
    """A token bucket: few are refused while the limit learns."""
    rate = Shape("rate", workers=1000, rate_per_s=50.0, burst=5, duration_s=10.0)
    carried, fresh = means(rate, lambda: CarriedLimit(knee, Learnt(6, 0.1, 0.1, 48.0))), means(rate, Knee)
    assert carried.ok > fresh.ok
    assert carried.refused < fresh.refused + 20


def test_refusals_close_to_each_other_confirm_a_learnt_pace() -> None:
    """Without them it soon grows beyond what the server takes; the bound of bursts after a refusal is far higher."""
    limit = CarriedLimit(knee, Learnt(6, 0.1, 0.1, 48.0))
    feed(limit, 16)
    feed(limit, 1, at=2.0)
    assert limit.rate_per_s == pytest.approx(48.0 * 1.5)
    feed(limit, 1, 0.01, Outcome.rejected, at=2.1)
    assert limit.rate_per_s > 48.0 * 1.5
    feed(limit, 10, at=2.1)
    feed(limit, 1, 0.01, Outcome.rejected, at=2.2)
    assert limit.rate_per_s == pytest.approx(48.0)
    feed(limit, 1, at=3.2)
    assert 48.0 < limit.rate_per_s < 53.0
    assert not limit.is_forgotten
    feed(limit, 1, at=40.0)
    assert limit.rate_per_s == math.inf


def test_single_refusals_do_not_keep_a_server_at_the_pace_that_it_had() -> None:
    """It takes 640 a second now, and refuses one in two hundred at random: it got 48 a second for ever."""
    grown = Shape("grown", workers=64, refused_share=0.005, duration_s=20.0)
    carried = means(grown, lambda: CarriedLimit(knee, Learnt(6, 0.1, 0.1, 48.0)))
    assert carried.ok > 0.75 * means(grown, Knee).ok


def test_when_a_learnt_pace_ends_the_search_begins_again() -> None:
    """The limit inside saw that more in flight gives no more, which was the pace's doing."""
    grown = Shape("grown", workers=64, duration_s=20.0)
    carried = means(grown, lambda: CarriedLimit(knee, Learnt(6, 0.1, 0.1, 48.0)))
    assert carried.ok > 0.8 * means(grown, Knee).ok


def test_refusals_at_a_learnt_pace_do_not_start_over() -> None:
    """Answers that take two seconds are judged for several, in which the pace grows until some are refused."""
    slow = Shape("slow rate", workers=1000, service_s=2.0, rate_per_s=20.0, burst=5, duration_s=60.0)
    carried = means(slow, lambda: CarriedLimit(knee, Learnt(40, 2.0, 1.8, 19.0)))
    assert carried.ok > 1.2 * means(slow, Knee).ok


@pytest.mark.parametrize("outcome", [Outcome.server_error, Outcome.timed_out, Outcome.connection_error])
def test_only_a_refusal_confirms_a_learnt_pace(outcome: Outcome) -> None:
    """Other failures say nothing of a rate: a server that now takes ten times as much would never get it."""
    limit = CarriedLimit(knee, Learnt(6, 0.1, 0.1, 48.0))
    feed(limit, 16)
    feed(limit, 1, at=2.0)
    feed(limit, 1, 0.01, outcome, at=2.1)
    feed(limit, 1, at=3.1)
    assert limit.rate_per_s > 48.0 * 1.5


@pytest.mark.parametrize(
    ("outcome", "latency_s", "pace_per_s"),
    [(Outcome.rejected, 0.01, None), (Outcome.ok, 0.5, None), (Outcome.ok, 0.5, 500.0)],
)
def test_refusals_and_high_latencies_start_over(outcome: Outcome, latency_s: float, pace_per_s: float | None) -> None:
    limit = CarriedLimit(knee, Learnt(20, 0.1, 0.1, pace_per_s))
    assert (limit.value, limit.rate_per_s) == (20, pace_per_s or math.inf)
    feed(limit, 20, latency_s, outcome)
    assert (limit.value, limit.cause, limit.is_forgotten) == (4, "forgotten", True)
    # The learnt pace is gone. After a refusal the new limit bounds bursts: 1.5 times its 4 attempts in 0.1 s.
    assert limit.rate_per_s == (math.inf if outcome is Outcome.ok else pytest.approx(60.0))


def test_after_it_started_over_the_limit_goes_on_learning() -> None:
    """The gate counts changes on; the new limit from 0."""
    limit = CarriedLimit(knee, Learnt(20, 0.1, 0.1))
    feed(limit, 20, 0.5)
    assert limit.value == 4
    at, generation, before = 10.0, 1, limit.value
    for _ in range(400):
        value = limit.value
        generation, before = generation + (value != before), value
        at += 0.05 / value
        limit.update(Sample(Outcome.ok, at, at + 0.05, value, value, generation))
    assert limit.value > 4


def test_expected_answers_confirm_and_a_pace_fades() -> None:
    limit = CarriedLimit(knee, Learnt(10, 0.1, 0.1, 100.0))
    feed(limit, 16)
    assert not limit.is_forgotten
    assert limit.rate_per_s == 100.0
    feed(limit, 1, at=2.0)
    assert limit.rate_per_s == pytest.approx(150.0)
    feed(limit, 1, at=4.0)
    assert limit.rate_per_s == math.inf


def test_a_limit_that_takes_only_a_number_begins_with_it() -> None:
    limit = CarriedLimit(lambda initial: Aimd() if initial is None else Aimd(initial=initial), Learnt(17, 0.1, 0.1))
    assert limit.value == 17


def test_what_is_saved_is_where_it_rested(tmp_path: Path) -> None:
    """Too few answers are not saved; a server's entry is replaced, those of others are kept."""
    path = tmp_path / "limits.json"
    first = LimitMemory(path)
    one, few = first.limit("http://one ", "knee", fixed), first.limit("http://few", "knee", fixed)
    assert isinstance(one, CarriedLimit)
    assert isinstance(few, CarriedLimit)
    feed(one, 40)
    feed(few, 5)
    first.save()
    second = LimitMemory(path)
    other = second.limit("http://two", "knee", fixed)
    assert isinstance(other, CarriedLimit)
    feed(other, 40, 0.3)
    second.save()
    kept = json.loads(path.read_text())["servers"]
    assert [(one["server"], one["limit"], one["learnt"]["value"]) for one in kept] == [
        ("http://one", "knee", 4),
        ("http://two", "knee", 4),
    ]
    again = LimitMemory(path)
    assert again.limit("http://one", "knee", knee).value == 4
    assert again.figures()["limits that began with saved findings"] == 1
    assert not list(tmp_path.glob("*.part"))


def test_what_a_limit_learns_is_kept_for_those_that_seek_the_same(tmp_path: Path) -> None:
    """One that seeks throughput rests with a queue, where one that seeks latency would begin."""
    path = tmp_path / "limits.json"
    found = LimitMemory(path)
    for strategy in (Adaptive(), Adaptive(seek="throughput"), Adaptive(seek="throughput", maximum=9)):
        limit = limit_of(strategy, found, "http://one")
        assert isinstance(limit, CarriedLimit)
        feed(limit, 40)
    found.save()
    kept = json.loads(path.read_text())["servers"]
    assert {one["limit"] for one in kept} == {"knee", "knee:seek=throughput"}


def test_old_findings_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "limits.json"
    first = LimitMemory(path)
    limit = first.limit("http://one", "knee", lambda initial: Knee(initial=initial or 9))
    assert isinstance(limit, CarriedLimit)
    feed(limit, 40)
    first.save()
    assert LimitMemory(path).limit("http://one", "knee", knee).value == 9
    monkeypatch.setattr(memory, "AGE_MAX_S", -1.0)
    assert LimitMemory(path).limit("http://one", "knee", knee).value == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not a file of learnt limits"),
        ('{"a": 1}', "is not a file of learnt limits"),
        ('{"paceline_limits": 9, "servers": []}', "has version 9, this paceline reads 1"),
        (ZERO, "is not a file of learnt limits"),
        (" " * 1_000_001, "has more than 1,000,000 bytes"),
    ],
)
def test_a_bad_file_is_one_line_before_the_run(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        LimitMemory(path)
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "compare", "-s", "adaptive", "--server", "demo", "--items", "10", "--remember", str(path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert path.read_text() == text


def test_a_file_that_cannot_be_written_loses_only_what_was_learnt(tmp_path: Path) -> None:
    """It is a fault among the layers' figures."""
    folder = tmp_path / "gone"
    folder.mkdir()
    found = LimitMemory(folder / "limits.json")
    folder.rmdir()
    limit = found.limit("http://one", "knee", knee)
    assert isinstance(limit, CarriedLimit)
    feed(limit, 40)
    found.save()
    assert found.figures()["saved"] == 0
    assert "could not be saved: No such file" in found.faults()[0]


@pytest.mark.parametrize("command", ["compare", "process"])
def test_a_folder_that_is_not_there_is_one_line_before_the_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the whole load would be played, and its findings lost."""
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"text": "a"}\n')
    more = {
        "compare": ["compare", "-s", "adaptive", "--items", "10"],
        "process": ["process", "in.jsonl", "--output", "o", "--target", "http://127.0.0.1:1", "--task", "annotate"],
    }
    with pytest.raises(SystemExit) as ended:
        main([*more[command], "--remember", "no/limits.json"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--remember no/limits.json: there is no folder" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the answer of the system is made up."""
    monkeypatch.setattr(memory.os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="is not writable; name another file"):
        LimitMemory(tmp_path / "limits.json")


def test_runs_of_the_product_write_and_read_it(tmp_path: Path) -> None:
    """The second run begins where the first one rested."""
    path, server = tmp_path / "limits.json", servers.written(tmp_path, servers.WORKERS_8)
    arguments = ["simulate", "compare", "-s", "adaptive", "--server", str(server), "--items", "600", "--no-report"]
    starts = []
    for name in ("a", "b"):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--remember", str(path), "--out", str(tmp_path / name)])
        assert not ended.value.code
        result = json.loads((tmp_path / name / "result.json").read_text())
        starts.append(result["cases"][0]["limit"]["timeline"][0]["limit"])
    learnt = json.loads(path.read_text())["servers"][0]["learnt"]
    assert starts[0] == 4
    assert 4 < starts[1] <= 32
    assert 0.0 < learnt["service_s"] <= learnt["latency_s"]


def test_a_pipe_or_device_is_refused_and_an_empty_file_knows_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(UsageError, match="is not a regular file"):
            LimitMemory(path)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    found = LimitMemory(tmp_path / "link")
    limit = found.limit("http://one", "knee", fixed)
    assert isinstance(limit, CarriedLimit)
    feed(limit, 40)
    found.save()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty").stat().st_size > 0


def test_a_bulk_run_remembers_the_server(tmp_path: Path) -> None:
    """Its sends are counted by a wrapper, which passes the server's address on."""

    class Place(Server):
        endpoint = "http://bulk"

    write_input(tmp_path / "in.jsonl", 60)
    path = tmp_path / "limits.json"
    layers = LayerSettings(remember=str(path))
    summary = go(bulk_settings(tmp_path, strategy="adaptive", layers=layers), Place(turns=lambda index: 40))
    assert summary.passed
    assert [one["server"] for one in json.loads(path.read_text())["servers"]] == ["http://bulk"]


def test_an_application_may_remember_too(tmp_path: Path) -> None:
    """`remembering` around its streams."""
    path = tmp_path / "limits.json"
    with remembering(path) as kept:
        simulate("adaptive", servers.written(tmp_path, servers.WORKERS_8), items=200, seed=1)
    assert kept.figures()["saved"] == 1
    assert path.exists()


@pytest.mark.parametrize(
    ("begun", "over", "said"),
    [
        (0, 0, "0 limits began from the file; 1 saved to it"),
        (1, 0, "1 limit began from the file; 1 saved to it"),
        (3, 2, "3 limits began from the file, 2 of them started over; 1 saved to it"),
    ],
)
def test_the_words_for_what_was_carried_over(tmp_path: Path, begun: int, over: int, said: str) -> None:
    names = LimitMemory(tmp_path / "limits.json").figures()
    figures = LayerFigures("remember", dict(zip(names, (begun, over, 1), strict=True)))
    assert layer_words(figures) == said
