"""Tokens in tables, charts and exports: only where there are any, and why a figure is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.client.answers import Usage
from harness.measure.judge.token_words import token_notes, token_words
from harness.measure.reduce import request_table
from harness.measure.reduce.request_table import Table
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RunResult
from reports import charts
from reports.drawing.theme import LIGHT
from reports.formats import _tokens, html, markdown, openmetrics
from tests import report_samples
from tests.unit.recorded import Exchange, end, plan, plan_case, record, recorder, write_case

CHARTS = ("token_times", "tokens_over_time", "prompt_length")


def stream(sent: float, tokens: int = 6, prompt: int = 10, **more: Any) -> Exchange:
    chunks = tuple(sent + 0.1 + 0.02 * k for k in range(tokens))
    return Exchange(sent, sent, chunks[-1] + 0.01, chunks=chunks, **{"usage": Usage(prompt, tokens, 4), **more})


def result_of(tmp_path: Path, exchanges: list[Exchange]) -> RunResult:
    write_case(tmp_path, "sync", exchanges)
    plan(tmp_path, plan_case())
    return summarize_run(tmp_path)


def test_a_case_with_tokens_has_a_row_and_charts(tmp_path: Path) -> None:
    """Totals, the mean of a request, who counted, rates, and the percentiles of each time."""
    result = result_of(tmp_path, [stream(0.05 * k, prompt=8 * (1 + k % 20)) for k in range(300)])
    cells = dict[str, str]()
    for _, heads, (row,) in _tokens.tables(result.cases):
        cells |= zip(heads, row, strict=True)
    assert cells["prompt tokens"] == "25,200 (84 each)"
    assert cells["output tokens"] == "1,800 (6 each)"
    assert (cells["counted by"], cells["reasoning"], cells["cached"]) == ("server", "–", "1,200 (4 each)")
    assert (cells["TTFT p95"], cells["TPOT p95"], cells["ITL p99"], cells["each user/s"]) == (
        "100 ms",
        "20 ms",
        "20 ms",
        "50",
    )
    assert token_words(result.cases[0]) == (
        "119/s output tokens (50/s each user); 84 prompt and 6 output tokens a request, counted by server; "
        "TTFT p50 100 ms, p95 100 ms; TPOT p50 20 ms, p95 20 ms; ITL p50 20 ms, p95 20 ms"
    )
    assert [name for name in CHARTS if charts.charts()[name].applies(result)] == list(CHARTS)
    for render in (html.render, markdown.render):
        assert "1,800 (6 each)" in render(result, [])
    assert 'paceline_time_per_output_token_seconds{case="sync"' in openmetrics.render(result)


def test_without_tokens_nothing_is_shown(tmp_path: Path) -> None:
    """Neither table nor chart."""
    result = result_of(tmp_path, [Exchange(0, 0, 0.1)] * 300)
    assert result.cases[0].tokens is None
    assert [rows for _, _, rows in _tokens.tables(result.cases)] == [[], []]
    assert token_words(result.cases[0]) == ""
    assert not [name for name in CHARTS if charts.charts()[name].applies(result)]
    assert "## Tokens" not in markdown.render(result, [])


def test_prompts_without_output_are_counted_by_the_server(tmp_path: Path) -> None:
    """As with embeddings."""
    result = result_of(tmp_path, [Exchange(0, 0, 0.1, usage=Usage(8, None))] * 300)
    assert token_words(result.cases[0]) == "8 prompt tokens a request, counted by server"


def test_missing_figures_and_bundled_tokens_are_said(tmp_path: Path) -> None:
    """In the list of warnings of a case."""
    exchanges = [stream(k, usage=Usage(None, 12), first_tokens=3) for k in range(5)]
    notes = token_notes(result_of(tmp_path, exchanges).cases[0])
    assert "no prompt: the answers have no count of prompt tokens" in notes
    assert any(note.startswith("the first chunk of 5 of 5 streams brought several tokens") for note in notes)
    assert any(note.startswith("5 of 5 streams had fewer content events than tokens") for note in notes)


def test_bins_of_prompt_length_hold_the_requests_of_their_length(tmp_path: Path) -> None:
    """Bins double in width; a percentile needs its least n."""
    exchanges = [stream(k, prompt=16 + k % 4) for k in range(60)] + [stream(60 + k, prompt=31 + k) for k in range(6)]
    tokens = result_of(tmp_path, exchanges).cases[0].tokens
    assert tokens is not None
    small, large = tokens.by_prompt_length
    assert ((small.low, small.high, small.n), (large.low, large.high, large.n)) == ((16, 31, 61), (32, 63, 5))
    assert [small.ttft_p95_s, large.ttft_p50_s] == pytest.approx([0.1, 0.1])
    assert large.ttft_p95_s is None


def test_charts_bear_cases_without_streams_beside_others() -> None:
    """A panel says that it has no data."""
    result = report_samples.llm()
    bare = msgspec.structs.replace(
        result.cases[1], tokens=None, ttft_s=None, itl_s=None, tpot_s=None, e2e_s=None, timeline=[]
    )
    mixed = msgspec.structs.replace(result, cases=[result.cases[0], bare])
    for name in CHARTS:
        chart = charts.charts()[name]
        assert chart.figure(mixed, LIGHT) is not None
        assert chart.in_words(mixed)


def rows_of(directory: Path) -> tuple[list[dict[str, Any]], list[str]]:
    table = Table(directory)
    found = []
    for block in table.blocks():
        found += [dict(zip(block, values, strict=True)) for values in zip(*block.values(), strict=True)]
    return found, table.damaged


def test_the_table_of_requests_has_the_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside their own requests, over blocks and frames of any size; null where there are none."""
    monkeypatch.setattr(request_table, "BLOCK_ROWS", 3)
    into = recorder(tmp_path)
    for number in range(4):
        record(
            into,
            [stream(k, prompt=100 + number * 5 + k) if k % 2 else Exchange(k, k, k + 0.5) for k in range(5)],
            number * 5,
        )
        into.flush()
    record(into, [stream(9, usage=None)], 20)
    end(into)
    rows, damaged = rows_of(tmp_path)
    assert not damaged
    assert [row["prompt_tokens"] for row in rows] == [100 + k if k % 5 % 2 else None for k in range(20)] + [None]
    assert [row["tokens_from"] for row in rows[:2]] == [None, "server"]
    assert (rows[-1]["output_tokens"], rows[-1]["tokens_from"]) == (6, "events")
    one = rows[1]
    assert (one["cached_tokens"], one["reasoning_tokens"], one["first_chunk_tokens"]) == (4, None, 1)
    assert [one[name] for name in ("ttft_s", "tpot_s", "e2e_s")] == pytest.approx([0.1, 0.02, 0.2], rel=1e-6)
    assert (rows[0]["ttft_s"], rows[0]["tpot_s"], rows[0]["e2e_s"]) == (None, None, 0.5)


def test_damaged_tokens_are_left_out_of_the_table_and_named(tmp_path: Path) -> None:
    """The requests are still there."""
    into = recorder(tmp_path)
    record(into, [stream(k) for k in range(5)])
    end(into)
    data = bytearray(into.paths.tokens.read_bytes())
    data[-4] ^= 1
    into.paths.tokens.write_bytes(bytes(data))
    rows, damaged = rows_of(tmp_path)
    assert [row["output_tokens"] for row in rows] == [None] * 5
    assert damaged == [f"rows are damaged, or some are missing ({into.paths.tokens.name})"]
    into.paths.tokens.write_bytes(b"paceline-records 2\nnonsense")
    rows, damaged = rows_of(tmp_path)
    assert (len(rows), len(damaged)) == (5, 1)
