"""Traces replayed against the mock in virtual time: instants, lengths, shared prefixes and the order of turns."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.client.trace_settings import TraceSettings
from harness.client.types import Outcome
from harness.experiment.cases import cases, describe
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.case import play
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.spec import SAMPLE_PAIRS, CaseSpec
from harness.load.traces.trace_prompts import TracePrompts
from harness.measure.reduce.summary import summarize_run
from tests.unit.test_cli import run

DATA = SAMPLE_PAIRS.parent
MOONCAKE, BURSTGPT = DATA / "mooncake.jsonl", DATA / "burstgpt.csv"


def recorded(path: Path) -> tuple[list[float], list[int], list[int]]:
    """Arrivals in seconds, tokens of prompts and of answers, as the file says, without failed requests."""
    if path is MOONCAKE:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found = [(row["timestamp"] / 1e3, row["input_length"], row["output_length"]) for row in rows]
    else:
        with path.open(newline="") as file:
            table = list(csv.DictReader(file))
        found = [(float(row["Timestamp"]), int(row["Request tokens"]), int(row["Response tokens"])) for row in table]
    at, taken, made = zip(*[row for row in found if row[2]], strict=True)
    return [one - at[0] for one in at], list(taken), list(made)


def replayed(
    path: Path, tmp_path: Path, strategy: str = "unbounded", **more: Any
) -> tuple[CaseSpec, SimulatedRun, Any]:
    """The trace, played by `paceline run replay` in virtual time against a server with a cache of prefixes."""
    users = more.pop("users", 1)
    settings = RunSettings(
        strategies=(strategy,),
        scenario="replay",
        simulated=True,
        users=users,
        trace=TraceSettings(trace=str(path), **more),
    )
    case = cases(settings, describe("replay"))[0]
    server = SimulatedServer("llm-chat", seed=1)
    (tmp_path / "records").mkdir()
    return case, play(case.trial("simulated:", tmp_path / "records"), server), server.app.metrics


@pytest.mark.parametrize("path", [MOONCAKE, BURSTGPT], ids=["mooncake", "burstgpt"])
@pytest.mark.parametrize("users", [1, 3])
def test_a_trace_is_sent_at_its_instants_with_its_lengths(path: Path, users: int, tmp_path: Path) -> None:
    """Instants within 1 ms, tokens of prompts within 2 % and of answers exactly, by the server's count."""
    at_s, taken, made = recorded(path)
    _, done, metrics = replayed(path, tmp_path, users=users)
    assert done.count(Outcome.ok) == len(done.rows) == len(at_s)
    rows = np.sort(done.rows, order="index")
    assert rows["sent"] / 1e9 == pytest.approx(at_s, abs=1e-3)
    assert metrics.prompt_tokens == pytest.approx(sum(taken), rel=0.02)
    assert metrics.generation_tokens == sum(made)


@pytest.mark.parametrize("path", [MOONCAKE, BURSTGPT], ids=["mooncake", "burstgpt"])
def test_the_server_finds_the_prefixes_that_the_trace_shares(path: Path, tmp_path: Path) -> None:
    """All of them in time, but for the ends of blocks and for prompts that arrive while the first is computed."""
    case, _, metrics = replayed(path, tmp_path, trace_speed=0.2)
    assert case.trace is not None
    assert case.trace.shared_share is not None
    assert case.trace.shared_share > 0.2
    found = metrics.prefix_hits / metrics.prefix_queries
    assert case.trace.shared_share - 0.05 <= found <= case.trace.shared_share + 0.01


def test_without_history_the_turns_of_a_session_share_nothing(tmp_path: Path) -> None:
    case, _, metrics = replayed(BURSTGPT, tmp_path, trace_history="none")
    assert case.trace is not None
    assert case.trace.shared_share is None
    assert metrics.prefix_hits == 0


def overlaps(case: CaseSpec, done: SimulatedRun) -> int:
    """Turns that were sent before the turn before them was answered."""
    made, rows = case.build_prompts(), np.sort(done.rows, order="index")
    assert isinstance(made, TracePrompts)
    last: dict[int, int] = {}
    found = 0
    for position, row in enumerate(made.played.row):
        session = made.trace.sessions[row]
        found += session in last and rows["sent"][position] < rows["done"][last[session]]
        last[session] = position
    return found


@pytest.mark.parametrize("strategy", ["unbounded", "queue-stream:concurrency=4", "adaptive"])
def test_closed_sessions_send_a_turn_after_the_answer_before_it(strategy: str, tmp_path: Path) -> None:
    """Open ones, the default, send it when it is due. What a turn waits is queue wait, not lag."""
    (tmp_path / "open").mkdir()
    case, done, _ = replayed(BURSTGPT, tmp_path / "open", strategy, trace_speed=20.0)
    assert overlaps(case, done) > 0
    case, done, _ = replayed(BURSTGPT, tmp_path, strategy, trace_speed=20.0, trace_sessions="closed")
    assert done.count(Outcome.ok) == 78
    assert overlaps(case, done) == 0
    assert max(done.rows["fired"] - done.rows["due"]) == 0


def test_simulate_compare_replays_a_trace_for_every_strategy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One schedule for all, and the facts of the trace in the result."""
    line = ["simulate", "compare", "--trace", str(MOONCAKE), "--task", "chat", "--speed", "2", "--server", "llm-chat"]
    code, _, err = run(capsys, *line, "-s", "sync", "-s", "unbounded", "--no-report", "--out", str(tmp_path / "run"))
    assert code == 0, err
    result = summarize_run(tmp_path / "run")
    assert result.schedule_sha256 is not None
    assert [case.counts.ok for case in result.cases] == [60, 60]
    for case in result.cases:
        assert case.trace is not None
        assert (case.trace.form, case.trace.played) == ("mooncake", 60)
        assert case.trace.changes == ["played 2 times as fast"]
        assert case.load.kind == "replay"


def test_an_api_of_ones_own_replays_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the fields `prompt` and `max_tokens`; what its file does not send is not claimed."""
    (tmp_path / "own.toml").write_text(
        'path = "/v1/completions"\nanswer = "/choices/0/text"\n[body]\nprompt = "{{ prompt }}"\n'
        'max_tokens = "{{ max_tokens }}"\n[usage]\nprompt_tokens = "/usage/prompt_tokens"\n'
        'completion_tokens = "/usage/completion_tokens"\n'
    )
    line = ["simulate", "compare", "--trace", str(BURSTGPT), "--http", str(tmp_path / "own.toml"), "-s", "unbounded"]
    code, _, err = run(capsys, *line, "--server", "llm-chat", "--no-report", "--out", str(tmp_path / "run"))
    assert code == 0, err
    (case,) = summarize_run(tmp_path / "run").cases
    assert case.prompts is not None
    assert not case.prompts.calibration.full_length
    assert case.prompts.input is not None
    assert (case.prompts.input.n, case.prompts.input.error) == (78, 0)


def test_a_server_without_counts_gets_words_for_tokens_and_the_result_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arrivals are replayed all the same."""
    line = ["simulate", "compare", "--trace", str(BURSTGPT), "--task", "annotate", "-s", "unbounded"]
    code, out, err = run(capsys, *line, "--server", "null", "--no-report", "--out", str(tmp_path / "run"))
    assert code == 0, err
    assert "a word was taken as a token, because the server counts none" in " ".join(out.split())
    (case,) = summarize_run(tmp_path / "run").cases
    assert case.prompts is not None
    assert (case.prompts.calibration.source, case.prompts.input) == ("none", None)
    assert any("their lengths could not be checked" in warning for warning in case.warnings)


def test_a_sweep_plays_a_trace_at_each_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks are drawn for each repeat; lengths stay as they were recorded."""
    out = tmp_path / "sweep"
    line = ["simulate", "sweep", "--rate", "4,16", "--trace", str(MOONCAKE), "--task", "chat", "--server", "llm-chat"]
    code, _, err = run(capsys, *line, "--repeats", "2", "--duration", "20", "--no-report", "--out", str(out))
    assert code == 0, err
    result = json.loads((out / "result.json").read_bytes())
    rates = [case["rates_per_s"]["offered"] for case in result["cases"]]
    assert rates == pytest.approx([4, 16], rel=0.35)
    for case in result["cases"]:
        assert case["load"]["settings"]["speed"] > 0
        assert any("made of blocks" in change for change in case["trace"]["changes"])
        tokens = case["prompts"]["input"]
        assert tokens["counted_mean"] == pytest.approx(tokens["asked_mean"], rel=0.02)
    plan = json.loads((out / "plan.json").read_bytes())
    assert all(len(set(case["schedules"])) == 2 for case in plan["cases"])


def test_a_capacity_search_plays_a_trace_at_the_rates_that_it_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It begins at the recorded rate, and searches no concurrency."""
    out = tmp_path / "capacity"
    line = ["simulate", "capacity", "--slo", "errors<50%", "--trace", str(MOONCAKE), "--task", "chat"]
    line += ["--server", "llm-chat", "--highest", "4", "--trials", "3", "--confirm", "0", "--trial", "2", "--no-report"]
    code, out_text, err = run(capsys, *line, "--start", "3", "--probes", "2", "--out", str(out))
    assert code in (0, 5), err
    assert "by rate" in out_text
    assert "concurrency" not in out_text
    cases = json.loads((out / "result.json").read_bytes())["cases"]
    assert {case["load"]["settings"]["mean_rate_per_s"] for case in cases} <= {3, 4}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["sweep", "--trace", "T"], "--trace needs --rate LEVELS"),
        (["sweep", "--rate", "1e5", "--trace", "T", "--task", "chat", "--duration", "1e5"], "times the recorded rate"),
        (["sweep", "--rate", "1", "--trace-block", "1"], "--trace-block needs --trace"),
        (["capacity", "--slo", "p99<1s", "--by", "concurrency", "--trace", "T"], "--trace needs --by rate"),
        (["capacity", "--slo", "p99<1s", "--trace", "missing.jsonl"], "missing.jsonl: No such file"),
        (["gate", "--baseline-target", "U", "--target", "U", "--trace", "T", "--input", "x"], "exclude each other"),
        (["gate", "--baseline-target", "U", "--target", "U", "--speed", "2"], "--speed 2: needs --trace"),
    ],
)
def test_where_a_trace_does_not_fit_one_line_says_why(
    line: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"T": str(MOONCAKE), "U": "http://127.0.0.1:1"}
    code, _, err = run(capsys, *(names.get(part, part) for part in line))
    assert (code, err.count("\n")) == (2, 1), err
    assert said in err
