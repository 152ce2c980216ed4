"""A layer that fails in a real run: it is named in the result, at the terminal and in the report."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from harness.client.cache.store import AnswerStore
from tests.processes import BUSY, paceline, result_of

pytestmark = pytest.mark.slow


def test_a_cache_file_that_takes_no_answer_costs_hits_and_not_the_run(tmp_path: Path) -> None:
    """Every request is answered, no answer reaches the file, and the fault is named."""
    file = tmp_path / "answers.sqlite"
    AnswerStore(file).close()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END")
    connection.close()
    line = ["compare", "-s", "sync", "--layer", "cache:path=answers.sqlite", "--items", "60", "--server", "demo"]
    done = paceline(*line, "--no-calibrate", "--out", "run", cwd=tmp_path)
    result = result_of(tmp_path / "run")
    [case] = result["cases"]
    assert case["counts"]["ok"] == 60
    [cache] = case["layer_figures"]
    figures = cache["figures"]
    assert figures["hits"] + figures["misses"] == 60
    assert figures["stored"] == figures["file_dropped"] == figures["misses"] > 0
    assert figures["file_written"] == figures["file_hits"] == 0
    assert cache["ratios"]["hit_share"] == pytest.approx(figures["hits"] / 60)
    [fault] = cache["faults"]
    assert fault.startswith("its file failed, which costs hits: ")
    assert fault.endswith("answers.sqlite: disk I/O error")
    reasons = [reason for reason in result["verdict"]["reasons"] if reason["code"] not in BUSY]
    assert [(one["code"], one["text"]) for one in reasons] == [
        ("layer_fault", f"The layer cache did not do all of its work: {fault}.")
    ]
    assert done.returncode == (0 if result["verdict"]["status"] == "valid" else 4), done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert f"layer cache: hits {figures['hits']}" in said
    assert "disk I/O error" in said
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Figures of the layers" in page
    assert "disk I/O error" in page
