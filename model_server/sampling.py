"""How the tokens of one generation are chosen: sampling parameters, greedy by default, or a given script."""

from __future__ import annotations

from dataclasses import dataclass

TEMPERATURE_LEAST = 1e-5
"""Lower temperatures are greedy: the most likely token would have probability 1, and the division could overflow."""


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters.

    `temperature` 0 is greedy; above it, tokens are drawn at random, reproducibly with a `seed`. `top_p` limits the draw
    to the most likely tokens with this total probability. The text cannot end before `tokens_min` tokens, and with
    `ignore_end` the model's end token is never chosen.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    tokens_min: int = 0
    ignore_end: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature = {self.temperature!r}: must be a number in 0..2")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p = {self.top_p!r}: must be a number > 0 and <= 1")
        if self.tokens_min < 0:
            raise ValueError(f"tokens_min = {self.tokens_min!r}: must be an integer >= 0")

    @property
    def draws(self) -> bool:
        """True if tokens are drawn at random."""
        return self.temperature >= TEMPERATURE_LEAST


GREEDY = Sampling()


@dataclass(frozen=True)
class Script:
    """Tokens that an engine has to emit, in place of those it would choose: the id and the text of each.

    They follow after `lead` tokens of the engine's own choice, and the generation ends with the last of them.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    lead: int = 0

    @property
    def tokens(self) -> int:
        """All tokens of the generation."""
        return self.lead + len(self.pieces)

    def ending(self, tokens: int) -> str:
        """The finish reason of a generation that stops after so many tokens."""
        return "stop" if tokens >= self.tokens else "length"
