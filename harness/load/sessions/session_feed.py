"""The turns of one client application, as the stream from which its strategy pulls.

Rules of this file
  1. A turn is emitted when it is due, whatever the strategy does; `settling` gives the feed the outcome of each.
  2. A later turn is due when the answer before it came, plus think time. A client that is late with the next request is
     late from that instant on, so its lateness counts in the latency.
  3. Every planned turn has one outcome: after a turn that failed, the rest of its session is reported as not sent.
  4. A strategy that keeps turns and waits for more would wait for ever; it is found and named.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec

from harness.base.clock import clock
from harness.base.turn_index import index_of
from harness.client.conversation import ConversationTask, Exchange, History
from harness.client.errors import UsageError
from harness.client.parameters import max_tokens_of
from harness.client.types import Item, Outcome, Request, Response, Send
from harness.load.sessions.content import Content
from harness.load.sessions.session_plan import Length, SessionPlan
from harness.load.timer import Alarm

STUCK_S = 5.0
"""Seconds after which a strategy is stuck that keeps all turns that are due and sends none of them."""
Skipped = Callable[[Item, str], None]
"""Gets a turn that is never sent, and why."""


class _Session:
    """A session while it is played; its texts are made when its next turn is prepared."""

    def __init__(self, number: int, length: Length, thinks_s: Iterator[float]) -> None:
        self.number = number
        self.length = length
        self.thinks_s = thinks_s
        self.turn = length.earlier + 1
        self.history: History | None = None
        # Of the next turn: what the user says, the data of its item, and whether its history was cut.
        self.asked: tuple[Any, ...] = ()
        self.data: Any = None
        self.is_cut = False

    @property
    def last(self) -> int:
        """Its last turn."""
        return self.length.earlier + self.length.turns


class SessionFeed:
    """Turns of the sessions of one part: users `part`, `part + parts` ..., or so many of the sessions that arrive."""

    def __init__(
        self,
        plan: SessionPlan,
        content: Content,
        task: ConversationTask,
        zero: float,
        alarm: Alarm,
        part: int = 0,
        parts: int = 1,
        skipped: Skipped = lambda item, why: None,
    ) -> None:
        self._plan, self._content, self._task = plan, content, task
        self._zero, self._alarm = zero, alarm
        self._part, self._parts = part, parts
        self._skipped = skipped
        self._now = clock()
        # Due instants, and the sessions whose next turn is due then.
        self._due: list[tuple[float, int, _Session]] = []
        # Sessions whose turn was emitted and has no outcome yet, by its index.
        self._out: dict[int, _Session] = {}
        self._stopped_at: float | None = None
        self._over = False
        # Requests that were begun, and those of them that have not ended.
        self._begun = self._in_flight = 0
        self._not_sent = 0
        self.pulled = 0
        # Requests whose history was too long to be sent whole.
        self.histories_cut = 0
        self._begin()

    def _begin(self) -> None:
        """The first turns: of every user, or of the first session that arrives here."""
        users, count = self._plan.users, self._plan.count
        if users is None:
            self._arrive(self._part)
            return
        for user in range(self._part, users if count is None else min(users, count), self._parts):
            self._push(self._zero + self._plan.first_s(user), self._session(user))

    def _arrive(self, session: int) -> None:
        offsets = self._plan.offsets
        if offsets is not None and session < len(offsets):
            self._push(self._zero + offsets[session], self._session(session))

    def _session(self, number: int) -> _Session:
        return _Session(number, self._plan.length(number), self._plan.thinks_s(number))

    def _push(self, due: float, session: _Session) -> None:
        heapq.heappush(self._due, (due, session.number, session))
        self._alarm.ring()

    # The load is ended.

    def stop(self, at: float) -> None:
        """Emit no turn that is due after this instant."""
        self._stopped_at = at
        self._alarm.ring()

    def end(self) -> None:
        """The planned end of a load that a time ends: emit no further turn. Nothing is left unsent."""
        self._over = True
        self._alarm.ring()

    @property
    def stopped(self) -> bool:
        return self._stopped_at is not None

    def scheduled(self, ended: bool) -> int:
        """Turns of this share. Of a load that a time ends, those that were due until then."""
        known = self._plan.total is not None
        return self._plan.share(self._part, self._parts) if known else self.pulled + self._not_sent

    # Turns are emitted.

    async def __aiter__(self) -> AsyncIterator[Item]:
        now = self._now = clock()
        # The last wake-up. What fell due while this feed waited was released then, however late that was.
        woke = -math.inf
        while True:
            asked = now()
            if not await self._wait():
                return
            due, number, session = heapq.heappop(self._due)
            if asked <= due:
                woke = now()
            fired = max(due, woke)
            if self._plan.users is None and session.turn == session.length.earlier + 1:
                self._arrive(number + self._parts)
            self._prepare(session)
            data, session.data = session.data, None
            self.histories_cut += session.is_cut
            item = Item(index_of(number, session.turn), data, self._task, 0, due, fired)
            self._out[item.index] = session
            self.pulled += 1
            yield item

    async def _wait(self) -> bool:
        """Wait until a turn is due; false at the end of the load."""
        while not self._over:
            if not self._due:
                if not self._out:
                    return False
                await self._wait_for_answer()
                continue
            due, _, session = self._due[0]
            if self._stopped_at is not None and due > self._stopped_at:
                return False
            if due <= self._now():
                return True
            # Before its time, so that it is sent when it is due.
            self._prepare(session)
            await self._alarm.once(due)
        return False

    async def _wait_for_answer(self) -> None:
        """Wait until an answer makes another turn due."""
        if self._stopped_at is not None:
            # An answer after a stop has no next turn.
            self._over = True
            return
        begun = self._begun
        await self._alarm.once(math.inf if self._in_flight else self._now() + STUCK_S)
        if not (self._due or self._in_flight or self._over or self.stopped) and self._begun == begun and self._out:
            raise UsageError(
                f"the strategy holds {len(self._out)} turns, sends none of them and waits for more: it collects items, "
                "and the next turn of a session comes only after an answer; use queue-stream or adaptive"
            )

    def _prepare(self, session: _Session) -> None:
        """Make the data of the next turn of a session, unless that is done."""
        if session.data is not None:
            return
        if session.history is None:
            session.history = History(self._content.earlier(session.number, session.length))
        script, exchange = self._content.asked(session.number, session.length, session.turn)
        kept = session.history.within(self._plan.load.history)
        session.is_cut = len(kept) < len(session.history)
        session.asked = exchange.asked
        session.data = self._task.turn(script, kept, exchange.asked)

    # Turns are settled.

    def settling(self, send: Send) -> Send:
        """The outermost layer of the application: it ends streams on purpose, and settles the turns of each request."""

        async def settled(request: Request, /) -> Response:
            self._begun += 1
            self._in_flight += 1
            try:
                response = await send(self._adjusted(request))
            finally:
                self._in_flight -= 1
            for position, item in enumerate(request.items):
                self._settle(item, response, position)
            return response

        return settled

    def _adjusted(self, request: Request) -> Request:
        """The request with the piece of the answer after which the client ends it, if that is planned."""
        item = request.items[0]
        session = self._out.get(item.index)
        if not request.stream or session is None:
            return request
        after = self._plan.cancel_after(session.number, session.turn, max_tokens_of(item))
        return request if after is None else msgspec.structs.replace(request, stop_after=after)

    def _settle(self, item: Item, response: Response, position: int) -> None:
        session = self._out.pop(item.index, None)
        if session is None:
            return
        done = response.done if response.done >= 0.0 else self._now()
        # An answer that the client ended on purpose has come as far as the user wanted it.
        came = response.outcome is Outcome.ok or (response.outcome is Outcome.cancelled and bool(response.answers))
        if not came:
            self._give_up(session, done, f"turn {session.turn} of its session was {response.outcome.name}")
        elif session.turn < session.last:
            self._go_on(session, response.answers[position], done)
            return
        self._end_session(session, done)

    def _go_on(self, session: _Session, answer: Any, done: float) -> None:
        """The next turn of a session carries this answer."""
        assert session.history is not None  # noqa: S101 - a turn of it was prepared
        session.history.add(Exchange(session.asked, self._task.messages_of(answer)))
        session.turn += 1
        self._push(done + next(session.thinks_s), session)

    def _give_up(self, session: _Session, done: float, why: str) -> None:
        """Report the turns after one that failed; after a time that ends the load they are not planned."""
        if self._over and self._plan.total is None:
            return
        for turn in range(session.turn + 1, session.last + 1):
            self._not_sent += 1
            self._skipped(Item(index_of(session.number, turn), None, self._task, 0, done, done), why)

    def _end_session(self, session: _Session, done: float) -> None:
        """The user of a session thinks and begins the next one."""
        users, count = self._plan.users, self._plan.count
        if users is not None:
            following = session.number + users
            if count is None or following < count:
                self._push(done + next(session.thinks_s), self._session(following))
                return
        # Nothing is due because of this answer; a feed that waits looks whether it was the last.
        self._alarm.ring()
