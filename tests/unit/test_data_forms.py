"""Forms of input files: each gives the same rows, or says in one line what is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.load import forms
from harness.load.rows import RowReader
from harness.load.workloads.jsonl import Jsonl

ROWS: list[dict[str, Any]] = [
    {"id": "1", "text": 'say "hi",\nthen; go'},
    {"id": "2", "text": "né à Åre\t|"},
    {"id": "3", "text": "x" * 300},
]


def of(path: Path, **more: Any) -> list[str]:
    """The texts of the file's items."""
    rows = Jsonl(path, reading=InputSettings(**more))
    found = [data for _, data, _ in rows.rows(plugins.make("task", "embed"))]
    assert rows.bad_lines == 0, rows.first_bad_line
    return found


def table(delimiter: str) -> str:
    """The rows as CSV."""
    text = io.StringIO(newline="")
    out = csv.DictWriter(text, ["id", "text"], delimiter=delimiter)
    out.writeheader()
    out.writerows(ROWS)
    return text.getvalue()


def arrow_table() -> Any:
    """The rows as an Arrow table."""
    return pytest.importorskip("pyarrow").Table.from_pylist(ROWS)


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("a.csv", table(";").encode("utf-8-sig"), {}),
        ("a.csv", table("^").encode(), {"delimiter": "^"}),
        ("a.dat", table("\t").encode("latin-1"), {"input_format": "csv", "delimiter": "tab", "encoding": "latin-1"}),
        ("a.csv.gz", gzip.compress(table(",").encode("utf-16")), {"encoding": "utf-16"}),
        ("a.json", json.dumps(ROWS, indent=2, ensure_ascii=False).encode(), {}),
        ("a.json", ("\n".join(map(json.dumps, ROWS))).encode(), {}),
    ],
)
def test_a_text_file_of_each_form_gives_the_same_rows(
    name: str, data: bytes, options: dict[str, Any], tmp_path: Path
) -> None:
    """Quoted line breaks, byte order marks, delimiters, encodings, packing."""
    (tmp_path / name).write_bytes(data)
    assert of(tmp_path / name, **options) == [row["text"] for row in ROWS]


def test_a_text_has_an_item_a_line(tmp_path: Path) -> None:
    """Blank lines are no items."""
    (tmp_path / "a.txt").write_bytes("one\r\n\r\nné\n".encode())
    assert of(tmp_path / "a.txt") == ["one", "né"]


def test_an_array_may_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An element, an escape and a letter of several bytes may lie on both sides of a read."""
    (tmp_path / "a.json").write_text("  " + json.dumps(ROWS, ensure_ascii=False))
    monkeypatch.setattr("harness.load.lines.READ_BYTES", 1)
    assert of(tmp_path / "a.json") == [row["text"] for row in ROWS]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "stream.arrow"])
def test_a_table_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    """Parquet, and both forms of Arrow."""
    found, path = arrow_table(), tmp_path / name
    if name == "a.parquet":
        pytest.importorskip("pyarrow.parquet").write_table(found, path)
    else:
        ipc = pytest.importorskip("pyarrow.ipc")
        with (ipc.new_stream if name == "stream.arrow" else ipc.new_file)(str(path), found.schema) as out:
            out.write_table(found)
    assert of(path) == [row["text"] for row in ROWS]


def test_a_table_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line with the command."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'a.parquet: needs the package pyarrow: pip install "paceline\[parquet\]"'):
        Jsonl(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "data", "options", "said"),
    [
        ("a.xlsx", b"PK", {}, ".xlsx is not read; allowed are JSONL"),
        ("a.csv", b"", {}, "is empty; the first line must hold the names of columns"),
        ("a.csv", b"a,a\n1,2\n", {}, "the column 'a' is there twice"),
        ("a.csv", b'a,"b\n', {}, "the line with the names of columns is not CSV"),
        ("a.csv", b"\xe9,b\n1,2\n", {}, "is not UTF-8; name its encoding, such as --encoding latin-1"),
        ("a.csv", "text\nx\n".encode("utf-16"), {}, "is not UTF-8 but UTF-16"),
        ("a.csv", b"text\nx\xff\n", {"encoding": "ascii"}, "is not ascii, as --encoding says"),
        ("a.csv", b"text\nx\n", {"encoding": "klingon"}, "--encoding klingon: is not known"),
        ("a.csv", b"text\nx\n", {"encoding": "hex"}, "--encoding hex: is not known"),
        ("a.csv", b"text\nx\n", {"delimiter": "ab"}, "--delimiter 'ab': must be one ASCII character"),
        ("a.jsonl", b"{}\n", {"delimiter": ";"}, "is read as jsonl, which has none"),
        ("a.jsonl", b"{}\n", {"input_format": "xml"}, "--input-format xml: must be one of jsonl"),
        ("a.json", b'[{"text": "a"}, {"text": ', {}, "its JSON array is broken after row 1"),
        ("a.json", b'[{"text": "a"} {"text": "b"}]', {}, "its JSON array is broken after row 1"),
        ("a.json", b"[]", {}, "the file is empty"),
        ("a.json", b'[{"text": "\xe9"}]', {}, "is not UTF-8; name its encoding"),
        ("a.txt", b"\xe9\n", {}, "line 1 is not UTF-8; name its encoding"),
        ("a.parquet", b"PAR1 but not really PAR1", {}, "is not Parquet, or is damaged"),
        ("a.arrow", b"ARROW?", {}, "is not Arrow, or is damaged"),
        ("a.parquet.gz", b"", {}, "Parquet is packed inside already; unpack the file first"),
        ("a.parquet", b"", {"encoding": "latin-1"}, "which is no text"),
    ],
)
def test_a_mistake_is_one_line(name: str, data: bytes, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    """What, where, and what is allowed."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as refused:
        of(tmp_path / name, **options)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_standard_input_is_no_table() -> None:
    """It cannot be read from its end."""
    with pytest.raises(UsageError, match="standard input is JSONL, CSV or TSV; give a file"):
        forms.form_of("-", InputSettings(input_format="parquet"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows_of_a_table(tmp_path: Path) -> None:
    """A small form of tests/bench/data_memory.py: all in one group, read in a process of its own."""
    pytest.importorskip("pyarrow")
    from tests.bench import data_memory

    path = tmp_path / "a.parquet"
    data_memory.write(path, 60_000)
    command = [sys.executable, "-m", "tests.bench.data_memory", "--read", str(path)]
    read, grown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.split()
    assert int(read) == 60_000
    # All rows at once would take more than 30 MB.
    assert float(grown) < 25


def test_the_rows_of_several_files_are_estimated_for_progress(tmp_path: Path) -> None:
    """A header is no row; elements of JSON are not known without reading all of them."""
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n' * 30)
    (tmp_path / "b.csv").write_text("text\n" + "x\n" * 20)
    (tmp_path / "c.txt").write_text("x\n" * 5)
    reader = RowReader(tmp_path / "a.jsonl", more=[str(tmp_path / name) for name in ("b.csv", "c.txt")])
    assert reader.expected() == 55
    assert RowReader(tmp_path).expected() == 55
    (tmp_path / "d.json").write_text("[]")
    assert RowReader(tmp_path).expected() is None
