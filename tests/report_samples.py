"""Seeded results that look like real ones, for the tests of the reports: a small queue simulation behind each case."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from harness.measure.result import (
    Bucket,
    Case,
    Counts,
    Diagnosis,
    Distribution,
    InFlight,
    Load,
    Named,
    Quantile,
    Rates,
    Reason,
    Resources,
    RunResult,
    SloCheck,
    Target,
    Verdict,
)
from harness.measure.token_result import LengthBin, RateSpread, TokenCount, TokenFigures, TokenRates

LEAST_N = {"p50": 11, "p90": 29, "p95": 59, "p99": 299, "p99_9": 2995}
HOSTILE = "<script>alert(1)</script>"


def spread(values: Sequence[float]) -> Distribution:
    """A distribution as the summary makes it: percentiles only where n carries them, log buckets."""
    if not len(values):
        return Distribution()
    data = np.asarray(values, dtype=float)
    quantiles = {}
    for name, least in LEAST_N.items():
        q = float(name[1:].replace("_", ".")) / 100
        value = float(np.quantile(data, q)) if len(data) >= least else None
        quantiles[name] = Quantile(value, value and value * 0.96, value and value * 1.05)
    positive = np.maximum(data, 1e-6)
    low, high = math.floor(math.log(positive.min(), 1.05)), math.floor(math.log(positive.max(), 1.05)) + 2
    edges = np.power(1.05, np.arange(low, high))
    counts, _ = np.histogram(positive, edges)
    return Distribution(
        n=len(data),
        mean=float(data.mean()),
        max=float(data.max()),
        min=float(data.min()),
        log_edges=edges.tolist(),
        log_counts=counts.tolist(),
        **quantiles,
    )


def simulate(
    due: Sequence[float], slots: int, service: Callable[[float, int], float], fail: Callable[[int], str]
) -> dict[str, Any]:
    """First come first served over `slots`; `service(now, in_flight)` in seconds, `fail(index)` names an outcome."""
    free = [0.0] * min(slots, len(due))
    heapq.heapify(free)
    ends: list[float] = []
    rows = []
    for index, at in enumerate(due):
        sent = max(at, heapq.heappop(free))
        while ends and ends[0] <= sent:
            heapq.heappop(ends)
        done = sent + service(sent, len(ends) + 1)
        heapq.heappush(free, done)
        heapq.heappush(ends, done)
        rows.append((at, sent, done, fail(index)))
    return {"rows": rows}


def timeline(rows: list[tuple[float, float, float, str]], limit: Callable[[float], float | None]) -> list[Bucket]:
    """About 60 buckets from zero to the last answer."""
    end = max(row[2] for row in rows)
    width = end / 60
    array = np.array([row[:3] for row in rows])
    ok = np.array([row[3] == "ok" for row in rows])
    buckets = []
    for number in range(60):
        low, high = number * width, (number + 1) * width
        dues = (array[:, 0] >= low) & (array[:, 0] < high)
        dones = (array[:, 2] >= low) & (array[:, 2] < high)
        overlap = np.clip(np.minimum(array[:, 2], high) - np.maximum(array[:, 1], low), 0, None).sum()
        latency, served = array[dues, 2] - array[dues, 0], array[dones, 2] - array[dones, 1]
        buckets.append(
            Bucket(
                t_s=low,
                width_s=width,
                due=int(dues.sum()),
                sent=int(((array[:, 1] >= low) & (array[:, 1] < high)).sum()),
                ok=int((dones & ok).sum()),
                failed=int((dones & ~ok).sum()),
                in_flight=float(overlap / width),
                limit=limit(low),
                latency_p50_s=float(np.median(latency)) if len(latency) else None,
                latency_p99_s=float(np.quantile(latency, 0.99)) if len(latency) else None,
                service_p50_s=float(np.median(served)) if len(served) else None,
                service_p99_s=float(np.quantile(served, 0.99)) if len(served) else None,
                cpu_share=0.2,
                rss_mb=60 + number / 10,
            )
        )
    return buckets


def case(
    name: str,
    strategy: Named,
    due: Sequence[float],
    slots: int,
    service: Callable[[float, int], float],
    *,
    load: Load,
    fail: Callable[[int], str] = lambda index: "ok",
    limit: Callable[[float], float | None] | None = None,
    limited_by: Any = "server",
    says: str = "",
    cpu_us: float = 180.0,
    rss_mb: float = 62.0,
    **more: Any,
) -> Case:
    """One case out of the simulation above."""
    rows = simulate(due, slots, service, fail)["rows"]
    makespan = max(row[2] for row in rows)
    kinds = [row[3] for row in rows]
    ok = kinds.count("ok")
    tally = {kind: kinds.count(kind) for kind in set(kinds)}
    latency = [done - at for at, _, done, _ in rows]
    served = [done - sent for _, sent, done, _ in rows]
    open_loop = load.kind != "backlog"
    return Case(
        name=name,
        strategy=strategy,
        load=load,
        task=more.pop("task", "similarity"),
        target=more.pop("target", Target("http://127.0.0.1:41233", "structbert-article", "times divided by 6")),
        scenario="steady" if open_loop else "backlog",
        layers={"retry": {"attempts": 3}, "timeout_s": 10.0},
        counts=Counts(
            scheduled=len(rows),
            sent=len(rows) - tally.get("not_sent", 0),
            attempts=len(rows) + kinds.count("timed_out"),
            server_seen=len(rows) + kinds.count("timed_out"),
            locust_seen=len(rows),
            **tally,
        ),
        makespan_s=makespan,
        rates_per_s=Rates(
            offered=len(rows) / (load.duration_s or makespan) if open_loop else None,
            sent=len(rows) / makespan,
            completed=ok / makespan,
            goodput=ok / makespan * 0.99,
        ),
        latency_s=spread(latency),
        service_time_s=spread(served),
        queue_wait_s=spread([sent - at for at, sent, _, _ in rows]),
        retry_time_s=spread([0.0] * len(rows)),
        lag_s=spread([0.0004] * len(rows)),
        in_flight=InFlight(sum(served) / makespan, min(slots, len(rows))),
        resources=Resources(
            client_cpu_s=cpu_us * len(rows) / 1e6,
            client_cpu_us_per_request=cpu_us,
            client_cpu_share=min(1.0, cpu_us * len(rows) / 1e6 / makespan),
            client_rss_max_mb=rss_mb,
            loop_lag_p99_s=0.0011,
            ceiling_per_s=5200,
            ceiling_share=ok / makespan / 5200,
        ),
        diagnosis=Diagnosis(limited_by, says),
        timeline=timeline(rows, limit or (lambda at: None)),
        **more,
    )


def article_service(rng: random.Random) -> Callable[[float, int], float]:
    """A server of 120 ms a request that serves at most about 67 a second, with congestion above that."""
    return lambda now, in_flight: rng.lognormvariate(0, 0.08) * max(0.12, in_flight / (67 - in_flight**0.5 * 0.4))


def run_of(cases: list[Case], headline: str, verdict: Verdict | None = None, **more: Any) -> RunResult:
    """A whole result around the cases."""
    return RunResult(
        schema_version=1,
        id="20261121T101500-compare",
        started_at="2026-11-21T10:15:00Z",
        tool={"paceline": "0.1.0", "python": "3.11.9", "aiohttp": "3.14.0", "locust": "2.47.0"},
        environment={
            "cpu": {"model": "Xeon", "cores": 2},
            "system": "Linux 6.1",
            "load_average": [0.4, 0.3, 0.2],
            "command": "paceline compare -s sync -s 'queue-stream:concurrency=50' --items 1000",
        },
        seed=7,
        schedule_sha256="5a1c" * 16,
        verdict=verdict or Verdict("valid"),
        headline=headline,
        cases=cases,
        **more,
    )


def article(items: int = 1000) -> RunResult:
    """The article's comparison: seven strategies over one backlog."""
    rng = random.Random(1)
    plan: list[tuple[str, dict[str, Any], int, float, float]] = [
        ("sync", {}, 1, 410, 48),
        ("threads", {"workers": 8}, 8, 520, 61),
        ("unbounded", {}, items, 240, 131),
        ("batches", {"size": 50}, 38, 230, 66),
        ("queue-stream", {"concurrency": 10}, 10, 190, 58),
        ("queue-stream", {"concurrency": 50}, 50, 196, 60),
        ("adaptive", {"latency_target_s": 0.25, "limit_max": 200}, 16, 214, 59),
    ]
    cases = []
    for strategy, settings, slots, cpu, rss in plan:
        name = strategy + "".join(f":{key}={value}" for key, value in list(settings.items())[:1])
        says = f"The server set the pace: {slots} in flight, service time far above the 120 ms it takes alone."
        by = "server"
        if slots < 9:
            by, says = "strategy", f"The strategy set the pace: it keeps {slots} in flight, the server could take more."
        cases.append(
            case(
                name,
                Named(strategy, settings),
                [0.0] * items,
                slots,
                article_service(rng),
                load=Load("backlog", {}, items, None),
                limit={
                    "adaptive": lambda at: 4 + 14 * min(1, at / 6) + 3 * math.sin(at * 2),
                    "queue-stream": lambda at, slots=slots: float(slots),
                }.get(strategy),
                limited_by=by,
                says=says,
                cpu_us=cpu,
                rss_mb=rss,
                slo=[
                    SloCheck("p99<30s", 12.0, 30.0, True),
                    SloCheck("errors<1%", 0.0, 0.01, strategy != "unbounded"),
                ],
                warnings=["skipped 1 malformed input line"] if strategy == "sync" else [],
            )
        )
    head = (
        "queue-stream:concurrency=10 reaches 99 % of the highest throughput (65.9/s) with a sixth of the service time; "
        "the server is the limit above 8 in flight. The numbers can be trusted."
    )
    return run_of(cases, head)


def stall() -> RunResult:
    """Poisson arrivals at 100/s over 8 s against a server that stands still for a second."""
    rng = random.Random(2)

    def due() -> list[float]:
        times, at = [], 0.0
        clock = random.Random(5)
        while (at := at + clock.expovariate(100)) < 8:
            times.append(at)
        return times

    def service(now: float, in_flight: int) -> float:
        return (4.0 - now if 3.0 <= now < 4.0 else 0.0) + rng.uniform(0.004, 0.007)

    load = Load("poisson", {"rate": 100}, None, 8.0)
    says = "The load set the pace: everything offered was completed, but 1 s of stall made 100 items late."
    cases = [
        case(
            f"queue-stream:concurrency={slots}",
            Named("queue-stream", {"concurrency": slots}),
            due(),
            slots,
            service,
            load=load,
            limited_by="load",
            says=says,
        )
        for slots in (4, 50)
    ]
    return run_of(
        cases, "With 4 slots a stall of 1 s shows in the p99 from due time (936 ms), not in service time (7 ms)."
    )


def failures() -> RunResult:
    """Failures of every kind; the verdict is invalid."""
    rng = random.Random(3)
    kinds = ["rejected"] * 50 + ["timed_out", "server_error", "client_error", "connection_error", "bad_response"]
    kinds += ["cancelled", "not_sent", "unfinished"] + ["ok"] * 42
    cases = [
        case(
            name,
            Named(name, {}),
            [0.0] * 900,
            slots,
            article_service(rng),
            load=Load("backlog", {}, 900, None),
            fail=fail,
            limited_by="unknown",
            says="",
            warnings=["the server counted 3 exchanges more than the client"],
        )
        for name, slots, fail in (
            ("adaptive", 12, lambda index: rng.choice(kinds)),
            ("unbounded", 900, lambda index: "rejected" if index % 2 else "ok"),
            ("sync", 1, lambda index: "ok" if index % 300 else "timed_out"),
            ("threads", 8, lambda index: "server_error"),
        )
    ]
    reasons = [
        Reason("errors", "Half of all requests were rejected.", "unbounded"),
        Reason("server_count", "The server saw 903 exchanges, the client made 900.", "adaptive"),
        Reason("no_data", "No request succeeded.", "threads"),
    ]
    return run_of(cases, "Not a result to build on: half of all requests failed.", Verdict("invalid", reasons))


def llm() -> RunResult:
    """A streaming annotation task: time to first token and between tokens."""
    rng = random.Random(4)
    cases = []
    for slots in (4, 16, 64):
        base = case(
            f"queue-stream:concurrency={slots}",
            Named("queue-stream", {"concurrency": slots}),
            [0.0] * 240,
            slots,
            lambda now, in_flight: rng.lognormvariate(0.4, 0.3) * (1 + in_flight / 24),
            load=Load("backlog", {}, 240, None),
            task="annotate",
            target=Target("http://127.0.0.1:8000", "llm-annotation", None),
            repeats=3,
        )
        ttft = spread([rng.lognormvariate(-2, 0.5) * (1 + slots / 20) for _ in range(720)])
        itl = spread([rng.lognormvariate(-4.2, 0.3) * (1 + slots / 50) for _ in range(9000)])
        tpot = spread([rng.lognormvariate(-4.15, 0.1) * (1 + slots / 50) for _ in range(720)])
        timeline = [msgspec.structs.replace(one, output_tokens=48.0 * one.ok) for one in base.timeline]
        tokens = token_figures(slots, rng)
        more = {"tpot_s": tpot, "e2e_s": base.service_time_s, "tokens": tokens, "timeline": timeline}
        cases.append(msgspec.structs.replace(base, ttft_s=ttft, itl_s=itl, **more))
    return run_of(cases, "16 in flight is the knee: more raises time to first token, not throughput.", simulated=True)


def token_figures(slots: int, rng: random.Random) -> TokenFigures:
    """Prompts of 16 to 2,000 tokens; longer ones take longer. The server does not count cached tokens."""
    found = TokenCount(720, 720 * 310, 310.0, 17, 240, 1100, 1970)
    output = TokenCount(720, 720 * 48, 48.0, 48, 48, 48, 48)
    factor = 1 + slots / 20
    bins = []
    for place in range(4, 11):
        n = round(300 * rng.uniform(0.1, 1.0))
        first, tail = factor * (0.08 + 2**place / 4000), 1.6 if n >= 59 else None
        token = 0.016 * (1 + slots / 50)
        times = (first, tail and first * tail, token, tail and token * 1.2, first + 47 * token)
        bins.append(LengthBin(2**place, 2 ** (place + 1) - 1, n, *times, tail and first * tail + 47 * token))
    rates = TokenRates(200.0 * slots**0.6, None, None, 1300.0 * slots**0.6, 1500.0 * slots**0.6,
                       RateSpread(720, 61.0, 31.0, 40.0, 60.0, 70.0, 72.0))  # fmt: skip
    why = {"cached": "the answers have no count of cached tokens"}
    return TokenFigures(720, 720, 0, 720, 3, 0, found, output, None, None, rates, bins, why)


def partial() -> RunResult:
    """Interrupted in the second case; the third has nothing at all."""
    first, second = article(300).cases[4:6]
    return run_of(
        [
            first,
            msgspec.structs.replace(
                second,
                partial=True,
                counts=msgspec.structs.replace(second.counts, scheduled=1000, not_sent=697, unfinished=3),
            ),
            nothing("adaptive"),
        ],
        "The run was interrupted: no comparison.",
        Verdict("inconclusive", [Reason("interrupted", "Stopped by Ctrl-C after 4.4 s.")]),
    )


def nothing(name: str = "sync") -> Case:
    """A case without any data."""
    return Case(
        name=name,
        strategy=Named(name),
        load=Load("backlog", {}, 1000, None),
        task="similarity",
        target=Target("http://127.0.0.1:9"),
        partial=True,
    )


def zero() -> RunResult:
    """One case, zero data."""
    verdict = Verdict("invalid", [Reason("no_data", "No request was made.", "sync")])
    return run_of([nothing()], "No data: the target never answered.", verdict)


def empty() -> RunResult:
    """No case at all."""
    verdict = Verdict("invalid", [Reason("no_data", "No case was run.")])
    return RunResult(1, "x", "2026-11-21T10:15:00Z", {}, {}, 0, None, verdict, "", [])


def hostile() -> RunResult:
    """Names that try to break the page, the table and the charts."""
    names = [
        HOSTILE,
        'a|b "quoted" & <img src=x onerror=alert(2)> `code` **bold** [l](javascript:alert(3))',
        r"$\frac{broken$ {{ 7*7 }} {% raw %}",
        "queue-stream:" + ",".join(f"setting_{n}={n * 1000}" for n in range(30)),
        "并发队列 -->]]> \x00\x1b[31m\u202eright\nto left",
        "x" * 400,
    ]
    base = article(60).cases[:6]
    cases = [
        msgspec.structs.replace(
            one,
            name=name,
            strategy=Named(name, {name: name}),
            diagnosis=Diagnosis("server", name),
            warnings=[name],
            target=Target(name, name, name),
            slo=[SloCheck(name, None, 1.0, False)],
        )
        for one, name in zip(base, names, strict=True)
    ]
    verdict = Verdict("inconclusive", [Reason("errors", name, name) for name in names])
    result = run_of(cases, f"{HOSTILE} wins | maybe", verdict)
    return msgspec.structs.replace(result, tool={HOSTILE: HOSTILE}, environment={HOSTILE: [HOSTILE, {"command": 1}]})


def many(cases: int = 12) -> RunResult:
    """As many strategies as one report is drawn for, several of them nearly the same."""
    rng = random.Random(6)
    made = [
        case(
            f"adaptive:algorithm=gradient,limit_max={10 * (at + 1)},tolerance=1.5",
            Named("adaptive", {"algorithm": "gradient", "limit_max": 10 * (at + 1), "tolerance": 1.5}),
            [0.0] * 400,
            6 + 2 * at,
            article_service(rng),
            load=Load("backlog", {}, 400, None),
            limit=lambda now: 8 + 4 * math.sin(now),
            says="The server set the pace.",
        )
        for at in range(cases)
    ]
    return run_of(made, f"{cases} settings of adaptive are within 3 % of each other.")


def mixed() -> RunResult:
    """Backlog and arrivals in one result, which must never be ranked together silently."""
    return run_of([*article(300).cases[:4], *stall().cases], "Two loads in one result: see each group by itself.")


def single() -> RunResult:
    """One case."""
    return run_of(article(300).cases[5:6], "queue-stream:concurrency=50 completed 65.1/s.")


ALL: dict[str, Callable[[], RunResult]] = {
    "article": article,
    "stall": stall,
    "failures": failures,
    "llm": llm,
    "partial": partial,
    "zero": zero,
    "empty": empty,
    "hostile": hostile,
    "many": many,
    "mixed": mixed,
    "single": single,
}
