"""Puts a live page beside a command (`--live`): opens it, passes events on, and closes it with the result."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from harness.cli.options import quoted
from harness.client.errors import UsageError

if TYPE_CHECKING:
    from harness.live.address import Address
    from harness.live.key import Key
    from harness.live.live_server import LiveServer
    from harness.live.page_state import Board
    from harness.measure.reduce.summary import Observed

Progress = Callable[[str, dict[str, Any]], None]
MakeBoard = Callable[[str, str, str], "Board"]
"""Makes a board from the run's number, its title and its command line."""
Plain = Callable[[dict[str, Any]], dict[str, Any]]
REPORT_BYTES_MAX = 50_000_000


def same(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as they are."""
    return facts


class View(Protocol):
    """The live page of a command, if it has one."""

    def beside(self, progress: Progress, plain: Plain = same) -> Progress:
        """A function that passes events to `progress`, and to the page with what `plain` makes of their facts."""

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """Pass an event to the page."""

    def over(self, text: str, where: str = "", page: Path | None = None) -> None:
        """The last event: where the outcome is, and the report's page if there is one."""


class NoView:
    """A command without `--live`."""

    def beside(self, progress: Progress, plain: Plain = same) -> Progress:
        """Just the function."""
        return progress

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """There is no page."""

    def over(self, text: str, where: str = "", page: Path | None = None) -> None:
        """There is no page."""


class LiveView:
    """A command with `--live`."""

    def __init__(self, server: LiveServer, lines: Sequence[str]) -> None:
        self._server = server
        self._lines = lines
        self._case: dict[str, Any] = {}
        self._closed = False

    def beside(self, progress: Progress, plain: Plain = same) -> Progress:
        """Events go to the terminal first. Says where the page is: by now the settings are known to be right."""
        for line in self._lines:
            click.echo(line, err=True)

        def both(event: str, facts: dict[str, Any]) -> None:
            progress(event, facts)
            self.tell(event, plain(facts))

        return both

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """Between two trials nothing is sent: then the one that ended is judged."""
        if event == "case":
            self._case = facts
        elif event == "case_done":
            facts = {**facts, "repeat": self._case["repeat"], "observed": _observed(self._case)}
        self._server.tell(event, facts)

    def over(self, text: str, where: str = "", page: Path | None = None) -> None:
        """Also gives the report to the pages that are open, because they cannot open a file."""
        if self._closed:
            return
        self._closed = True
        report = None if page is None else _bytes_of(page)
        self._server.tell("over", {"text": text, "report": where, "page": report is not None})
        self._server.close(report)
        if self._server.failure is not None:
            click.echo(f"paceline: the live page failed, the run did not: {self._server.failure}", err=True)


def where_is(directory: Path, written: Sequence[Path]) -> tuple[str, Path | None]:
    """Where the outcome is, in words, and the report's page, among the files that were written."""
    page = next((path for path in written if path.name == "report.html"), None)
    return (f"report: {page.absolute()}" if page is not None else f"run: {directory.absolute()}"), page


@contextmanager
def live_view(given: str | None, quiet: bool, board: MakeBoard | None = None, polite: bool = True) -> Iterator[View]:
    """A view within `with`; raises UsageError if its address is taken. `board` is that of a run by default.

    `polite`: the senders are other processes, so the page runs at a lower priority than they do.
    """
    if given is None:
        yield NoView()
        return
    from harness.live import address
    from harness.live.key import VARIABLE
    from harness.live.live_server import LiveServer
    from harness.live.run_board import RunBoard
    from reports.live_page import render

    where = address.parse(given)
    sock, key = _listening(where)
    run = secrets.token_hex(8)
    made = (board or RunBoard)(run, _title(), "paceline " + quoted(sys.argv[1:]))
    server = LiveServer(sock, where.host, made, render, run, stop_main_thread, key)
    server.start(polite)
    far = None if address.is_loopback(sock) else address.far_url_of(sock)
    asks = f"; a browser asks for the key in {VARIABLE}, as the password" if key is not None else ""
    view = LiveView(server, [] if quiet else [_where(address.url_of(sock), far) + asks])
    try:
        yield view
    except KeyboardInterrupt:
        view.over("the run was interrupted")
        raise
    finally:
        view.over("the run ended with an error, which its terminal shows")


def stop_main_thread() -> None:
    """Stop the command as SIGTERM does: like Ctrl-C, also where SIGINT is ignored (a shell's `&`)."""
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGTERM)


def _listening(where: Address) -> tuple[socket.socket, Key | None]:
    """A socket that listens there, and the key that it needs. Raises UsageError."""
    from harness.live import address
    from harness.live.key import key_of_environment

    sock = address.listening(where)
    try:
        return sock, key_of_environment(f"{where.host}:{where.port}", needed=not address.is_loopback(sock))
    except UsageError:
        sock.close()
        raise


def _where(url: str, far: str | None) -> str:
    """Where the page is."""
    elsewhere = f", from other machines {far}" if far is not None else ""
    return f"live page: {url}{elsewhere} (for Prometheus: {far or url}metrics)"


def _title() -> str:
    """`paceline run steady`: the words before the first option."""
    words = itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:])
    return "paceline " + quoted(list(words))


def _observed(case: dict[str, Any]) -> Observed | None:
    """The repeat that has just ended, judged; None if its files cannot be read, which the result will say."""
    from harness.client.errors import UsageError
    from harness.measure.judge.slo import parse
    from harness.measure.record.plan import read_measured, read_plan
    from harness.measure.reduce.summary import observe

    directory = Path(case["records"]).parent
    with contextlib.suppress(UsageError, OSError, ValueError, StopIteration):
        plan = read_plan(directory)
        found = next(one for one in plan.cases if one.name == case["name"])
        conditions = parse(plan.slo) if plan.slo else []
        measured = read_measured(directory)
        return observe(found, directory, measured, conditions, case["repeat"], plan.lag_tolerance_s)
    return None


def _bytes_of(page: Path) -> bytes | None:
    try:
        return page.read_bytes() if page.stat().st_size <= REPORT_BYTES_MAX else None
    except OSError:
        return None
