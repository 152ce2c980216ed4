"""A file of items -> a file of answers, by the strategies and layers that everything else uses, losing nothing.

Rules of this file
  1. A result is kept (journal, output or dead-letter file) before its place in flight is taken by another call.
  2. After a stop only answers count: what failed then may have failed because of the stop, and is left to be done.
  3. Whatever ends the run, what was done is kept and the same settings with `resume` go on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import msgspec

from harness import plugins
from harness.client.clock import clock
from harness.client.errors import UsageError
from harness.client.types import Item, Outcome, Request, Response, Result, Send, Strategy
from harness.experiment import layering
from harness.experiment.process import tally
from harness.experiment.process.intake import Intake
from harness.experiment.process.journal import DEAD, Past
from harness.experiment.process.outage import Outage
from harness.experiment.process.rows import BAD_LINE, Rows, Ticket, class_of
from harness.experiment.process.settings import Settings
from harness.experiment.process.source import Source
from harness.experiment.process.store import Store
from harness.experiment.process.tally import Counts, Meter, Share, Speed
from harness.experiment.spec import compose

Tell = Callable[[str, dict[str, Any]], None]
"""Gets events: `begin`, `status` twice a second, `stopping`, `waiting` for a server."""

_STATUS_S = 0.5
_AGAIN_S = 0.25  # until an item that found no connection is sent again, at first
_TRIES = 3  # for an item that finds no connection although the server accepts some


class Summary(msgspec.Struct, frozen=True):
    """How a run ended; `counts` are of all its sessions, `session` of this one."""

    complete: bool
    stopped: str | None  # errors, interrupted, server, disk, reader (of a pipe) or input
    text: str  # the reason in words
    counts: dict[str, Any]
    session: dict[str, Any]
    resumable: bool
    passed: bool  # complete, with answers, and no more dead letters than allowed
    nothing_to_do: bool = False


class Process:
    """One session of a run. `await run()`; `stop()` and `cut()` may be called meanwhile, from the same loop."""

    def __init__(
        self,
        settings: Settings,
        send: Send | None = None,
        alive: Callable[[], Awaitable[bool]] | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.settings = settings
        self._send = send
        self._alive = alive
        self._tell = tell or (lambda event, facts: None)
        strategy, own_layers = layering.split(settings.strategy)
        self._strategy: Strategy = plugins.make("strategy", strategy)
        self._around = settings.layers.around(layering.parse(own_layers))
        self._closing = AsyncExitStack()
        self._heeds_priority = bool(getattr(self._strategy, "priority", False))  # or it was said that it does not
        self._ordered = settings.order == "input"
        self.counts = Counts()
        self._rows = Rows(settings.tasks, settings.id_field, settings.with_input)
        self._store = Store(settings.output, settings.dead_letter_path, self._ordered, self._counted)
        self._share = Share(settings.errors_max, settings.errors_least)
        self._outage = Outage(settings.patience_s)
        self._intake: Intake | None = None
        self._work: asyncio.Task[None] | None = None
        self._meter: Meter | None = None
        self._stopped: tuple[str, str] | None = None
        self._began = 0.0
        self._before = Counts()

    # Commands.

    def stop(self, why: str = "interrupted", text: str = "interrupted") -> None:
        """Send nothing more; what is in flight may take `drain_s`. The first reason stands."""
        if self._stopped is not None:
            return
        self._stopped = (why, text)
        if self._intake is not None:
            self._intake.stop()
        asyncio.get_running_loop().call_later(self.settings.drain_s, self.cut)
        self._tell("stopping", {"why": why, "text": text, "in_flight": self.in_flight})

    def cut(self) -> None:
        """Wait for nothing; what is in flight is left to be done."""
        if self._work is not None:
            self._work.cancel()

    @property
    def in_flight(self) -> int:
        """Exchanges under way."""
        return self._meter.in_flight if self._meter else 0

    # The run.

    async def run(self) -> Summary:
        """Work through what is left. Raises UsageError before anything was touched, and only then."""
        source = Source(self.settings.input)
        try:
            fingerprint = self._fingerprint(source)
            past = self._store.past() if self.settings.resume else None
            if past is not None:
                self._check(past, source)
                self._take_over(past)
                if past.checkpoint.complete and past.fingerprint["input"] == fingerprint["input"]:
                    return self._summary(nothing_to_do=True)
            async with self._transport() as transport:
                try:
                    if past is None:
                        self._store.start(fingerprint, self.settings.overwrite)
                    else:
                        self._store.resume(past, fingerprint)
                    return await self._session(source, transport)
                finally:
                    self._store.close()
        finally:
            source.close()

    def _fingerprint(self, source: Source) -> dict[str, Any]:
        return {"input": source.fingerprint(), "order": self.settings.order, **self._rows.fingerprint()}

    def _check(self, past: Past, source: Source) -> None:
        """The journal is of this input and these settings; raises UsageError naming what differs."""
        ours, theirs = self._fingerprint(source), past.fingerprint
        if not source.same(theirs["input"]):
            raise UsageError(
                f"--resume: {self.settings.input} is not the input that {self.settings.output} was made from"
            )
        for key, ours_value in ours.items():
            if key != "input" and msgspec.to_builtins(ours_value) != theirs.get(key):
                raise UsageError(
                    f"--resume: {key} was {_short(theirs.get(key))} when {self.settings.output} was begun, and is now "
                    f"{_short(ours_value)}; --overwrite starts anew"
                )

    def _take_over(self, past: Past) -> None:
        """The counts of the sessions before, and what came after their last checkpoint."""
        self.counts = msgspec.convert(past.checkpoint.counts, Counts) if past.checkpoint.counts else Counts()
        for record in past.records:
            if record.kind == DEAD:
                tally.add_dead(self.counts, class_of(record.text))
            else:
                self.counts.ok += 1
        self._before = msgspec.convert(tally.as_builtins(self.counts), Counts)

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[Send]:
        settings, strategy = self.settings, self._strategy
        if self._send is not None:
            yield self._send
            return
        if settings.target is None:
            raise UsageError("--target URL is missing: the server to send to")
        from harness.experiment.target import check_answers, check_url

        url = check_url(settings.target)
        check_answers(url)
        self._alive = _prober(url)
        key = os.environ.get("PACELINE_TARGET_KEY") or None
        if strategy.blocking:
            from harness.client.blocking import BlockingTransport

            threads = getattr(strategy, "threads", 1)
            async with BlockingTransport(
                url, threads=threads, timeout_s=settings.layers.timeout_s, api_key=key
            ) as blocking:
                yield blocking
        else:
            from harness.client.transport import HttpTransport

            async with HttpTransport(url, timeout_s=settings.layers.timeout_s, api_key=key) as transport:
                yield transport

    async def _session(self, source: Source, transport: Send) -> Summary:
        self._began = clock()()
        self.counts.sessions += 1
        self._meter = Meter(transport, self.counts)
        self._intake = intake = Intake(
            source,
            self._rows,
            self._store,
            self._outage,
            window=self.settings.window,
            ordered=self._ordered,
            alive=self._look if self._alive else None,
            on_bad=self._bad,
            on_blank=self._blank,
            on_gone=self._gone,
        )
        self._tell("begin", {"resumed": self._before.settled, "resumable": self._store.resumable})
        keeper = asyncio.create_task(self._keep(source))
        self._work = asyncio.create_task(self._through(intake, self._meter))
        try:
            await self._work
        except asyncio.CancelledError:
            if self._stopped is None:  # whoever awaits this was cancelled
                self._stopped = ("interrupted", "cancelled")
        except OSError as error:
            self._broken(error)
        except UsageError as error:
            self._stopped = self._stopped or ("input", f"{self.settings.input}: {error}")
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await intake.close()
            await self._closing.aclose()
        complete = self._stopped is None
        if self._stopped is None or self._stopped[0] not in {"disk", "reader"}:
            try:
                self._store.finish(complete)
            except OSError as error:
                self._stopped = None
                self._broken(error)
        return self._summary()

    async def _through(self, intake: Intake, send: Meter) -> None:
        """The whole stream; once more for what has to be sent again after its end."""
        while True:
            async with aclosing(self._strategy.stream(intake, send, self._layers)) as results:
                async for result in results:
                    send.unkept = 0
                    self._settle(result)
            if not intake.again or self._stopped is not None:
                return

    def _layers(self, send: Send) -> Send:
        inner = compose(send, self._around, self.settings.seed, self._closing)

        meter = self._meter
        assert meter is not None  # noqa: S101 - it is what `send` stands on

        async def entrance(request: Request, /) -> Response:
            if self._stopped is not None:
                return Response(Outcome.not_sent)
            response = await inner(request)
            meter.unkept += 1
            return response

        return entrance

    # Results.

    def _settle(self, result: Result) -> None:
        intake, line = self._intake, result.item.index
        assert intake is not None  # noqa: S101 - results come from its items
        ticket = intake.out[line]
        outcome = result.response.outcome
        if outcome is Outcome.connection_error and self._stopped is None and self._comes_again(ticket, result.item):
            return
        if outcome is Outcome.ok:
            self._outage.answered()
            self._store.ok(line, self._rows.output_line(ticket, result))
            self.counts.ok += 1
            self.counts.from_cache += result.response.from_cache
            self._share.add(False)
        elif self._stopped is not None:
            return
        else:
            if outcome not in {Outcome.connection_error, Outcome.not_sent}:
                self._outage.answered()
            self._store.dead(line, self._rows.dead_line(ticket, result))
            self._count_dead(outcome.name)
        if result.item.priority and not self._heeds_priority:
            self._heeds_priority = True
            self._tell("note", {"text": f"{self.settings.strategy} does not look at priorities; -s priority does"})
        del intake.out[line]
        intake.wake()

    def _comes_again(self, ticket: Ticket, item: Item) -> bool:
        """It found no connection: that is the server's fault until it is shown to be the item's."""
        intake, outage = self._intake, self._outage
        assert intake is not None  # noqa: S101 - as above
        now = clock()()
        outage.refused(now)
        if 0 <= ticket.refused < outage.answers or ticket.tries >= _TRIES:
            return False
        ticket.refused, ticket.not_before = outage.answers, now + _AGAIN_S * 2**ticket.tries
        intake.again.append(item)
        intake.wake()
        return True

    def _bad(self, ticket: Ticket, why: str) -> None:
        self._store.dead(ticket.line, self._rows.bad_line(ticket, why))
        self._count_dead(BAD_LINE)

    def _blank(self) -> None:
        self.counts.blank += 1

    def _count_dead(self, kind: str) -> None:
        tally.add_dead(self.counts, kind)
        self._share.add(True)
        if self._share.exceeded:
            share, bound = self._share, self.settings.errors_max
            self.stop("errors", f"{share.dead} of the last {share.lines} lines are dead letters, more than {bound:.3g}")

    def _gone(self, seconds: float) -> None:
        self.stop("server", f"the server at {self.settings.target} has not answered for {seconds:.0f} s")

    async def _look(self) -> bool:
        assert self._alive is not None  # noqa: S101 - asked for only then
        self._tell("waiting", {"ok": self.counts.ok, "since_s": self._outage.lasts_s(clock()())})
        return await self._alive()

    # Keeping.

    async def _keep(self, source: Source) -> None:
        """Checkpoints, and the status for whoever watches; a disk that takes no more ends the run."""
        watch = asyncio.create_task(self._watch(source))
        try:
            await self._store.keep()
        except OSError as error:
            self._broken(error)
            self.cut()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, source: Source) -> None:
        speed, now = Speed(), clock()
        while True:
            rate = speed.add(now(), self.counts.settled)
            lines = source.lines_expected()
            self._tell(
                "status",
                {
                    "counts": self.counts,
                    "rate_per_s": rate,
                    "in_flight": self.in_flight,
                    "lines": lines,
                    "done": self._store.done.next - 1,
                },
            )
            await asyncio.sleep(_STATUS_S)

    def _broken(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            self._stopped = self._stopped or ("reader", "the reader of the output has gone")
        what = error.filename or self.settings.output
        self._stopped = self._stopped or ("disk", f"{what}: cannot be written: {error.strerror or error}")

    def _counted(self) -> dict[str, Any]:
        counts = tally.as_builtins(self.counts)
        counts["active_s"] += clock()() - self._began if self._began else 0.0
        return counts

    def _summary(self, nothing_to_do: bool = False) -> Summary:
        counts = self._counted()
        before = tally.as_builtins(self._before)
        session = {key: counts[key] - before[key] for key in counts if key != "dead"}
        session["dead"] = {kind: n - before["dead"].get(kind, 0) for kind, n in counts["dead"].items()}
        stopped, text = self._stopped or (None, self._too_many_dead())
        return Summary(
            complete=stopped is None,
            stopped=stopped,
            text=text,
            counts=counts,
            session=session,
            resumable=self._store.resumable,
            passed=stopped is None and not text,
            nothing_to_do=nothing_to_do,
        )

    def _too_many_dead(self) -> str:
        """Why a run that has come to its end did not pass; empty if it did."""
        counts, bound = self.counts, self.settings.errors_max
        if not counts.settled:
            return "the input has no line to send"
        if not counts.ok:
            return "no line got an answer"
        if counts.dead_lines > bound * counts.settled:
            return f"{counts.dead_lines} of {counts.settled} lines are dead letters, more than {bound:.3g}"
        return ""


def _prober(url: str) -> Callable[[], Awaitable[bool]]:
    """Does anything accept connections there?"""
    from harness.experiment.target import check_answers

    async def alive() -> bool:
        with contextlib.suppress(UsageError):
            await asyncio.to_thread(check_answers, url)
            return True
        return False

    return alive


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."


async def process(
    settings: Settings,
    *,
    send: Send | None = None,
    alive: Callable[[], Awaitable[bool]] | None = None,
    tell: Tell | None = None,
) -> Summary:
    """Work through `settings.input` and return how it ended; `send` stands in for the HTTP transport where given."""
    return await Process(settings, send, alive, tell).run()
