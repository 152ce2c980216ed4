"""Retry budget: a bucket that successes refill and retries empty."""

from __future__ import annotations

from harness.client.errors import SettingError


class RetryBudget:
    """A budget that retries spend and successes refill; pure, shared by all requests to one server.

    When a server is down, retries multiply its load by their number; with a budget they fade out within a hundred
    requests and come back with its answers. The figures are those of AWS's standard mode of 2026: capacity 500, 14
    for a retry after a failure, 5 after a refusal, returned when that retry succeeds, and 1 for a first success.

    Args:
        capacity: Size of the budget, and its level at the start. Default 500.
        cost: Price of a retry after a failure. Default 14.
        throttle_cost: Price of a retry after a refusal. Default 5.
    """

    __slots__ = ("capacity", "cost", "left", "throttle_cost")

    def __init__(self, capacity: int = 500, cost: int = 14, throttle_cost: int = 5) -> None:
        for name, value in (("capacity", capacity), ("cost", cost), ("throttle_cost", throttle_cost)):
            if value < 1:
                raise SettingError(f"{name}={value!r} must be at least 1")
        self.capacity = capacity
        self.cost = cost
        self.throttle_cost = throttle_cost
        self.left = capacity

    def spend(self, throttled: bool) -> int:
        """Pay for a retry: its price, or 0 if the budget does not allow it."""
        cost = self.throttle_cost if throttled else self.cost
        if cost > self.left:
            return 0
        self.left -= cost
        return cost

    def earn(self, amount: int = 1) -> None:
        """Refill after a success: by the price of the retry that led to it, or by 1."""
        left = self.left + amount
        self.left = left if left < self.capacity else self.capacity
