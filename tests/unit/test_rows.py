"""Rows of CSV and TSV: quotes, line breaks within them, delimiters, and --map."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness import plugins
from harness.bulk.row_items import Rows
from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.load.csv_records import Records
from harness.load.lines import LINE_MAX, LongLine
from harness.load.mapped_fields import columns_of
from harness.load.rows import RowReader
from harness.load.workloads.jsonl import Jsonl

CELLS = some.lists(some.lists(some.text('ab,;"\n\r\té ', max_size=6), min_size=2, max_size=2).filter(any), max_size=8)


@given(rows=CELLS, size=some.integers(1, 9), ending=some.sampled_from(["\n", "\r\n"]))
def test_rows_are_those_of_the_standard_library_however_the_bytes_are_cut(
    rows: list[list[str]], size: int, ending: str
) -> None:
    """A line break within quotes does not end a row; the bytes after the last row are known."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=ending).writerows(rows)
    data = text.getvalue().encode()
    records, found, fed = Records(), list[bytes | LongLine](), 0
    for start in range(0, len(data), size):
        chunk = data[start : start + size]
        fed += len(chunk)
        if got := records.feed(chunk):
            found += got
            rebuilt = b"\n".join(bytes(row) for row in found if isinstance(row, bytes)) + b"\n"
            assert data[: fed - records.unfinished] == rebuilt
    found += records.close()
    read = [next(csv.reader([row.decode().removesuffix("\r")])) for row in found if isinstance(row, bytes)]
    assert read == rows


def test_a_row_that_never_closes_its_quotes_does_not_fill_the_memory() -> None:
    """It is given up at the bound, and the rows after it are read."""
    records = Records()
    assert records.feed(b'a,"b\n') == []
    found = [row for _ in range(LINE_MAX // 1000 + 2) for row in records.feed(b"x" * 999 + b"\n")]
    first = found[0]
    assert isinstance(first, LongLine)
    assert (first.head, first.begin) == (b'a,"b', 0)
    assert LINE_MAX < first.end <= LINE_MAX + 1000
    assert found[1] == b"x" * 999


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b'\xef\xbb\xbfid,text 1,note\n1,"say ""hi"",\nthen",\n\n2,b,c\n'),
        ("a.csv", b'id;text 1;note\r\n1;"say ""hi"",\nthen";\r\n2;b;c\r\n'),
        ("a.tsv", b'id\ttext 1\tnote\n1\t"say ""hi"",\nthen"\t\n2\tb\tc'),
        ("a.csv.gz", gzip.compress(b'id|text 1|note\n1|"say ""hi"",\nthen"|\n2|b|c\n', mtime=0)),
    ],
)
def test_a_file_of_columns_is_an_input(name: str, data: bytes, tmp_path: Path) -> None:
    """By its ending; delimiter, quotes, mark and packing are found."""
    path = tmp_path / name
    path.write_bytes(data)
    task = plugins.make("task", "similarity")
    rows = list(Jsonl(path, columns={"text1": "text 1", "text2": "note"}).rows(task))
    assert [(row.text1, row.text2) for _, row, _ in rows] == [('say "hi",\nthen', ""), ("b", "c")]


def test_bad_rows_are_counted_and_named(tmp_path: Path) -> None:
    """A row with too few values, and one that is not UTF-8."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,x\na\nb,1\n\xff,2\n")
    found = Jsonl(path)
    assert [data for _, data, _ in found.rows(plugins.make("task", "embed"))] == ["b"]
    assert found.bad_lines == 2
    assert found.first_bad == (2, "has 1 values, where the header names 2 columns")


def test_map_takes_from_the_row_as_it_was(tmp_path: Path) -> None:
    """Columns may change places; a pointer reaches into a row of JSONL; other columns stay."""
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    reader = RowReader(path, columns_of(["a=b,b=a", "c=/d/0/e"]))
    row = {"a": 1, "b": 2, "d": [{"e": 3}], "id": 4}
    assert reader.mapped(row) == {"a": 2, "b": 1, "c": 3, "d": [{"e": 3}], "id": 4}
    assert reader.mapped({"b": 1}) == {"a": 1}
    assert str(reader.explained(ItemError("c: is missing"), {"x": 1})).endswith("(--map c=/d/0/e; the row has x)")
    with pytest.raises(UsageError, match="is not FIELD=COLUMN"):
        columns_of(["a=b,c"])


def test_a_missing_column_is_explained_with_all_columns_of_the_row(tmp_path: Path) -> None:
    """Also with the field itself, where the row has a column of its name that is not used."""
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "a", "max_tokens": 4}\n')
    reader = RowReader(tmp_path / "in.jsonl", columns_of(["text=tekst"]))
    rows = Rows(("annotate",), reader=reader)
    _, _, why = rows.item(1, (tmp_path / "in.jsonl").read_bytes())
    assert why == "text: is missing (--map text=tekst; the row has id, text, max_tokens)"


def test_a_field_that_a_template_uses_may_be_mapped(tmp_path: Path) -> None:
    """And the id; any other field must be one of the task."""
    (tmp_path / "t.j2").write_text("{{ question }}?")
    (tmp_path / "in.csv").write_text("nr,q\n1,a\n")
    reading = InputSettings(template="text=" + str(tmp_path / "t.j2"))
    Rows(("annotate",), reader=RowReader(tmp_path / "in.csv", columns_of(["question=q,id=nr"]), reading))
    task = plugins.make("task", "annotate")
    with pytest.raises(UsageError, match="has no field other; known are text, max_tokens"):
        Rows(("annotate",), reader=RowReader(tmp_path / "in.csv", columns_of(["other=q"])))
    with pytest.raises(UsageError, match="the task annotate has no field txt; did you mean text"):
        next(iter(Jsonl(tmp_path / "in.csv", columns=columns_of(["txt=q"])).rows(task)))
