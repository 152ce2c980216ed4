"""Mistakes about data on the command line: one clear line, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_cli import run

PROCESS = ["process", "--output", "out.jsonl", "--target", "http://127.0.0.1:9", "--task"]
COMPARE = ["simulate", "compare", "-s", "sync"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files to make mistakes with."""
    (tmp_path / "t.csv").write_text("id,body\n1,a\n")
    (tmp_path / "latin.csv").write_bytes("é,body\n1,a\n".encode("latin-1"))
    (tmp_path / "wide.csv").write_text("id,body\n1,a\n", encoding="utf-16")
    (tmp_path / "broken.j2").write_text("{{ body")
    (tmp_path / "good.j2").write_text("{{ body }}")
    (tmp_path / "other.j2").write_text("{{ text }}")
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    (tmp_path / "cut.jsonl").write_text("[1,2\n")
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*PROCESS, "chat", "t.csv", "--template", "broken.j2"], "--template broken.j2, line 1"),
        ([*PROCESS, "chat", "t.csv", "--template", "none.j2"], "none.j2: No such file"),
        ([*PROCESS, "chat", "t.csv", "--template", "other.j2"], "uses the column 'text', which t.csv does not have"),
        ([*PROCESS, "chat", "t.csv", "--map", "prompt=text"], "t.csv has no such column; it has id, body"),
        ([*PROCESS, "chat", "t.csv", "--id-field", "key"], "--id-field key: t.csv has no such column; it has id, body"),
        (
            [*PROCESS, "similarity", "t.csv", "--map", "text=body"],
            "--map text=...: the task similarity has no field text; did you mean text",
        ),
        ([*PROCESS, "annotate", "t.csv", "--map", "tekst=body"], "the task annotate has no field tekst; did you mean"),
        ([*PROCESS, "chat", "t.csv", "--where", "body =="], "--where 'body =='"),
        ([*PROCESS, "chat", "t.csv", "--where", "lang == 1"], "--where uses the column 'lang'"),
        (
            [*PROCESS, "chat", "t.csv", "u.csv"],
            "u.csv: No such file or directory",
        ),
        ([*PROCESS, "chat", "t.csv", "--param", "heat=2"], "heat is no parameter of the task chat"),
        ([*PROCESS, "chat", "t.csv", "--param", "temperture=0"], "the task chat; did you mean temperature? it has"),
        ([*PROCESS, "chat", "t.csv", "--map", "text=a", "id=b"], "id=b: is no option and no file; write --map id=b if"),
        (["check", "--map", "text=a", "id=b"], "id=b: is no option and no file; write --map id=b if it belongs there"),
        ([*PROCESS, "chat", "t.csv", "--param", "tools=@none.json"], "none.json: No such file"),
        ([*PROCESS, "annotate", "t.csv", "--system", "Be kind."], "--system: belongs to the tasks chat and responses"),
        ([*PROCESS, "annotate", "t.xlsx"], "t.xlsx: .xlsx is not read; allowed are"),
        ([*PROCESS, "annotate", "t.parquet"], "t.parquet: is not Parquet, or is damaged"),
        ([*PROCESS, "annotate", "empty"], "empty: has no file"),
        ([*PROCESS, "annotate", "latin.csv"], "name its encoding, such as --encoding latin-1"),
        ([*PROCESS, "annotate", "wide.csv"], "is not UTF-8 but UTF-16"),
        ([*PROCESS, "annotate", "t.csv", "--encoding", "latin-77"], "--encoding latin-77: is not known"),
        ([*PROCESS, "annotate", "t.csv", "--delimiter", "::"], "--delimiter '::': must be one ASCII character"),
        ([*PROCESS, "annotate", "t.csv", "--input-format", "xml"], "'xml' is not one of"),
        ([*PROCESS, "annotate", "-", "--input-format", "parquet"], "standard input is JSONL, CSV or TSV"),
        ([*PROCESS, "annotate", "t.csv", "--output", "a.xlsx"], "--output: given 2 times"),
        (["process", "t.csv", "--output", "a.csv.gz", "--target", "http://h"], "a table is written unpacked"),
        ([*COMPARE, "--input", "cut.jsonl"], "is an item of this task; line 1: Input data was truncated"),
        ([*COMPARE, "--input", "list.jsonl"], "line 1: expected a JSON object, got a list"),
        ([*COMPARE, "--template", "good.j2"], "--template needs --input"),
        ([*COMPARE, "--encoding", "latin-1"], "--encoding needs --input"),
        (
            [*COMPARE, "--task", "chat", "--param", "seed=1"],
            "--param needs --input: it completes rows of that file. Made-up items have --task NAME:seed=1",
        ),
        (
            [*COMPARE, "--task", "embed", "--input", "t.csv", "--param", "seed=1"],
            "--param seed=1: the task embed has no parameters",
        ),
        ([*COMPARE, "--task", "chat", "--input", "t.csv", "--map", "prompt=x"], "t.csv has no such column"),
        ([*COMPARE, "--task", "chat", "--input", "t.csv", "--where", "id == '9'"], "holds for no row"),
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
    assert sorted(folder.rglob("*")) == before
