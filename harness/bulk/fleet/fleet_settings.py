"""Settings of a run with several workers."""

from __future__ import annotations

from dataclasses import dataclass

from harness.base.options import option
from harness.client.errors import SettingError, UsageError

WORKERS_MAX = 1000
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class FleetSettings:
    """How many workers share the work, and where they run."""

    workers: int | None = option(
        None,
        "Worker processes that share the input, one rate limit and one concurrency [default: this process alone].",
        kind=int,
        least=1,
        most=WORKERS_MAX,
    )
    engine: str | None = option(
        None,
        "Engine that starts the workers: local processes, or actors of a Ray cluster. [default: local]",
        choices=ENGINES,
    )
    ray_address: str | None = option(
        None,
        "Ray cluster of --engine ray: HOST:PORT, or auto for the one on this machine [default: RAY_ADDRESS, else a "
        "cluster is started here].",
        metavar="ADDRESS",
    )
    range_lines: int | None = option(
        None,
        "Most lines of a range, the unit of work of a worker [default: up to 10000, fewer for a small input].",
        kind=int,
        least=1,
        most=10_000_000,
    )
    keep_parts: bool = option(
        False, "With --workers, leave the answers in OUTPUT.parts, one file a range; OUTPUT is the list of them."
    )

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= WORKERS_MAX:
            raise SettingError(f"workers={self.workers} must be between 1 and {WORKERS_MAX}")
        if self.range_lines is not None and self.range_lines < 1:
            raise SettingError(f"range_lines={self.range_lines} must be at least 1")
        if self.engine not in {None, *ENGINES}:
            raise SettingError(f"engine={self.engine!r} must be {' or '.join(ENGINES)}")
        for flag, given in (
            ("--engine", self.engine),
            ("--range-lines", self.range_lines),
            ("--keep-parts", self.keep_parts),
        ):
            if given and self.workers is None:
                raise UsageError(f"{flag}: needs --workers N")
        if self.ray_address is not None and self.engine != "ray":
            raise UsageError("--ray-address: needs --engine ray")
