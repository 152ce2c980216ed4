"""Every mistake of a user is one line and exit code 2; lists and completion need no import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.main import COMMANDS, cli, main
from harness.cli.show import seconds
from tests.processes import ROOT


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else 1, out, err


MISTAKES: list[tuple[list[str], str]] = [
    (["comparre"], "unknown command 'comparre': did you mean compare?"),
    (["compare", "-s", "syn"], "did you mean sync?"),
    (["compare", "-s", "sync", "-s", "sync"], "strategy sync is named twice"),
    (["compare", "-s", "queue-stream:concurency=3"], "did you mean concurrency?"),
    (["compare", "--scenario", "spik"], "did you mean spike or soak?"),
    (["run", "spike", "--rate", "-5"], "--rate -5: must be between"),
    (["run", "spike", "--duration", "0"], "--duration 0: must be between"),
    (["compare", "--items", "0"], "--items 0: must be between"),
    (["compare", "--repeats", "0"], "--repeats 0"),
    (["compare", "--rate", "5"], "a backlog has no --rate"),
    (["compare", "--load", "replay:path=x", "--rate", "5"], "takes its rate from the trace"),
    (["compare", "--load", "poison"], "did you mean poisson?"),
    (["compare", "--load", "poisson:rate=3"], "did you mean rate_per_s?"),
    (["compare", "--target", "foo"], "expected http://HOST"),
    (["compare", "--target", "http://127.0.0.1:1", "--items", "1"], "is the server running?"),
    (["compare", "--server", "nul", "--items", "1"], "unknown profile 'nul'; did you mean null?"),
    (["compare", "--input", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
    (["compare", "--input", "empty.jsonl"], "the file is empty"),
    (["compare", "--input", "a", "--synthetic", "constant"], "exclude each other"),
    (["run", "mixed", "--input", "empty.jsonl"], "one task; a mix of tasks has made-up texts"),
    (["compare", "--synthetic", "odd"], "is not one of constant, uniform, lognormal"),
    (["compare", "--synthetic", "constant:mean=-1"], "mean=-1.0 must be above 0"),
    (["compare", "--slo", "p99<x"], "--slo 'p99<x'"),
    (["compare", "--task", "similarty"], "did you mean similarity?"),
    (["compare", "--task", "annotate:max_tokens=-4"], "max_tokens=-4"),
    (["compare", "--timeout", "0"], "timeout_s=0.0"),
    (["compare", "--retries", "1000"], "retries=1000"),
    (["compare", "--out", "file/x"], "--out file/x"),
    (["compare", "--itmes", "3"], "No such option"),
    (["report", "."], "not a run directory"),
    (["report", ".", "--format", "pdf"], "unknown format 'pdf'"),
    (["list", "nothing"], "'nothing' is not one of"),
    (["serve", "mock", "--port", "99999"], "99999"),
    (["--config", "none.toml", "list"], "none.toml: No such file"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_mistakes_are_answered_in_a_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong, where, what is allowed; no traceback; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "file").write_text("")
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert not out
    assert not list(tmp_path.glob("runs/*/plan.json"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds = 3", "unknown key 'seeds': did you mean"),
        ("[compar]\n", "unknown table 'compar': did you mean compare?"),
        ("[compare]\nitmes = 3", "[compare]: unknown key 'itmes': did you mean items"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_bad_project_file_is_told(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With key, table and the near names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paceline.toml").write_text(text)
    code, _, err = run(capsys, "list")
    assert code == 2
    assert says in err


def test_the_project_files_settings_are_the_defaults(tmp_path: Path) -> None:
    """Dashes or underscores; a table wins over the top level."""
    from harness.cli.config import read

    path = tmp_path / "paceline.toml"
    path.write_text('seed = 7\nrate-limit = 3\n[compare]\nstrategy = ["sync"]\nseed = 8\n')
    found = read(path)
    assert found["compare"] == {"seed": 8, "rate_limit": 3, "strategy": ["sync"]}
    assert found["run"] == {"seed": 7, "rate_limit": 3}
    assert found["list"] == {}


def test_list_shows_everything_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """All kinds, one kind, and as JSON."""
    code, out, _ = run(capsys, "list")
    assert code == 0
    for word in ("queue-stream", "aimd", "similarity", "spike", "structbert-article", "status", "throughput", "html"):
        assert word in out
    code, out, _ = run(capsys, "list", "loads", "--json")
    assert json.loads(out)["loads"]["backlog"]


def test_list_shows_settings_with_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON; what must be given is marked; of layers only what `--layer` accepts."""
    _, out, _ = run(capsys, "list", "strategies")
    assert "concurrency=50, queue_size=0, ordered=false, window=0, priority=false" in out
    _, out, _ = run(capsys, "list", "layers")
    assert "timeout_s!" in out
    assert "concurrency-limit" not in out
    _, out, _ = run(capsys, "list", "--json")
    table = json.loads(out)
    assert table["layers"]["rate-limit"]["settings"]["rate_per_s"] == {"type": "a number or none", "default": None}
    assert table["layers"]["deadline"]["settings"]["timeout_s"] == {"type": "a number"}
    assert table["loads"]["steps"]["settings"]["factors"]["default"] == [1.0, 2.0, 4.0, 8.0]
    assert table["faults"]["status"]["settings"]["status"]["default"] == 500
    assert table["scenarios"]["soak"]["settings"]["duration"]["default"] == 600.0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("comp", "compare"),
        ("compare -s qu", "queue-stream"),
        ("compare -s queue-stream:con", "queue-stream:concurrency="),
        ("compare -s queue-stream:concurrency=5,ord", "queue-stream:concurrency=5,ordered="),
        ("compare --server str", "structbert-article"),
        ("run sp", "spike"),
        ("report x --format ma", "markdown"),
    ],
)
def test_the_shell_completes_names_and_settings(line: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bash asks for it."""
    words = ["paceline", *line.split(" ")]
    env = {"_PACELINE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = CliRunner().invoke(cli, env=env, prog_name="paceline")
    assert expected in done.output


def test_completion_of_a_strategy_that_is_not_there_is_empty() -> None:
    """No error in the middle of a shell."""
    from harness.cli.options import PluginName

    assert PluginName("strategy").shell_complete(None, None, "nothing:x") == []  # type: ignore[arg-type] # unused


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has one, and the version is known."""
    for name in COMMANDS:
        code, out, _ = run(capsys, name, "--help")
        assert code == 0
        assert "Usage" in out
    assert run(capsys, "--version")[0] == 0


def test_a_fault_of_our_own_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, with the traceback for whoever must mend it; Ctrl-C is 5; a closed pipe is nothing."""

    def raising(error: BaseException) -> Any:
        def fail(**_: Any) -> None:
            raise error

        return fail

    for error, code in ((ZeroDivisionError("x"), 3), (KeyboardInterrupt(), 5), (BrokenPipeError(), 0)):
        monkeypatch.setattr(cli, "main", raising(error))
        assert run(capsys, "list")[0] == code


def test_the_help_imports_nothing_heavy() -> None:
    """No aiohttp, numpy, matplotlib, rich, Locust or msgspec for a line of help."""
    code = (
        "import sys; from harness.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("aiohttp", "numpy", "matplotlib", "rich", "locust", "gevent"):
        assert f"'{name}'" not in done.stdout


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.00123, "1.23 ms"),
        (0.0123, "12.3 ms"),
        (0.123, "123 ms"),
        (1.234, "1.23 s"),
        (12.3, "12.3 s"),
        (123.4, "123 s"),
    ],
)
def test_times_have_three_figures_and_a_unit(value: float | None, text: str) -> None:
    """In the table at the terminal."""
    assert seconds(value) == text
