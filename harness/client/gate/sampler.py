"""Turns the response to an attempt into the sample that a limit learns from."""

from __future__ import annotations

from harness.client.bound import Bound
from harness.client.gate.lateness import LoopLag
from harness.client.gate.queue_times import queue_of
from harness.client.gate.size import Sizes, work_of
from harness.client.types import Outcome, Request, Response, Sample

_OK = Outcome.ok
# Weight of a new latency in the usual latency.
SMOOTHING = 0.05
# Attempts that are not measured after one that is, where size does not matter.
UNMEASURED = 3


class Sampler:
    """Builds samples. Removes the client's own lateness from latencies and, if a limit uses it, measures the size."""

    __slots__ = ("_queues", "_sizes", "_unmeasured", "_usual_s", "lateness")

    def __init__(self) -> None:
        # Set by the gate before its first attempt.
        self.lateness: LoopLag
        self._sizes: Sizes | None = None
        self._queues = False
        # Attempts of size 1 that are not measured now.
        self._unmeasured = 0
        self._usual_s = 0.0

    def measure_size(self, wanted: bool) -> None:
        """Measure the relative size of attempts, or stop that."""
        self._sizes = (self._sizes or Sizes()) if wanted else None

    def read_queue(self, wanted: bool) -> None:
        """Begin or stop to read the queue that the server reports."""
        self._queues = wanted

    def sample(
        self,
        request: Request,
        response: Response,
        in_flight: int,
        limit: int,
        generation: int,
        streak: int,
        bound: Bound,
    ) -> Sample | None:
        """The sample of an attempt; None if it was never sent, because there is nothing to learn from it."""
        sent, done, lateness = response.sent, response.done, self.lateness
        # NaN: never sent.
        if not sent <= done:
            return None
        lag_s = lateness.around(sent, done, self._usual_s) if done > lateness.due or lateness.aftermath else 0.0
        outcome, hint_s, work = response.outcome, response.retry_after_s, 1.0
        if self._unmeasured:
            self._unmeasured -= 1
        elif outcome is _OK:
            work = self._measured(request, response, lag_s)
        queue_s = first_s = None
        if self._queues:
            if response.server_timing is not None:
                queue_s = queue_of(response.server_timing, done - sent)
            if response.chunks:
                first_s = response.chunks[0] - sent
        if queue_s is None and first_s is None:
            return Sample(outcome, sent, done, in_flight, limit, generation, hint_s, work, lag_s, streak, bound)
        return Sample(
            *(outcome, sent, done, in_flight, limit, generation, hint_s, work, lag_s, streak, bound),
            *(queue_s, first_s),
        )

    def _measured(self, request: Request, response: Response, lag_s: float) -> float:
        """Follow the usual latency, and give the size of an attempt. Where sizes do not matter, skip the next ones."""
        latency_s, sizes = response.done - response.sent, self._sizes
        if not lag_s:
            self._usual_s += (SMOOTHING if self._usual_s else 1.0) * (latency_s - self._usual_s)
        work = 1.0 if sizes is None else sizes.relative(work_of(request, response), latency_s - lag_s)
        if sizes is None or sizes.is_settled:
            self._unmeasured = UNMEASURED
        return work
