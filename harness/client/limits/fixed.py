"""A fixed limit."""

from __future__ import annotations

from dataclasses import dataclass

from harness.client.checks import between
from harness.client.types import Sample


@dataclass
class Fixed:
    """The same number in flight, always; to resize it, assign `value` and call `resized()` of the concurrency limit.

    Args:
        value: Attempts in flight. Default 10.
        maximum: Upper bound of the limit, in attempts. Default 1000000.
    """

    value: int = 10
    maximum: int = 1_000_000

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "value", "maximum")
        self.value = min(self.value, self.maximum)

    def update(self, sample: Sample, /) -> None:
        """Ignore the sample: the limit is fixed."""
