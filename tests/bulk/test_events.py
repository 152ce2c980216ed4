"""`--events FILE`: progress for programs, of one process and of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cli.process_events import EventLog
from harness.client.errors import UsageError
from tests.bulk import helpers
from tests.bulk.fleet import inside
from tests.bulk.helpers import rows, write_input


@pytest.mark.parametrize("workers", [0, 2])
def test_events_are_lines_of_json(tmp_path: Path, workers: int) -> None:
    """The display gets them as well."""
    write_input(tmp_path / "in.jsonl", 120)
    wanted = inside.settings(tmp_path)
    shown: list[str] = []
    log = EventLog(str(tmp_path / "events.jsonl"), wanted, shown.append)
    tell = log.beside(lambda event, facts: shown.append(event))
    assert (inside.go(wanted, workers=workers, tell=tell) if workers else helpers.go(wanted, tell=tell)).passed
    found = rows(tmp_path / "events.jsonl")
    assert [event["event"] for event in found][:2] == ["begin", "status"]
    assert {"at", "counts", "in_flight", "rate_per_s", "lines"} <= found[1].keys()
    assert ("workers" in found[1]) == bool(workers)
    assert set(shown) >= {"begin", "status"}


def test_a_log_that_cannot_begin_is_refused(tmp_path: Path) -> None:
    """Before anything is done; it is no file of the run."""
    wanted = inside.settings(tmp_path)
    with pytest.raises(UsageError, match=r"--events .*nowhere.e: No such file or directory"):
        EventLog(str(tmp_path / "nowhere" / "e"), wanted, print)
    with pytest.raises(UsageError, match=r"--output .* and --events .* are the same file"):
        EventLog(wanted.output, wanted, print)


def test_a_full_disk_ends_the_log_and_not_the_run() -> None:
    """It is said once."""
    said: list[str] = []
    wanted: Any = inside.settings(Path("/nonexistent"))
    log = EventLog("/dev/full", wanted, said.append)
    log("note", {"text": "a"})
    log("note", {"text": "b"})
    assert said == ["--events /dev/full: ends here: No space left on device"]
