"""Sums of the tokens that were asked for and that the server counted, while a load runs."""

from __future__ import annotations

from collections.abc import Callable

from harness.client.protocols import CountedAnswer, provides
from harness.client.types import Outcome, Request, Response
from harness.measure.prompt_result import TokenSums

Asked = Callable[[int], tuple[int, int | None]]
"""Tokens of the prompt and of the answer that an item asks for, by its index."""


class TokenTally:
    """Counts the answers of one process."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._input = [0, 0, 0]
        self._output = [0, 0, 0]

    def add(self, request: Request, response: Response) -> None:
        """Count a request that ended."""
        if response.outcome is not Outcome.ok:
            return
        for item, answer in zip(request.items, response.answers, strict=False):
            usage = answer.usage if provides(answer, CountedAnswer) else None
            if usage is not None:
                asked = self._asked(item.index)
                _add(self._input, asked[0], usage.prompt_tokens)
                _add(self._output, asked[1], usage.completion_tokens)

    @property
    def sums(self) -> TokenSums:
        """All that was counted."""
        return TokenSums(*self._input, *self._output)


def _add(sums: list[int], asked: int | None, counted: int | None) -> None:
    if asked is not None and counted is not None:
        sums[0] += 1
        sums[1] += asked
        sums[2] += counted
