"""Ten servers of known capacity: a profile of the mock, an SLO, and the load at which it just holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.measure.capacity_result import By
from tests.simulation.capacity import truth

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Known:
    """A profile with its capacity, which `truth` computes."""

    name: str
    slo: str
    limit_s: float  # of the SLO's time
    capacity: float
    model: Callable[[float, int], truth.Figures]
    by: By = "rate"
    task: str | None = None
    warmup_s: float = 2.0

    @property
    def path(self) -> str:
        """The TOML file."""
        return str(FOLDER / f"{self.name}.toml")


PROFILES = [
    Known("workers", "p99<700ms,errors<1%", 0.7, 71.8, truth.workers),
    Known("constant", "p99<200ms,errors<1%", 0.2, 66.8, truth.constant),
    Known("queue-bound", "p99<1s,errors<1%", 1.0, 72.45, truth.queue_bound),
    Known("rate-limit", "p99<500ms,errors<1%", 0.5, 59.7, truth.rate_limit),
    Known("knee", "p99<100ms,errors<1%", 0.1, 355.0, truth.knee),
    Known("usl", "p99<500ms,errors<1%", 0.5, 255.0, truth.usl),
    Known("llm", "ttft_p95<600ms,errors<1%", 0.6, 15.7, truth.llm, task="annotate:max_tokens=16,stream=true"),
    Known("cliff", "p99<400ms,errors<1%", 0.4, 40.0, truth.cliff, by="concurrency"),
    Known("slow-warmup", "p99<300ms,errors<1%", 0.3, 89.2, truth.slow_warmup, warmup_s=5.0),
    Known("batches", "p99<200ms,errors<1%", 0.2, 142.2, truth.batches),
]

HARD = [
    Known("knee-exponential", "p99<100ms,errors<1%", 0.1, 234.0, truth.knee_exponential),
    Known("slower-warmup", "p99<300ms,errors<1%", 0.3, 89.2, truth.slow_warmup, warmup_s=5.0),
    Known("slower-warmup", "p99<300ms,errors<1%", 0.3, 89.2, truth.slow_warmup, warmup_s=30.0),
]
"""Two of the ten in a harder form, on which the search is known to fall short. docs/capacity.md says why."""
