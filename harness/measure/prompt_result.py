"""Made-up prompts as plain data: their plan, their calibration, and the lengths that the server counted."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.client.prompt_settings import PromptSettings


class PromptCalibration(msgspec.Struct, frozen=True):
    """The findings of a few requests before the load about the server. A text of n words has `fixed + per_word * n`
    tokens."""

    # Where the rule comes from: --tokenizer, or the server's own counts; none: a word is taken as a token.
    source: Literal["tokenizer", "usage", "none"]
    fixed: float = 0.0  # tokens that the server adds to each prompt, such as those of a chat template
    per_word: float = 1.0
    probes: int = 0  # requests that were sent for it
    # Largest error of the rule on texts that it was not made from, as a share; null if the server counts no tokens.
    error: float | None = None
    full_length: bool = False  # ignore_eos and min_tokens are sent
    note: str | None = None  # why they are not, in words


class PromptPlan(msgspec.Struct, frozen=True):
    """The prompts of a case."""

    settings: PromptSettings
    calibration: PromptCalibration | None = None  # null until the server is there
    words: list[str] = []  # words that are one token each for --tokenizer; empty: our own words
    option: str = "--input-tokens"  # whose lengths they are; of --trace the settings have the means only


class TokenSums(msgspec.Struct, frozen=True):
    """Tokens of successful requests, summed by one process. Requests without a count of the server are left out."""

    input_n: int = 0
    input_asked: int = 0
    input_counted: int = 0
    output_n: int = 0
    output_asked: int = 0
    output_counted: int = 0


class TokenLengths(msgspec.Struct, frozen=True):
    """Lengths asked for and lengths that the server counted, of the same requests."""

    n: int
    asked_mean: float
    counted_mean: float
    error: float  # counted / asked - 1


class PromptFigures(msgspec.Struct, frozen=True):
    """Made-up prompts of a case."""

    calibration: PromptCalibration
    input: TokenLengths | None = None  # null if the server counted no tokens
    output: TokenLengths | None = None  # null without --output-tokens as well
    prefix_tokens: int | None = None  # shared by prompts; null: none
    prefix_pool: int = 1
    prefix_share: float = 1.0
