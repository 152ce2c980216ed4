"""Lengths of made-up prompts and of their answers: asked for, and counted by the server. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.base import units
from harness.measure.prompt_result import PromptFigures, PromptPlan, TokenLengths, TokenSums

ERROR_MAX = 0.02
"""Above it, lengths are not those that were asked for, and a warning says so."""


def figures_of(plan: PromptPlan | None, sums: Iterable[TokenSums | None]) -> PromptFigures | None:
    """The figures of a case, from the sums of its processes; None without made-up prompts in tokens."""
    if plan is None or plan.calibration is None:
        return None
    known = [one for one in sums if one is not None]
    settings = plan.settings
    return PromptFigures(
        calibration=plan.calibration,
        input=_lengths([(one.input_n, one.input_asked, one.input_counted) for one in known]),
        output=_lengths([(one.output_n, one.output_asked, one.output_counted) for one in known]),
        prefix_tokens=settings.prefix_tokens,
        prefix_pool=settings.prefix_pool or 1,
        prefix_share=1.0 if settings.prefix_share is None else settings.prefix_share,
    )


def _lengths(sums: list[tuple[int, int, int]]) -> TokenLengths | None:
    n, asked, counted = (sum(column) for column in zip(*sums, strict=True)) if sums else (0, 0, 0)
    return TokenLengths(n, asked / n, counted / n, counted / asked - 1) if n and asked else None


def warnings(found: PromptFigures | None) -> list[str]:
    """Sentences about lengths that are not those that were asked for."""
    if found is None:
        return []
    said = []
    if found.input is None:
        said.append("the server counted no tokens of prompts, so their lengths could not be checked")
    elif abs(found.input.error) > ERROR_MAX:
        said.append(f"prompts had {_off(found.input)}")
    if found.output is not None and abs(found.output.error) > ERROR_MAX:
        why = "" if found.calibration.full_length else "; ignore_eos was not sent"
        said.append(f"answers had {_off(found.output)}{why}")
    return said


def _off(lengths: TokenLengths) -> str:
    asked, counted = units.level(lengths.asked_mean), units.level(lengths.counted_mean)
    off = units.change(lengths.error)
    return f"{counted} tokens in the mean by the server's count, where {asked} were asked for ({off})"
