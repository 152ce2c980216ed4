"""Dispatches calls as batches to workers: admission, queue, workers. It runs on one loop, without tasks of its own.

Rules of this file
  1. A free worker takes a batch as soon as an item waits, or at the end of the linger time; the policy selects the
     items.
  2. A batch starts when its worker became free or its oldest item arrived, whichever is later, and not when this code
     runs: the overshoot of a timer counts as time of the next batch, so throughput is exact. Engines set `batch.ended`.
  3. `workers` may change at any time; 0 means no bound.
  4. A call ends immediately when its client disconnects, or when its deadline passes while any of its items waits: its
     waiting items leave the queue and return their room; running items are computed to their end.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

import msgspec

from harness.base.clock import Clock
from model_server.errors import ApiError, ClientGone, deadline_exceeded
from model_server.scheduling.admission import Admission, AdmissionLimits, DrainRate
from model_server.scheduling.batching import BatchPolicy, BatchQueue
from model_server.work import Batch, Engine, Work

UNLIMITED = 1 << 30


class BatchEntry(msgspec.Struct, frozen=True):
    """One batch: start on the server's clock, content, duration and the number of items still queued."""

    started: float
    kind: str
    items: int
    length: int
    tokens: int
    duration_s: float
    queued: int


class Call:
    """The work of one HTTP request; it ends when every item is done or dropped."""

    __slots__ = ("batch", "ended", "error", "expiry", "future", "pending", "started", "works")

    def __init__(self, works: list[Work]) -> None:
        self.works = works
        self.pending = len(works)
        self.started = math.inf  # start of the first item
        self.ended = 0.0
        self.batch: Batch | None = None  # the last one
        self.error: Exception | None = None
        self.future: asyncio.Future[None] | None = None
        self.expiry: asyncio.TimerHandle | None = None

    def resolve(self) -> None:
        """Wake the coroutine that waits for this call."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Dispatcher:
    """Runs calls on an engine."""

    def __init__(
        self,
        engine: Engine,
        policy: BatchPolicy,
        limits: AdmissionLimits,
        *,
        workers: int,
        clock: Clock,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        self.engine = engine
        self.policy = policy
        self.clock = clock
        self.rate = DrainRate()
        self.admission = Admission(limits, self.rate)
        self.in_flight = 0  # calls
        self.batches = 0
        self.dropped = 0
        # Called with every computed batch.
        self._on_batch = on_batch
        self._lingering: asyncio.TimerHandle | None = None
        self.log: deque[BatchEntry] = deque(maxlen=1024)
        self._workers = workers
        self._queue: BatchQueue[Work] = BatchQueue(policy)
        self._busy = 0
        self._free_at = [-math.inf] * workers  # one entry per free worker
        self._pumping = False

    @property
    def workers(self) -> int:
        """Number of concurrent batches; 0 for no bound."""
        return self._workers

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = value
        free = max(0, value - self._busy)
        del self._free_at[free:]
        # A new worker cannot start a batch earlier than now.
        now = self.clock()
        self._free_at += [now] * (free - len(self._free_at))
        self._pump(now)

    def use(self, policy: BatchPolicy) -> None:
        """Form batches by this policy from now on."""
        self.policy = self._queue.policy = policy

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def _free(self) -> int:
        return max(0, self._workers - self._busy) if self._workers else UNLIMITED

    async def prepare(self, long: list[Work], count: int) -> None:
        """Tokenize the long inputs of a call with `count` items outside the loop.

        Room is reserved first and released for `submit`, which must follow immediately. Raises as `submit` does.
        """
        self.admission.reserve(count, min(count, self._free() * self.policy.items_max), self._workers or count)
        try:
            for work in long:
                await self.engine.prepare(work.kind, work.inputs)
        finally:
            self.admission.release(count, 0)

    def submit(self, works: list[Work], arrived: float, deadline: float) -> Call:
        """Admit and queue the items of one request; raises `ApiError` if the queue is full or an input is too long."""
        count = len(works)
        free = not self._workers or self._busy < self._workers
        if count == 1 and free and not len(self._queue) and not self.policy.linger_s:
            return self._run_now(works, arrived, deadline)
        startable = min(count, self._free() * self.policy.items_max)
        self.admission.reserve(count, startable, self._workers or count)
        call = Call(works)
        tokens_max, tokens = self.engine.info.tokens_max(works[0].kind), 0
        self.in_flight += 1
        try:
            for work in works:
                work.tokens = self.engine.count_tokens(work.kind, work.inputs)
                _check_length(work, tokens_max)
                work.arrived, work.deadline = arrived, deadline
                work.in_flight, work.call = self.in_flight, call
                tokens += work.tokens
            self.admission.add_tokens(tokens, self._workers or count)
        except BaseException:
            self.in_flight -= 1
            self.admission.release(count, 0)
            raise
        for work in works:
            self._queue.push(work)
        self._pump(self.clock())
        if deadline < math.inf and call.pending:
            call.expiry = asyncio.get_running_loop().call_at(deadline, self._expire, call)
        return call

    def _run_now(self, works: list[Work], arrived: float, deadline: float) -> Call:
        """The fast path for one item that finds a free worker and an empty queue: it never waits."""
        work = works[0]
        work.tokens = self.engine.count_tokens(work.kind, work.inputs)
        _check_length(work, self.engine.info.tokens_max(work.kind))
        call = Call(works)
        self.in_flight += 1
        work.arrived, work.deadline, work.in_flight, work.call = arrived, deadline, self.in_flight, call
        self._start(works, arrived)
        return call

    async def wait(self, call: Call) -> None:
        """Wait for the end of the call; raises its error."""
        if call.pending and call.error is None:
            call.future = asyncio.get_running_loop().create_future()
            try:
                await call.future
            except asyncio.CancelledError:
                self.cancel(call)
                raise
        if call.error is not None:
            raise call.error

    def cancel(self, call: Call) -> None:
        """End a call whose client has disconnected."""
        self._abandon(call, ClientGone())

    def _expire(self, call: Call) -> None:
        call.expiry = None
        if call.error is None and any(self._queue.waits(work) for work in call.works):
            self._abandon(call, deadline_exceeded())

    def _abandon(self, call: Call, error: Exception) -> None:
        """End a call without an answer: its waiting items leave the queue, running items continue."""
        call.error = call.error or error
        for work in call.works:
            work.cancelled = True
            if self._queue.discard(work):
                self._drop(work)
        call.resolve()

    def _pump(self, now: float) -> None:
        """Start the batches that can start at `now`."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while len(self._queue) and (not self._workers or self._busy < self._workers):
                ready = self._queue.ready_at()
                if ready > now:
                    self._linger(ready)
                    break
                works, dropped = self._queue.pop(now)
                for work in dropped:
                    self._drop(work)
                if works:
                    self.admission.release(len(works), sum(work.tokens for work in works))
                    self._start(works, now if self.policy.linger_s else works[0].arrived)
        finally:
            self._pumping = False

    def _linger(self, until: float) -> None:
        """Call `_pump` again at the end of the linger time."""
        if self._lingering is not None:
            self._lingering.cancel()
        self._lingering = asyncio.get_running_loop().call_at(until, self._pump, until)

    def _start(self, works: list[Work], ready: float) -> None:
        """Begin a batch that could have left the queue at `ready`."""
        free_at = self._free_at.pop() if self._workers else -math.inf
        oldest = works[0]
        longest = oldest.tokens if len(works) == 1 else max(work.tokens for work in works)
        batch = Batch(works, self.policy.padded(longest), max(free_at, ready))
        for work in works:
            call: Call = work.call
            call.started = min(call.started, batch.started)
        self._busy += 1
        self.batches += 1
        self.engine.start(batch, self._done)

    def _done(self, batch: Batch) -> None:
        self._busy -= 1
        if self._busy + len(self._free_at) < self._workers:
            self._free_at.append(batch.ended)
        duration_s = batch.ended - batch.started
        self.rate.add(len(batch.works), duration_s)
        self.log.append(
            BatchEntry(
                batch.started, batch.kind, len(batch.works), batch.length, batch.tokens, duration_s, len(self._queue)
            )
        )
        self._on_batch(batch)
        for work in batch.works:
            call: Call = work.call
            call.batch = batch
            call.error = call.error or batch.error
            self._finish(call, batch.ended)
        if len(self._queue):
            self._pump(self.clock())

    def _drop(self, work: Work) -> None:
        self.dropped += 1
        self.admission.release(1, work.tokens)
        call: Call = work.call
        call.error = call.error or deadline_exceeded()
        self._finish(call, self.clock())

    def _finish(self, call: Call, ended: float) -> None:
        call.pending -= 1
        call.ended = max(call.ended, ended)
        if not call.pending:
            self.in_flight -= 1
            if call.expiry is not None:
                call.expiry.cancel()
                call.expiry = None
            call.resolve()


def _check_length(work: Work, tokens_max: int) -> None:
    if work.tokens <= tokens_max:
        # From here on, `truncate` means that the input was cut.
        work.truncate = False
    elif work.truncate:
        work.tokens = tokens_max
    else:
        message = f"the input has {work.tokens} tokens, over the limit of {tokens_max}"
        raise ApiError(400, message, code="context_length_exceeded", param="input")
