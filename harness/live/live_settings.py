"""The option of the live page."""

from __future__ import annotations

from dataclasses import dataclass

from harness.base.options import option


@dataclass(frozen=True)
class LiveSettings:
    """Where the live page is served."""

    live: str | None = option(
        None,
        "Serve a page that shows the run while it runs, and /metrics for Prometheus. Port 0 takes a free one. "
        "An address that other machines reach needs a key in PACELINE_LIVE_KEY.",
        metavar="[HOST:]PORT",
    )
