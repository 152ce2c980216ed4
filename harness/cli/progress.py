"""Live progress on stderr: a bar with rate, ETA, in flight and errors at a terminal, a line per case elsewhere."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, Self

from harness.base import units

# Columns of a terminal that has room for a long bar.
_WIDE = 120


def numbered(name: str, quiet: bool) -> Callable[[str], None]:
    """Shows the steps of a command on stderr, a numbered line each."""
    numbers = itertools.count(1)

    def say(text: str) -> None:
        if not quiet:
            sys.stderr.write(f"{name} {next(numbers)}: {text}\n")
            sys.stderr.flush()

    return say


class Display:
    """Shows events on stderr, each with its method `_on_EVENT`; at a terminal with a live bar, within `with`."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._bar = bar()
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        getattr(self, f"_on_{event}")(facts)


class ProgressDisplay(Display):
    """Shows events of the run (`harness.experiment.run.Progress`)."""

    def __init__(self, quiet: bool | None = None) -> None:
        super().__init__(bool(quiet))
        self._case: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._started = 0.0

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        if not self._quiet:
            super().__call__(event, facts)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _on_target(self, facts: dict[str, Any]) -> None:
        what = f"mock server {facts['profile']!r}" if facts["profile"] else "server"
        # In virtual time there is no address; the note says so.
        where = f" at {facts['url']}" if "//" in facts["url"] else ""
        self._say(what + where + (f" ({facts['note']})" if facts["note"] else ""))

    def _on_counting(self, facts: dict[str, Any]) -> None:
        self._begin("asking the server how it counts tokens", None)

    def _on_counted(self, facts: dict[str, Any]) -> None:
        self._finish()

    def _on_calibrating(self, facts: dict[str, Any]) -> None:
        self._begin(f"calibrating the {facts['transport']} client", None)

    def _on_calibrated(self, facts: dict[str, Any]) -> None:
        self._finish()
        if found := facts["ceilings"]:
            self._say(
                "client ceiling: " + ", ".join(f"{name} {units.rate(rate)}" for name, rate in sorted(found.items()))
            )

    def _on_case(self, facts: dict[str, Any]) -> None:
        # 0: the number of repeats depends on their intervals.
        of = f" of {facts['repeats']}" if facts["repeats"] else ""
        repeat = f" (repeat {facts['repeat'] + 1}{of})" if facts["repeats"] != 1 else ""
        self._case, self._last, self._started = facts, {}, time.monotonic()
        self._begin(facts["name"] + repeat, facts["items"])

    def _on_status(self, facts: dict[str, Any]) -> None:
        self._last = facts
        if self._bar is not None and self._task is not None:
            done, t_s = facts.get("done") or 0, facts.get("t_s") or 0
            self._bar.update(
                self._task,
                completed=done,
                facts=_facts(done, facts.get("failed") or 0, facts.get("in_flight") or 0, t_s, facts.get("limit")),
            )

    def _on_case_done(self, facts: dict[str, Any]) -> None:
        self._finish()
        done, ok, bad = (self._last.get(key) or 0 for key in ("done", "ok", "failed"))
        took_s = self._last.get("t_s") or time.monotonic() - self._started
        failed = f", {units.count(bad)} failed" if bad else ""
        self._say(f"  {facts['name']}: {units.count(ok)} ok{failed} in {units.seconds(took_s)}")
        if not done:
            self._say(f"  nothing was recorded; see {facts['log']}")

    def _on_search(self, facts: dict[str, Any]) -> None:
        self._say(f"capacity: {facts['text']}")

    def _on_probe(self, facts: dict[str, Any]) -> None:
        self._say(f"probe {facts['number']}: {facts['text']}")

    def _on_reporting(self, facts: dict[str, Any]) -> None:
        self._begin("drawing the report", None)

    def _begin(self, label: str, total: int | None) -> None:
        self._finish()
        if self._bar is not None:
            self._task = self._bar.add_task(label, total=total, facts="")

    def _finish(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None


def _facts(done: float, failed: float, in_flight: float, t_s: float, limit: float | None) -> str:
    rate = units.rate(done / t_s) if t_s > 0 else ""
    flight = f"{units.count(in_flight)} in flight" + (f" of {units.count(limit)}" if limit else "")
    return f"{rate}  {flight}  {units.count(failed)} failed"


def bar() -> Any:
    """The progress bar of a terminal: description, progress, time left, `facts`. In a narrow one texts are cut."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    class Cut(TextColumn):
        """A text that gives way to numbers."""

        def __init__(self, text: str) -> None:
            super().__init__(text, table_column=Column())

        def render(self, task: Any) -> Any:
            text = super().render(task)
            text.no_wrap, text.overflow = True, "ellipsis"
            return text

    console = Console(stderr=True)
    return Bar(
        SpinnerColumn(),
        Cut("{task.description}"),
        BarColumn(bar_width=24 if console.width >= _WIDE else 8),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        Cut("{task.fields[facts]}"),
        console=console,
        transient=True,
    )
