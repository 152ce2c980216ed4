"""`paceline check`: one item through the whole way, shown and judged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from harness.base.options import REQUIRED, filled
from harness.cli.command import Command, options_of

if TYPE_CHECKING:
    from harness.experiment.check import Checked
    from harness.experiment.check_shown import Shown

EXIT_FAILED = 1


def _options(function: Any) -> Any:
    from harness.client.input_settings import InputSettings
    from harness.client.prompt_settings import PromptSettings
    from harness.client.transport.connection_settings import ConnectionSettings
    from harness.experiment.check import CheckSettings

    return options_of(CheckSettings, InputSettings, PromptSettings, ConnectionSettings, defaults={"target": REQUIRED})(
        function
    )


@click.command("check", cls=Command)
@_options
@click.option("--json", "as_json", is_flag=True, help="Write the findings as JSON to stdout.")
def command(as_json: bool, **options: Any) -> int:
    """Send one item to a server and show the request, the answer, its form and time, and what to change.

    To an API that takes several items a request, two are sent after the first.

    Secrets are hidden. Nothing is measured or written. Exit codes: 0 the answer is one, 1 it is not, 2 usage.

    \b
    paceline check --target http://127.0.0.1:8000
    paceline check --target https://models.internal --http score.toml --input pairs.csv --map a=question1,b=question2
    """
    from harness.experiment.check import CheckSettings, check

    checked = check(filled(CheckSettings, options))
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(checked)).decode() + "\n")
    else:
        _show(checked)
    return 0 if checked.ok else EXIT_FAILED


def _show(checked: Checked) -> None:
    click.secho("request", bold=True)
    _show_message(checked.request)
    if checked.answer is not None:
        times = ", ".join(f"{name} after {_time(seconds)}" for name, seconds in checked.times_s.items())
        click.secho("\nanswer", bold=True, nl=False)
        click.echo(f" ({times})" if times else "")
        _show_message(checked.answer)
    if checked.places:
        click.secho("\nform of the answer", bold=True)
        width = max(len(at) for at, _, _ in checked.places)
        for at, kind, example in checked.places:
            click.echo(f"  {at:<{width}}  {kind:<12}  {example}".rstrip())
    click.echo()
    if checked.ok:
        click.secho(f"ok: the task reads {checked.value}", fg="green")
        if checked.prompt is not None:
            click.echo(f"ok: {checked.prompt}")
        if checked.together is not None:
            click.echo(f"ok: {checked.together} items in one request are read, too")
        return
    click.secho(f"{checked.outcome}: {checked.error}", fg="red")
    for hint in checked.hints:
        click.echo(f"  - {hint}")


def _show_message(shown: Shown) -> None:
    click.echo(f"  {shown.first}")
    for name, value in shown.headers.items():
        click.echo(f"  {name}: {value}")
    if shown.body:
        click.echo("\n".join(f"  {line}" for line in ["", *shown.body.splitlines()]))


def _time(seconds: float) -> str:
    from harness.base import units

    return units.seconds(seconds)
