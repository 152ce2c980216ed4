"""Made-up prompts in words: lengths asked for and counted, and how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from harness.base import units

if TYPE_CHECKING:
    from harness.measure.prompt_result import PromptFigures, TokenLengths

HEADS = ("of", "requests", "tokens asked", "counted", "error", "how")


def rows(found: PromptFigures) -> list[tuple[str, ...]]:
    """A row for the prompts, and one for the answers if their length was asked for."""
    table: list[tuple[str, ...]] = [("prompts", *_cells(found.input), made(found))]
    if found.output is not None:
        table.append(("answers", *_cells(found.output), full_length(found)))
    return table


def _cells(lengths: TokenLengths | None) -> tuple[str, str, str, str]:
    if lengths is None:
        return (units.NONE,) * 4
    means = units.level(lengths.asked_mean), units.level(lengths.counted_mean)
    return units.count(lengths.n), *means, units.change(lengths.error)


def made(found: PromptFigures) -> str:
    """How the lengths of prompts were made, and their prefixes."""
    rule = found.calibration
    if rule.source == "none":
        return "a word was taken as a token, because the server counts none; --tokenizer makes lengths exact"
    if rule.source == "tokenizer":
        said = "exact by the tokenizer"
    else:
        said = f"calibrated by the server's count, {per_word(rule.per_word)} per word"
    said += f", {units.level(rule.fixed)} of the template"
    if rule.error is not None:
        said += f", error on other texts {units.share(rule.error)}"
    if found.prefix_tokens is None:
        return said
    pool = "one prefix" if found.prefix_pool == 1 else f"one of {units.count(found.prefix_pool)} prefixes"
    return f"{said}; {units.share(found.prefix_share)} begin with {pool} of {units.count(found.prefix_tokens)} tokens"


def per_word(tokens: float) -> str:
    """`1.25 tokens`, `1 token`."""
    return f"{units.significant(tokens, 4)} token{'' if tokens == 1 else 's'}"


def full_length(found: PromptFigures) -> str:
    """How answers get their length."""
    if found.calibration.full_length:
        return "the whole length, by ignore_eos"
    return "at most this length, ignore_eos is not sent" + (
        f": {found.calibration.note}" if found.calibration.note else ""
    )


def together(found: Sequence[PromptFigures | None]) -> PromptFigures | None:
    """The prompts of several cases of one run as one: all levels of a sweep, all probes of a search."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    both = {name: _pooled([getattr(one, name) for one in known]) for name in ("input", "output")}
    return msgspec.structs.replace(known[0], **both)


def _pooled(found: list[TokenLengths | None]) -> TokenLengths | None:
    known = [one for one in found if one is not None]
    if not known:
        return None
    n = sum(one.n for one in known)
    asked, counted = (sum(getattr(one, name) * one.n for one in known) for name in ("asked_mean", "counted_mean"))
    return msgspec.structs.replace(
        known[0], n=n, asked_mean=asked / n, counted_mean=counted / n, error=counted / asked - 1
    )


def lines(found: PromptFigures) -> list[str]:
    """The rows as sentences: prompts: 507 tokens asked for, 507 counted (0 %); calibrated ..."""
    said = []
    for what, n, asked, counted, error, how in rows(found):
        means = "" if n == units.NONE else f"{asked} tokens asked for, {counted} counted ({error}); "
        said.append(f"{what}: {means}{how}")
    return said
