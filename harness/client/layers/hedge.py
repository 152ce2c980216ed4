"""A second attempt beside one that takes too long; the first answer wins (Dean and Barroso, The Tail at Scale, 2013).

Rules of this file
  1. A hedge is sent only when the first attempt is on the wire and has returned no byte for as long as the slowest 5 %
     take. An attempt that waits in the client's own queues is not slow, and a stream that has begun cannot be beaten.
  2. No hedges in overload: not shortly after a refusal or time-out, and not while the concurrency limit shrinks. A
     hedge takes a free slot and never queues: at a full limit it would only displace other work.
  3. Every attempt is counted. The loser is cancelled, awaited, and kept in the winner's `previous`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import ClassVar

import msgspec

from harness.base.clock import Clock, clock
from harness.client.cancellation import attach
from harness.client.checks import at_least, between
from harness.client.figures import Ratio
from harness.client.hooks import HedgeDetails, HedgeHook
from harness.client.layers._budget import RetryBudget
from harness.client.layers._quantile import RunningQuantile
from harness.client.protocols import Gate
from harness.client.types import Attempt, AttemptProgress, Outcome, Request, Response, Send

# No hedges before there are this many samples.
SAMPLES_MIN = 32
# The shortest delay of a hedge.
LEAST_S = 0.001
# The most unused hedges of the share that are saved for later.
SAVED_MAX = 10.0
_OVERLOAD = frozenset({Outcome.rejected, Outcome.timed_out})


class Hedge:
    """Sends a second attempt when the first is slower than `quantile` of all; for at most a `share` of requests.

    Only idempotent requests are hedged. With a `budget` (shared with the retries) a hedge costs as much as a retry,
    and the price is returned unless both attempts fail. While the concurrency limit `gate` shrinks or is full, nothing
    is hedged.

    Args:
        inner: Sends one attempt.
        quantile: Share of attempts that begin to answer before a hedge is sent, 0.5 to 0.999. Default 0.95.
        share: Upper bound of the share of requests that are hedged, 0 to 1. Default 0.05.
        calm_s: Seconds without hedges after a refusal or a time-out. Default 1.0.
        budget: Retry budget that hedges spend from. Default None: no budget.
        gate: Concurrency limit of the strategy. Default None: its state is not considered.
        on_hedge: Gets one `HedgeDetails` before each second attempt; it must be quick and must not raise. Default
            None: no hook.
    """

    place: ClassVar[int] = 70
    ratios: ClassVar[tuple[Ratio, ...]] = (Ratio("won_share", "won", ("sent",)),)

    def __init__(
        self,
        inner: Send,
        quantile: float = 0.95,
        share: float = 0.05,
        calm_s: float = 1.0,
        budget: RetryBudget | None = None,
        gate: Gate | None = None,
        on_hedge: HedgeHook | None = None,
    ) -> None:
        self.quantile, self.share, self.calm_s = quantile, share, calm_s
        between(self, 0.5, 0.999, "quantile")
        between(self, 0.0, 1.0, "share")
        at_least(self, 0.0, "calm_s")
        self._inner = inner
        self._budget = budget
        self._gate = gate
        self._on_hedge = on_hedge
        self._saved = 0.0
        self._times = RunningQuantile()
        self._overloaded_until = -math.inf
        self._now: Clock | None = None
        self.hedged = 0  # requests that got a second attempt
        self.won = 0  # of them, those that the second answered first
        self.unsent = 0  # of them, those whose second never left its queue
        self.held_back = 0  # slow requests without one, because of overload, a full limit, the share or the budget

    async def __call__(self, request: Request, /) -> Response:
        if self._now is None:
            self._now = clock()
        self._saved = min(SAVED_MAX, self._saved + self.share)
        if not request.idempotent or len(self._times) < SAMPLES_MIN:
            return self._learn(await self._inner(request))
        race = _Race(self._inner, request, self._now)
        try:
            return await self._run(race)
        except asyncio.CancelledError as cancelled:
            race.cancel()
            attach(cancelled, await race.cancelled_response())
            raise
        except BaseException:
            race.cancel()
            raise

    async def _run(self, race: _Race) -> Response:
        limit = self._gate.limit.value if self._gate is not None else 0
        first = race.start()
        paid = 0
        delay_s = max(LEAST_S, self._times.at(self.quantile))
        while not first.done():
            left_s = race.began_at + delay_s - self._now_s()
            if left_s > 0:
                await asyncio.wait({first}, timeout=left_s)
                continue
            paid = self._allowed(limit) if not race.answering else 0
            if paid:
                self._start_second(race, paid)
            elif not race.answering:
                self.held_back += 1
            break
        try:
            response = await race.finish(look_s=delay_s / 4)
        except BaseException:
            if paid and not race.second_sent:
                self._unsent(paid)
            raise
        if paid:
            self._settle(race, response, paid)
        return self._learn(response)

    def _start_second(self, race: _Race, paid: int) -> None:
        if self._on_hedge is not None:
            try:
                self._on_hedge(HedgeDetails(race.request, self._now_s() - race.began_at))
            except BaseException:
                self._pay_back(paid)
                raise
        race.start()
        self.hedged += 1

    def _now_s(self) -> float:
        assert self._now is not None  # noqa: S101 - set on entry
        return self._now()

    def _allowed(self, limit: int) -> int:
        """Pay for a hedge; 0 if none is allowed."""
        if self._saved < 1.0 or self._now_s() < self._overloaded_until:
            return 0
        if self._gate is not None and (self._gate.limit.value < limit or not self._gate.vacant):
            return 0
        paid = 1 if self._budget is None else self._budget.spend(throttled=False)
        self._saved -= 1.0 if paid else 0.0
        return paid

    def _settle(self, race: _Race, response: Response, paid: int) -> None:
        if race.second_won:
            self.won += 1
            self._times.add(
                self._now_s() - race.began_at
            )  # the first would have taken longer still; unlearnt, the delay would creep down
        if not race.second_sent:
            self._unsent(paid)
        elif self._budget is not None and response.outcome is Outcome.ok:
            self._budget.earn(paid)

    def _unsent(self, paid: int) -> None:
        """The hedge never left its queue."""
        self.unsent += 1
        self._pay_back(paid)

    def _pay_back(self, paid: int) -> None:
        """The hedge was not sent: nothing was spent."""
        self._saved += 1.0
        if self._budget is not None:
            self._budget.earn(paid)

    def _learn(self, response: Response) -> Response:
        if response.outcome is Outcome.ok:
            took_s = response.first_byte - response.sent
            # False for NaN, from a transport that does not record the first byte.
            if took_s >= 0.0:
                self._times.add(took_s)
        elif response.outcome in _OVERLOAD:
            self._overloaded_until = self._now_s() + self.calm_s
        return response

    def figures(self) -> dict[str, int]:
        """Second attempts that were sent and won, that never left their queue, and that were not allowed."""
        sent = self.hedged - self.unsent
        return {"sent": sent, "won": self.won, "unsent": self.unsent, "held_back": self.held_back}


class _Race:
    """Up to two attempts of one request."""

    def __init__(self, inner: Send, request: Request, now: Clock) -> None:
        self._inner = inner
        self.request = request
        self._now = now
        self._begun = now()
        self._runs: list[tuple[asyncio.Task[Response], AttemptProgress]] = []
        self.second_won = False

    def start(self) -> asyncio.Task[Response]:
        """Send one more attempt."""
        progress = AttemptProgress()
        request = msgspec.structs.replace(self.request, progress=progress)
        task = asyncio.ensure_future(self._inner(request))
        self._runs.append((task, progress))
        return task

    @property
    def began_at(self) -> float:
        """When the first attempt was sent; now, while it waits for a slot or for the rate limit."""
        sent = self._runs[0][1].sent
        return self._now() if math.isnan(sent) else sent

    @property
    def answering(self) -> bool:
        """The first attempt's answer has begun."""
        return not math.isnan(self._runs[0][1].first_byte)

    @property
    def second_sent(self) -> bool:
        return len(self._runs) > 1 and not math.isnan(self._runs[1][1].sent)

    async def finish(self, look_s: float) -> Response:
        """The first good answer, else the last bad one; the other attempts are in its `previous`.

        Of two streams the one that begins first is kept. A check every `look_s` cancels the other early.
        """
        pending = {task for task, _ in self._runs}
        winner: asyncio.Task[Response] | None = None
        while pending and winner is None:
            look = look_s if len(pending) > 1 and self.request.stream else None
            done, pending = await asyncio.wait(pending, timeout=look, return_when=asyncio.FIRST_COMPLETED)
            winner = next((t for t, _ in self._runs if t in done and _good(t)), None)
            if len(pending) > 1:
                self._keep_the_one_that_answers()
        self.cancel()
        if winner is None:  # the later one of those that were sent, so that attempts stand in the order of time
            sent = [task for task, progress in self._runs if not (task.cancelled() or math.isnan(progress.sent))]
            winner = sent[-1] if sent else self._runs[0][0]
        self.second_won = len(self._runs) > 1 and winner is self._runs[1][0]
        return await self._with_losers(winner)

    def _keep_the_one_that_answers(self) -> None:
        begun = [not math.isnan(progress.first_byte) for _, progress in self._runs]
        if any(begun) and self.request.stream:
            self._runs[1 if begun[0] else 0][0].cancel()

    def cancel(self) -> None:
        """Cancel the attempts that are still in flight."""
        for task, _ in self._runs:
            task.cancel()

    async def _with_losers(self, winner: asyncio.Task[Response]) -> Response:
        response = winner.result()
        lost: list[Attempt] = []
        for task, progress in self._runs:
            if task is not winner:
                await asyncio.wait({task})
                lost += self._attempts_of(task, progress)
        if lost:
            response.previous = (*lost, *response.previous)
        return response

    async def cancelled_response(self) -> Response | None:
        """The cancelled response of a cancelled request, with its attempts; None if none was sent."""
        # Cancelled again: report the attempts that have ended by now.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task for task, _ in self._runs])
        attempts = [attempt for task, progress in self._runs for attempt in self._attempts_of(task, progress)]
        if not attempts:
            return None
        *others, last = attempts
        return Response(
            Outcome.cancelled,
            last.status,
            sent=last.sent,
            first_byte=last.first_byte,
            done=last.done,
            previous=tuple(others),
        )

    def _attempts_of(self, task: asyncio.Task[Response], progress: AttemptProgress) -> tuple[Attempt, ...]:
        """The attempts of a task that has ended or is about to end."""
        if task.done() and not task.cancelled():
            response = task.result()
            if math.isnan(response.sent):
                return response.previous
            outcome, stamps = response.outcome, (response.sent, response.first_byte, response.done)
            return (*response.previous, Attempt(*stamps, outcome, response.status))
        if math.isnan(progress.sent):
            return ()
        return (Attempt(progress.sent, progress.first_byte, self._now(), Outcome.cancelled, 0),)


def _good(task: asyncio.Task[Response]) -> bool:
    return not task.cancelled() and task.result().outcome is Outcome.ok
