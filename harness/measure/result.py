"""The result file, schema version 1. Seconds are floats. Unknown values are null, never 0.

The JSON Schema beside this file (`result.schema.json`) is generated from these classes; a test compares them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.measure import json_files
from harness.measure.capacity_result import CapacityResult
from harness.measure.comparison_result import Comparison, Control
from harness.measure.distribution_result import Distribution as Distribution  # noqa: PLC0414 - re-exported
from harness.measure.distribution_result import Quantile as Quantile  # noqa: PLC0414 - re-exported
from harness.measure.lost_result import Lost
from harness.measure.precision_result import Precision
from harness.measure.prompt_result import PromptFigures
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.session_result import SessionFigures
from harness.measure.sweep_result import SweepResult
from harness.measure.timeline_result import BoundSpan as BoundSpan  # noqa: PLC0414 - re-exported
from harness.measure.timeline_result import Bucket as Bucket  # noqa: PLC0414 - re-exported
from harness.measure.timeline_result import LimitChange as LimitChange  # noqa: PLC0414 - re-exported
from harness.measure.timeline_result import LimitLog as LimitLog  # noqa: PLC0414 - re-exported
from harness.measure.token_result import TokenFigures
from harness.measure.trace_result import TraceFacts

RESULT_FILE = "result.json"
SCHEMA_VERSION = 1

OUTCOME_NAMES = (
    "ok",
    "rejected",
    "timed_out",
    "server_error",
    "client_error",
    "connection_error",
    "bad_response",
    "cancelled",
    "not_sent",
    "unfinished",
)


class Reason(msgspec.Struct, frozen=True):
    """One reason behind a verdict."""

    code: str  # stable, for programs: no_data, conservation, server_count, client_ceiling, lag, errors, interrupted ...
    text: str  # one sentence for people
    case: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Whether this result can be trusted."""

    status: Literal["valid", "invalid", "inconclusive"]
    reasons: list[Reason] = []


class Counts(msgspec.Struct, frozen=True):
    """Items, unless the name says otherwise. scheduled = the outcomes from ok to unfinished, not_sent included."""

    scheduled: int = 0
    sent: int = 0
    not_sent: int = 0
    ok: int = 0
    rejected: int = 0
    timed_out: int = 0
    server_error: int = 0
    client_error: int = 0
    connection_error: int = 0
    bad_response: int = 0
    cancelled: int = 0
    unfinished: int = 0
    attempts: int = 0  # HTTP exchanges
    own_calls: int = 0  # of these, calls that a layer made for itself, such as for an embedding
    side_attempts: int = 0  # of these, pieces of a long text, and hedges whose answer was not needed
    cache_hits: int = 0
    stopped: int = 0  # of `cancelled`, streams that the client ended on purpose (--cancel)
    skipped: int = 0  # of `not_sent`, turns after one of their session that failed
    server_seen: int | None = None  # exchanges counted by the server; null if it reports no count
    locust_seen: int | None = None  # requests in Locust's own totals
    bad_lines: int = 0  # malformed input lines that were skipped

    @property
    def failed(self) -> int:
        """Scheduled items without a success, other than streams that were ended on purpose."""
        return self.scheduled - self.ok - self.stopped

    @property
    def failed_share(self) -> float | None:
        """The share of `failed` in the scheduled items; null if nothing was scheduled."""
        return self.failed / self.scheduled if self.scheduled else None


class Rates(msgspec.Struct, frozen=True):
    """Per second. `completed` and `goodput` count successes after the warm-up; low and high are their intervals."""

    offered: float | None = None  # scheduled / schedule length; null for a backlog
    sent: float | None = None
    completed: float | None = None
    goodput: float | None = None
    completed_low: float | None = None
    completed_high: float | None = None
    goodput_low: float | None = None
    goodput_high: float | None = None


class InFlight(msgspec.Struct, frozen=True):
    """Requests sent and unanswered, time-averaged over the makespan."""

    mean: float | None = None
    max: int | None = None


class Resources(msgspec.Struct, frozen=True):
    """Resources used by the client."""

    client_cpu_s: float | None = None
    client_cpu_us_per_request: float | None = None
    client_cpu_share: float | None = None  # of one core
    client_rss_max_mb: float | None = None
    client_rss_growth_mb: float | None = None
    loop_lag_p50_s: float | None = None
    loop_lag_p99_s: float | None = None
    # Share of the time for which the thread that waited longest was ready to run and had no processor.
    run_queue_share: float | None = None
    run_queue_wait_s: float | None = None  # its mean wait before it was given a processor
    ceiling_per_s: float | None = None  # requests/s the same client reached against a null server
    ceiling_share: float | None = None
    # Share of the requested CPU time that the host gave to other machines, for the worst process.
    host_steal_share: float | None = None


class Named(msgspec.Struct, frozen=True):
    """A plug-in and its settings."""

    name: str
    settings: dict[str, Any] = {}


class Load(msgspec.Struct, frozen=True):
    """The arrival pattern."""

    kind: str  # backlog, sessions, constant, poisson, ramp, steps, spike, replay
    settings: dict[str, Any] = {}
    items: int | None = None
    duration_s: float | None = None


class Target(msgspec.Struct, frozen=True):
    """The server under test."""

    url: str
    server: str | None = None  # the mock's profile, if it was the embedded one
    note: str | None = None  # e.g. "times divided by 6", "random weights: answers are meaningless"


class Warmup(msgspec.Struct, frozen=True):
    """The start of each repeat that does not count in latencies, rates and in-flight."""

    floor_s: float  # never counts, as asked for
    removed_s: float  # all that does not count
    removed: int = 0  # successes that do not count
    removed_p50_s: float | None = None  # median of their latency
    settled: bool | None = None  # whether the rest is steady; null: too few requests, or a load that changes


class Drift(msgspec.Struct, frozen=True):
    """A rise or fall over the time of a case that chance does not explain: medians in seconds."""

    first_s: float  # of the first third of each repeat
    last_s: float  # of the last third


class Diagnosis(msgspec.Struct, frozen=True):
    """The limiting factor of this case, with the figures that show it."""

    limited_by: Literal["server", "strategy", "client", "load", "unknown"] = "unknown"
    text: str = ""


class FailureCount(msgspec.Struct, frozen=True):
    """How many requests ended with one outcome and one HTTP status."""

    outcome: str
    status: int | None  # null where no status arrived
    count: int


class FailureSample(msgspec.Struct, frozen=True):
    """The first failure of one outcome with a text: the server's answer or an error message."""

    status: int | None  # null where no status arrived
    text: str  # one line of at most 300 characters, without secrets


class LayerFigures(msgspec.Struct, frozen=True):
    """Counters of a layer: sums over all client applications, processes and repeats, and ratios of these sums."""

    name: str
    figures: dict[str, int | float] = {}  # a name that ends in _s is a time in seconds
    ratios: dict[str, float | None] = {}  # null if the denominator is 0
    faults: list[str] = []  # faults that prevented its work


class SloCheck(msgspec.Struct, frozen=True):
    """One condition of --slo, on one case."""

    condition: str  # as written, "p99<500ms"
    value: float | None
    limit: float
    passed: bool


class Case(msgspec.Struct, frozen=True):
    """One strategy under one load against one target."""

    name: str
    strategy: Named
    load: Load
    task: str
    target: Target
    scenario: str = "backlog"
    trace: TraceFacts | None = None  # of a replayed trace
    repeats: int = 1
    by_repeat: list[RepeatFigures] = []
    layers: dict[str, Any] = {}  # retry, timeout, rate limit ... as configured around the strategy
    transport: str | None = None  # aiohttp, lean, blocking or simulated; null: not known
    counts: Counts = Counts()
    warmup: Warmup | None = None  # null: everything counts
    latency_drift: Drift | None = None  # null: none found, or the load is not steady
    service_drift: Drift | None = None
    makespan_s: float | None = None  # from the load's zero to the last answer
    makespan_low_s: float | None = None  # its interval over repeats
    makespan_high_s: float | None = None
    rates_per_s: Rates = Rates()
    latency_s: Distribution = Distribution()
    service_time_s: Distribution = Distribution()
    queue_wait_s: Distribution = Distribution()
    retry_time_s: Distribution = Distribution()
    lag_s: Distribution = Distribution()
    ttft_s: Distribution | None = None  # streams only
    itl_s: Distribution | None = None  # every gap between content events
    tpot_s: Distribution | None = None  # mean time per output token of each stream, after its first
    e2e_s: Distribution | None = None  # from sent to the last content event; requests with tokens only
    tokens: TokenFigures | None = None  # null: the answers have no tokens
    in_flight: InFlight = InFlight()
    resources: Resources = Resources()
    diagnosis: Diagnosis = Diagnosis()
    slo: list[SloCheck] = []
    failures: list[FailureCount] = []  # the most frequent first
    failure_samples: dict[str, FailureSample] = {}  # outcome -> one of its failures
    timeline: list[Bucket] = []
    sessions: SessionFigures | None = None  # of a load of sessions
    limit: LimitLog | None = None  # of a strategy with an adaptive limit
    layer_figures: list[LayerFigures] = []  # of the layers that have figures, from outside in
    prompts: PromptFigures | None = None  # made-up prompts with lengths in tokens
    warnings: list[str] = []
    partial: bool = False
    lost: Lost | None = None  # client processes that were killed


class RunResult(msgspec.Struct, frozen=True):
    """result.json."""

    schema_version: int
    id: str
    started_at: str  # ISO 8601, UTC
    tool: dict[str, str]
    environment: dict[str, Any]
    seed: int
    schedule_sha256: str | None
    verdict: Verdict
    headline: str  # one line: a recommendation, or why not to trust the result
    cases: list[Case]
    simulated: bool = False
    sweep: SweepResult | None = None
    capacity: CapacityResult | None = None  # of a capacity search
    precision: Precision | None = None  # of automatic repeats
    findings: list[str] = []  # at most three, shown below the headline
    control: Control | None = None  # the reference played twice, if --control was given
    comparisons: list[Comparison] = []  # each case against the reference, if there are repeats; the best first


def encode(result: RunResult) -> bytes:
    """Canonical bytes: indented JSON, keys in schema order, ending with a newline."""
    return json_files.encode(result)


def decode(data: bytes) -> RunResult:
    """Read result.json. Raises msgspec.ValidationError or DecodeError with the location."""
    check_version(data)
    return json_files.decode(data, RunResult)


def check_version(data: bytes) -> None:
    """Raise msgspec.ValidationError if the result has an unsupported version."""
    json_files.check_version(data, SCHEMA_VERSION)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of result.json."""
    schema = msgspec.json.schema(RunResult)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "paceline result", **schema}
