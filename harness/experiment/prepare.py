"""Everything a user may say about a run, checked, and the plan that follows from it; nothing is started here."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness import plugins
from harness.base.files import write_atomically
from harness.base.options import option
from harness.base.quantity import duration_s, rate_per_s
from harness.client import stack
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings, NamedLayers
from harness.client.protocols import uses_priorities
from harness.client.redaction import redact
from harness.client.transport.endpoint import access_to, check_headers
from harness.client.transport.server import check_answers, check_url
from harness.client.types import Item, Task
from harness.experiment.scenario import Description
from harness.experiment.spec import SAMPLE_PAIRS, CaseSpec
from harness.load.schedule import BACKLOG, check, compute
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic
from harness.measure.judge import slo as slos
from harness.measure.record.environment import environment, simulated_environment
from harness.measure.record.plan import DEFAULT_SEED, PLAN_VERSION, Plan, TaskShare
from harness.measure.result import Named

DEFAULT_SERVER = "demo"
ITEMS = 1000
"""Items of a backlog, if neither the user nor the scenario says how many."""


@dataclass(frozen=True)
class RunSettings:
    """Everything a user may say about a run; None and empty mean "the scenario's own" or "the default"."""

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
    speed: float | None = option(None, "Speed of the embedded mock relative to its profile's own.", kind=float)
    task: str | None = option(
        None, "Task of every item [default: the scenario's own].", metavar="NAME[:...]", names="task"
    )
    load: str | None = option(
        None, "Arrival pattern: when each request is scheduled.", metavar="NAME[:...]", names="load"
    )
    input: str | None = option(
        None,
        "File with the items, one JSON object a line [default: made-up texts, or pairs that we ship].",
        metavar="FILE.jsonl",
    )
    synthetic: str | None = option(
        None, "Made-up texts: constant, uniform or lognormal.", metavar="DIST[:mean=,sigma=]"
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
    repeats: int = option(1, "Repeats, interleaved over the strategies.")
    users: int = option(1, "Client applications that share the load.")
    processes: int = option(1, "Locust processes that share the users.")
    layers: LayerSettings = field(default_factory=LayerSettings)
    variants: tuple[str, ...] = option(
        (), "Add each strategy once more with these layers; repeatable.", flag="--variant", metavar="LAYER[+LAYER]"
    )
    drain_s: float = option(30.0, "Seconds to wait for in-flight requests at the end.", kind=duration_s)
    slo: str | None = option(
        None, 'Conditions such as "p99<500ms,errors<1%"; exit code 1 if one fails.', metavar="CONDITIONS"
    )
    out: Path | None = option(None, "Run directory [default: runs/<time>-<scenario>].", kind=Path)
    overwrite: bool = option(False, "Replace a run that is in the directory already.")
    calibrate: bool = option(True, "Measure the client's own ceiling first.")
    # In virtual time.
    simulated: bool = False
    command: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class Run:
    """A prepared run: everything checked, nothing started."""

    settings: RunSettings
    directory: Path
    cases: list[CaseSpec]
    plan: Plan
    authorization: str | None = field(default=None, repr=False)  # what proves the client to the target; in no file

    @property
    def records(self) -> Path:
        return self.directory / "records"


def prepare(settings: RunSettings, scenario: type[Description] | None = None, name: str | None = None) -> Run:
    """Check every setting and lay the run directory out; raises UsageError for the first mistake.

    `scenario` is a class that is known already, and `name` the one case's own.
    """
    _check_numbers(settings)
    if settings.slo:
        slos.parse(settings.slo)
    found = cases(settings, scenario or describe(settings.scenario), name)
    to = access_to(settings.target or "")
    target = None if settings.target is None else check_url(to.url)
    settings = replace(settings, target=target, command=redact(settings.command))
    directory = _directory(settings)
    run = Run(settings, directory, found, _plan(settings, directory, found), to.authorization)
    if target is not None and settings.overwrite:
        check_answers(target)
    _lay_out(directory)  # with --overwrite it deletes the old run, so everything was checked before
    return run


def cases(settings: RunSettings, scenario: type[Description], name: str | None = None) -> list[CaseSpec]:
    """The cases that the settings describe, under one schedule; raises UsageError."""
    load, tasks, seed = _load(settings, scenario), _tasks(settings, scenario), _seed(settings)
    source, synthetic = _workload(settings, tasks)
    strategies = _strategies(settings)
    _check_workload(settings, tasks, source, synthetic, [named for _, named, _ in strategies])
    duration_s, items = settings.duration or scenario.duration_s, _items(settings, scenario, load)
    schedule = compute(load.name, load.settings, duration_s, items, seed)
    return [
        CaseSpec(
            name=name or label,
            strategy=strategy,
            tasks=tasks,
            load=load,
            duration_s=duration_s,
            items=items,
            input=source,
            synthetic=synthetic,
            layers=settings.layers.around(layers),
            seed=seed,
            users=settings.users,
            processes=1 if settings.simulated else settings.processes,
            drain_s=settings.drain_s,
            scenario=settings.scenario,
            repeats=settings.repeats,
            transport=_transport(strategy, settings),
            schedule_sha256=schedule.sha256,
            scheduled=len(schedule) or None,
            span_s=schedule.span_s,
        )
        for label, strategy, layers in strategies
    ]


def _transport(strategy: Named, settings: RunSettings) -> Literal["asyncio", "blocking", "simulated"]:
    if settings.simulated:
        return "simulated"
    return "blocking" if plugins.build("strategy", strategy.name, strategy.settings).blocking else "asyncio"


def _items(settings: RunSettings, scenario: type[Description], load: Named) -> int | None:
    """As many as the user says or the input file has; else, for a backlog, the scenario's own number."""
    if settings.items is not None or settings.input is not None or load.name != BACKLOG:
        return settings.items
    return scenario.items or ITEMS


def _plan(settings: RunSettings, directory: Path, cases: list[CaseSpec]) -> Plan:
    return Plan(
        schema_version=PLAN_VERSION,
        id=directory.name,
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        tool={"name": "paceline", "version": _version(), "python": sys.version.split()[0]},
        environment=simulated_environment() if settings.simulated else environment(),
        seed=_seed(settings),
        slo=settings.slo,
        cases=list(cases),
        notes=list(settings.notes),
        command=settings.command,
        simulated=settings.simulated,
    )


def _seed(settings: RunSettings) -> int:
    return DEFAULT_SEED if settings.seed is None else settings.seed


def describe(name: str) -> type[Description]:
    """A scenario as plain data; raises UsageError with the near names."""
    before = os.environ.get("LOCUST_SKIP_MONKEY_PATCH")
    os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # a module of the user's may import Locust, which patches this process
    try:
        scenario = plugins.load("scenario", name)
    finally:
        del os.environ["LOCUST_SKIP_MONKEY_PATCH"]
        if before is not None:
            os.environ["LOCUST_SKIP_MONKEY_PATCH"] = before
    if not issubclass(scenario, Description):
        raise UsageError(
            f"scenario {name!r}: the class is not a subclass of scenarios.users.Application; "
            "an ordinary locustfile is played by Locust itself: locust -f FILE"
        )
    return scenario


def _check_numbers(settings: RunSettings) -> None:
    checks: list[tuple[str, float | None, float, float]] = [
        ("--rate", settings.rate, 1e-3, 1e6),
        ("--duration", settings.duration, 0.1, 864_000),
        ("--items", settings.items, 1, 10**12),
        ("--repeats", settings.repeats, 1, 1000),
        ("--users", settings.users, 1, 10_000),
        ("--processes", settings.processes, 1, 64),
        ("--speed", settings.speed, 1e-3, 1e6),
    ]
    for name, value, low, high in checks:
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} {value:g}: must be between {low:g} and {high:g}")
    if not settings.strategies:
        raise UsageError("no strategy: name at least one with -s (`paceline list strategies`)")


def _load(settings: RunSettings, scenario: type[Description]) -> Named:
    if settings.load is not None:
        name, given = plugins.split_spec(settings.load)
        pacer = check(name, given)
    else:
        pacer = scenario.load
    if pacer is None:
        if settings.rate is not None or (settings.duration is not None):
            raise UsageError("a backlog has no --rate or --duration: every item is due at once; choose a --load")
        return Named(BACKLOG)
    values = plugins.settings_of(pacer)
    if settings.rate is not None:
        if "rate_per_s" not in values:
            raise UsageError(f"--rate: the load {plugins.name_of(type(pacer))} takes its rate from the trace")
        values["rate_per_s"] = settings.rate
    return Named(plugins.name_of(type(pacer)), values)


def _tasks(settings: RunSettings, scenario: type[Description]) -> list[TaskShare]:
    mix = {settings.task: 1.0} if settings.task else scenario.mix
    shares = []
    for text, weight in mix.items():
        task = plugins.make("task", text)
        shares.append(TaskShare(Named(plugins.name_of(type(task)), plugins.settings_of(task)), weight))
    return shares


def _workload(settings: RunSettings, tasks: list[TaskShare]) -> tuple[str | None, dict[str, Any] | None]:
    if settings.input is not None and settings.synthetic is not None:
        raise UsageError("--input and --synthetic exclude each other")
    if settings.synthetic is not None:
        distribution, given = plugins.split_spec(settings.synthetic)
        values = {"distribution": distribution, **given} if distribution else given
        return None, plugins.settings_of(plugins.fill(Synthetic, "--synthetic", values))
    if settings.input is not None:
        if len(tasks) > 1:
            raise UsageError("--input has lines for one task; a mix of tasks has made-up texts")
        return settings.input, None
    if [share.task.name for share in tasks] == ["similarity"]:
        return str(SAMPLE_PAIRS), None
    return None, {}


def _check_workload(
    settings: RunSettings,
    tasks: list[TaskShare],
    source: str | None,
    synthetic: dict[str, Any] | None,
    strategies: list[Named],
) -> None:
    """One good item at least, and one that can be sent, before anything is started."""
    for share in tasks:
        task = plugins.build("task", share.task.name, share.task.settings)
        if source is None:
            data = Synthetic(**(synthetic or {})).data(task, 0, _seed(settings))
        else:
            priorities = any(uses_priorities(plugins.build("strategy", one.name, one.settings)) for one in strategies)
            _, data, _ = next(iter(Jsonl(source, settings.items, priorities).rows(task)))
        _check_request(task, data)


def _check_request(task: Task, data: Any) -> None:
    """A request of this task can be sent; a header that cannot would fail every one of them."""
    check_headers(task.request([Item(0, data, task)]).headers or {}, f"task {task.name}")


def _strategies(settings: RunSettings) -> list[tuple[str, Named, NamedLayers]]:
    """A case for each strategy, and one more for each variant of it: name, strategy, the layers of its own."""
    found: list[tuple[str, Named, NamedLayers]] = []
    for text in settings.strategies:
        plain, own = stack.split(text)
        strategy = plugins.make("strategy", plain)
        named = Named(plugins.name_of(type(strategy)), plugins.settings_of(strategy))
        for variant in ("", *settings.variants):
            layers = [*own, *(part.strip() for part in stack.split("+" + variant)[1])]
            name = "+".join(map(_label, [plain, *layers]))
            if any(name == other for other, _, _ in found):
                raise UsageError(f"strategy {name} is named twice")
            found.append((name, named, stack.parse(layers)))
    return found


def _label(text: str) -> str:
    """What was asked for, as it is shown."""
    if ":" not in text:
        return text.strip().replace("_", "-")
    name, given = plugins.split_spec(text)
    return ":".join(filter(None, [name, ",".join(f"{key}={value}" for key, value in given.items())]))


def _directory(settings: RunSettings) -> Path:
    stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    directory = settings.out or Path("runs") / f"{stamp}-{re.sub(r'[^a-z0-9-]+', '-', settings.scenario)}"
    if (directory / "plan.json").exists() and not settings.overwrite:
        raise UsageError(f"--out {directory}: holds a run already; choose another directory or add --overwrite")
    return directory


def _lay_out(directory: Path) -> None:
    try:
        for path in [*(directory / "records").glob("*"), directory / "result.json"]:
            path.unlink(missing_ok=True)
        (directory / "records").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {directory}: {error.strerror or error}") from error
    if not _writable(directory):
        raise UsageError(f"--out {directory}: not writable")


def _writable(directory: Path) -> bool:
    try:
        write_atomically(directory / ".probe", b"")
        (directory / ".probe").unlink()
    except OSError:
        return False
    return True


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("paceline")
    except PackageNotFoundError:
        return "source"
