"""From plain Locust's command line to a case."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.errors import UsageError
from harness.experiment.cases import cases
from harness.experiment.scenario import Description
from harness.experiment.spec import SAMPLE_PAIRS, TRIAL_VARIABLE, CaseSpec, Trial
from harness.load.pacers.poisson import Poisson
from harness.measure.record.plan import TaskShare
from harness.measure.result import Named
from scenarios.locust_bridge import command_line
from tests.processes import spec

TRACE = SAMPLE_PAIRS.parent / "mooncake.jsonl"


class Steady(Description):
    load = Poisson(rate_per_s=7.0)
    duration_s = 12.0


class Pile(Description):
    items = 30


class Both(Description):
    load = Poisson()
    mix = {"similarity": 3.0, "annotate": 1.0}  # noqa: RUF012 - read, never changed


@pytest.fixture(autouse=True)
def input_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that both tasks of these tests can read, in the working directory."""
    (tmp_path / "my.jsonl").write_text('{"text1": "a", "text2": "b", "text": "a [MASK]"}\n')
    monkeypatch.chdir(tmp_path)


def case(scenario: type[Description], *line: str) -> CaseSpec:
    parser = argparse.ArgumentParser()
    parser.add_argument("-u", dest="num_users", type=int)
    parser.add_argument("--processes", type=int)
    command_line.add_arguments(parser)
    return cases(command_line.settings_from(parser.parse_args(line), scenario), scenario, "name")[0]


def test_without_options_the_scenario_decides() -> None:
    """Load, duration, items, tasks; the shipped pairs; one application."""
    steady, pile, both = case(Steady), case(Pile), case(Both)
    assert steady.load == Named("poisson", {"rate_per_s": 7.0})
    assert (steady.duration_s, steady.items, steady.users, steady.input) == (12.0, None, 1, str(SAMPLE_PAIRS))
    assert (pile.load, pile.items) == (Named("backlog"), 30)
    assert case(Description).items == 1000
    assert [(share.task.name, share.weight) for share in both.tasks] == [("similarity", 3.0), ("annotate", 1.0)]
    assert both.input is None


def test_options_of_made_up_prompts_are_those_of_the_command() -> None:
    """Their lengths and prefixes; a mistake is the same line."""
    made = case(Pile, "--task", "chat", "--input-tokens", "90", "--output-tokens", "9", "--ignore-eos")
    assert made.prompts is not None
    assert (made.prompts.settings.output_tokens, made.prompts.settings.ignore_eos) == ("9", "yes")
    with pytest.raises(UsageError, match="--prefix-tokens needs --input-tokens"):
        case(Pile, "--prefix-tokens", "9")


def test_options_of_the_input_are_those_of_the_command() -> None:
    """How the file is read, and what is made of its rows."""
    line = ["--input", "my.jsonl", "--task", "chat", "--where", "text1 == 'a'", "--system", "Be brief."]
    made = case(Pile, *line, "--param", "temperature=0", "--param", "seed=1", "--input-format", "jsonl")
    assert (made.reading.where, made.reading.system, made.reading.input_format) == (
        "text1 == 'a'",
        "Be brief.",
        "jsonl",
    )
    assert made.reading.parameters == ("temperature=0", "seed=1")
    with pytest.raises(UsageError, match="--where needs --input"):
        case(Pile, "--where", "text == 'a'")
    with pytest.raises(UsageError, match="--param heat=1: heat is no parameter of the task chat"):
        case(Pile, *line, "--param", "heat=1")


def test_options_override_it() -> None:
    """Each where it belongs."""
    line = "--rate 9 --duration 3 --items 5 --strategy sync --retries 2 --request-timeout 4 --drain 1 --seed 8 -u 6"
    made = case(Steady, *line.split(), "--input", "my.jsonl", "--task", "fill-mask")
    assert made.load == Named("poisson", {"rate_per_s": 9.0})
    assert (made.duration_s, made.items, made.strategy.name, made.users) == (3.0, 5, "sync", 6)
    assert (made.layers.retries, made.layers.timeout_s, made.drain_s, made.seed) == (2, 4.0, 1.0, 8)
    assert (made.input, made.tasks[0].task.name) == ("my.jsonl", "fill-mask")
    assert case(Steady, "--task", "fill-mask").input is None  # the shipped file has pairs


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--rate -1", "rate_per_s=-1.0 must be above 0"),
        ("--strategy queue-stream:concurrency=0", "concurrency=0"),
        ("--task similarly", "did you mean similarity"),
        ("--drain -1", "drain_s=-1.0"),
        ("--retries 1000", "retries=1000 must be between 0 and 100"),
        ("--request-timeout 0", "timeout_s=0.0"),
        ("-u 20000", "users=20000 must be between 1 and 10000"),
    ],
)
def test_mistakes_are_refused_before_anything_starts(line: str, says: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=says):
        case(Steady, *line.split())


def test_a_rate_is_not_silently_dropped() -> None:
    """A backlog has none."""
    with pytest.raises(UsageError, match="--rate: every item of a backlog is due at once"):
        case(Pile, "--rate", "5")


def test_a_task_needs_a_weight_above_zero() -> None:
    """What is never chosen is a mistake."""
    with pytest.raises(UsageError, match="task similarity: weight=0 must be above 0"):
        TaskShare(Named("similarity"), 0)


def test_the_parents_case_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file that the environment names, if it names one."""
    monkeypatch.delenv(TRIAL_VARIABLE, raising=False)
    assert Trial.from_parent() is None
    written = spec("http://x", tmp_path)
    (tmp_path / "case.json").write_bytes(written.as_json())
    monkeypatch.setenv(TRIAL_VARIABLE, str(tmp_path / "case.json"))
    assert Trial.from_parent() == written


@pytest.mark.parametrize("name", plugins.names("scenario"))
def test_every_scenario_describes_itself_without_locust(name: str) -> None:
    """`paceline list` and `paceline run` read it as plain data; its case can be built."""
    scenario: Any = plugins.load("scenario", name)
    assert "locust" not in sys.modules
    made = case(scenario, *(("--trace", str(TRACE)) if scenario.needs_trace else ()))
    assert made.build_strategy()
    assert len(made.build_schedule()) > 0 or made.load.name in {"backlog", "sessions"}


def test_an_input_file_is_played_to_its_end() -> None:
    """Not its first thousand lines, and not the scenario's own number."""
    assert case(Description, "--input", "my.jsonl").items is None
    assert case(Pile, "--input", "my.jsonl").items is None
    assert case(Pile, "--input", "my.jsonl", "--items", "5").items == 5


def test_options_that_would_have_no_effect_are_refused() -> None:
    """As `paceline` refuses them."""
    with pytest.raises(UsageError, match="--duration: every item of a backlog is due at once"):
        case(Pile, "--duration", "5")
    with pytest.raises(UsageError, match="--input has lines for one task"):
        case(Both, "--input", "my.jsonl")


def test_locusts_run_time_is_the_duration_of_arrivals() -> None:
    """Of a backlog it stays a limit, and so it does beside --duration."""
    for scenario, duration, after in ((Steady, 0.0, (3.0, None)), (Steady, 9.0, (9.0, 3)), (Pile, 0.0, (0.0, 3))):
        options = argparse.Namespace(run_time=3, duration=duration, trace=None)
        command_line.take_run_time(options, scenario)
        assert (options.duration, options.run_time) == after


@pytest.mark.parametrize(
    ("processes", "given", "expected"), [(None, None, None), (None, 3, 3), (4, None, 4), (4, 6, 6)]
)
def test_each_process_of_plain_locust_has_a_user_unless_the_number_is_given(
    processes: int | None, given: int | None, expected: int | None
) -> None:
    """Locust's own default is one user in all."""
    options = argparse.Namespace(processes=processes, num_users=given)
    command_line.take_users(options)
    assert options.num_users == expected
