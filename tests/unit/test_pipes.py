"""A named pipe that nobody writes to, or reads from, is one line and no endless wait; one with a writer is read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from harness.base import files
from harness.cli.main import main
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from tests.bulk.helpers import go, rows, settings

CHECK = ["check", "--target", "http://127.0.0.1:9"]
CHAT = [*CHECK, "--task", "chat"]
PROCESS = ["process", "rows.jsonl", "--target", "http://127.0.0.1:9", "--task", "chat", "--output"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "PIPE_WAIT_S", 0.05)
    Path("rows.jsonl").write_text('{"prompt": "a"}\n')
    Path("part").mkdir()
    for name in ("pipe", "pipe.toml", "pipe.parquet", "part/x.jsonl"):
        os.mkfifo(name)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([*CHECK, "--http", "pipe.toml"], "pipe.toml: is a pipe or device from which nothing came for 50 ms"),
        ([*CHAT, "--input", "rows.jsonl", "--template", "pipe"], "pipe: is a pipe or device from which nothing came"),
        ([*CHAT, "--input", "rows.jsonl", "--param", "stop=@pipe"], "pipe: is a pipe or device from which nothing"),
        (["compare", "--config", "pipe.toml"], "pipe.toml: is a pipe or device from which nothing came"),
        ([*CHAT, "--input", "pipe"], "pipe: is a pipe or device; a regular file is needed"),
        ([*CHAT, "--input", "-"], "-: only `process` reads standard input"),
        ([*CHAT, "--input", "pipe", "--input-format", "csv"], "pipe: is a pipe or device; a regular file is needed"),
        ([*CHAT, "--input", "pipe.parquet"], "pipe.parquet: is a pipe or device; a regular file is needed"),
        ([*CHAT, "--input", "part"], "part/x.jsonl: is no file"),
        (["compare", "--input", "pipe"], "pipe: is a pipe or device; a regular file is needed"),
        (["run", "replay", "--task", "chat", "--trace", "pipe"], "--trace pipe: is no file"),
        (["compare", "--task", "chat", "--input-tokens", "file:pipe"], "--input-tokens file:pipe: no such file"),
        ([*CHAT, "--ca", "pipe"], "--ca pipe: is a pipe or device; expected a file in PEM format"),
        (["process", "pipe.parquet", *PROCESS[2:], "o.jsonl"], "pipe.parquet: parquet: a pipe is JSONL, CSV or TSV"),
        ([*PROCESS, "o.jsonl", "--events", "pipe"], "--events pipe: is a pipe that nothing has read for 50 ms"),
        ([*PROCESS, "o.jsonl", "--cache", "pipe"], "pipe: cannot be used as a cache of answers: it is not a regular"),
        (["diff", "pipe", "pipe"], "pipe: is a pipe or device; a regular file is needed"),
    ],
)
def test_a_pipe_without_another_end_is_one_line(
    line: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["output", "dead_letter"])
def test_an_output_that_nothing_reads_is_refused(folder: Path, option: str) -> None:
    (folder / "in.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(UsageError, match="is a pipe that nothing has read for 50 ms"):
        go(settings(folder, **{option: str(folder / "pipe")}))


def write_later(path: str, data: bytes) -> threading.Thread:
    """Opening the pipe waits for its reader."""
    writer = threading.Thread(target=lambda: Path(path).write_bytes(data))
    writer.start()
    return writer


def test_settings_come_through_a_pipe_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the shell's <(...) makes it."""
    monkeypatch.setattr(files, "PIPE_WAIT_S", 20.0)
    writer = write_later("pipe", b"a = 1\n" * 100_000)
    assert files.bounded_bytes(Path("pipe")) == b"a = 1\n" * 100_000
    writer.join()


def test_all_rows_of_csv_in_a_named_pipe_are_processed(folder: Path) -> None:
    """The line of names is read once, and nothing behind it is lost."""
    writer = write_later("pipe", b"id,text\n" + b"".join(b"%d,word %d\n" % (n, n) for n in range(30_000)))
    done = go(settings(folder, input="pipe", reading=InputSettings(input_format="csv")))
    writer.join()
    assert done.counts["ok"] == 30_000
    assert [row["id"] for row in rows(folder / "out.jsonl")] == [str(n) for n in range(30_000)]
