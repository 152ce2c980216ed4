"""How the tokens of one generation are chosen; the most likely ones, unless the request asks for others."""

from __future__ import annotations

from dataclasses import dataclass

TEMPERATURE_LEAST = 1e-5
"""Below it the most likely token is taken: its probability is 1, and dividing by less would overflow."""


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 takes the most likely token; with more, tokens are drawn, the same ones for the same `seed`."""

    temperature: float = 0.0
    top_p: float = 1.0  # the most likely tokens whose probabilities add up to this are drawn from
    seed: int | None = None
    tokens_min: int = 0  # before that many tokens nothing ends the text
    ignore_end: bool = False  # the model's end token is never taken

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature = {self.temperature!r}: must be a number in 0..2")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p = {self.top_p!r}: must be a number > 0 and <= 1")
        if self.tokens_min < 0:
            raise ValueError(f"tokens_min = {self.tokens_min!r}: must be an integer >= 0")

    @property
    def draws(self) -> bool:
        """Tokens are drawn at random."""
        return self.temperature >= TEMPERATURE_LEAST


GREEDY = Sampling()
