"""Sums of the tokens that were asked for and that the server counted, while a load runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.client.answers import Answers, is_count, usage_of
from harness.client.protocols import CountedAnswer, TokenCounts, provides
from harness.client.types import Outcome, Request, Response
from harness.measure.prompt_result import TokenSums

Asked = Callable[[int], tuple[int | None, int | None]]
"""Tokens of the prompt and of the answer that an item asks for, by its index; None: any number."""


class TokenTally:
    """Counts the answers of one process."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._input = [0, 0, 0]
        self._output = [0, 0, 0]

    def add(self, request: Request, response: Response) -> None:
        """Count a request that ended."""
        if response.outcome is not Outcome.ok or response.from_cache:
            return
        if (usage := usage_in(response.answers)) is not None:
            asked = [self._asked(item.index) for item in request.items]
            _add(self._input, [one for one, _ in asked if one is not None], usage.prompt_tokens)
            _add(self._output, [one for _, one in asked if one is not None], usage.completion_tokens)

    @property
    def sums(self) -> TokenSums:
        """All that was counted."""
        return TokenSums(*self._input, *self._output)


def usage_in(answers: tuple[Any, ...]) -> TokenCounts | None:
    """The server's counts of a whole request; None if it did not count."""
    if isinstance(answers, Answers):
        return answers.usage
    if len(answers) == 1 and provides(answers[0], CountedAnswer):
        return answers[0].usage
    return usage_of(answers)


def _add(sums: list[int], asked: list[int], counted: Any) -> None:
    # A task of the user's own may count anything.
    if asked and is_count(counted):
        sums[0] += len(asked)
        sums[1] += sum(asked)
        sums[2] += counted
