"""The layers against a real mock: every exchange that the server saw is in the client's counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.client import stack
from harness.client.layer_settings import LayerSettings
from harness.measure.record.files import find
from harness.measure.record.plan import TaskShare
from harness.measure.record.rows_file import FLAG_CACHED, read
from tests.http.test_case_runner import end_of, play
from tests.processes import FAULTY, mock, named, spec

pytestmark = pytest.mark.slow

EVERYTHING = ["cache", "coalesce", "hedge:calm_s=0.05,share=0.2", "rate-limit:rate_per_s=5000,bucket=token"]


def pairs(path: Path, lines: int, distinct: int) -> str:
    """An input whose lines repeat."""
    rows = [{"text1": f"one {n % distinct}", "text2": f"two {n % distinct}"} for n in range(lines)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows_of(directory: Path) -> tuple[Any, Any]:
    """The requests, and the attempts beside those whose answer counts."""
    paths = find(directory)["case"][0][0]
    return read(paths.requests)[1], read(paths.attempts)[1]


@pytest.mark.parametrize("strategy", ["sync", "threads:workers=4", "queue-stream:concurrency=8", "adaptive"])
def test_with_every_layer_on_a_server_that_fails_all_exchanges_are_counted(strategy: str, tmp_path: Path) -> None:
    layers = LayerSettings(timeout_s=5.0, retries=4, retry_budget=True, named=stack.parse(EVERYTHING))
    with mock(FAULTY, tmp_path, seed=3) as server:
        case = spec(
            server.url, tmp_path / "r", strategy, items=200, input=pairs(tmp_path / "in.jsonl", 200, 80), layers=layers
        )
        before = server.seen() or 0
        engine, _ = play(case)
        seen = (server.seen() or 0) - before
    rows, others = rows_of(tmp_path / "r")
    end = end_of(engine)
    assert (end.error, end.scheduled, end.recorded, len(rows)) == (None, 200, 200, 200)
    with_status = int(((rows["attempts"] > 0) & (rows["status"] > 0)).sum()) + int((others["status"] > 0).sum())
    assert with_status <= seen <= int(rows["attempts"].sum())  # a hedge may be cancelled before it is on the wire
    cached = (rows["flags"] & FLAG_CACHED) > 0
    assert cached.sum() > 0
    assert (rows["attempts"][cached] == 0).all()
    assert int(rows["attempts"].sum()) == np.count_nonzero(rows["attempts"]) + len(others)


def test_embeddings_asked_for_a_semantic_cache_are_counted_too(tmp_path: Path) -> None:
    text = "What does the customer want?"
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for _ in range(20)), encoding="utf-8")
    layers = LayerSettings(named=stack.parse(["semantic-cache:shadow=0"]))
    with mock("llm-annotation", speed=50.0) as server:
        case = spec(
            server.url,
            tmp_path / "r",
            "queue-stream:concurrency=1",
            items=20,
            input=str(tmp_path / "in.jsonl"),
            layers=layers,
        )
        case = msgspec.structs.replace(case, tasks=[TaskShare(named("task", "annotate"))])
        before = server.seen() or 0
        play(case)
        seen = (server.seen() or 0) - before
    rows, _ = rows_of(tmp_path / "r")
    assert (rows["outcome"] == 0).all()
    assert int(rows["attempts"].sum()) == seen
    assert int(((rows["flags"] & FLAG_CACHED) > 0).sum()) in (0, 19)  # none where this profile has no embeddings
