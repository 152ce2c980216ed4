"""Prometheus text: te_* names for encoder work, vllm:* for generation, paceline_* for what neither has a name for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING

from model_server.work import Sequence

if TYPE_CHECKING:
    from model_server.app import App

_DURATION_BUCKETS = tuple(0.000_015 * 1.5**step for step in range(35))  # as TEI has them: 15 us to 14.6 s
_TOKEN_BUCKETS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
)


class Histogram:
    """Counts per bucket; the last one is everything above the highest bound."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Enter one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterable[str]:
        """In the exposition format, cumulative."""
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else f"{bound:.6g}"}"}} {total}'
        yield f"{name}_sum {self.sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What is counted beside `Counts`; never reset."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.duration = Histogram(_DURATION_BUCKETS)
        self.ttft = Histogram(_TOKEN_BUCKETS)
        self.tpot = Histogram(_TOKEN_BUCKETS)
        self.prompt_tokens = 0
        self.generation_tokens = 0

    def exchange(self, outcome: str, duration_s: float) -> None:
        """One exchange on a work route is over."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.duration.add(duration_s)

    def sequence(self, sequence: Sequence) -> None:
        """One generation is over. TTFT counts from arrival, the wait in the queue included."""
        self.prompt_tokens += sequence.prompt_tokens
        self.generation_tokens += sequence.tokens
        if sequence.tokens:
            self.ttft.add(sequence.first - sequence.arrived)
        if sequence.tokens > 1:
            self.tpot.add((sequence.ended - sequence.first) / (sequence.tokens - 1))


def render(app: App) -> str:
    """The body of /metrics."""
    metrics, dispatcher, lane = app.metrics, app.dispatcher, app.lane
    finished = metrics.outcomes.get("finished", 0)
    simple: list[tuple[str, str, float]] = [
        ("te_request_count", "counter", sum(metrics.outcomes.values())),
        ("te_request_success", "counter", finished),
        ("te_queue_size", "gauge", dispatcher.waiting),
        ("paceline_batches_total", "counter", dispatcher.batches),
        ("paceline_items_dropped_total", "counter", dispatcher.dropped),
        ("paceline_calls_in_flight", "gauge", dispatcher.in_flight),
        ("vllm:num_requests_running", "gauge", lane.running),
        ("vllm:num_requests_waiting", "gauge", lane.waiting),
        ("vllm:prompt_tokens_total", "counter", metrics.prompt_tokens),
        ("vllm:generation_tokens_total", "counter", metrics.generation_tokens),
    ]
    lines: list[str] = []
    for name, kind, value in simple:
        lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
    lines.append("# TYPE te_request_failure counter")
    names = {"refused": "overloaded", "failed": "validation", "disconnected": "dropped", "broken": "broken"}
    lines += [f'te_request_failure{{err="{err}"}} {metrics.outcomes.get(key, 0)}' for key, err in names.items()]
    lines.append("# TYPE paceline_exchanges_total counter")
    for path, book in app.counts.routes.items():
        lines += [
            f'paceline_exchanges_total{{route="{path}",outcome="{outcome}"}} {count}'
            for outcome, count in book.as_dict().items()
            if book.seen and outcome not in ("seen", "in_flight")
        ]
    lines += metrics.duration.lines("te_request_duration")
    lines += metrics.ttft.lines("vllm:time_to_first_token_seconds")
    lines += metrics.tpot.lines("vllm:request_time_per_output_token_seconds")
    return "\n".join(lines) + "\n"
