"""Settings of a simulation beyond its case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.client.errors import SettingError
from harness.client.types import Strategy


@dataclass(frozen=True)
class Terms:
    """Settings of a simulation beyond its case: when client applications join, when the load ends, and its network."""

    # Start of application 0, 1, ...; others begin at zero.
    joins_s: tuple[float, ...] = ()
    # No item is given out after this instant.
    stop_s: float = math.inf
    # Replaces the case's strategy: an instance without a plug-in name.
    strategy: Strategy | None = None
    # Direct calls of the app, or HTTP over a network in memory.
    network: Literal["none", "memory"] = "none"
    # Delay of that network, each way.
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("stop_s", "delay_s", *(() if self.joins_s == () else ("joins_s",))):
            value = min(self.joins_s) if name == "joins_s" else getattr(self, name)
            if not value >= 0:
                raise SettingError(f"{name}={value!r} must be at least 0")
        if self.network not in {"none", "memory"}:
            raise SettingError(f"network={self.network!r} must be none or memory")
        if self.delay_s and self.network == "none":
            raise SettingError(f"delay_s={self.delay_s!r}: only the network in memory has a delay")
