"""What a simulation may say beyond a case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.client.errors import SettingError
from harness.client.types import Strategy


@dataclass(frozen=True)
class Terms:
    """What a simulation may say beyond a case: when each client application joins, and when the load ends."""

    joins_s: tuple[float, ...] = ()  # of application 0, 1, ...; those left out begin at zero
    stop_s: float = math.inf  # no item is given out after this instant
    strategy: Strategy | None = None  # in place of the spec's: an instance that has no name
    network: Literal["none", "memory"] = "none"  # straight to the app, or HTTP over a network in memory
    delay_s: float = 0.0  # of that network, each way

    def __post_init__(self) -> None:
        for name in ("stop_s", "delay_s", *(() if self.joins_s == () else ("joins_s",))):
            value = min(self.joins_s) if name == "joins_s" else getattr(self, name)
            if not value >= 0:
                raise SettingError(f"{name}={value!r} must be at least 0")
        if self.network not in {"none", "memory"}:
            raise SettingError(f"network={self.network!r} must be none or memory")
        if self.delay_s and self.network == "none":
            raise SettingError(f"delay_s={self.delay_s!r}: only the network in memory has a delay")
