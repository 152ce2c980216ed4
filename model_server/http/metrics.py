"""Metrics in Prometheus format: te_* for encoder work, vllm:* for generation, paceline_* for the others.

Names, buckets and labels are those of text-embeddings-inference and vLLM, so their dashboards work with both servers.
The time to first token counts from the arrival of the request and includes its queue wait.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from model_server.http.exchange import NO_TIMING, Exchange
from model_server.work import Batch, Sequence

if TYPE_CHECKING:
    from model_server.http.app import App

_DURATIONS = tuple(0.000_015 * 1.5**step for step in range(35))  # TEI's buckets: 15 µs to 14.6 s
_POWERS = tuple(float(2**step) for step in range(17))  # TEI's buckets of batch sizes and lengths
_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_TPOT = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_REQUEST = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)
_TOKENS = tuple(base * 10.0**power for power in range(5) for base in (1, 2, 5))

_HISTOGRAMS = {  # name: buckets, help
    "te_request_duration": (_DURATIONS, "Seconds from arrival to the end of the answer, all work routes"),
    "te_request_queue_duration": (_DURATIONS, "Seconds in the queue, of requests that were computed"),
    "te_request_inference_duration": (_DURATIONS, "Seconds of computing, of requests that were computed"),
    "te_request_input_length": (_POWERS, "Tokens of an input"),
    "te_batch_next_size": (_POWERS, "Items of a batch"),
    "te_batch_next_tokens": (_POWERS, "Tokens of a batch, without padding"),
    "vllm:time_to_first_token_seconds": (_TTFT, "From arrival to the first token"),
    "vllm:request_time_per_output_token_seconds": (_TPOT, "Mean time between the tokens of a request"),
    "vllm:e2e_request_latency_seconds": (_REQUEST, "From arrival to the last token"),
    "vllm:request_queue_time_seconds": (_REQUEST, "In the queue"),
    "vllm:request_prefill_time_seconds": (_REQUEST, "From the start to the first token"),
    "vllm:request_decode_time_seconds": (_REQUEST, "From the first to the last token"),
    "vllm:request_inference_time_seconds": (_REQUEST, "From the start to the last token"),
    "vllm:request_prompt_tokens": (_TOKENS, "Tokens of a prompt"),
    "vllm:request_generation_tokens": (_TOKENS, "Tokens that were generated"),
}
# Exchanges between two folds; a fold takes about 0.1 ms.
_FOLD_EVERY = 256
_FAILURES = ("overloaded", "validation", "inference", "timeout", "dropped", "broken")


class Histogram:
    """Counts per bucket; the last one is for values above the highest bound.

    Values are collected and counted many at a time, sorted: a fifth of the cost of a bucket search per value.
    """

    __slots__ = ("_gathered", "add", "bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self._gathered: list[float] = []
        self.add: Callable[[float], None] = self._gathered.append

    def fold(self) -> None:
        """Count the collected values; called before a read, and often enough to keep the list short."""
        values = self._gathered
        values.sort()
        self.sum += sum(values)
        below = 0
        for place, bound in enumerate(self.bounds):
            upto = bisect_right(values, bound, below)
            self.counts[place] += upto - below
            below = upto
        self.counts[-1] += len(values) - below
        values.clear()

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """The lines of the exposition format, cumulative; `labels` is the text between the braces."""
        self.fold()
        before = f"{labels}," if labels else ""
        braces = f"{{{labels}}}" if labels else ""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{{before}le="{"+Inf" if bound == float("inf") else f"{bound:.6g}"}"}} {total}'
        yield f"{name}_sum{braces} {self.sum:.6f}"
        yield f"{name}_count{braces} {total}"


class Metrics:
    """Counters and histograms besides `Counts`; never reset."""

    def __init__(self) -> None:
        self.seen = 0
        self.finished = 0
        self.failures = dict.fromkeys(_FAILURES, 0)
        self.reasons = dict.fromkeys(("stop", "length", "abort"), 0)
        self.prompt_tokens = 0
        # Tokens of prompts of engines that keep prefixes, and those of them that were kept.
        self.prefix_queries = 0
        self.prefix_hits = 0
        self.generation_tokens = 0
        self.histograms = {name: Histogram(bounds) for name, (bounds, _) in _HISTOGRAMS.items()}
        self._duration = self.histograms["te_request_duration"].add
        self._queue = self.histograms["te_request_queue_duration"].add
        self._inference = self.histograms["te_request_inference_duration"].add
        self._length = self.histograms["te_request_input_length"].add
        self._size = self.histograms["te_batch_next_size"].add
        self._tokens = self.histograms["te_batch_next_tokens"].add

    def exchange(self, exchange: Exchange, outcome: str, now: float) -> None:
        """Count an exchange on a work route that has ended."""
        self.seen += 1
        self._duration(now - exchange.arrived)
        if not self.seen % _FOLD_EVERY:
            for histogram in self.histograms.values():
                histogram.fold()
        if exchange.timing is not NO_TIMING:
            self._queue(exchange.timing.queue_ms / 1e3)
            self._inference(exchange.timing.compute_ms / 1e3)
        if outcome == "finished":
            self.finished += 1
        else:
            self.failures[_failure(outcome, exchange.status)] += 1

    def batch(self, batch: Batch) -> None:
        """Count a computed batch."""
        self._size(len(batch.works))
        self._tokens(batch.tokens)
        for work in batch.works:
            self._length(work.tokens)

    def sequence(self, sequence: Sequence) -> None:
        """Count a generation that has ended."""
        reason = sequence.finish_reason
        self.reasons[reason if reason in ("stop", "length") else "abort"] += 1
        self.prompt_tokens += sequence.prompt_tokens
        if sequence.cached_tokens is not None:
            self.prefix_queries += sequence.prompt_tokens
            self.prefix_hits += sequence.cached_tokens
        self.generation_tokens += sequence.tokens
        if not sequence.tokens:
            return
        entries = self.histograms
        entries["vllm:time_to_first_token_seconds"].add(sequence.first - sequence.arrived)
        entries["vllm:e2e_request_latency_seconds"].add(sequence.ended - sequence.arrived)
        entries["vllm:request_queue_time_seconds"].add(sequence.started - sequence.arrived)
        entries["vllm:request_prefill_time_seconds"].add(sequence.first - sequence.started)
        entries["vllm:request_decode_time_seconds"].add(sequence.ended - sequence.first)
        entries["vllm:request_inference_time_seconds"].add(sequence.ended - sequence.started)
        entries["vllm:request_prompt_tokens"].add(sequence.prompt_tokens)
        entries["vllm:request_generation_tokens"].add(sequence.tokens)
        if sequence.tokens > 1:
            mean_s = (sequence.ended - sequence.first) / (sequence.tokens - 1)
            entries["vllm:request_time_per_output_token_seconds"].add(mean_s)


def _failure(outcome: str, status: int) -> str:
    if outcome in ("disconnected", "broken"):
        return "dropped" if outcome == "disconnected" else "broken"
    if outcome == "refused":
        return "overloaded"
    if status in (408, 504):
        return "timeout"
    return "validation" if 400 <= status < 500 and status != 424 else "inference"


Sample = tuple[str, float]  # labels between the braces, value


def _simple(app: App) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    """Name, kind, help and samples of all metrics but the histograms."""
    metrics, dispatcher, lane = app.metrics, app.dispatcher, app.lane
    model = _model(app)
    failures = [(f'err="{name}"', count) for name, count in metrics.failures.items()]
    reasons = [(f'{model},finished_reason="{name}"', count) for name, count in metrics.reasons.items()]
    exchanges = [
        (f'route="{path}",outcome="{outcome}"', count)
        for path, book in app.counts.routes.items()
        for outcome, count in book.as_dict().items()
        if book.seen and outcome not in ("seen", "in_flight")
    ]
    yield "te_request_count", "counter", "Exchanges on work routes that have ended", [("", metrics.seen)]
    yield "te_request_success", "counter", "Exchanges answered with 2xx", [("", metrics.finished)]
    yield "te_request_failure", "counter", "Exchanges without a 2xx answer, by reason", failures
    yield "te_queue_size", "gauge", "Items that wait for a batch", [("", dispatcher.waiting)]
    yield "vllm:num_requests_running", "gauge", "Sequences that generate", [(model, lane.running)]
    yield "vllm:num_requests_waiting", "gauge", "Sequences that wait for a slot", [(model, lane.waiting)]
    yield "vllm:prompt_tokens_total", "counter", "Tokens of prompts", [(model, metrics.prompt_tokens)]
    yield (
        "vllm:prefix_cache_queries_total",
        "counter",
        "Tokens of prompts that were looked for among the kept prefixes",
        [(model, metrics.prefix_queries)],
    )
    yield (
        "vllm:prefix_cache_hits_total",
        "counter",
        "Of these, tokens that were found",
        [(model, metrics.prefix_hits)],
    )
    yield "vllm:generation_tokens_total", "counter", "Tokens generated", [(model, metrics.generation_tokens)]
    yield "vllm:request_success_total", "counter", "Generations by finish reason", reasons
    yield "paceline_exchanges_total", "counter", "Exchanges by route and outcome, as in /debug/counts", exchanges
    yield "paceline_batches_total", "counter", "Batches computed", [("", dispatcher.batches)]
    yield (
        "paceline_items_dropped_total",
        "counter",
        "Items cancelled or expired in the queue",
        [("", dispatcher.dropped)],
    )
    yield "paceline_calls_in_flight", "gauge", "Calls that wait or are computed", [("", dispatcher.in_flight)]
    yield "process_cpu_seconds_total", "counter", "User and system time of the server", [("", time.process_time())]


def _model(app: App) -> str:
    name = app.engine.info.model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'model_name="{name}",engine="0"'


def render(app: App) -> str:
    """The body of /metrics."""
    lines: list[str] = []
    for name, kind, meaning, samples in _simple(app):
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in samples]
    for name, histogram in app.metrics.histograms.items():
        lines += [f"# HELP {name} {_HISTOGRAMS[name][1]}", f"# TYPE {name} histogram"]
        lines += histogram.lines(name, _model(app) if name.startswith("vllm:") else "")
    return "\n".join(lines) + "\n"
