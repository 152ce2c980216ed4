"""The limit that does not move."""

from __future__ import annotations

from dataclasses import dataclass

from harness.client.settings import between
from harness.client.types import Sample


@dataclass
class Fixed:
    """The same number in flight, whatever happens; assign `value` (and tell the gate) to resize it by hand."""

    value: int = 10
    maximum: int = 1_000_000  # an upper bound that a strategy may give to any limit

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "value", "maximum")
        self.value = min(self.value, self.maximum)

    def update(self, sample: Sample, /) -> None:
        """Nothing to learn."""
