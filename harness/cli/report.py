"""`paceline report RUN`: render the records of a run, complete or interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from harness.base.files import write_atomically
from harness.cli.command import Command, PluginName
from harness.cli.streams import check_json_output, write_output
from harness.client.errors import UsageError


@click.command("report", cls=Command)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=PluginName("format"),
    help="html, markdown, json, junit, csv, parquet, pytest-benchmark, github-benchmark, bencher, openmetrics; "
    "repeat for several [default: html and markdown].",
)
@click.option("--output", metavar="FILE|-", help="Write the one format to this file, or to stdout.")
@click.option("--charts/--no-charts", default=True, help="Draw charts/*.png.")
@click.option("--json", "as_json", is_flag=True, help="result.json on stdout, all else on stderr.")
@click.option("--quiet", is_flag=True, help="Nothing but the verdict (or the JSON).")
def command(
    directory: Path, formats: tuple[str, ...], output: str | None, charts: bool, as_json: bool, quiet: bool
) -> int:
    """Render report.html, report.md and charts of a run, computed again from its records, or of a gate.

    \b
    paceline report runs/x --format html --format markdown
    paceline report runs/x --format junit --output gate.xml
    """
    from harness.cli.signals import reader_may_leave

    _check(formats, output, as_json)
    read = _gate if (directory / "gate.json").is_file() else _run
    found = read(directory, formats, charts, quiet)
    try:
        # A run is only read unless its report is written into it.
        written = [] if output else found.write()
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror or error}") from error
    with reader_may_leave():
        if as_json:
            _print(found.data)
        if output:
            _write(found.render(), output)
        found.show(written, as_json or output == "-")
    return found.exit_code


@dataclass(frozen=True)
class _Judged:
    """A run or a gate with its report."""

    data: bytes
    write: Callable[[], list[Path]]
    render: Callable[[], bytes]
    # Files that were written, and whether the text goes to stderr.
    show: Callable[[list[Path], bool], None]
    exit_code: int


def _run(directory: Path, formats: tuple[str, ...], charts: bool, brief: bool) -> _Judged:
    """A run, computed again from its records."""
    from harness.cli.show import show
    from harness.measure.judge.verdict import exit_code
    from harness.measure.reduce.finished import write_result
    from harness.measure.reduce.summary import summarize_run
    from harness.measure.result import encode
    from reports import page

    if not (directory / "plan.json").is_file():
        runs = sorted(str(plan.parent) for plan in directory.glob("*/plan.json"))
        inside = f"; runs in it: {', '.join(runs)}" if runs else ""
        raise UsageError(f"{directory}: not a run directory (it has no plan.json){inside}")
    _check_version(directory / "result.json")
    result = summarize_run(directory)
    data = encode(result)

    def write() -> list[Path]:
        write_result(result, directory)
        return page.write(result, directory, formats or ("html", "markdown"), charts)

    return _Judged(
        data,
        write,
        lambda: page.render(result, formats[0], charts),
        lambda written, to_stderr: show(result, directory, written, to_stderr=to_stderr, brief=brief),
        exit_code(result),
    )


def _gate(directory: Path, formats: tuple[str, ...], charts: bool, brief: bool) -> _Judged:
    """A gate, from its gate.json."""
    import msgspec

    from harness.measure.gate_result import decode
    from harness.measure.judge.gate import EXIT_CODES
    from reports import gate as reports
    from reports.files import as_bytes

    if wrong := [name for name in formats if name not in reports.SUFFIXES]:
        raise UsageError(f"--format {wrong[0]}: a gate has the formats {', '.join(reports.SUFFIXES)}")
    data = (directory / "gate.json").read_bytes()
    try:
        gate = decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(f"{directory / 'gate.json'}: {error}") from error
    return _Judged(
        data,
        lambda: reports.write(gate, directory, formats or ("html", "markdown"), charts),
        lambda: as_bytes(reports.render(gate, directory, formats[0])),
        lambda written, to_stderr: click.echo(reports.text(gate, written, brief=brief), err=to_stderr, nl=False),
        EXIT_CODES[gate.status],
    )


def _check(formats: tuple[str, ...], output: str | None, as_json: bool) -> None:
    """Raise UsageError for options that do not go together."""
    from harness import plugins

    for name in formats:
        if name not in plugins.names("format"):
            raise UsageError(plugins.unknown("format", name, plugins.names("format")))
    check_json_output(as_json)
    if output is None:
        return
    if len(formats) != 1:
        raise UsageError(f"--output {output}: takes one --format, not {len(formats)}")
    if output == "-" and as_json:
        raise UsageError("--output - and --json: both write to standard output; leave one out")
    if output == "-" and sys.stdout is None:
        raise UsageError("--output - writes to standard output, which is closed")
    if output == "-" and formats[0] == "parquet" and sys.stdout.isatty():
        raise UsageError("--output -: parquet is binary; give a file, or redirect the output")


def _write(content: bytes, output: str) -> None:
    if output == "-":
        _print(content)
        return
    try:
        write_atomically(Path(output), content)
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror or error}") from error


def _print(content: bytes) -> None:
    write_output(content)


def _check_version(path: Path) -> None:
    """Keep a result of another paceline version; write a missing or truncated one again."""
    import msgspec

    from harness.measure.result import check_version

    try:
        check_version(path.read_bytes())
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}. Use the version of paceline that made the run") from error
    except (OSError, msgspec.DecodeError):
        return
