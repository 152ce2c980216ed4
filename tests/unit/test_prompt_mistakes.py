"""Mistakes about made-up prompts on the command line: one clear line, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_cli import run

COMPARE = ["simulate", "compare", "-s", "sync", "--task", "chat"]
PROMPTS = [*COMPARE, "--input-tokens", "100"]

OWN = """
path = "/v1/completions"
answer = "/choices/0/text"
[body]
prompt = "{{ prompt }}"
max_tokens = "{{ max_tokens:integer }}"
[usage]
prompt_tokens = "/usage/prompt_tokens"
completion_tokens = "/usage/completion_tokens"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files to make mistakes with."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "two.csv").write_text("a,b\n1,2\n")
    (tmp_path / "zero.csv").write_text("input_tokens\n7\n0\n")
    (tmp_path / "words.csv").write_text("input_tokens\nmany\n")
    (tmp_path / "none.csv").write_text("input_tokens\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "fixed.toml").write_text(OWN.replace('"{{ max_tokens:integer }}"', "16"))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> list[Path]:
    """All files."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tokens(text: str) -> list[str]:
    """These lengths of prompts."""
    return [*COMPARE, "--input-tokens", text]


MISTAKES = [
    (tokens("0"), "--input-tokens 0: tokens=0 must be between 1 and 1000000"),
    (tokens("1000001"), "tokens=1000001 must be between 1 and 1000000"),
    (tokens("12.5"), "--input-tokens 12.5: is not a number such as 512, or normal:mean=,stdev="),
    (tokens("many"), "--input-tokens many: is not a number such as 512"),
    (tokens("gauss:mean=5"), "unknown distribution 'gauss': known are constant, normal, lognormal, uniform, file"),
    (tokens("norml:mean=5"), "did you mean normal"),
    (tokens("normal:stdev=5"), "--input-tokens normal: needs mean"),
    (tokens("normal:mean=9,stdev=wide"), "--input-tokens normal: stdev='wide' is not a number"),
    (tokens("normal:mean=9,stdev=-1"), "--input-tokens normal: stdev=-1.0 must be between 0 and 1000000"),
    (tokens("normal:mean=9,stdev=1,min=20"), "mean=9.0 must be between 20 and 1000000"),
    (tokens("normal:mean=9,std=1"), "unknown setting 'std': did you mean stdev"),
    (tokens("normal:mean=9,mean=8"), "mean is given twice"),
    (tokens("lognormal:mean=nan"), "mean=nan must be between 1 and 1000000"),
    (tokens("lognormal:mean=9,sigma=6"), "sigma=6.0 must be between 0 and 5"),
    (tokens("uniform:min=9,max=3"), "--input-tokens uniform: max=3 must be at least min=9"),
    (tokens("uniform:min=9"), "--input-tokens uniform: needs max"),
    (tokens("file:"), "is not file:FILE or file:FILE,column=NAME"),
    (tokens("file:gone.csv"), "--input-tokens file:gone.csv: no such file"),
    (tokens("file:two.csv"), "line 2: which column has the lengths? add ,column=NAME; there are a, b"),
    (tokens("file:two.csv,column=c"), "line 2: has no column 'c'; there are a, b"),
    (tokens("file:zero.csv"), "line 3: input_tokens='0' must be a whole number between 1 and 1000000"),
    (tokens("file:words.csv"), "input_tokens='many' must be a whole number"),
    (tokens("file:none.csv"), "file:none.csv: has no lengths"),
    (tokens("file:empty.csv"), "empty.csv: is empty"),
    ([*COMPARE, "--output-tokens", "9"], "--output-tokens needs --input-tokens"),
    ([*COMPARE, "--prefix-tokens", "9"], "--prefix-tokens needs --input-tokens"),
    ([*COMPARE, "--tokenizer", "tokenizer.json"], "--tokenizer needs --input-tokens"),
    ([*PROMPTS, "--output-tokens", "-3"], "--output-tokens -3: tokens=-3 must be between 1"),
    ([*PROMPTS, "--prefix-pool", "4"], "--prefix-pool needs --prefix-tokens"),
    ([*PROMPTS, "--prefix-share", "0.5"], "--prefix-share needs --prefix-tokens"),
    ([*PROMPTS, "--prefix-tokens", "0"], "--prefix-tokens 0: must be between 1 and 1000000"),
    ([*PROMPTS, "--prefix-tokens", "101"], "--prefix-tokens 101: a prompt has 100 tokens in the mean"),
    ([*PROMPTS, "--prefix-tokens", "9", "--prefix-pool", "0"], "--prefix-pool 0: must be between 1 and 1000000000"),
    ([*PROMPTS, "--prefix-tokens", "9", "--prefix-share", "1.5"], "'1.5' is not a share such as 5% or 0.05"),
    ([*PROMPTS, "--ignore-eos", "yes"], "--ignore-eos needs --output-tokens"),
    ([*PROMPTS, "--output-tokens", "9", "--ignore-eos", "maybe"], "'maybe' is not one of 'auto', 'yes', 'no'"),
    ([*PROMPTS, "--input", "rows.jsonl"], "--input and --input-tokens exclude each other"),
    ([*PROMPTS, "--synthetic", "constant:mean=9"], "--synthetic and --input-tokens exclude each other"),
    ([*PROMPTS, "--map", "prompt=a"], "--map needs --input: made-up prompts (--input-tokens) have no columns"),
    ([*PROMPTS, "--system", "Be brief."], "--system needs --input: prompts are made up by their lengths"),
    ([*PROMPTS, "--where", "a > 1"], "--where needs --input: prompts are made up by their lengths"),
    ([*PROMPTS, "--param", "colour=1"], "--param colour=1: colour is no parameter of the task chat"),
    (
        [*PROMPTS, "--output-tokens", "9", "--param", "max_tokens=4"],
        "--param max_tokens and --output-tokens exclude each other: both set the length of answers",
    ),
    ([*PROMPTS, "--tokenizer", "gone"], "--tokenizer gone: no such file"),
    ([*PROMPTS, "--tokenizer", "folder"], "--tokenizer folder: no such file; give the tokenizer.json"),
    ([*PROMPTS, "--tokenizer", "tokenizer.json"], "--tokenizer tokenizer.json: is no tokenizer.json"),
    ([*COMPARE[:-2], "--input-tokens", "9"], "--input-tokens: the task similarity takes no prompt (text1"),
    ([*COMPARE[:-1], "embed", "--input-tokens", "9", "--output-tokens", "9"], "the task embed sends no max_tokens"),
    ([*COMPARE[:-2], "--http", "own.toml", "--input-tokens", "9"], "the task own needs max_tokens, too; add --output"),
    (
        [*COMPARE[:-2], "--http", "fixed.toml", "--input-tokens", "9", "--output-tokens", "9"],
        "--output-tokens: the task fixed sends no max_tokens",
    ),
    (tokens("9000"), "a prompt of 9000 words, to calibrate lengths before the load, failed: HTTP 400"),
    ([*COMPARE[:-1], "annotate", "--input-tokens", "9"], "the task annotate have no usage.prompt_tokens"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, where, and what is allowed; nothing is written."""
    before = files(folder)
    code, _, err = run(capsys, *arguments)
    assert code == 2, err
    assert said in err
    assert len([line for line in err.splitlines() if line.startswith("paceline:")]) == 1
    assert "Traceback" not in err
    assert files(folder) == before
