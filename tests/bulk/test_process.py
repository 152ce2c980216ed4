"""What a run makes of its lines: answers in order, dead letters with all they need, and the words when it stops."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.bulk import Process, ProcessSettings, process, server_watch
from harness.client.errors import SettingError, UsageError
from harness.client.task_calls import request_for, result_of
from harness.client.types import Outcome
from tests.bulk.helpers import Server, go, rows, settings, until, write_input

OK, REJECTED, REFUSED, NO = Outcome.ok, Outcome.rejected, Outcome.connection_error, Outcome.client_error


@pytest.mark.parametrize("strategy", ["sync", "batches:size=7", "unbounded", "queue-stream:concurrency=5", "adaptive"])
def test_answers_come_in_input_order(tmp_path: Path, strategy: str) -> None:
    """Whatever the strategy, each line once."""
    write_input(tmp_path / "in.jsonl", 300)
    server = Server(turns=lambda index: 1 + index * 7 % 11)
    summary = go(settings(tmp_path, strategy=strategy, window=50), server)
    assert summary.passed
    assert summary.counts["ok"] == summary.counts["attempts"] == 300
    expected = [{"line": n, "id": f"i{n}", "answer": f"answer a b c {n}"} for n in range(1, 301)]
    assert rows(tmp_path / "out.jsonl") == expected
    assert server.in_flight_max <= 50
    assert rows(tmp_path / "bad.jsonl") == []


def test_in_completion_order_nothing_waits(tmp_path: Path) -> None:
    """A slow first line is written last."""
    write_input(tmp_path / "in.jsonl", 200)
    go(settings(tmp_path, order="completion"), Server(turns=lambda index: 2_000 if index == 1 else 1))
    found = [row["line"] for row in rows(tmp_path / "out.jsonl")]
    assert sorted(found) == list(range(1, 201))
    assert found[-1] == 1


def test_a_slow_line_holds_the_intake_at_the_window(tmp_path: Path) -> None:
    """In input order no more lines are given out than the window allows."""
    write_input(tmp_path / "in.jsonl", 400)
    server = Server(turns=lambda index: 3_000 if index == 1 else 1)
    seen: list[int] = []

    async def main() -> None:
        run = Process(settings(tmp_path, window=30), server)
        working = asyncio.create_task(run.run())
        await until(lambda: server.calls[30] > 0, working)
        for _ in range(300):
            await asyncio.sleep(0)
        seen.append(max(server.calls))
        await working

    asyncio.run(main())
    assert seen == [30]
    assert len(rows(tmp_path / "out.jsonl")) == 400


def test_bad_lines_are_dead_letters_and_never_stop_a_run(tmp_path: Path) -> None:
    """Not JSON, no object, a field missing, no text at all: each with its reason and itself; blank lines pass."""
    good = b'{"id": 1, "text": "x"}\n'
    bad = [b"{\n", b"[1]\n", b'{"text": 3, "id": "z"}\n', b"\xff\xfe\n"]
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + good + b"\n" + b"".join(bad) + b"  \r\n" + good.rstrip(b"\n"))
    summary = go(settings(tmp_path, errors_max=0.9))
    assert summary.counts["dead"] == {"bad_line": 4}
    assert summary.counts["blank"] == 2
    letters = rows(tmp_path / "bad.jsonl")
    assert [letter["line"] for letter in letters] == [3, 4, 5, 6]
    assert letters[2]["error"] == "text: is int, not a text"
    assert letters[2]["raw"] == '{"text": 3, "id": "z"}'
    assert letters[3]["raw_base64"] == "//4="
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == [1, 8]


def test_a_dead_letter_says_what_happened_and_can_be_sent_again(tmp_path: Path) -> None:
    """Class, attempts, last answer, row; as an input it keeps its line and id, and counts its drives."""
    write_input(tmp_path / "in.jsonl", 60)
    first = go(settings(tmp_path), Server(lambda index, call: NO if index in {7, 9} else OK))
    assert first.counts["dead"] == {"client_error": 2}
    letters = rows(tmp_path / "bad.jsonl")
    letter = {"dead_letter": 1, "line": 7, "id": "i7", "class": "client_error", "attempts": 1, "status": 400}
    assert letters[0] == letter | {"error": "HTTP 400: no", "row": {"id": "i7", "text": "a b c 7"}}
    again = {"input": str(tmp_path / "bad.jsonl"), "output": str(tmp_path / "two.jsonl")}
    again["dead_letter"] = str(tmp_path / "bad2.jsonl")
    go(settings(tmp_path, **again), Server(lambda index, call: NO if index == 2 else OK))
    assert rows(tmp_path / "two.jsonl") == [{"line": 7, "id": "i7", "answer": "answer a b c 7"}]
    (letter,) = rows(tmp_path / "bad2.jsonl")
    assert (letter["dead_letter"], letter["line"], letter["row"]["text"]) == (2, 9, "a b c 9")


def test_failures_that_another_attempt_cures_are_counted_as_the_cost_of_retries(tmp_path: Path) -> None:
    """By the layers that every other command uses."""
    write_input(tmp_path / "in.jsonl", 30)
    failing = Server(lambda index, call: Outcome.server_error if index == 3 and call < 3 else OK)
    summary = go(settings(tmp_path), failing)
    assert summary.passed
    assert failing.calls[3] == 3
    assert (summary.counts["attempts"], summary.counts["failed_attempts"]) == (32, 2)


def test_too_many_dead_letters_stop_the_run_and_it_can_go_on(tmp_path: Path) -> None:
    """What had been done is kept; the dead ones stay dead."""
    write_input(tmp_path / "in.jsonl", 2_000)
    broken = Server(lambda index, call: NO if index > 500 else OK)
    summary = go(settings(tmp_path), broken)
    assert (summary.stopped, summary.passed, summary.complete) == ("errors", False, False)
    assert "of the last" in summary.text
    assert sum(broken.calls.values()) < 700
    healthy = Server()
    summary = go(settings(tmp_path, resume=True), healthy)
    assert summary.complete
    assert not set(broken.calls) & set(healthy.calls) - set(range(500, 700))
    assert summary.counts["ok"] + summary.counts["dead"]["client_error"] == 2_000
    assert summary.text == "" or "dead letters" in summary.text


def test_a_small_input_that_mostly_fails_did_not_pass(tmp_path: Path) -> None:
    """Too few lines to stop by, enough to judge by at the end."""
    write_input(tmp_path / "in.jsonl", 10)
    summary = go(settings(tmp_path), Server(lambda index, call: NO if index > 1 else OK))
    assert summary.complete
    assert not summary.passed
    assert summary.text == "9 of 10 lines are dead letters, more than 5 % (--errors-max)"


def test_no_answer_at_all_never_passes(tmp_path: Path) -> None:
    """Nor does an input without a line."""
    (tmp_path / "in.jsonl").write_text("\n\n")
    assert go(settings(tmp_path)).text == "the input has no line to send"
    write_input(tmp_path / "in.jsonl", 3)
    summary = go(settings(tmp_path, overwrite=True, errors_max=1.0), Server(lambda index, call: NO))
    assert summary.text == "no line got an answer"


def test_a_server_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    """What found no connection meanwhile is sent again and is no dead letter."""
    write_input(tmp_path / "in.jsonl", 200)
    looks: list[int] = []

    async def alive() -> bool:
        looks.append(1)
        return len(looks) > 1

    server = Server(lambda index, call: REFUSED if sum(server.calls.values()) > 50 and len(looks) < 2 else OK)
    summary = asyncio.run(process(settings(tmp_path, layers=NO_RETRIES), send=server, alive=alive))
    assert summary.passed
    assert len(looks) >= 2
    assert summary.counts["ok"] == 200
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 201))


def test_a_server_that_stays_away_ends_the_run_without_dead_letters(tmp_path: Path) -> None:
    """What was done is kept, the rest is still to be done."""
    write_input(tmp_path / "in.jsonl", 200)
    dead = Server(lambda index, call: REFUSED if index > 100 else OK)
    summary = go(settings(tmp_path, patience_s=0.3, layers=NO_RETRIES), dead)
    assert summary.stopped == "server"
    assert "has not answered" in summary.text
    assert rows(tmp_path / "bad.jsonl") == []
    assert summary.counts["ok"] == 100
    summary = go(settings(tmp_path, resume=True))
    assert summary.passed
    assert len(rows(tmp_path / "out.jsonl")) == 200


def test_a_single_item_that_breaks_its_connection_is_a_dead_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are answered: it is this item, not the server."""
    monkeypatch.setattr(server_watch, "_AGAIN_S", 0.01)
    write_input(tmp_path / "in.jsonl", 50)
    poison = Server(lambda index, call: REFUSED if index in {5, 50} else OK)

    async def alive() -> bool:
        return True

    summary = asyncio.run(process(settings(tmp_path, layers=NO_RETRIES), send=poison, alive=alive))
    assert summary.complete
    assert summary.counts["dead"] == {"connection_error": 2}
    assert poison.calls[5] == 2
    assert poison.calls[50] <= 5


def test_a_stop_drains_what_is_in_flight_and_keeps_it(tmp_path: Path) -> None:
    """Nothing more is sent; what fails during the drain is left to be done."""
    write_input(tmp_path / "in.jsonl", 500)
    server = Server(turns=lambda index: 20)
    server_judge: Callable[[int, int], Outcome] = lambda index, call: NO if index % 2 else OK  # noqa: E731 - two rules

    async def main() -> Any:
        run = Process(settings(tmp_path, order="completion", layers=NO_RETRIES), server)
        working = asyncio.create_task(run.run())
        await until(lambda: sum(server.calls.values()) >= 100, working)
        server._judge = server_judge
        run.stop()
        return await working

    summary = asyncio.run(main())
    assert (summary.stopped, summary.complete, summary.resumable) == ("interrupted", False, True)
    assert sum(server.calls.values()) <= 108
    assert rows(tmp_path / "bad.jsonl") == []
    assert len(rows(tmp_path / "out.jsonl")) == summary.counts["ok"] >= 90
    assert go(settings(tmp_path, order="completion", resume=True)).counts["ok"] == 500


def test_a_cut_does_not_wait(tmp_path: Path) -> None:
    """Calls that never end are left to be done."""
    write_input(tmp_path / "in.jsonl", 50)

    async def main() -> Any:
        run = Process(settings(tmp_path), Server(turns=lambda index: 10**9 if index > 10 else 1))
        working = asyncio.create_task(run.run())
        await until(lambda: run.counts.ok >= 10, working)
        run.stop()
        run.cut()
        return await working

    assert asyncio.run(main()).counts["ok"] == 10
    assert go(settings(tmp_path, resume=True)).passed


def test_lines_of_several_tasks(tmp_path: Path) -> None:
    """Each names its own; one that names none, or an unknown one, is a bad line; with one task the field is data."""
    names = ["annotate", "embed", None, "ambed"]
    lines = [{"text": "x"} if name is None else {"task": name, "text": "x"} for name in names]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    summary = go(settings(tmp_path, tasks=(), errors_max=1.0))
    assert [row["task"] for row in rows(tmp_path / "out.jsonl")] == ["annotate", "embed"]
    missing, unknown = (letter["error"] for letter in rows(tmp_path / "bad.jsonl"))
    assert missing == "task: is missing; with several tasks each row names its own"
    assert unknown.startswith("task: unknown task 'ambed': did you mean embed? known are annotate, chat")
    assert summary.counts["ok"] == 2
    go(settings(tmp_path, overwrite=True, tasks=("annotate", "similarity"), errors_max=1.0))
    assert len(rows(tmp_path / "out.jsonl")) == 1
    go(settings(tmp_path, overwrite=True))
    assert len(rows(tmp_path / "out.jsonl")) == 4


def test_the_row_comes_along_where_asked(tmp_path: Path) -> None:
    """As it was, in a line that stays one line; the id from the field that is named."""
    (tmp_path / "in.jsonl").write_bytes(b' {"key": [1], "text": "a\\nb", "more": 1.50}\r\n')
    go(settings(tmp_path, with_input=True, id_field="key"))
    (line,) = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert b'"input":{"key": [1], "text": "a\\nb", "more": 1.50},' in line
    assert json.loads(line)["id"] == [1]


@pytest.mark.no_cover
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_in_and_out(tmp_path: Path, suffix: str) -> None:
    """The input by its content, the output by its suffix."""
    write_input(tmp_path / "plain", 3_000)
    (tmp_path / "in.jsonl").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    out = tmp_path / f"out.jsonl{suffix}"
    assert go(settings(tmp_path, output=str(out))).counts["ok"] == 3_000
    answers = settings(tmp_path, input=str(out), output=str(tmp_path / "b.jsonl"), overwrite=True, errors_max=1.0)
    assert go(answers).counts["dead"] == {"bad_line": 3_000}  # answers are no rows, but they were read


def test_settings_are_checked() -> None:
    """Field, value and range; and files that would eat each other."""
    for wrong, words in [
        ({"window": 0}, "window=0 must be between 1 and"),
        ({"errors_max": 2.0}, "errors_max=2.0 must be between 0 and 1"),
        ({"order": "any"}, "order='any' must be input or completion"),
    ]:
        with pytest.raises(SettingError, match=words):
            ProcessSettings(input="a", output="b", **wrong)  # type: ignore[arg-type] # wrong on purpose
    for more, words in [
        ({"resume": True, "overwrite": True}, "only one of them"),
        ({"output": "a"}, "INPUT a and --output a are the same file"),
        ({"output": "-"}, "needs --dead-letter"),
        ({"output": f"{__file__}/out"}, "--output .*/out: Not a directory"),
        ({"output": "x" * 300}, "--output x*: File name too long"),
        ({"output": "x" * 244}, "the new journal x*.journal.new: File name too long"),
        ({"strategy": "batches:size=50", "window": 30}, "--window 30 must be at least"),
    ]:
        with pytest.raises(UsageError, match=words):
            Process(ProcessSettings(**{"input": "a", "output": "b", **more}))  # type: ignore[arg-type] # as above


def _no_retries() -> Any:
    from harness.client.layer_settings import LayerSettings

    return LayerSettings(retries=0)


NO_RETRIES = _no_retries()


class Careless:
    """A strategy that loses one item and tells another twice."""

    blocking = False

    async def stream(self, items: Any, send: Any, /, layers: Any = None) -> Any:
        """Every item but the third; the fourth twice."""
        call = layers(send)
        async for item in items:
            if item.index != 3:
                result = result_of(item, await call(request_for(item)))
                for _ in range(1 + (item.index == 4)):
                    yield result


def test_a_strategy_that_loses_items_is_found_out(tmp_path: Path) -> None:
    """Nothing is called complete that is not, and nothing is written twice."""
    write_input(tmp_path / "in.jsonl", 10)
    run = Process(settings(tmp_path), Server())
    run._made = run._made._replace(strategy=Careless())  # type: ignore[arg-type] # as careless with types
    summary = asyncio.run(run.run())
    assert (summary.complete, summary.stopped) == (False, "strategy")
    assert "gave no result for 1 lines" in summary.text
    assert go(settings(tmp_path, resume=True)).passed
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 11))


def test_a_caller_that_is_cancelled_stays_so_and_what_was_done_is_kept(tmp_path: Path) -> None:
    """As by a time-out around it."""
    write_input(tmp_path / "in.jsonl", 50)

    async def main() -> None:
        run = Process(settings(tmp_path), Server(turns=lambda index: 10**9 if index > 10 else 1))
        working = asyncio.create_task(run.run())
        await until(lambda: run.counts.ok >= 10, working)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(main())
    server = Server()
    assert go(settings(tmp_path, resume=True), server).passed
    assert sorted(server.calls) == list(range(11, 51))


@pytest.mark.parametrize("kind", ["long_line", "broken_file"])
def test_dead_letters_that_do_not_hold_their_rows_say_so(tmp_path: Path, kind: str) -> None:
    """They were sent again as malformed lines."""
    letter = {"dead_letter": 1, "line": 7, "class": kind, "attempts": 0, "error": "why", "raw": None}
    good = {"dead_letter": 1, "line": 9, "class": "rejected", "attempts": 1, "error": "no", "row": {"text": "x"}}
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (letter, good)))
    summary = go(settings(tmp_path, errors_max=0.9))
    assert summary.counts["dead"] == {kind: 1}
    (again,) = rows(tmp_path / "bad.jsonl")
    assert (again["line"], again["class"], again["dead_letter"]) == (7, kind, 2)
    assert again["error"].endswith(("cannot be sent from there", "give the repaired file as INPUT"))


@pytest.mark.parametrize("files", [1, 2])
def test_a_row_of_the_greatest_length_can_be_sent_again_from_its_dead_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """The letter around it is longer than a line of other people may be. A malformed line even doubles in it."""
    monkeypatch.setattr("harness.load.lines.LINE_MAX", 300)
    row = json.dumps({"text": ""})
    longest = json.dumps({"text": "x" * (300 - len(row))})
    malformed = '"' * 290
    (tmp_path / "in.jsonl").write_text(f"{longest}\n{malformed}\n" + "y" * 301 + "\n")
    more = [str(write_input(tmp_path / "more.jsonl", 1))] * (files - 1)
    refuse = Server(lambda index, call: Outcome.client_error if index == 1 else Outcome.ok)
    first = settings(tmp_path, errors_max=0.9, more_inputs=more)
    assert go(first, refuse).counts["dead"] == {"client_error": 1, "bad_line": 1, "long_line": 1}
    letters = (tmp_path / "bad.jsonl").read_bytes().splitlines()
    assert min(map(len, letters[:2])) > 300
    again = settings(tmp_path, input=str(tmp_path / "bad.jsonl"), output=str(tmp_path / "again.jsonl"), errors_max=0.9)
    summary = go(dataclasses.replace(again, dead_letter=str(tmp_path / "bad again.jsonl")))
    assert summary.counts["ok"] == 1
    assert summary.counts["dead"] == {"bad_line": 1, "long_line": 1}
    assert [row["dead_letter"] for row in rows(tmp_path / "bad again.jsonl")] == [2, 2]
    assert rows(tmp_path / "bad again.jsonl")[0]["raw"] == malformed


def test_a_stop_that_finds_every_line_answered_is_no_stop(tmp_path: Path) -> None:
    """Ctrl-C while the last calls are in flight: they end, and the run is complete."""
    write_input(tmp_path / "in.jsonl", 5)
    server = Server(turns=lambda index: 30)

    async def main() -> None:
        running = Process(settings(tmp_path), server)
        working = asyncio.create_task(running.run())
        await until(lambda: running.read_all, working)
        running.stop()
        summary = await working
        assert summary.passed
        assert summary.counts["ok"] == 5

    asyncio.run(main())
    assert go(settings(tmp_path, resume=True)).nothing_to_do
