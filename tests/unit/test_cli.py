"""Every mistake of a user is one line and exit code 2; lists and completion need no import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.base.units import seconds
from harness.cli.main import COMMANDS, cli, main
from harness.cli.progress import ProgressDisplay
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
    (["compare", "--repeats", "all"], "'all' is not a whole number, or auto"),
    (["compare", "--rate", "5"], "a backlog has no --rate"),
    (["compare", "--load", "replay:path=x", "--rate", "5"], "takes its rate from the trace"),
    (["compare", "--load", "poison"], "did you mean poisson?"),
    (["compare", "--load", "poisson:rate=3"], "did you mean rate_per_s?"),
    (["compare", "--target", "foo"], "expected http://HOST"),
    (["compare", "--target", "http://127.0.0.1:1", "--items", "1"], "is the server running?"),
    (["compare", "--server", "nul", "--items", "1"], "paceline: --server nul: no such profile; known: constant"),
    (["compare", "--server", "gone.toml", "--items", "1"], "paceline: --server gone.toml: no such profile file"),
    (["simulate", "sweep", "--server", "my.toml"], "paceline: --server my.toml: no such profile file"),
    (
        ["serve", "mock", "--server", "fillmask"],
        "paceline: --server fillmask: no such profile; known: constant-120ms, ",
    ),
    (["serve", "mock", "--server", "fillmask"], "(did you mean fill-mask?)"),
    (["serve", "mock", "constant-120ms"], "a profile is named with --server constant-120ms"),
    (["worker", "--broker", "redis://127.0.0.1:1/0", "--server", "nul"], "--server nul: no such profile; known"),
    (["compare", "--input", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
    (["compare", "--input", "empty.jsonl"], "the file is empty"),
    (["compare", "--input", "a", "--synthetic", "constant"], "exclude each other"),
    (["run", "mixed", "--input", "empty.jsonl"], "one task; a mix of tasks has made-up texts"),
    (["compare", "--synthetic", "odd"], "is not one of constant, uniform, lognormal"),
    (["compare", "--synthetic", "constant:mean=-1"], "mean=-1.0 must be above 0"),
    (["compare", "--slo", "p99<x"], "--slo 'p99<x'"),
    (["compare", "--task", "similarty"], "did you mean similarity?"),
    (["compare", "--task", "annotate:max_tokens=-4"], "max_tokens=-4"),
    (["compare", "--timeout", "0"], "--timeout 0: must be above 0"),
    (["compare", "--retries", "1000"], "--retries 1000: must be between 0 and 100"),
    (["compare", "--rate-limit", "0"], "--rate-limit 0: must be above 0 and below 1000000"),
    (["compare", "--out", "file/x"], "--out file/x"),
    (["compare", "--itmes", "3"], "No such option"),
    (["report", "."], "not a run directory"),
    (["report", ".", "--format", "pdf"], "unknown format 'pdf'"),
    (["list", "nothing"], "'nothing' is not one of"),
    (["serve", "mock", "--port", "99999"], "99999"),
    (["--config", "none.toml", "list"], "none.toml: No such file"),
    (["list", "--config", "none.toml"], "none.toml: No such file"),
    (["list", "--config=none.toml"], "none.toml: No such file"),
    (["list", "--config"], "Option '--config' requires an argument"),
    (["compare", "--task", "similarity", "--task", "chat"], "--task: given 2 times, it takes one value"),
    (["compare", "--items", "5", "--items", "5", "--items", "6"], "--items: given 3 times"),
    (["compare", "--report", "--no-report"], "--report/--no-report: given 2 times"),
    (["run", "spike", "--rate", "5", "--rate", "6"], "--rate: given 2 times"),
    (["simulate", "sweep", "--load", "poisson"], "No such option"),
    (["simulate", "compare", "--seed", "1", "--seed", "2"], "--seed: given 2 times"),
    (["serve", "mock", "--server", "null", "-p", "demo"], "--server: given 2 times"),
    (["process", "x", "--output", "a", "--output", "b", "--target", "http://h"], "--output: given 2 times"),
    (["--config", "a", "--config", "b", "list"], "--config: given 2 times"),
    (["compare", "-s", "queue-stream:concurrency=3,concurrency=5"], "concurrency is given twice"),
    (
        ["compare", "--duration", "5 parsecs"],
        "'5 parsecs' is not a number of seconds, or a number with a unit: us, ms, s, min, h",
    ),
    (["compare", "--rate", "100/d"], "'100/d' is not a number per second, or a number with a unit: /s, /min, /h"),
    (["compare", "--timeout", "nan"], "'nan' is not a number of seconds"),
    (["serve", "model", "--queue-wait", "-1s"], "'-1s': must be at least 0 s"),
    (["gate", "--pairs", "0"], "'--pairs': 0: must be between 1 and 500"),
    (["fit", "--out", "x.toml", "--time", "2s"], "'--time': '2s': must be between 20 and 3600 s"),
    (["fit", "--out", "x.toml", "--time", "2h"], "'--time': '2h': must be between 20 and 3600 s"),
    (["compare", "--warmup", "soon"], "'soon' is not none, a number of seconds, or a number with a unit"),
    (["compare", "--rate", "fast"], "'fast' is not a number per second, or a number with a unit: /s, /min, /h"),
    (["compare", "--layer", "deadline:timeout_s=5parsecs"], "timeout_s='5parsecs' is not a number"),
    (["compare", "--input", "other.jsonl", "--items", "2"], "no line among the first 2 is an item"),
    (["compare", "--input", "other.jsonl"], "no line is an item of this task; line 1: "),
    (["compare", "--task", ""], "--task: the value is empty"),
    (["compare", "--out", ""], "--out: the value is empty"),
    (["compare", "-s", "sync", "-s", ""], "--strategy: the value is empty"),
    (["compare", "--target", "http://[::1"], "expected http://HOST"),
    (["compare", "-s", "adaptive:limit=nope"], "strategy adaptive: unknown limit 'nope': did you mean knee? known are"),
    (["compare", "-s", "priority:limit=aim"], "strategy priority: unknown limit 'aim'"),
    (
        ["compare", "--layer", "concurrency-limit"],
        "unknown layer 'concurrency-limit': did you mean rate-limit? known are cache, semantic",
    ),
    (["compare", "--layer", "cache:path=."], "layer cache: path='.' is a directory"),
    (["compare", "--synthetic", "constant:mean=1e9"], "mean=1000000000.0 must be between low=1 and high=2000"),
    (["compare", "--synthetic", "lognormal:sigma=1000"], "sigma=1000.0 must be between 0 and 10"),
    (["simulate", "compare", "--server", "dir"], "--server dir: no such profile; known"),
    (["report", "file"], "'file' is a file"),
    (
        ["process", "file", "--output", "o", "--target", "http://127.0.0.1:1", "--window", "0"],
        "--window 0: must be between 1 and 10000000",
    ),
    (["compare", "--layer", "rate-limit:burst=5"], "burst=5 is of the bucket that rate_per_s fills"),
    (["sweep", "--concurrency", "0:4:x2"], "--concurrency '0:4:x2': expected FIRST:LAST:xFACTOR"),
    (["sweep", "--concurrency", "1:4:x2", "--rate", "5"], "--concurrency and --rate exclude each other"),
    (["sweep", "--rate", "9:5:1"], "--rate '9:5:1': expected FIRST:LAST:xFACTOR"),
    (["sweep", "--rate", "5", "--items", "4"], "--items is for --concurrency"),
    (["sweep", "--rate", "5", "--arrivals", "nosuch"], "nosuch"),
    (["sweep", "-s", "sync"], "-s sync: has no setting `concurrency`; use queue-stream"),
    (["sweep", "-s", "queue-stream:concurrency=4"], "the sweep sets the concurrency"),
    (["sweep", "-s", "queue-stream", "-s", "unbounded"], "a sweep takes one strategy"),
    (["sweep", "--slo", "p99<5"], "p99 is a time and takes one of the units"),
    (["sweep", "--repeats", "auto"], "--repeats auto: a sweep needs a number of repeats"),
    (["sweep", "--repeats", "0"], "--repeats 0: must be between"),
    (["simulate", "sweep", "--items", "0"], "--items 0: must be between"),
    *(
        ([*command, option, value, "--target", "http://127.0.0.1:1"], f"{option} and --target exclude each other")
        for command in (["compare"], ["run", "steady"], ["sweep"], ["capacity", "--slo", "p99<1s"])
        for option, value in (("--server", "demo"), ("--server-speed", "2"))
    ),
    (
        ["gate", "--baseline-target", "http://127.0.0.1:1", "--candidate-cmd", "x {port}", "--server", "demo"],
        "--server and --candidate-cmd exclude each other",
    ),
    (["run", "file.py"], "a class of your own is package.module:Class"),
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
    (tmp_path / "other.jsonl").write_text('{"question": "x"}\n' * 5)
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
        ('[compare]\ntask = ["a", "b"]', "[compare]: task = ['a', 'b']: expected a text or a number"),
        ("[compare]\nitems = [1]", "[compare]: items = [1]: expected a text or a number"),
        ("quiet = 1", "quiet = 1: expected true or false"),
        ("[compare]\nstrategy = [1, {a = 2}]", "strategy = {'a': 2}: expected a text, or a list of texts"),
        ("seed = true", "seed = True: expected a text or a number"),
        ("rate-limit = 1\nrate_limit = 2", "paceline.toml: rate-limit and rate_limit are the same option"),
        ("[run]\nlag_tolerance = 1\nlag-tolerance = 1", "[run]: lag_tolerance and lag-tolerance are the same option"),
        ('[compare]\ntask = ""', "paceline.toml: [compare]: task: the value is empty"),
        ('[run]\nduration = "soon"', "paceline.toml: [run]: duration = 'soon': 'soon' is not a number of seconds"),
        ("[gate]\npairs = 0", "paceline.toml: [gate]: pairs = 0: 0: must be between 1 and 500"),
    ],
)
def test_a_bad_project_file_is_reported(
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
    path.write_text(
        'seed = 7\nrate-limit = 3\njson = true\n[compare]\nstrategy = "sync"\nseed = 8\nrate_limit = "4/s"\n'
    )
    found = read(path)
    assert found["compare"] == {"seed": "8", "rate_limit_per_s": "4/s", "strategies": ["sync"], "as_json": True}
    assert found["run"] == {"seed": "7", "rate_limit_per_s": "3", "as_json": True}
    assert found["list"] == {"as_json": True}


def test_a_number_of_the_project_file_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is checked as one on the command line is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paceline.toml").write_text("items = 1.5\n")
    code, _, err = run(capsys, "compare", "-s", "sync")
    assert code == 2
    assert "'1.5' is not a valid integer" in err


@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        ("[compare]\nitems = 0", [], "--items 0: must be between 1 and 1e+12 (set in paceline.toml: [compare]: items)"),
        ("items = 0", [], "(set in paceline.toml: items)"),
        ("[compare]\nrate_limit = -1", [], "(set in paceline.toml: [compare]: rate_limit)"),
        (
            '[compare]\nstrategy = ["sync", "snc"]',
            [],
            "a class of your own is package.module:Class (set in paceline.toml: [compare]: strategy)",
        ),
        ('[compare]\nslo = "p98<1s"', [], "(set in paceline.toml: [compare]: slo)"),
        (
            "[compare]\nusers = 0\nitems = 5",
            [],
            "--users 0: must be between 1 and 10000 (set in paceline.toml: [compare]: users)",
        ),
        ("[compare]\nitems = 5", ["--users", "0"], "--users 0: must be between 1 and 10000\n"),
        ("items = 20", ["--users", "0"], "--users 0: must be between 1 and 10000\n"),
        # The value of the file is not used.
        ("[compare]\nitems = 0", ["--items", "5", "--users", "0"], "--users 0: must be between 1 and 10000\n"),
        (
            '[compare]\nitems = "a"',
            ["--items", "5"],
            "paceline.toml: [compare]: items = 'a': 'a' is not a valid integer",
        ),
    ],
)
def test_a_wrong_value_of_the_project_file_is_named_with_its_place(
    text: str,
    given: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """File, table and key; a value that the command line replaces is checked for its form alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paceline.toml").write_text(text)
    code, _, err = run(capsys, "compare", *given)
    assert code == 2
    assert says in err


def test_a_value_for_all_commands_is_refused_by_those_that_it_does_not_suit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """20 items are too few for the demo, and enough for others."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paceline.toml").write_text("items = 20")
    code, _, err = run(capsys, "demo")
    assert code == 2
    assert "20: must be between 50 and 100000 (set in paceline.toml: items)" in err
    assert run(capsys, "list")[0] == 0


def test_a_directory_of_runs_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as the one of a demo, or of a gate that was killed."""
    for side in ("candidate", "baseline"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "plan.json").touch()
    code, _, err = run(capsys, "report", str(tmp_path))
    assert code == 2
    assert f"(it has no plan.json); runs in it: {tmp_path / 'baseline'}, {tmp_path / 'candidate'}" in err


@pytest.mark.parametrize("words", [[], ["serve"]])
def test_a_command_alone_shows_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As help, which is no error line."""
    code, out, err = run(capsys, *words)
    assert code == 2
    assert (out + err).startswith("Usage: paceline")


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
    from harness.cli.command import PluginName

    assert PluginName("strategy").shell_complete(None, None, "nothing:x") == []  # type: ignore[arg-type] # unused


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has one, and the version is known."""
    for name in COMMANDS:
        code, out, _ = run(capsys, name, "--help")
        assert code == 0
        assert "Usage" in out
    assert run(capsys, "--version")[0] == 0


def test_a_fault_of_our_own_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, with the traceback for the developer; Ctrl-C is 5; a closed pipe is nothing."""

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
        (None, "–"),
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


def test_flags_and_repeatable_options_may_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """They say the same, or more."""
    command = ["simulate", "compare", "--no-report", "--no-report", "-s", "sync", "-s", "threads", "--items", "x"]
    assert "'x' is not a valid integer" in run(capsys, *command)[2]
    code, out, _ = run(capsys, "list", "loads", "--json", "--json")
    assert code == 0
    assert json.loads(out)


def test_every_command_refuses_what_is_given_twice() -> None:
    """Also a command that is added later."""
    import click

    from harness.cli.command import Command, Group

    for name in COMMANDS:
        command = _command(name)
        parts = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
        assert all(isinstance(part, (Command, Group)) for part in parts), name


def test_every_duration_and_rate_takes_a_unit() -> None:
    """No option in seconds or per second is a bare number, on whatever command."""
    import click

    from harness.cli.command import Quantity

    names = {
        "rate",
        "duration",
        "timeout_s",
        "rate_limit_per_s",
        "deadline_s",
        "drain_s",
        "patience_s",
        "network_delay",
    }
    names |= {
        "queue_wait_s",
        "linger_s",
        "warm_up_s",
        "body_timeout_s",
        "keep_alive_s",
        "job_keep_s",
        "job_retry_delay_s",
    }
    found = set()
    for name in COMMANDS:
        command = _command(name)
        parts = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for option in (parameter for part in parts for parameter in part.params if parameter.name in names):
            assert isinstance(option.type, Quantity), (name, option.name)
            found.add(option.name)
    assert found == names


def test_a_profiles_own_seed_and_speed_hold_unless_an_option_says_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--server-speed` multiplies the profile's; `--seed` replaces the profile's, which is another server otherwise."""

    def played(seed: int, *options: str) -> tuple[float, str]:
        (tmp_path / "own.toml").write_text(
            f'seed = {seed}\nspeed = 4\n[service]\nbase_s = 0.4\njitter = {{ kind = "lognormal", cv = 0.5 }}\n'
        )
        line = [
            "simulate",
            "compare",
            "-s",
            "queue-stream:concurrency=4",
            "--items",
            "40",
            "--no-report",
            "--overwrite",
        ]
        code, out, err = run(
            capsys, *line, "--server", str(tmp_path / "own.toml"), "--out", str(tmp_path / "run"), "--json", *options
        )
        assert code in {0, 5}, err
        result = json.loads(out)
        return result["cases"][0]["makespan_s"], next(iter(result["environment"]["records_sha256"].values()))

    (plain, seven), (_, eight) = played(7), played(8)
    assert seven != eight
    assert played(7, "--seed", "3") == played(8, "--seed", "3")
    assert played(7, "--server-speed", "1") == (plain, seven)
    assert played(7, "--server-speed", "2")[0] == pytest.approx(plain / 2, rel=0.01)


def test_serve_mock_and_an_embedded_one_pass_only_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a seed nor a speed that nobody asked for."""
    import mock_server.main
    from harness.base.options import filled
    from mock_server.main import MockOptions

    given: list[MockOptions] = []
    monkeypatch.setattr(mock_server.main, "run", lambda values, *names: given.append(filled(MockOptions, values)) or 0)
    for line in (["serve", "mock"], ["serve", "mock", "--seed", "3", "--speed", "2"]):
        with pytest.raises(SystemExit):
            main(line)
    assert given == [MockOptions(), MockOptions(seed=3, speed=2.0)]
    assert _command("compare").make_context("compare", []).params["seed"] is None


def _command(name: str) -> Any:
    from harness.cli.config import _command as command

    return command(name)


@pytest.mark.parametrize(
    "wrong",
    [
        ["-s", "no-such-strategy"],
        ["-s", "queue-stream:concurrency=x"],
        ["-s", "sync", "--layer", "no-such-layer"],
        ["-s", "sync", "--slo", "p99<5"],
        ["-s", "sync", "--items", "0"],
        ["-s", "sync", "--target", "http://127.0.0.1:9"],
    ],
)
def test_a_mistake_deletes_nothing_of_the_run_that_would_be_overwritten(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything is checked before the first file goes."""
    (tmp_path / "records").mkdir()
    files = [tmp_path / "plan.json", tmp_path / "result.json", tmp_path / "records" / "old.requests"]
    for path in files:
        path.write_text("old")
    code, _, err = run(capsys, "compare", *wrong, "--out", str(tmp_path), "--overwrite")
    assert code == 2, err
    assert [path.read_text() for path in files] == ["old"] * 3


def test_a_simulation_that_takes_no_time_at_all_has_a_timeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three answers within a nanosecond: no division by zero."""
    line = ["simulate", "compare", "--network", "memory", "--items", "3", "-s", "sync", "--server", "null"]
    code, _, err = run(capsys, *line, "--no-report", "--out", str(tmp_path / "run"))
    assert (code, "Warning" in err) == (0, False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("simulated:", "mock server 'demo' (simulated in virtual time)\n"),
        ("http://127.0.0.1:1", "mock server 'demo' at http://127.0.0.1:1 (simulated in virtual time)\n"),
    ],
)
def test_the_progress_names_an_address_only_where_there_is_one(
    url: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(quiet=False) as progress:
        progress("target", {"url": url, "profile": "demo", "note": "simulated in virtual time"})
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("more", [{}, {"side": "candidate"}])
def test_the_client_ceilings_are_shown_also_of_a_side_of_a_gate(
    more: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(quiet=False) as progress:
        progress("calibrated", {"ceilings": {"aiohttp": 2000.0}, **more})
    assert capsys.readouterr().err == "client ceiling: aiohttp 2,000/s\n"


def test_an_error_is_one_line_whatever_its_values_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks and escape sequences of a file are shown as such, and a long value is cut."""
    (tmp_path / "t.toml").write_text(
        'path = "/a"\nbody = { t = "{{ text }}" }\nanswer = "a\\n\\u001b[31m' + "b" * 5000 + '"\n'
    )
    code, _, err = run(capsys, "check", "--target", "http://127.0.0.1:1", "--http", str(tmp_path / "t.toml"))
    assert (code, err.count("\n")) == (2, 1)
    assert "\x1b" not in err
    assert len(err) < 2100


def test_a_server_in_the_project_file_gives_way_to_a_target_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other way round --server would be dropped silently."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paceline.toml").write_text('server = "demo"\n')
    target = ["--target", "http://127.0.0.1:1"]
    _, _, err = run(capsys, "compare", "-s", "sync", *target)
    assert "exclude each other" not in err
    (tmp_path / "paceline.toml").write_text('target = "http://127.0.0.1:1"\n')
    code, _, err = run(capsys, "compare", "-s", "sync", "--server", "demo")
    assert code == 2
    assert "--server and --target exclude each other" in err
    assert "(set in paceline.toml: target)" in err
