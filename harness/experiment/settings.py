"""Everything that a user can set about a run, with the options of the command line that set it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.base.options import option
from harness.base.quantity import AUTO, duration_s, rate_per_s, repeats_or_auto, seconds_or_none, share
from harness.client.input_settings import InputSettings, columns_option, http_option
from harness.client.layer_settings import LayerSettings
from harness.client.prompt_settings import PromptSettings
from harness.client.trace_settings import TraceSettings
from harness.client.transport.choice import TRANSPORT_HELP, TRANSPORTS
from harness.client.transport.connection_settings import ConnectionSettings
from harness.load.sessions.session_settings import SessionSettings
from harness.measure.precision_result import PrecisionPlan
from harness.measure.record.plan import DEFAULT_SEED

DEFAULT_SERVER = "demo"


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run. None and empty mean the scenario's own value, or the default."""

    strategies: tuple[str, ...] = option(
        (),
        "Client strategy, with layers around it if you like; repeat to compare several.",
        flag=("-s", "--strategy"),
        metavar="NAME[:key=value,...][+LAYER...]",
        names="strategy",
    )
    scenario: str = "backlog"
    target: str | None = option(None, "Server to measure [default: an embedded mock, on a free port].", metavar="URL")
    server: str = option(DEFAULT_SERVER, "Profile of the embedded mock, or a TOML file.", names="profile")
    speed: float | None = option(
        None, "Speed of the embedded mock relative to its profile's own.", flag="--server-speed", kind=float
    )
    task: str | None = option(
        None, "Task of every item [default: the scenario's own].", metavar="NAME[:...]", names="task"
    )
    http: str | None = http_option()
    load: str | None = option(
        None, "Arrival pattern: when each request is scheduled.", metavar="NAME[:...]", names="load"
    )
    input: str | None = option(
        None,
        "File with the items: JSONL (one JSON object a line), CSV, Parquet and others (docs/data.md) [default: made-up "
        "texts, or pairs that we ship].",
        metavar="FILE",
    )
    columns: tuple[str, ...] = columns_option()
    synthetic: str | None = option(
        None, "Made-up texts: constant, uniform, lognormal or levels.", metavar="DIST[:mean=,sigma=]"
    )
    items: int | None = option(None, "Number of items [default: all of --input, else the scenario's own].", kind=int)
    rate: float | None = option(
        None, "Arrivals per second; also 100/s, 6000/min [default: the scenario's own].", kind=rate_per_s
    )
    duration: float | None = option(
        None, "Seconds of arrivals; also 500ms, 30s, 10min [default: the scenario's own].", kind=duration_s
    )
    # None: DEFAULT_SEED, and the mock keeps its profile's own.
    seed: int | None = option(
        None, "Seed of schedule, texts and mock [default: 1; the mock's profile has its own].", kind=int
    )
    warmup: float | Literal["none"] = option(
        0.0,
        "Seconds at the start of arrivals that never count; of a constant or poisson load more are removed, until "
        "latency and throughput have settled. none: everything counts.",
        kind=seconds_or_none,
        metavar="SECONDS|none",
    )
    repeats: int | Literal["auto"] = option(
        1,
        "Repeats, interleaved over the strategies in a random order; auto: until the intervals are narrow.",
        kind=repeats_or_auto,
        metavar="N|auto",
    )
    repeats_width: float = option(
        0.1, "With --repeats auto: how far each end of an interval may be from its figure.", kind=share, metavar="SHARE"
    )
    repeats_max: int = option(30, "With --repeats auto: the most repeats.", least=8, most=1000)
    repeats_budget_s: float = option(
        600.0, "With --repeats auto: the most time of load, over all cases and repeats.", kind=duration_s
    )
    reference: str | None = option(
        None, "Case that the others are compared with, by its name in the table [default: the first].", metavar="NAME"
    )
    control: bool = option(
        False, "Play the reference a second time as a case of its own: an A/A control that shows the noise."
    )
    transport: str | None = option(
        None,
        f"{TRANSPORT_HELP} [default: aiohttp in compare and gate, and with --proxy; else lean]",
        choices=TRANSPORTS,
    )
    users: int | None = option(
        None,
        "Client applications that share the load, each with its own strategy; without --session-rate the users who "
        "play the sessions [default: one in each process].",
        kind=int,
    )
    processes: int = option(1, "Locust processes that share the users.")
    reading: InputSettings = field(default_factory=InputSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    layers: LayerSettings = field(default_factory=LayerSettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    variants: tuple[str, ...] = option(
        (), "Add each strategy once more with these layers; repeatable.", flag="--variant", metavar="LAYER[+LAYER]"
    )
    drain_s: float = option(30.0, "Seconds to wait for in-flight requests at the end.", kind=duration_s)
    slo: str | None = option(
        None,
        'Conditions such as "p99<500ms,errors<1%", for a backlog "service_p99<500ms", for streams '
        '"ttft_p95<500ms,tpot_p95<40ms,goodput>3.5"; exit code 1 if one fails.',
        metavar="CONDITIONS",
    )
    lag_tolerance: float | None = option(
        None,
        "Lag of the load generator that does not matter to you [default: 5 % of the SLO's latency bound, else of the "
        "latency measured].",
        kind=duration_s,
    )
    out: Path | None = option(None, "Run directory [default: runs/<time>-<scenario>].", kind=Path)
    overwrite: bool = option(False, "Replace a run that is in the directory already.")
    calibrate: bool = option(True, "Measure the client's own ceiling first.")
    # In virtual time.
    simulated: bool = False
    command: str = ""
    notes: tuple[str, ...] = ()

    @property
    def effective_seed(self) -> int:
        """The seed of schedule and texts."""
        return DEFAULT_SEED if self.seed is None else self.seed

    @property
    def precision(self) -> PrecisionPlan | None:
        """What automatic repeats have to reach; None if the number of repeats is given."""
        if self.repeats != AUTO:
            return None
        return PrecisionPlan(width=self.repeats_width, most=self.repeats_max, budget_s=self.repeats_budget_s)
