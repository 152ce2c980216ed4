"""Admission control: a queue bounded in items, tokens and predicted wait; refusals have a Retry-After. Pure.

Room is reserved atomically before any work is done for a request (before tokenizing), so that a burst does not cost
work for requests that are then refused. Tokens are added to the reservation when they are known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.base import units
from model_server.errors import ApiError, full

UNKNOWN_WAIT_S = 1.0
"""Retry-After of refusals before a service rate was measured."""


@dataclass(frozen=True)
class AdmissionLimits:
    """Bounds of the queue for workers; 0 tokens and infinite wait mean no bound."""

    items_max: int = 4096
    tokens_max: int = 0
    wait_max_s: float = math.inf

    def __post_init__(self) -> None:
        for name in ("items_max", "tokens_max", "wait_max_s"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} = {value!r}: must be >= 0")


class DrainRate:
    """Items per second that one worker completes: the mean over about the last 20 batches."""

    def __init__(self, weight: float = 0.1) -> None:
        self._weight = weight
        self._batch_s = 0.0
        self._batch_items = 0.0

    def add(self, items: int, duration_s: float) -> None:
        """Add a finished batch to the mean."""
        if not self._batch_items:
            self._batch_items, self._batch_s = float(items), duration_s
            return
        self._batch_items += self._weight * (items - self._batch_items)
        self._batch_s += self._weight * (duration_s - self._batch_s)

    def wait_s(self, items: int, workers: int) -> float:
        """Seconds that this number of items takes; 0 before the first batch."""
        if not self._batch_items:
            return 0.0
        return items * self._batch_s / self._batch_items / max(1, workers)


class Admission:
    """Reservations in the queue. `waiting` and `tokens` count the items that have not started."""

    def __init__(self, limits: AdmissionLimits, rate: DrainRate) -> None:
        self.limits = limits
        self.rate = rate
        self.waiting = 0
        self.tokens = 0

    def reserve(self, items: int, startable: int, workers: int) -> None:
        """Reserve room for `items`, of which `startable` can start now; raises `ApiError` 503 if the queue is full."""
        limits = self.limits
        waiting = self.waiting + items - startable
        if waiting > limits.items_max:
            raise self._full(f"the queue is full ({self.waiting} of {limits.items_max} items)", workers)
        if limits.tokens_max and self.tokens >= limits.tokens_max and startable < items:
            raise self._full(f"the queue is full ({self.tokens} of {limits.tokens_max} tokens)", workers)
        if limits.wait_max_s < math.inf:
            wait_s = self.rate.wait_s(max(0, waiting), workers)
            if wait_s > limits.wait_max_s:
                most = units.seconds(limits.wait_max_s)
                raise self._full(f"the wait would be {units.seconds(wait_s)}, over {most}", workers)
        self.waiting += items

    def add_tokens(self, tokens: int, workers: int) -> None:
        """Add the tokens of reserved items; raises `ApiError` 503 if other items wait and these do not fit.

        A request that exceeds the bound by itself may wait in an empty queue, or it could never be served.
        """
        if self.limits.tokens_max and self.tokens and self.tokens + tokens > self.limits.tokens_max:
            message = f"{self.tokens} of {self.limits.tokens_max} tokens, and the request has {tokens}"
            raise self._full(f"the queue is full ({message})", workers)
        self.tokens += tokens

    def release(self, items: int, tokens: int) -> None:
        """Return the room of items that started or were dropped."""
        self.waiting -= items
        self.tokens -= tokens

    def _full(self, message: str, workers: int) -> ApiError:
        return full(message, self.rate.wait_s(max(1, self.waiting), workers) or UNKNOWN_WAIT_S)
