"""Samples tokens from the model's probabilities, by temperature, `top_p` and seed."""

from __future__ import annotations

from random import Random
from typing import Any

from model_server.sampling import Sampling


class Draw:
    """The random numbers of one sequence: one per token, so that other sequences in the batch have no influence."""

    __slots__ = ("_rng", "sampling")

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._rng = Random(sampling.seed)

    def number(self) -> float:
        return self._rng.random()


def drawn(logits: Any, draws: list[Draw]) -> list[int]:
    """One token per row of `logits`: the first whose cumulated probability exceeds the row's random number."""
    import torch

    def column(values: list[float]) -> Any:
        return torch.tensor(values, dtype=torch.float32, device=logits.device).unsqueeze(1)

    scaled = logits.float() / column([draw.sampling.temperature for draw in draws])
    probabilities, order = scaled.softmax(-1).sort(-1, descending=True)
    before = probabilities.cumsum(-1) - probabilities
    # The most likely token is always a candidate.
    before[:, 0] = -1.0
    kept = probabilities.where(before < column([draw.sampling.top_p for draw in draws]), 0.0)
    sums = kept.cumsum(-1)
    places = (sums <= column([draw.number() for draw in draws]) * sums[:, -1:]).sum(-1, keepdim=True)
    last = (kept > 0).sum(-1, keepdim=True) - 1
    tokens: list[int] = order.gather(1, places.minimum(last)).squeeze(1).tolist()
    return tokens
