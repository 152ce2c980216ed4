"""The layers around a strategy, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from harness.base.options import option
from harness.base.quantity import duration_s, rate_per_s
from harness.client.errors import UsageError

NamedLayers = dict[str, dict[str, Any]]
"""Layer -> its settings."""


@dataclass(frozen=True)
class LayerSettings:
    """The layers around a strategy. None by default: each strategy is measured bare."""

    timeout_s: float = option(60.0, "Seconds that one attempt may take.", kind=duration_s)
    retries: int = option(0, "Most retries of a request, with exponential backoff and full jitter.")
    rate_limit_per_s: float | None = option(
        None, "Most requests per second of each client application.", kind=rate_per_s, flag="--rate-limit"
    )
    deadline_s: float | None = option(
        None, "Seconds from the due time of an item to its answer, over all attempts.", kind=duration_s
    )
    remember: str | None = option(
        None, "File that keeps what adaptive limits learn about each server, for the next run.", metavar="FILE"
    )
    retry_budget: bool = option(False, "Limit retries and hedges with a shared budget that successes replenish.")
    # Further layers by name, checked by `stack.parse`.
    named: NamedLayers = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("timeout_s", "rate_limit_per_s", "deadline_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e6:
                raise UsageError(f"{name}={value!r} must be above 0 and below 1000000")
        if not 0 <= self.retries <= 100:
            raise UsageError(f"retries={self.retries} must be between 0 and 100")

    @property
    def keeps_answers(self) -> bool:
        """Whether a layer keeps answers in a file, beyond this run."""
        return any("path" in settings for settings in self.named.values())

    def all(self) -> NamedLayers:
        """Every layer by name; a setting of a named layer takes precedence over the short field."""
        short: NamedLayers = {}
        if self.deadline_s is not None:
            short["deadline"] = {"timeout_s": self.deadline_s}
        if self.retries:
            short["retry"] = {"retries": self.retries}
        if self.rate_limit_per_s is not None:
            short["rate-limit"] = {"rate_per_s": self.rate_limit_per_s}
        return {name: {**short.get(name, {}), **self.named.get(name, {})} for name in [*short, *self.named]}

    def as_report(self) -> dict[str, Any]:
        """Plain values for the result file and reports; each named layer has its settings as text."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        named = plain.pop("named")
        return plain | {
            name: ",".join(f"{key}={value}" for key, value in settings.items()) or "on"
            for name, settings in named.items()
        }

    def around(self, named: NamedLayers) -> LayerSettings:
        """A copy with these layers added; their settings take precedence."""
        return replace(self, named={**self.named, **named}) if named else self
