"""Shows a finished run at the terminal: table, verdict, diagnosis, path of the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.cli.capacity_show import show_capacity
from harness.cli.sweep_show import show_sweep
from harness.measure.judge import precision, session_words, slo
from harness.measure.judge.case_row import COLUMNS, figures_row
from harness.measure.judge.comparison_words import against, noise
from harness.measure.judge.prompt_words import lines as prompt_lines
from harness.measure.judge.prompt_words import together
from harness.measure.judge.token_words import token_words
from harness.measure.judge.trace_words import trace_lines
from harness.measure.judge.wording import failure_words, layer_words, pace_row, sample_words
from harness.measure.result import Case, RunResult

WIDE_ONLY = {"p95", "cpu/req", "memory"}
"""Hidden on a narrow terminal. The service time stays: a backlog is judged by it."""
TURNS_SHOWN = 8
"""Turns of a case at the terminal; the report has more."""
# Columns below which a terminal is narrow; columns of a file or pipe.
NARROW, PLAIN_WIDTH = 112, 140
STYLES = {"valid": "bold green", "invalid": "bold red", "inconclusive": "bold yellow"}


def show(
    result: RunResult,
    directory: Path,
    written: list[Path],
    to_stderr: bool = False,
    brief: bool = False,
    interrupted: bool = False,
) -> None:
    """Print a result; `brief` prints only the verdict."""
    from rich.text import Text

    console = _console(to_stderr)
    if result.capacity is not None:
        show_capacity(result.capacity, console, brief)
    elif result.sweep is not None:
        show_sweep(result, console, brief, NARROW)
    elif not brief:
        _print_figures(console, result)
    _print_prompts(console, result, brief)
    if interrupted:
        console.print(Text("interrupted: the records until then are kept, marked partial", style="yellow"))
    status = result.verdict.status
    broken = slo.failed(result.cases)
    console.print(Text(f"verdict: {status}" + (", SLO failed" if broken else ""), style=_style(status, bool(broken))))
    if brief:
        for line in broken:
            console.print(Text(f"  {line}"))
    for reason in result.verdict.reasons:
        where = f"{reason.case}: " if reason.case else ""
        console.print(Text(f"  {where}{reason.text}"))
    if brief and status == "invalid":
        for case in result.cases:
            for line in sample_words(case):
                console.print(Text(f"  {case.name}: {line}"))
    files = [("report", path) for path in written if path.name.startswith("report.")]
    for name, path in [*files, ("result", directory / "result.json")]:
        # A full disk may have refused it.
        if path.exists():
            console.print(Text(f"{name}: {path}"), soft_wrap=True)


def _print_figures(console: Any, result: RunResult) -> None:
    """The SLO, the table, the headline with its findings, and details of each case."""
    from rich.text import Text

    broken = slo.failed(result.cases)
    if summed := slo.outcome(result.cases):
        console.print(Text(summed, style="bold red" if broken else "green"))
    for line in broken:
        console.print(Text(f"  {line}", style="red"))
    console.print(_table(result.cases, narrow=console.width < NARROW))
    console.print(Text(result.headline, style="bold"))
    for finding in result.findings:
        console.print(Text(f"- {finding}"))
    if result.precision is not None:
        console.print(Text(precision.words(result.precision)))
    for comparison in result.comparisons:
        console.print(Text(f"  {against(comparison)}"))
    for line in noise(result.control) if result.control is not None else []:
        console.print(Text(f"  {line}"))
    if session_words.has_sessions(result.cases):
        console.print(_turns(result.cases))
    console.print(_pace(result.cases))
    for case in result.cases:
        for text, style in _words(case):
            console.print(Text(f"  {case.name}: {text}", style=style))


def _print_prompts(console: Any, result: RunResult, brief: bool) -> None:
    from rich.text import Text

    for line in () if brief else _prompts(result):
        console.print(Text(f"  {line}"))


def _prompts(result: RunResult) -> list[str]:
    """Lines about made-up prompts, once if they are the same for all cases. Those of a sweep or search are levels."""
    cases = result.cases
    if result.capacity is not None or result.sweep is not None:
        whole = together([case.prompts for case in cases])
        return [] if whole is None else prompt_lines(whole)
    found = [[] if case.prompts is None else prompt_lines(case.prompts) for case in cases]
    if found and found.count(found[0]) == len(found):
        return found[0]
    return [f"{case.name}: {line}" for case, lines in zip(cases, found, strict=True) for line in lines]


def show_act(result: RunResult, title: str) -> None:
    """Print one act of a demo: table, headline, findings."""
    from rich.text import Text

    console = _console()
    console.print(Text(f"\n{title}", style="bold"))
    console.print(_table(result.cases, narrow=console.width < NARROW))
    # The headline begins with an SLO that failed.
    if (summed := slo.outcome(result.cases)) and not result.headline.startswith(summed):
        console.print(Text(summed))
    console.print(Text(result.headline, style="bold"))
    for finding in result.findings:
        console.print(Text(f"- {finding}"))
    for reason in result.verdict.reasons:
        console.print(Text(f"- {f'{reason.case}: ' if reason.case else ''}{reason.text}", style="yellow"))


def show_overview(results: list[tuple[str, RunResult]], written: Path) -> None:
    """Print what several servers have in common, and the path of the page."""
    from rich.text import Text

    from harness.measure.judge.across_servers import across

    console = _console()
    advice, findings = across(results)
    console.print(Text("\nBoth acts together" if len(results) > 1 else "", style="bold"))
    console.print(Text(advice, style="bold"))
    for finding in findings:
        console.print(Text(f"- {finding}"))
    console.print(Text(f"report: {written}"), soft_wrap=True)


def _console(to_stderr: bool = False) -> Any:
    from rich.console import Console

    console = Console(stderr=to_stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=PLAIN_WIDTH)


def _pace(cases: list[Case]) -> Any:
    """What set the pace: a row for each case."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what set the pace", overflow="fold", min_width=16)
    table.add_column("limited by")
    table.add_column("figures")
    for case in cases:
        table.add_row(case.name, *pace_row(case))
    return table


def _turns(cases: list[Case]) -> Any:
    """Latency by turn of a load of sessions."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("by turn", overflow="fold", min_width=16)
    for head in session_words.HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for case in cases:
        for row in session_words.turn_rows(case)[:TURNS_SHOWN]:
            table.add_row(case.name, *row)
    return table


def _words(case: Case) -> Iterator[tuple[str, str]]:
    """Lines about a case below the table, each with its style."""
    for line in trace_lines(case):
        yield line, ""
    if said := session_words.session_words(case):
        yield said, ""
    for warning in case.warnings:
        yield warning, "yellow"
    for check in case.slo:
        if check.passed:
            yield f"SLO {slo.describe(check)}", "green"
    if case.diagnosis.limited_by == "unknown" and case.diagnosis.text:
        yield f"limited by unknown: {case.diagnosis.text}", ""
    if case.failures:
        yield f"failed: {failure_words(case)}", "yellow"
    for line in sample_words(case):
        yield line, "yellow"
    if said := token_words(case):
        yield f"tokens: {said}", ""
    for layer in case.layer_figures:
        if any(layer.figures.values()):
            yield f"layer {layer.name}: {layer_words(layer)}", ""


def _style(status: str, slo_failed: bool) -> str:
    return "bold red" if slo_failed else STYLES[status]


def _table(cases: list[Case], narrow: bool) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("strategy", overflow="fold", min_width=16)
    shown = [column for column in COLUMNS if not (narrow and column in WIDE_ONLY)]
    for column in shown:
        table.add_column(column, justify="right", no_wrap=True)
    for case in cases:
        name, *cells = figures_row(case)
        table.add_row(name, *(cell for column, cell in zip(COLUMNS, cells, strict=True) if column in shown))
    return table
