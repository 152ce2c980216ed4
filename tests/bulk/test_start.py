"""The start of a run: which files may be one, and what is left when it ends in the middle of its first system calls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.bulk import Process, ProcessSettings
from harness.bulk.saving import Store
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings
from tests.bulk.helpers import Server, go, refusal, rows, settings, write_input
from tests.bulk.killing import check
from tests.processes import ROOT

CALLS = ("open", "ftruncate", "write", "fsync", "replace")
KILLS = int(os.environ.get("PACELINE_TEST_KILLS", "3"))


class KilledError(BaseException):
    """Stands for `kill -9`: nothing handles it, and nothing is done after it."""


def dies_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is gone at its system call of that number; every later one fails as well."""
    left = number

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            return real(*arguments, **more)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))
    monkeypatch.setattr(os, "unlink", lambda path: None)  # the dead clean nothing up


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_start_that_ends_at_any_system_call_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """With --resume; where an old run was to be overwritten, it is either whole or over."""
    number = 0
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        write_input(folder / "in.jsonl", 12)
        if overwrite:
            (folder / "old.jsonl").write_bytes(b'{"text": "old", "id": "old"}\n')
            go(settings(folder, input=str(folder / "old.jsonl")))
        store_made = Process(settings(folder, overwrite=overwrite), Server())._store
        with monkeypatch.context() as patched:
            dies_at(number, patched)
            try:
                store_made.start(fingerprint(folder), overwrite)
            except KilledError:
                died = True
            else:
                died = False
        store_made.close()
        old = overwrite and rows(folder / "out.jsonl") != []
        if (why := refusal(settings(folder, resume=True))) is not None:
            assert old, why
            assert "is not the input that" in why
            assert [row["id"] for row in rows(folder / "out.jsonl")] == ["old"]
        else:
            check(folder / "out.jsonl", folder / "bad.jsonl", 12)
        if not died:
            break
        number += 1
    assert number >= 6, "it has fewer steps than a start takes"


def fingerprint(folder: Path) -> dict[str, Any]:
    """As the run itself makes it."""
    from harness.bulk import resume
    from harness.bulk.row_items import Rows
    from harness.bulk.source import InputSource

    wanted = settings(folder)
    source = InputSource(wanted.input)
    try:
        return resume.fingerprint(wanted, source, Rows(wanted.tasks, wanted.id_field, wanted.with_input))
    finally:
        source.close()


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_starts_goes_on(tmp_path: Path) -> None:
    """At random instants of its first moments, whatever it had done by then."""
    rng = Random(4)
    for number in range(KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_input(folder / "in.jsonl", 60)
        line = [sys.executable, "-m", "tests.bulk.child", str(folder), "input", "out.jsonl"]
        run = subprocess.Popen(line, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        while not (folder / "out.jsonl").exists() and run.poll() is None:
            time.sleep(0.0002)
        time.sleep(rng.uniform(0.0, 0.01))
        run.kill()
        run.wait()
        again = subprocess.run(line, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120, check=False)
        assert again.returncode == 0, number
        check(folder / "out.jsonl", folder / "bad.jsonl", 60)


def test_what_a_refused_start_has_created_is_gone(tmp_path: Path) -> None:
    """A dead-letter file that cannot be: no output is left that --resume would then refuse."""
    write_input(tmp_path / "in.jsonl", 5)
    with pytest.raises(UsageError, match=r"nowhere/bad\.jsonl: No such file or directory"):
        go(settings(tmp_path, dead_letter=str(tmp_path / "nowhere" / "bad.jsonl")))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert go(settings(tmp_path, resume=True)).passed


def test_an_old_run_is_not_touched_by_an_overwrite_that_is_refused(tmp_path: Path) -> None:
    """Neither by a wrong path nor by files that are one."""
    write_input(tmp_path / "in.jsonl", 5)
    go(settings(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for wrong in (
        {"dead_letter": str(tmp_path / "nowhere" / "bad.jsonl")},
        {"strategy": "adaptive+hedje"},
        {"strategy": "queue-steam"},
        {"tasks": ("anotate",)},
        {"input": str(tmp_path / "no.jsonl")},
        {"strategy": f"adaptive+cache:path={tmp_path / 'in.jsonl'}"},
    ):
        with pytest.raises(UsageError):
            go(settings(tmp_path, overwrite=True, **wrong))
        assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}, wrong


def test_an_empty_output_is_none_and_a_journal_alone_is_in_the_way(tmp_path: Path) -> None:
    """Begun and nothing written; while a file with something in it is never touched."""
    write_input(tmp_path / "in.jsonl", 5)
    (tmp_path / "out.jsonl").touch()
    (tmp_path / "bad.jsonl").touch()
    assert go(settings(tmp_path, resume=True)).passed
    (tmp_path / "out.jsonl").unlink()
    (tmp_path / "bad.jsonl").unlink()
    with pytest.raises(UsageError, match=r"out\.jsonl\.journal: exists already, without its output; --overwrite"):
        go(settings(tmp_path))


def names(folder: Path) -> dict[str, dict[str, Any]]:
    """Settings under which two files of a run are one, by what they are."""
    out = str(folder / "out.jsonl")
    return {
        "dead letters in the journal": {"dead_letter": out + ".journal"},
        "dead letters in the next journal": {"dead_letter": out + ".journal.new"},
        "input as the journal": {"output": str(folder / "in"), "input": str(folder / "in.journal")},
        "cache in the output": {"strategy": f"adaptive+cache:path={out}"},
        "cache in the dead letters": {"strategy": f"adaptive+cache:path={folder / 'bad.jsonl'}"},
        "cache in the journal": {"strategy": f"adaptive+cache:path={out}.journal"},
        "output beside the cache": {"output": str(folder / "a-wal"), "strategy": f"adaptive+cache:path={folder / 'a'}"},
        "learnt limits in the output": {"layers": LayerSettings(remember=out)},
        "learnt limits in the input": {"layers": LayerSettings(remember=str(folder / "hard"))},
        "output as a hard link of the input": {"output": str(folder / "hard")},
        "output as a symbolic link of the input": {"output": str(folder / "soft")},
        "dead letters through a linked folder": {"dead_letter": str(folder / "link" / "out.jsonl")},
    }


@pytest.mark.parametrize("case", list(names(Path("/"))))
def test_files_of_a_run_that_are_one_file_are_refused(tmp_path: Path, case: str) -> None:
    """By their identity, not their names; nothing is created and nothing is lost, not even with --overwrite."""
    write_input(tmp_path / "in.jsonl", 5)
    (tmp_path / "in.journal").write_bytes((tmp_path / "in.jsonl").read_bytes())
    os.link(tmp_path / "in.jsonl", tmp_path / "hard")
    (tmp_path / "soft").symlink_to(tmp_path / "in.jsonl")
    (tmp_path / "link").symlink_to(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UsageError, match="are the same file"):
        go(settings(tmp_path, overwrite=True, **names(tmp_path)[case]))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert len(rows(tmp_path / "in.jsonl")) == 5


def test_devices_and_pipes_may_be_the_same(tmp_path: Path) -> None:
    """Such as /dev/null for what nobody wants."""
    write_input(tmp_path / "in.jsonl", 5)
    Process(ProcessSettings(input="/dev/null", output="/dev/null", dead_letter="/dev/null"))
    assert go(settings(tmp_path, output="/dev/null", dead_letter="/dev/null")).counts["ok"] == 5


@pytest.mark.parametrize("name", ["input", "output", "dead_letter"])
def test_addresses_of_object_stores_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """They were looked for on the disk, and a folder `s3:` was made."""
    with pytest.raises(UsageError, match=r"s3://bucket/x\.jsonl: s3:// is not read or written"):
        settings(tmp_path, **{name: "s3://bucket/x.jsonl"})


def test_a_run_that_another_process_has_continued_meanwhile_is_refused(tmp_path: Path) -> None:
    """What was read of its journal is old by the time the lock is free, and lines would be sent again."""
    write_input(tmp_path / "in.jsonl", 60)
    store = Store(str(tmp_path / "out.jsonl"), str(tmp_path / "bad.jsonl"), True, lambda pending: {})
    assert go(settings(tmp_path)).passed
    past = store.past()
    assert past is not None
    write_input(tmp_path / "in.jsonl", 80)
    assert go(settings(tmp_path, resume=True)).passed
    with pytest.raises(UsageError, match="another process has gone on with it meanwhile"):
        store.resume(past, past.fingerprint)
    assert len(rows(tmp_path / "out.jsonl")) == 80
