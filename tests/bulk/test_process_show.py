"""The words of the summary of `paceline process`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.bulk.ending import summary
from harness.bulk.tally import RowCounts
from harness.cli.process_show import Show, again
from harness.cli.progress import bar
from tests.bulk.helpers import settings


def test_what_is_still_in_parts_is_not_counted_as_in_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers and dead letters."""
    monkeypatch.chdir(tmp_path)
    counts, joined = RowCounts(ok=359, dead={"bad_line": 3}), RowCounts(dead={"bad_line": 1})
    found = summary(("interrupted", "interrupted"), counts, RowCounts(), 0.05, joined=joined, resumable=True)
    wanted = settings(tmp_path, output="o2.jsonl", dead_letter="d2.jsonl")
    with Show(wanted) as show:
        show.end(found, ["process"])
    said = capsys.readouterr().err
    assert "o2.jsonl: 359 answers, 0 of them in o2.jsonl, the rest in o2.jsonl.parts until it is resumed" in said
    assert "3 dead letters (bad_line 3), 1 of them in d2.jsonl, the rest in o2.jsonl.parts until it is resumed" in said


def test_dead_letters_that_fail_again_are_to_be_corrected_first() -> None:
    """Malformed lines, and those that the server refuses as they are."""
    assert again({"server_error": 2}) == "as INPUT they are sent again"
    assert again({"bad_line": 3}) == "correct them first; as INPUT they are sent again"
    assert again({"bad_line": 3, "timeout": 1}) == "as INPUT they are sent again; correct those of bad_line first"


def test_progress_says_about_only_of_an_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once all lines are read their number is known."""
    monkeypatch.setattr("harness.cli.process_show.EVERY_S", 0.0)
    facts = {"counts": RowCounts(ok=5), "rate_per_s": 1.0, "in_flight": 1, "lines": 10.0}
    with Show(settings(tmp_path)) as show:
        show("status", {**facts, "lines_exact": False})
        show("status", {**facts, "lines_exact": True})
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("5 of about 10 lines")
    assert second.startswith("5 of 10 lines")


def test_what_is_not_in_a_dead_letter_is_not_promised_to_be_sent_again() -> None:
    """A line that is too long, and the rest of a file."""
    said = again({"long_line": 1, "timed_out": 2})
    assert said.startswith("lines that are too long are not in it")
    assert said.endswith("; as INPUT the others are sent again")
    assert again({"broken_file": 1}) == "files that break off are not in it: give the repaired files as INPUT"


@pytest.mark.parametrize("columns", [72, 80, 200])
def test_numbers_stand_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """The texts beside them are cut: a terminal of 80 columns showed neither how far it was nor the bar."""
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = bar()
    facts = "1,234/s  64 in flight  12 dead  16 workers  retries 4 % of calls, 10 % of time"
    shown.add_task("many/files/of/a/folder/0.jsonl and 2 more", total=1_200_000, completed=120_000, facts=facts)
    page = io.StringIO()
    Console(width=columns, file=page).print(shown.get_renderable())
    written = page.getvalue()
    assert "120000/1200000" in written
    assert "1,234/s" in written
    assert len(written.strip().splitlines()) == 1
