"""Distributions of lengths in tokens."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.errors import UsageError
from harness.load.lengths import OUTPUT_NAMES, Lengths, drawn, parse

LENGTHS = "input_tokens,output_tokens\n100,10\n200,20\n300,30\n"


def draws(lengths: Lengths, n: int = 4_000, seed: int = 1) -> list[int]:
    """The lengths of the first items."""
    return [drawn(lengths, "input", seed, index) for index in range(n)]


@pytest.mark.parametrize(
    ("text", "mean", "spread"),
    [
        ("512", 512, 0),
        ("constant:tokens=7", 7, 0),
        ("normal:mean=512,stdev=100", 512, 100),
        ("lognormal:mean=512,sigma=0.5", 512, 512 * (2.718281828**0.25 - 1) ** 0.5),
        ("uniform:min=100,max=300", 200, 58.0),
        ("uniform:100..300", 200, 58.0),
        ("constant:7", 7, 0),
    ],
)
def test_draws_have_the_moments_that_were_asked_for(text: str, mean: float, spread: float) -> None:
    """Within four standard errors, by a fixed seed."""
    found = draws(parse(text, "--input-tokens"))
    assert fmean(found) == pytest.approx(mean, abs=4 * spread / len(found) ** 0.5)
    assert stdev(found) == pytest.approx(spread, rel=0.1, abs=1e-9)
    assert parse(text, "--input-tokens").mean == pytest.approx(mean)


@settings(max_examples=40)
@given(low=st.integers(1, 500), width=st.integers(0, 500), share=st.floats(0, 1), stdev=st.floats(0, 1e6))
def test_a_normal_length_stays_within_its_bounds(low: int, width: int, share: float, stdev: float) -> None:
    """However wide the distribution is."""
    mean = low + width * share
    lengths = parse(f"normal:mean={mean},stdev={stdev},min={low},max={low + width + 1}", "--input-tokens")
    assert all(low <= length <= low + width + 1 for length in draws(lengths, 20))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lengths.csv", LENGTHS),
        ("lengths.jsonl", '{"prompt_tokens": 100}\n{"prompt_tokens": 200.0}\n\n{"prompt_tokens": "300"}\n'),
        ("lengths.txt", "100\n200\n300\n"),
        ("azure.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\nx,100,1\nx,200,2\nx,300,3\n"),
    ],
)
def test_lengths_of_a_file_are_drawn_with_replacement(tmp_path: Path, name: str, content: str) -> None:
    """Each about as often; the column is found by its name."""
    (tmp_path / name).write_text(content)
    found = draws(parse(f"file:{tmp_path / name}", "--input-tokens"), 3_000)
    assert {length: found.count(length) > 900 for length in found} == {100: True, 200: True, 300: True}


def test_two_columns_of_a_file_give_the_lengths_of_one_row(tmp_path: Path) -> None:
    """Long prompts may have long answers, and a bootstrap must keep that."""
    path = tmp_path / "lengths.csv.gz"
    path.write_bytes(gzip.compress(LENGTHS.encode()))
    inputs, outputs = parse(f"file:{path}", "--input-tokens"), parse(f"file:{path}", "--output-tokens", OUTPUT_NAMES)
    assert all(drawn(inputs, "input", 1, n) == 10 * drawn(outputs, "output", 1, n) for n in range(50))


def test_a_column_is_named(tmp_path: Path) -> None:
    """Where its name is not known."""
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert parse(f"file:{tmp_path / 't.csv'},column=b", "--input-tokens").draw(Random(1)) == 2


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """It is kept by its state, not by its name."""
    path = tmp_path / "t.txt"
    path.write_text("5\n")
    assert parse(f"file:{path}", "--input-tokens").mean == 5
    path.write_text("55\n")
    assert parse(f"file:{path}", "--input-tokens").mean == 55
    path.write_text("five\n")
    with pytest.raises(UsageError, match="line 1: text='five' must be a whole number"):
        parse(f"file:{path}", "--input-tokens")


def test_a_seed_gives_the_same_lengths_always() -> None:
    """The same for every strategy, in every process and version."""
    lengths = parse("normal:mean=512,stdev=100", "--input-tokens")
    assert draws(lengths, 5) == draws(lengths, 5)
    assert draws(lengths, 5) != draws(lengths, 5, seed=2)
