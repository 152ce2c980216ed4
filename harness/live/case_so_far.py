"""The figures of a case while it is played, over all its repeats so far, in the form of a result's case."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.client.types import Outcome
from harness.live.peak import Peak
from harness.live.series import Series
from harness.live.spread import Spread
from harness.live.tail import Fresh
from harness.measure.record.plan import Measured, PlanCase
from harness.measure.reduce import columns, streams
from harness.measure.reduce.case_figures import ceiling_of, identity
from harness.measure.reduce.counting import Evidence
from harness.measure.result import OUTCOME_NAMES, Case, Counts, InFlight, Rates, Resources
from harness.measure.token_result import TokenFigures, TokenRates

Array = np.ndarray[Any, np.dtype[Any]]

QUANTITIES = ("latency_s", "service_time_s", "queue_wait_s", "lag_s", "ttft_s", "tpot_s")
OF_STREAMS = ("ttft_s", "tpot_s")


class CaseSoFar:
    """Counts and spreads of one case; everything counts, also what a result removes as warm-up."""

    def __init__(self, plan: PlanCase) -> None:
        self.plan = plan
        self.series = Series(plan.is_backlog)
        self.outcomes = np.zeros(len(Outcome), np.int64)
        self.spreads = {name: Spread() for name in QUANTITIES}
        self.rows = 0
        self.sent = 0
        self.attempts = 0
        self.output_tokens = 0
        self.rss_bytes = 0.0
        # Over all processes: items in flight and its limit at the last tick.
        self.in_flight = 0.0
        self._loop_lag = Spread()
        self._all_lag = Spread()
        # Ticks, and the sum of what was in flight at them.
        self._flight = (0, 0.0)
        self._peak = Peak()
        # Repeat -> last instant; (repeat, process) -> (wall, CPU).
        self._spans: dict[int, float] = {}
        self._used: dict[tuple[int, int], tuple[float, float]] = {}
        self._repeat = 0
        self._now: dict[int, tuple[float, float]] = {}

    def begin(self, repeat: int) -> None:
        """Another repeat begins."""
        self._repeat, self.series, self._now = repeat, Series(self.plan.is_backlog), {}
        self.in_flight = 0.0
        self._peak.begin()

    def add(self, fresh: Fresh) -> None:
        """Count the rows that a process has written."""
        self._rows(fresh.rows, fresh.output, fresh.shift_s)
        self._ticks(fresh)

    def _rows(self, rows: Array, output: Array, shift_s: float) -> None:
        if not len(rows):
            return
        good = rows["outcome"] == Outcome.ok
        ok, each = rows[good], streams.tpot(rows[good], output[good])
        wired = ok[columns.was_sent(ok)]
        streamed = wired[(wired["chunks"] > 0) & (wired["first_byte"] >= 0)]
        self.rows += len(rows)
        self.sent += int((rows["first_sent"] >= 0).sum())
        self.attempts += int(rows["attempts"].sum())
        self.outcomes += np.bincount(rows["outcome"], minlength=len(Outcome))
        self._all_lag.add(columns.lag(rows))
        for name, values in (
            ("latency_s", columns.latency(ok)),
            ("service_time_s", columns.service_time(wired)),
            ("queue_wait_s", columns.queue_wait(ok)),
            ("lag_s", columns.lag(ok)),
            ("ttft_s", streamed["first_byte"] - streamed["sent"]),
            ("tpot_s", each[each >= 0]),
        ):
            self.spreads[name].add(values)
        last_s = float(rows["done"].max()) / 1e9 + shift_s
        self._spans[self._repeat] = max(self._spans.get(self._repeat, 0.0), last_s)
        tokens = np.where(good & (output > 0), output, 0)
        self.output_tokens += int(tokens.sum())
        self.series.add_rows(rows, tokens, shift_s)

    def _ticks(self, fresh: Fresh) -> None:
        ticks = fresh.ticks
        if not len(ticks):
            return
        last = ticks[-1]
        self._used[self._repeat, fresh.process] = float(last["t"]), float(last["cpu"])
        self._now[fresh.process] = float(last["in_flight"]), float(last["rss"])
        self.in_flight = sum(flight for flight, _ in self._now.values())
        self.rss_bytes = max(self.rss_bytes, sum(rss for _, rss in self._now.values()))
        self._flight = self._flight[0] + len(ticks), self._flight[1] + float(ticks["in_flight"].sum())
        self._peak.add(fresh.process, ticks, fresh.shift_s)
        self._loop_lag.add(ticks["loop_lag"] * 1e9)
        self.series.add_ticks(fresh.process, ticks, fresh.shift_s)

    @property
    def ok(self) -> int:
        """Items answered."""
        return int(self.outcomes[Outcome.ok])

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the client processes."""
        return sum(cpu for _, cpu in self._used.values())

    @property
    def loop_lag_p99_s(self) -> float | None:
        """Event-loop lag."""
        return self._loop_lag.quantile("p99")

    def case(self, measured: Measured) -> Case:
        """The case so far."""
        span_s = sum(self._spans.values())
        by_outcome = dict(zip(OUTCOME_NAMES, self.outcomes.tolist(), strict=True))
        spreads: dict[str, Any] = {name: spread.distribution() for name, spread in self.spreads.items()}
        if self.output_tokens:
            output_per_s = self.output_tokens / span_s if span_s > 0 else None
            # Who counted them is said at the end.
            spreads["tokens"] = TokenFigures(0, 0, 0, 0, 0, 0, per_s=TokenRates(output=output_per_s))
        for name in OF_STREAMS:
            if not self.spreads[name].n:
                spreads.pop(name)
        ticks, flight = self._flight
        mean = flight / ticks * max(len(self._now), 1) if ticks else None
        return Case(
            **identity(self.plan, measured),
            repeats=len(self._spans),
            counts=Counts(scheduled=self.rows, sent=self.sent, attempts=self.attempts, **by_outcome),
            makespan_s=span_s / len(self._spans) if self._spans else None,
            rates_per_s=Rates(
                offered=_offered(self.plan), completed=self.ok / span_s if span_s > 0 and self.rows else None
            ),
            in_flight=InFlight(mean, round(self._peak.most)),
            resources=self._resources(measured, span_s),
            **spreads,
        )

    def _resources(self, measured: Measured, span_s: float) -> Resources:
        wall_s, cpu_s = sum(wall for wall, _ in self._used.values()), self.cpu_s
        ceiling = ceiling_of(self.plan, measured)
        return Resources(
            client_cpu_s=cpu_s or None,
            client_cpu_us_per_request=cpu_s / self.rows * 1e6 if self.rows else None,
            client_cpu_share=cpu_s / wall_s if wall_s > 0 else None,
            client_rss_max_mb=self.rss_bytes / 1e6 or None,
            loop_lag_p50_s=self._loop_lag.quantile("p50"),
            loop_lag_p99_s=self.loop_lag_p99_s,
            ceiling_per_s=ceiling,
            ceiling_share=self.attempts / span_s / ceiling if ceiling and span_s > 0 else None,
        )

    def evidence(self, cores: float | None = None) -> Evidence:
        """The facts for the verdict while the case is played, on a machine with so many cores."""
        lag = next(
            ((name, value) for name in ("p99", "p95", "p90", "p50") if (value := self._all_lag.quantile(name))), None
        )
        plan = self.plan
        return Evidence(
            plan.name, rows=self.rows, lag=lag, transport=plan.transport, processes=plan.processes, cores=cores
        )


def _offered(plan: PlanCase) -> float | None:
    return plan.scheduled / plan.span_s if plan.scheduled is not None and plan.span_s else None
