"""A trace replayed for real, against a mock that keeps prefixes: by `paceline run replay`, and by plain Locust."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.spec import SAMPLE_PAIRS
from tests.processes import mock, paceline, result_of, start, went_well

pytestmark = pytest.mark.slow

TRACE = SAMPLE_PAIRS.parent / "mooncake.jsonl"
TOKENS, ANSWERS = 70_537, 1_457
"""The sums of the lengths in the trace."""


def counters(url: str) -> dict[str, float]:
    """The server's own counters of generated texts."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310 - our own server
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^vllm:(\w+_total)\{[^}]*\} ([\d.]+)$", text, re.M)}


def check(case: dict[str, Any], codes: set[str]) -> None:
    """At its instants, or the verdict says why not; with the lengths of the trace by the server's count."""
    assert case["counts"]["ok"] == 60
    assert case["trace"]["instants"]["within_share"] >= 0.99 or codes & {"instants", "lag", "client_starved"}
    assert case["prompts"]["calibration"]["source"] == "usage"
    for lengths, asked in (("input", TOKENS), ("output", ANSWERS)):
        assert case["prompts"][lengths]["n"] == 60
        assert case["prompts"][lengths]["asked_mean"] == pytest.approx(asked / 60)
        assert abs(case["prompts"][lengths]["error"]) <= 0.02


def test_a_trace_is_replayed_at_its_instants_with_its_lengths_and_its_shared_prefixes(tmp_path: Path) -> None:
    """The server counts the tokens that the trace says, and finds what its ids share."""
    with mock("llm-chat") as server:
        line = ["run", "replay", "--trace", str(TRACE), "--speed", "4", "--task", "chat", "--target", server.url]
        before = counters(server.url)
        done = paceline(*line, "--out", "run", "--quiet", "--no-report", "--no-calibrate", cwd=tmp_path)
        went_well(done, tmp_path / "run")
        seen = {name: value - before[name] for name, value in counters(server.url).items()}
    result = result_of(tmp_path / "run")
    (case,) = result["cases"]
    check(case, {reason["code"] for reason in result["verdict"]["reasons"]})
    probes = case["prompts"]["calibration"]["probes"]
    assert probes < 10
    # The probes before the load are a few short and middle prompts more.
    assert TOKENS <= seen["prompt_tokens_total"] <= TOKENS + probes * 1_200
    shared = seen["prefix_cache_hits_total"] / TOKENS
    assert case["tokens"]["cached"]["total"] == seen["prefix_cache_hits_total"]
    assert case["trace"]["shared_share"] - 0.08 <= shared <= case["trace"]["shared_share"] + 0.01


@pytest.mark.covered_processes
def test_plain_locust_replays_a_trace(tmp_path: Path) -> None:
    """The same schedule and lengths, with the options of its own command line."""
    scenario = Path(__file__).parents[2] / "scenarios" / "replay.py"
    line = ["locust", "-f", str(scenario), "--headless", "--trace", str(TRACE), "--speed", "8", "--out", "run"]
    process = start([*line, "--server", "llm-chat", "--strategy", "unbounded"], cwd=tmp_path)
    text, _ = process.communicate(timeout=60)
    assert process.returncode in {0, 4}, text
    result = result_of(tmp_path / "run")
    (case,) = result["cases"]
    check(case, {reason["code"] for reason in result["verdict"]["reasons"]})
    assert case["trace"]["changes"] == ["played 8 times as fast"]
