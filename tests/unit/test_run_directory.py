"""The directory of a run: what is in it already, and what stays when a command fails before its load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.client.errors import UsageError
from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.run_directory import check_free, deletions_named, holds_a_run, lay_out
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime

QUICK = ("-s", "sync", "--items", "20")


def settings(out: Path, **more: Any) -> RunSettings:
    return RunSettings(strategies=("sync",), items=20, simulated=True, out=out, **more)


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", *QUICK, "--target", "http://127.0.0.1:9"),
        ("compare", *QUICK, "--server", "none.toml"),
        ("sweep", "--concurrency", "1:2:x2", "--predicted", "none"),
        ("simulate", "compare", *QUICK, "--server", "none.toml"),
        ("simulate", "sweep", "--concurrency", "1:2:x2", "--predicted", "none"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("filled", [True, False])
def test_a_command_that_fails_before_its_load_leaves_a_folder_as_it_was(
    arguments: tuple[str, ...], filled: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files of the user are in it, or nothing; then it is gone."""
    out = tmp_path / "mine"
    if filled:
        (out / "deep").mkdir(parents=True)
        (out / "deep" / "thesis.txt").write_text("years")
    assert ended(*arguments, "--out", str(out)) == 2, capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == (["mine", "deep", "thesis.txt"] if filled else [])


def test_a_run_that_failed_before_its_first_record_can_be_given_again(tmp_path: Path) -> None:
    """Its plan is there, and nothing else of it."""

    class Failing(VirtualTime):
        def ceilings(self) -> dict[str, float]:
            raise UsageError("no processor is free")

    run = prepare(settings(tmp_path / "r"))
    with pytest.raises(UsageError, match="no processor is free"):
        execute(run, lambda event, facts: None, Failing(run))
    assert not holds_a_run(tmp_path / "r")
    again = prepare(settings(tmp_path / "r"))
    result, _ = execute(again, lambda event, facts: None, VirtualTime(again))
    assert result.cases[0].counts.ok == 20
    with pytest.raises(UsageError, match="holds a run already"):
        prepare(settings(tmp_path / "r"))
    prepare(settings(tmp_path / "r", overwrite=True))


def test_records_that_are_of_no_run_are_never_deleted(tmp_path: Path) -> None:
    """Whoever names a folder with `records` of another kind."""
    (tmp_path / "records").mkdir()
    vinyl = tmp_path / "records" / "vinyl.txt"
    vinyl.write_text("blue")
    with pytest.raises(UsageError, match="holds a run already"):
        prepare(settings(tmp_path))
    with pytest.raises(UsageError, match="its folder records is not that of a run"):
        prepare(settings(tmp_path, overwrite=True))
    assert vinyl.read_text() == "blue"


def test_the_log_of_a_mock_that_was_killed_while_it_started_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "mock_server.log").write_text("")
    check_free(tmp_path, overwrite=False)
    lay_out(tmp_path).release()
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


@pytest.mark.parametrize("name", ["records", "."])
def test_records_that_are_deleted_while_a_run_is_played_are_one_line(name: str, tmp_path: Path) -> None:
    class Deleting(VirtualTime):
        def ceilings(self) -> dict[str, float]:
            shutil.rmtree(tmp_path / "r" / name)
            return {"lean": 1.0}

    run = prepare(settings(tmp_path / "r"))
    with pytest.raises(UsageError, match="files were deleted while the run was played"):
        execute(run, lambda event, facts: None, Deleting(run))


def test_another_missing_file_stays_what_it_is(tmp_path: Path) -> None:
    """Such as one that the code of a user's own strategy opens."""
    with pytest.raises(FileNotFoundError), deletions_named(tmp_path / "r"):
        (tmp_path / "other").read_bytes()
