"""No password, key or token is in what the commands write or print, though the server echoes all it is sent."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.http.secret_runs import BAD_KEY, KEY, PASSWORD, TOKEN, USER, Echo, Run, echoing, play, prepare, runs, search

pytestmark = pytest.mark.slow
CHOSEN = ["c2", "c4", "c6", "c10", "c12", "p2.jsonl", "p3.jsonl", "p4.jsonl", "p5.jsonl", "l1"]
"""Runs by their output; `python -m tests.http.secret_runs` makes all of them."""


def _is_chosen(run: Run) -> bool:
    return "--overwrite" not in run.line and any(name in run.line for name in CHOSEN)


def test_nothing_that_was_written_or_printed_holds_a_secret(tmp_path: Path) -> None:
    """And the server got them: what was searched for was there to be found."""
    prepare(tmp_path)
    Echo.heard.clear()
    with echoing() as port:
        chosen = [run for run in runs(port) if _is_chosen(run)]
        done = [play(run, tmp_path) for run in chosen]
    assert search(tmp_path, [output for _, output in done]) == []
    assert {code for code, _ in done} >= {1, 2, 4}
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    heard = {entry.partition(" by ")[0] for entry in Echo.heard}
    assert {f"Basic {basic}", f"Bearer {KEY}"} <= heard <= {f"Basic {basic}", f"Bearer {KEY}", ""}
    assert any(b"--resume" in output and b"://***@" in output for _, output in done)
    assert b'"failure_samples": {\n' in (tmp_path / "c4" / "result.json").read_bytes()  # answers are shown


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In files, in their names and in what was printed."""
    (tmp_path / "a").write_text(f"x{KEY}")
    (tmp_path / f"b-{TOKEN}").write_bytes(b"")
    (tmp_path / "c").write_text(base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    assert len(search(tmp_path, [BAD_KEY.encode(), b"nothing"])) >= 4
