"""Texts with a wanted number of tokens and with shared prefixes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import SettingError
from harness.load.token_text import TokenText, WordRule
from mock_server.answers import count_tokens

PLAIN = TokenText()
KEYS = st.one_of(st.integers(0, 10**12), st.text(min_size=1, max_size=20))


def mock_count(text: str) -> int:
    """The mock's own count of a chat with one message."""
    return count_tokens((f"user: {text}",))


@given(tokens=st.integers(4, 20_000), key=KEYS)
def test_a_text_has_as_many_tokens_as_the_mock_counts(tokens: int, key: int | str) -> None:
    """The mock adds two special tokens and the role."""
    assert mock_count(TokenText(WordRule(3.0, 1.0)).text(tokens, key)) == tokens


@given(tokens=st.integers(20, 20_000), per_word=st.floats(0.5, 5), fixed=st.floats(0, 15))
def test_a_text_is_at_most_half_a_word_from_its_length(tokens: int, per_word: float, fixed: float) -> None:
    """By any rule, above the tokens that every text has."""
    rule = WordRule(fixed, per_word)
    assert abs(rule.tokens(len(TokenText(rule).text(tokens, 7).split())) - tokens) <= per_word / 2 + 1e-6


@given(
    ids=st.lists(st.integers(0, 10**9), min_size=1, max_size=6),
    other=st.lists(st.integers(0, 10**9), min_size=1, max_size=6),
    size=st.integers(16, 512),
    per_word=st.floats(0.7, 2.5),
)
def test_prompts_share_exactly_the_words_of_the_blocks_that_they_have_in_common(
    ids: list[int], other: list[int], size: int, per_word: float
) -> None:
    """Equal ids give equal words, and the first other id gives other words at once (within the ids' own words)."""
    texts = TokenText(WordRule(0.0, per_word))
    common = 0
    while common < min(len(ids), len(other)) and ids[common] == other[common]:
        common += 1
    first = texts.prompt(10_000, 1, ids, size).split()
    second = texts.prompt(10_000, 2, other, size).split()
    shared = next(n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    expected = round(common * size / per_word)
    assert expected <= shared < expected + 7


def test_a_key_and_a_block_of_the_same_number_begin_with_other_words() -> None:
    """A text of its own never begins as a shared prefix does."""
    texts = {PLAIN.text(50, key).split()[0] for key in range(200)}
    blocks = {PLAIN.prompt(50, 0, (block,), 50).split()[0] for block in range(200)}
    assert texts.isdisjoint(blocks)


def test_ten_thousand_keys_give_ten_thousand_beginnings() -> None:
    """Four words are enough to tell them apart."""
    assert len({tuple(PLAIN.text(20, key).split()[:4]) for key in range(10_000)}) == 10_000


def test_blocks_beyond_the_length_are_cut_off() -> None:
    """The last block of a trace is seldom full."""
    whole, cut = PLAIN.prompt(300, 1, (5, 6, 7), 100), PLAIN.prompt(250, 2, (5, 6, 7), 100)
    assert len(cut.split()) == 250
    assert whole.startswith(cut)


def test_every_process_makes_the_same_text() -> None:
    """Strings have another hash in every process; texts must not depend on it."""
    code = "from harness.load.token_text import TokenText; print(TokenText().prompt(60, 'x', ('a', 3), 20))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert made == PLAIN.prompt(60, "x", ("a", 3), 20)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: PLAIN.text(0, 1), "tokens=0 must be between 1 and"),
        (lambda: PLAIN.prompt(10, 1, (1,), 0), "block_tokens=0 must be at least 1"),
        (lambda: WordRule(per_word=0.0), r"per_word=0.0 must be between 0.05 and 50"),
        (lambda: WordRule(fixed=-1), "fixed=-1 must be between 0 and"),
        (lambda: TokenText(words=("a", "b")), "words: 2 different of 2; needs 8"),
        (lambda: TokenText(words=("a",) * 20), "words: 1 different of 20"),
    ],
)
def test_impossible_settings_are_refused(make: object, why: str) -> None:
    """By field, value and range."""
    with pytest.raises(SettingError, match=why):
        make()  # type: ignore[operator]
