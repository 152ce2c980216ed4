"""What the live page shows of the command line, and files that would block a reader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.client import redaction
from harness.client.errors import ItemError, UsageError
from harness.client.tasks._images import data_url
from harness.live.process_board import ProcessBoard
from harness.live.run_board import RunBoard
from harness.load.traces import reading


@pytest.mark.parametrize("board", [RunBoard, ProcessBoard])
def test_a_secret_that_becomes_known_after_the_page_opened_is_not_shown(board: Any, monkeypatch: Any) -> None:
    """Values of --header are secrets from the moment at which the run reads them."""
    monkeypatch.setattr(redaction, "_forms", set())
    monkeypatch.setattr(redaction, "_pattern", None)
    made = board("1", "paceline run", "paceline run --header 'X-Key: secret-of-a-header'")
    assert "secret-of-a-header" not in made.state().command
    redaction.keep("secret-of-a-header")
    made._begun = True
    assert made.state().command == "paceline run --header 'X-Key: ***'"


def test_an_image_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "image.png")
    with pytest.raises(ItemError, match="is no file"):
        data_url(str(tmp_path / "image.png"), "image")


def test_a_trace_that_is_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe would wait for a writer, and /dev/zero never ends."""
    os.mkfifo(tmp_path / "trace.jsonl")
    for path in (str(tmp_path / "trace.jsonl"), "/dev/zero"):
        with pytest.raises(UsageError, match="is no file; a trace is read more than once"):
            reading.read(path)
