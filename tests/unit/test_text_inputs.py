"""Text inputs as people have them: with a byte order mark, packed, with a header; one reader for all of them."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import zstandard

from harness.cli import config
from harness.client.errors import UsageError
from harness.client.tasks.similarity import Similarity
from harness.load.lines import BOM, count_lines, lines_of, text_of
from harness.load.pacers.replay import Replay
from harness.load.workloads.jsonl import Jsonl
from mock_server import profiles

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "mark": lambda data: BOM + data,
    "gzip": gzip.compress,
    "gzip of a mark": lambda data: gzip.compress(BOM + data),
    "members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(BOM + data),
}
form = pytest.mark.parametrize("pack", FORMS.values(), ids=FORMS)
Pack = Callable[[bytes], bytes]


def arrivals(path: Path) -> list[float]:
    return list(Replay(str(path)).arrivals(100.0, Random(1)))


@form
def test_lines_and_text_are_the_same_in_every_form(tmp_path: Path, pack: Pack) -> None:
    """The mark is no part of the first line, and lines are counted unpacked."""
    path = tmp_path / "f"
    path.write_bytes(pack("één\n\nzwei\ndrei".encode()))
    assert list(lines_of(path)) == ["één".encode(), b"", b"zwei", b"drei"]
    assert text_of(path) == "één\n\nzwei\ndrei"
    assert count_lines(path) == 4


@form
def test_every_line_of_an_input_is_an_item(tmp_path: Path, pack: Pack) -> None:
    """Of `compare --input`, the first one as well; also in parts, and played twice."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(pack(b"".join(b'{"text1": "a%d", "text2": "b"}\n' % n for n in range(5))))
    file = Jsonl(path)
    assert [data.text1 for _, data, _ in file.rows(Similarity())] == ["a0", "a1", "a2", "a3", "a4"]
    assert file.bad_lines == 0
    parts = [[data.text1 for _, data, _ in Jsonl(path, 8).rows(Similarity(), part, 2)] for part in (0, 1)]
    assert sorted(itertools.chain(*parts)) == sorted(["a0", "a1", "a2", "a3", "a4", "a0", "a1", "a2"])


@form
@pytest.mark.parametrize(
    "text",
    [
        "2.0\n3.5\n4\n",
        "offset_s,note\n2.0,x\n3.5,y\n4,z\n",
        "# trace\n\nt\n2.0\r\n3.5\r\n4\r\n",
        '"2.0","a"\n"3.5"\n"4"\n',
    ],
)
def test_a_replay_keeps_its_first_arrival(tmp_path: Path, pack: Pack, text: str) -> None:
    """With and without a header, which begins with a letter."""
    (tmp_path / "trace").write_bytes(pack(text.encode()))
    assert arrivals(tmp_path / "trace") == [0.0, 1.5, 2.0]


@pytest.mark.parametrize("first", ["1.5s", "00:00:01", "-", "nan", "inf"])
def test_a_first_line_that_is_neither_header_nor_number_is_refused(tmp_path: Path, first: str) -> None:
    """It was taken for a header, and an arrival was lost without a word."""
    (tmp_path / "trace").write_text(f"{first}\n2.0\n3.0\n")
    with pytest.raises(UsageError, match=r"trace .*, line 1: "):
        arrivals(tmp_path / "trace")


@form
def test_a_project_file_is_read_in_every_form(tmp_path: Path, pack: Pack) -> None:
    """As editors on Windows save it."""
    path = tmp_path / "paceline.toml"
    path.write_bytes(pack(b'[compare]\nslo = "p99<1s"\n'))
    assert config.read(path)["compare"] == {"slo": "p99<1s"}


def test_a_profile_may_begin_with_a_mark(tmp_path: Path) -> None:
    """The profile itself, and the factors that it points to."""
    jitter = '[service.jitter]\nkind = "empirical"\nfile = "factors.txt"\n'
    (tmp_path / "own.toml").write_bytes(BOM + b'extends = "null"\n' + jitter.encode())
    (tmp_path / "factors.txt").write_bytes(BOM + b"0.5\n1.5\n")
    profile = profiles.load(str(tmp_path / "own.toml"))
    assert getattr(profile.service.jitter, "factors", None) == (0.5, 1.5)


def test_what_cannot_be_read_is_one_line_with_its_name(tmp_path: Path) -> None:
    """Not there, not UTF-8, damaged, broken off."""
    packed = gzip.compress(bytes(range(256)) * 40)
    for name, data, words in [
        ("utf16", "a\n".encode("utf-16"), "utf16: is not UTF-8"),
        ("damaged", packed[:8] + b"\xff" * 300, "damaged: the input's gzip data is damaged"),
        ("cut", packed[:-9], "cut: the input breaks off in the middle of its gzip data"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=words):
            text_of(tmp_path / name)
    with pytest.raises(UsageError, match="none: No such file or directory"):
        list(lines_of(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"trace .*none: No such file"):
        arrivals(tmp_path / "none")
