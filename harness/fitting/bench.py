"""Plays loads against the server of a run, for real or in virtual time, and reads the client's records."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import numpy as np

from harness.client.types import Item, Outcome, Send
from harness.experiment.backend import Backend, Progress
from harness.experiment.cases import describe
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.order import Interleaved
from harness.experiment.prepare import Run
from harness.experiment.run import RunInProgress, opened
from harness.experiment.run_directory import deleted
from harness.experiment.simulate.case import play
from harness.experiment.simulate.compare import MockInProcess, VirtualTime
from harness.experiment.spec import CaseSpec, Trial
from harness.experiment.target import RunningTarget
from harness.fitting.fit_loads import FitLoad, WordLengths
from harness.fitting.request_shapes import Shape, shapes
from harness.fitting.seen import Seen
from harness.measure.judge.codes import CODES
from harness.measure.record.files import find_case, paths
from harness.measure.record.rows_file import read
from harness.measure.result import Reason

_REFUSED = (429, 503)
EXPECTED = "errors"
"""The code of failures: refusals are what some loads look for, and other failures are judged by the fit."""


STAMPS = 9
_LATER, _LATER_S = 4, 0.0037
_QUEUE = re.compile(r"\bqueue;dur=([0-9]{1,12}(?:\.[0-9]{1,12})?)(?![0-9.eE])")


# Any server may stand there: a report with figures that no mock can play counts as none.
_Number = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Duration = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Batch(msgspec.Struct, frozen=True):
    """A batch as the server reports it."""

    started: float
    items: _Number
    length: _Number  # padded
    tokens: _Number
    duration_s: _Duration
    # Items that waited when it ended; None: not reported.
    queued: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Policy(msgspec.Struct, frozen=True):
    """How the server makes up its batches, as it reports it. Lengths are in its own tokens."""

    items_max: _Number
    tokens_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0  # 0: no bound
    pad_multiple: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1
    linger_s: _Duration = 0.0
    overhead_tokens: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0


class _Report(msgspec.Struct):
    now: float
    batches: list[Batch]
    policy: Policy | None = None


class Virtual(VirtualTime):
    """Virtual time in which every load meets a mock with random numbers of its own."""

    _played = 0

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        """Play a trial against a fresh mock."""
        self._played += 1
        play(trial, self._server.fresh(self._played), self._terms, watch)
        return TrialEnd(0, False, self._run.records)


class Bench:
    """The server of one run, and its loads."""

    def __init__(self, run: Run, session: RunInProgress) -> None:
        self._run = run
        self._session = session
        self._scenario = describe("backlog")
        self._since = -math.inf
        # By load, the hash of its schedule.
        self.schedules: dict[str, str] = {}
        # Of a server that reports it; known after the first call of `batches`.
        self.policy: Policy | None = None

    @property
    def begins_afresh(self) -> bool:
        """Whether each load meets a server that has not seen the ones before."""
        return isinstance(self._session.server, MockInProcess)

    def play(self, load: FitLoad) -> tuple[Seen, list[Reason]]:
        """Play a load; the client's records, and reasons why they are not valid. Raises KeyboardInterrupt."""
        case = load.case(self._run.settings, self._scenario)
        order = Interleaved([case])
        if not self._session.play(case, 0, order):
            raise KeyboardInterrupt
        if case.schedule_sha256 is not None:
            self.schedules[load.name] = case.schedule_sha256
        observed = self._session.observe(case, 0)
        invalid = [reason for reason in observed.verdict.reasons if CODES[reason.code][0] == "invalid"]
        return self._read(load, case), [reason for reason in invalid if reason.code != EXPECTED]

    def batches(self) -> list[Batch]:
        """The batches since the last call, as the server reports them; none if it does not."""
        server = self._session.server
        if isinstance(server, MockInProcess):
            self.policy = msgspec.convert(server.mock.app.dispatcher.policy, Policy, from_attributes=True)
            log = server.mock.app.dispatcher.log
            return [Batch(one.started, one.items, one.length, one.tokens, one.duration_s, one.queued) for one in log]
        answer = server.calls.get("/debug/batches") if isinstance(server, RunningTarget) else None
        try:
            report = msgspec.convert(answer, _Report)
        except msgspec.ValidationError:
            return []
        self.policy = report.policy
        since, self._since = self._since, report.now
        return [one for one in report.batches if one.started > since]

    def queue_s(self, lengths: WordLengths) -> float:
        """The median wait in the queue of a request alone, as the server says; 0 if it does not say."""
        case = FitLoad("stamps", lengths, 1).case(self._run.settings, self._scenario)
        task, made = case.build_mix().tasks[0], case.build_source(case.build_strategy()).synthetic

        async def some(send: Send) -> list[float]:
            found = []
            for index in range(STAMPS):
                response = await send(task.request([Item(index, made.data(task, index, case.seed), task)]))
                if response.outcome not in (Outcome.ok, Outcome.rejected):
                    # Each further one may take its whole time-out.
                    break
                found.append(queue_stamp_s(response.server_timing or ""))
            return found

        return float(np.median(self._session.server.ask(some) or [0.0]))

    def retry_after_s(self, lengths: WordLengths, count: int) -> list[float | None]:
        """Retry-After of the requests that are refused when so many are sent at once; None: refused without one."""
        case = FitLoad("refusals", lengths, 1).case(self._run.settings, self._scenario)
        task, made = case.build_mix().tasks[0], case.build_source(case.build_strategy()).synthetic
        items = [Item(index, made.data(task, index, case.seed), task) for index in range(count)]

        async def burst(send: Send) -> list[float | None]:
            calls = [asyncio.ensure_future(send(task.request([item]))) for item in items]
            # A wait that is computed differs between instants.
            for number in range(1, _LATER + 1):
                await asyncio.sleep(number * _LATER_S)
                calls += [asyncio.ensure_future(send(task.request([item]))) for item in items[:_LATER]]
            answers = await asyncio.gather(*calls)
            return [one.retry_after_s for one in answers if one.outcome is Outcome.rejected]

        return self._session.server.ask(burst)

    def _read(self, load: FitLoad, case: CaseSpec) -> Seen:
        """The records of a case, with the shape of each request."""
        found = find_case(self._run.records, case.name, 0).get(0)
        if found is None:
            raise deleted(self._run.directory, paths(self._run.records, case.name, 0, 0).requests)
        (process,) = found
        rows = read(process.requests)[1]
        known = shapes_of(case, int(rows["index"].max()) + 1 if len(rows) else 0)
        sent_ns = np.where(rows["sent"] >= 0, rows["sent"], rows["due"])
        order = np.lexsort((rows["index"], sent_ns))
        gaps, owners = _gaps(process, order)
        rows = rows[order]
        refused = np.isin(rows["status"], _REFUSED)
        return Seen(
            load.name,
            load.concurrency,
            tuple(known[int(index)] for index in rows["index"]),
            sent_ns[order] / 1e9,
            _instants(rows["first_byte"]),
            _instants(rows["last_chunk"]),
            _instants(rows["done"]),
            rows["outcome"] == Outcome.ok,
            refused,
            rows["status"].astype(float),
            rows["chunks"].astype(float),
            rows["due"] / 1e9,
            gaps,
            owners,
        )


def queue_stamp_s(header: str) -> float:
    """Seconds in the queue, as Server-Timing says; 0 if it does not say, or not in a number."""
    stamp = _QUEUE.search(header)
    return float(stamp.group(1)) / 1e3 if stamp else 0.0


def shapes_of(case: CaseSpec, count: int) -> list[Shape]:
    """The shapes of the first requests of a case; those of the last loads are kept, because loads are repeated."""
    key = msgspec.json.encode([case.tasks, case.synthetic, case.seed])
    known = _kept.pop(key, [])
    if len(known) < count:
        source, mix = case.build_source(case.build_strategy()), case.build_mix()
        tasks = ((index, mix.pick(index)) for index in range(len(known), count))
        known = known + shapes((task, source.synthetic.data(task, index, source.seed)) for index, task in tasks)
    _kept[key] = known
    while len(_kept) > _KEPT_MAX:
        del _kept[next(iter(_kept))]
    return known[:count]


_KEPT_MAX = 16
_kept: dict[bytes, list[Shape]] = {}


def _instants(column: Any) -> Any:
    return np.where(column >= 0, column / 1e9, np.nan)


def _gaps(process: Any, order: Any) -> tuple[Any, Any]:
    """Gaps between the tokens of streams, and the place of each one's row in this order."""
    if not process.gaps.exists():
        return np.empty(0), np.empty(0)
    found = read(process.gaps)[1]
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    width = found["gaps"].shape[1] if len(found) else 0
    values, owners = found["gaps"].ravel().astype(float), np.repeat(place[found["row"].astype(int)], width)
    known = ~np.isnan(values)
    return values[known], owners[known].astype(float)


@contextmanager
def bench(run: Run, backend: Backend, progress: Progress) -> Iterator[Bench]:
    """The server of a run, started; the plan lists the loads as they are played."""
    run.plan = msgspec.structs.replace(run.plan, cases=[])
    try:
        with opened(run, backend, progress) as session:
            session.calibrate()
            yield Bench(run, session)
    finally:
        run.release()
