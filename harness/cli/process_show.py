"""Progress of bulk processing: at a terminal a live line with rate, time left and cost of retries, else plain lines."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.bulk.ending import START_AGAIN
from harness.cli.progress import Display
from harness.client.redaction import one_line, redact, shown
from harness.measure.judge.wording import layer_words

if TYPE_CHECKING:
    from harness.bulk import ProcessSettings, Summary

# Seconds between plain lines, without a terminal.
EVERY_S = 10.0
# Kinds of dead letters that fail again as long as the line is the same.
_SAME_AGAIN = ("bad_line", "client_error")
_NOT_INSIDE = {
    "long_line": "lines that are too long are not in it: cut them out of the input at the bytes that it names",
    "broken_file": "files that break off are not in it: give the repaired files as INPUT",
}


class Show(Display):
    """Shows events of the run on stderr."""

    def __init__(self, settings: ProcessSettings, quiet: bool = False) -> None:
        super().__init__(quiet)
        self._settings = settings
        self._said_at = time.monotonic()
        # Lines settled at the start of an outage.
        self._down_at: int | None = None

    def say(self, text: str, always: bool = False) -> None:
        """Print a line."""
        if self._quiet and not always:
            return
        text = redact(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _on_begin(self, facts: dict[str, Any]) -> None:
        if facts["resumed"]:
            self.say(f"resuming after {facts['resumed']:,} lines")
        if not facts["resumable"]:
            self.say(f"{self._settings.output} is not a regular file: this run cannot be resumed")
        if self._bar is not None:
            self._task = self._bar.add_task(self._settings.input_name, total=None, facts="")

    def _on_note(self, facts: dict[str, Any]) -> None:
        self.say(f"note: {facts['text']}")

    def _on_status(self, facts: dict[str, Any]) -> None:
        counts = facts["counts"]
        if self._down_at is not None and counts.ok > self._down_at:
            self._down_at = None
            self.say("the server answers again")
        if self._bar is not None and self._task is not None:
            total = round(facts["lines"]) if facts["lines"] else None
            self._bar.update(
                self._task, completed=counts.settled + counts.passed_over, total=total, facts=_facts(facts)
            )
        elif time.monotonic() - self._said_at >= EVERY_S:
            self._said_at = time.monotonic()
            of = f" of {about(facts)}{units.count(facts['lines'])}" if facts["lines"] else ""
            self.say(f"{counts.settled + counts.passed_over:,}{of} lines, {_facts(facts)}{_left(facts)}")

    def _on_waiting(self, facts: dict[str, Any]) -> None:
        if self._down_at is None:
            self._down_at = facts["ok"]
            patience_s = self._settings.patience_s
            why = f" ({one_line(facts['error'])})" if facts.get("error") else ""
            where = f"the server at {shown(self._settings.target or '')}"
            self.say(f"{where} takes no connections; waiting up to {units.seconds(patience_s)}{why}")

    def _on_stopping(self, facts: dict[str, Any]) -> None:
        if facts["why"] == "interrupted" and facts["in_flight"]:
            more = units.seconds(self._settings.drain_s)
            self.say(
                f"stopping: {facts['in_flight']:,} calls in flight may take {more} more; "
                "press Ctrl-C again to stop at once"
            )

    def end(self, summary: Summary, arguments: list[str]) -> None:
        """Show the summary; `arguments` are those of this command."""
        if summary.stopped == "reader":
            return
        counts, failed = summary.counts, summary.stopped is not None
        dead = sum(counts["dead"].values())
        settings = self._settings
        if summary.nothing_to_do and not counts["ok"] and not dead:
            self.say(f"nothing to do: {settings.input_name} is empty")
            return
        if summary.nothing_to_do:
            found = f"{_many(counts['ok'], 'answer')}, {_many(dead, 'dead letter')}"
            self.say(f"nothing to do: {settings.output} is complete ({found})")
            return
        cached = f", {counts['from_cache']:,} of them from the cache" if counts["from_cache"] else ""
        rest = self._in_parts(summary, "answers", counts["ok"], settings.output)
        self.say(f"{settings.output}: {_many(counts['ok'], 'answer')}{rest}{cached}{_pace(summary)}")
        if counts["left_out"]:
            self.say(f"--where left out {_many(counts['left_out'], 'row')}")
        if dead:
            kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(counts["dead"].items(), key=lambda e: -e[1]))
            rest = self._in_parts(summary, "dead_letters", dead, settings.dead_letter_path)
            letters = f"{settings.dead_letter_path}: {_many(dead, 'dead letter')} ({kinds}){rest}"
            self.say(f"{letters}; {again(counts['dead'])}")
            for line in reasons(counts):
                self.say(line, always=failed or not summary.passed)
        if counts["oddities"]:
            self.say(f"answers held {counts['oddities']:,} things that are not as the API says; they were ignored")
        if counts["failed_attempts"]:
            self.say(_retries(counts["failed_attempts"], counts["attempts"], _cost(counts)))
        self._layers(summary)
        if failed:
            self.say(f"stopped: {summary.text}", always=True)
            if summary.advice is not None:
                option, when = summary.advice
                verb = "start again" if option == START_AGAIN else "resume"
                self.say(f"{when}; {verb} with: {same_command(arguments, option)}", always=True)
        elif not summary.passed:
            self.say(f"failed: {summary.text}", always=True)

    def _in_parts(self, summary: Summary, what: str, count: int, path: str) -> str:
        """How many of them are in the file, if a run with workers was stopped before all were."""
        if summary.joined is None or (there := summary.joined[what]) >= count:
            return ""
        return f", {there:,} of them in {path}, the rest in {self._settings.output}.parts until it is resumed"

    def _layers(self, summary: Summary) -> None:
        """Figures of layers, and their faults even with --quiet, since the run passes in spite of them."""
        of = " in this session" if summary.counts["sessions"] > 1 else ""
        for layer in summary.layers:
            if any(layer.figures.values()):
                self.say(f"layer {layer.name}{of}: {layer_words(layer)}")
            for fault in layer.faults:
                self.say(f"note: the layer {layer.name} did not do all of its work: {one_line(fault)}", always=True)


def same_command(arguments: list[str], option: str) -> str:
    """This command with the option `resume` or `overwrite` added."""
    kept = [argument for argument in arguments if argument not in {"--resume", "--overwrite"}]
    return shlex.join(["paceline", *map(redact, kept), f"--{option}"])


def again(dead: Mapping[str, int]) -> str:
    """What to do with dead letters; some kinds fail again as long as they are the same."""
    inside = [kind for kind in dead if kind not in _NOT_INSIDE]
    wrong = [kind for kind in inside if kind in _SAME_AGAIN]
    said = [text for kind, text in _NOT_INSIDE.items() if kind in dead]
    if wrong and len(wrong) == len(dead):
        return "correct them first; as INPUT they are sent again"
    if inside:
        they = "the others" if said else "they"
        those = f"; correct those of {' and '.join(wrong)} first" if wrong else ""
        said.append(f"as INPUT {they} are sent again{those}")
    return "; ".join(said)


def reasons(counts: dict[str, Any]) -> Iterator[str]:
    """Reasons for dead letters, the most frequent first: statuses with counts, and one original answer."""
    for kind, number in sorted(counts["dead"].items(), key=lambda entry: -entry[1]):
        statuses = sorted(counts["statuses"].get(kind, {}).items(), key=lambda entry: -entry[1])
        shown_statuses = ", ".join(f"HTTP {status} {times:,}" for status, times in statuses)
        sample = counts["samples"].get(kind)
        yield (
            f"  {kind} {number:,}"
            + (f" ({shown_statuses})" if shown_statuses else "")
            + (f"; {sample}" if sample else "")
        )


def about(facts: Mapping[str, Any]) -> str:
    """The word before a number of lines that is estimated."""
    return "" if facts.get("lines_exact") else "about "


def _facts(facts: dict[str, Any]) -> str:
    counts = facts["counts"]
    parts = [units.rate(facts["rate_per_s"]), f"{facts['in_flight']:,} in flight", f"{counts.dead_lines:,} dead"]
    if "workers" in facts:
        parts.append(_workers(facts["workers"]))
    if counts.failed_attempts:
        cost = counts.failed_exchange_s / counts.exchange_s if counts.exchange_s else 0.0
        parts.append(
            f"retries {units.share(counts.failed_attempts / counts.attempts)} of calls, {units.share(cost)} of time"
        )
    return "  ".join(parts)


def _workers(workers: list[dict[str, Any]]) -> str:
    """How many there are, and which of them are slow."""
    slow = [worker["worker"] for worker in workers if worker["straggler"]]
    named = f" (slow: {', '.join(slow[:3])}{' and more' if len(slow) > 3 else ''})" if slow else ""
    return f"{_many(len(workers), 'worker')}{named}"


def _left(facts: dict[str, Any]) -> str:
    counts = facts["counts"]
    if not facts["lines"] or facts["rate_per_s"] <= 0:
        return ""
    return (
        f", {units.seconds(max(0.0, facts['lines'] - counts.settled - counts.passed_over) / facts['rate_per_s'])} left"
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _pace(summary: Summary) -> str:
    """How long this session took, and how fast it was."""
    took_s, done = summary.session["active_s"], summary.session["ok"] + sum(summary.session["dead"].values())
    return (
        f"; {done:,} line{'' if done == 1 else 's'} in {units.seconds(took_s)} ({units.rate(done / took_s)})"
        if took_s > 0
        else ""
    )


def _cost(counts: dict[str, Any]) -> float:
    return float(counts["failed_exchange_s"] / counts["exchange_s"]) if counts["exchange_s"] else 0.0


def _retries(failed: int, attempts: int, cost: float) -> str:
    of_calls, of_time = units.share(failed / attempts), units.share(cost)
    return f"calls that failed: {failed:,} of {attempts:,} ({of_calls}), {of_time} of the time in calls"
