"""Mistakes about traces on the command line: one clear line, exit code 2."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.unit.test_cli import run

MOONCAKE = '{"timestamp": %s, "input_length": %s, "output_length": %s, "hash_ids": %s}\n'
GOOD = MOONCAKE % (0, 100, 5, [1]) + MOONCAKE % (500, 600, 5, [1, 2])
FILES = {
    "good.jsonl": GOOD,
    "empty.jsonl": "",
    "blank.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n",
    "other.csv": "time,words\n1,2\n",
    "negative.jsonl": MOONCAKE % (-5, 100, 5, []),
    "late.jsonl": MOONCAKE % (900, 100, 5, []) + MOONCAKE % (100, 100, 5, []),
    "huge.jsonl": GOOD + MOONCAKE % (900, 10**9, 5, []),
    "minus.jsonl": GOOD + MOONCAKE % (900, 100, -1, []),
    "half.jsonl": GOOD + MOONCAKE % (900, 100.5, 3, []),
    "word.jsonl": GOOD + MOONCAKE % ('"soon"', 100, 5, []),
    "ids.jsonl": GOOD + MOONCAKE % (900, 100, 5, "[1.5]"),
    "noids.jsonl": GOOD + MOONCAKE % (900, 100, 5, "7"),
    "one.jsonl": MOONCAKE % (0, 100, 5, [1]),
    "none.jsonl": MOONCAKE % (0, 0, 0, []),
    "gap.jsonl": GOOD + '{"timestamp": 900, "output_length": 3}\n',
    "cut.jsonl": GOOD + '{"timestamp": 9',
    "date.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00,10,5\nMonday,10,5\n",
    "own.csv": "ts,in,out\n105,10,5\n106,10,5\n",
    "wide.csv": "Timestamp,Model,Request tokens,Response tokens\n1,GPT-4,5\n",
    "long.csv": "Timestamp,Request tokens,Response tokens\n0,9,5\n9e7,9,5\n",
}
PLAY = ["simulate", "compare", "-s", "sync", "--task", "chat", "--trace"]
RUN = ["run", "replay"]
OWN = "arrival=ts,input=in,output=out"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with traces to make mistakes with."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(GOOD.encode() * 50)[:60])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*RUN], "the scenario replay needs --trace FILE"),
        ([*PLAY, "missing.jsonl"], "--trace missing.jsonl: No such file"),
        ([*PLAY, "empty.jsonl"], "--trace empty.jsonl: is empty"),
        ([*PLAY, "blank.csv"], "--trace blank.csv: is empty"),
        ([*PLAY, "none.jsonl"], "--trace none.jsonl: no row with tokens in it"),
        ([*PLAY, "-"], "--trace -: a trace is read more than once; give a file"),
        ([*PLAY, "other.csv"], "its columns (time, words) are those of no known form (mooncake: timestamp,"),
        ([*PLAY, "good.jsonl", "--trace-format", "azure"], "good.jsonl has no column 'TIMESTAMP' and none"),
        ([*PLAY, "good.jsonl", "--trace-format", "vllm"], "'vllm' is not one of 'mooncake', 'burstgpt'"),
        ([*PLAY, "negative.jsonl"], "negative.jsonl, line 1: timestamp=-5 must be 0 or more"),
        ([*PLAY, "late.jsonl"], "line 2: timestamp=100 is before the row above; --trace-sort sorts the trace"),
        ([*PLAY, "huge.jsonl"], "line 3: input_length=1000000000 must be a whole number between 0 and 1000000"),
        ([*PLAY, "minus.jsonl"], "line 3: output_length=-1 must be a whole number between 0 and"),
        ([*PLAY, "half.jsonl"], "line 3: input_length=100.5 must be a whole number between 0 and"),
        ([*PLAY, "word.jsonl"], "line 3: timestamp='soon' is not a number"),
        ([*PLAY, "ids.jsonl"], "line 3: hash_ids: 1.5 is no id of a block"),
        ([*PLAY, "noids.jsonl"], "line 3: hash_ids=7 is not a list of at most"),
        ([*PLAY, "gap.jsonl"], "line 3: input_length is missing"),
        ([*PLAY, "cut.jsonl"], "cut.jsonl, line 3: Input data was truncated"),
        ([*PLAY, "date.csv"], "date.csv, line 3: TIMESTAMP='Monday' is not a date and time such as 2024-05-10"),
        ([*PLAY, "wide.csv"], "wide.csv, line 2: has 3 values, where the header names 4 columns"),
        ([*PLAY, "torn.jsonl.gz"], "torn.jsonl.gz: the input breaks off in the middle of its gzip data"),
        ([*PLAY, "long.csv"], "long.csv: takes 2083.3 days, of at most 10; cut it with --trace-until"),
        (
            [*PLAY, "own.csv", "--columns", OWN],
            "the unit of 'ts' is unknown (its first value is 105); give",
        ),
        ([*PLAY, "own.csv", "--columns", "arrival=ts"], "--columns: input and output missing; needed are arrival"),
        ([*PLAY, "own.csv", "--columns", "arrival=at,input=in,output=out"], "own.csv has no such column; it has ts"),
        ([*PLAY, "own.csv", "--columns", f"{OWN},user=u"], "'user' is no field of a trace; fields are arrival"),
        ([*PLAY, "own.csv", "--columns", f"{OWN},input=ts"], "input is given twice"),
        ([*PLAY, "own.csv", "--columns", "ts"], "'ts' is not FIELD=COLUMN"),
        ([*PLAY, "good.jsonl", "--columns", OWN, "--trace-format", "azure"], "--trace-format azure has columns of its"),
        ([*PLAY, "good.jsonl", "--speed", "0"], "--speed 0: must be between 0.001 and 1000000"),
        ([*PLAY, "good.jsonl", "--speed", "fast"], "'fast' is not a valid float"),
        (
            [*PLAY, "good.jsonl", "--trace-from", "9"],
            "no arrival between 9 s and its end; its arrivals are within 500 ms",
        ),
        (
            [*PLAY, "good.jsonl", "--trace-from", "2", "--trace-until", "1"],
            "--trace-until 1: must be after",
        ),
        ([*PLAY, "good.jsonl", "--trace-repeat", "0"], "--trace-repeat 0: must be between 1 and 10000"),
        ([*PLAY, "good.jsonl", "--trace-repeat", "2", "--trace-bootstrap", "9"], "exclude each other"),
        ([*PLAY, "one.jsonl", "--trace-bootstrap", "1h"], "all arrivals of the trace are at one instant"),
        ([*PLAY, "good.jsonl", "--trace-bootstrap", "1e9"], "--trace-bootstrap 1e+09: must be between"),
        ([*PLAY, "good.jsonl", "--trace-block", "9"], "--trace-block needs --trace-bootstrap"),
        ([*PLAY, "good.jsonl", "--rate", "5"], "--rate: a trace has its own rate; --speed scales it"),
        (
            [*PLAY, "good.jsonl", "--param", "max_tokens=4"],
            "--param max_tokens and --trace exclude each other: both set the length of answers",
        ),
        ([*PLAY, "good.jsonl", "--load", "poisson"], "--load and --trace exclude each other"),
        ([*PLAY, "good.jsonl", "--input", "good.jsonl"], "--input and --trace exclude each other"),
        ([*PLAY, "good.jsonl", "--synthetic", "constant"], "--synthetic and --trace exclude each other"),
        ([*PLAY, "good.jsonl", "--map", "a=b"], "the columns of a trace are named with --columns"),
        ([*PLAY, "good.jsonl", "--task", "similarity"], "--task: given 2 times"),
        ([*PLAY[:-3], "--task", "similarity", "--trace", "good.jsonl"], "task similarity takes no prompts of a trace"),
        ([*RUN, "--trace", "good.jsonl", "--trace-sessions", "closed", "--users", "2"], "closed needs 1"),
        (
            ["simulate", "compare", "--speed", "2"],
            "--speed 2: needs --trace; --server-speed is the speed of",
        ),
        (["simulate", "compare", "--trace-until", "2"], "--trace-until needs --trace"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, where, and what is allowed; nothing is written."""
    before = sorted(folder.rglob("*"))
    code, _, err = run(capsys, *arguments)
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
    assert err.count("\n") == 1 or "Usage:" in err, err
    assert sorted(folder.rglob("*")) == before
