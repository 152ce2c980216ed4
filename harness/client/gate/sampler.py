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


class Sampler:
    """Builds samples. Removes the client's own lateness from latencies and, if a limit uses it, measures the size."""

    __slots__ = ("_queues", "_sizes", "_usual_s", "lateness")

    def __init__(self) -> None:
        # Set by the gate before its first attempt.
        self.lateness: LoopLag
        self._sizes: Sizes | None = None
        self._queues = False
        self._usual_s = 0.0

    def measure_size(self, wanted: bool) -> None:
        """Measure the relative size of attempts, or stop that."""
        self._sizes = (self._sizes or Sizes()) if wanted else None

    def read_queue(self, wanted: bool) -> None:
        """Read what the server says of its queue, or stop that."""
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
        work = 1.0
        if response.outcome is _OK:
            if not lag_s:
                self._usual_s += (SMOOTHING if self._usual_s else 1.0) * (done - sent - self._usual_s)
            if self._sizes is not None:
                work = self._sizes.relative(work_of(request, response), done - sent - lag_s)
        queue_s = first_s = None
        if self._queues:
            if response.server_timing is not None:
                queue_s = queue_of(response.server_timing, done - sent)
            if response.chunks:
                first_s = response.chunks[0] - sent
        return Sample(
            *(response.outcome, sent, done, in_flight, limit, generation, response.retry_after_s, work, lag_s, streak),
            *(bound, queue_s, first_s),
        )
