"""`paceline path`: the paths of files that come with paceline."""

from __future__ import annotations

from pathlib import Path

import click

from harness import plugins
from harness.cli.command import Command
from harness.client.errors import UsageError
from harness.experiment.children import ROOT

SAMPLES = {"scenarios/data/pairs.jsonl": "Sentence pairs: the input of similarity without --input."}
"""Data files and their descriptions in the list."""


def files() -> dict[str, str]:
    """Name -> one-line description; the name is the file's path below the folder of the packages."""
    from harness.client.tasks.http.shipped import names as task_names
    from harness.client.tasks.http.shipped import summary as tasks_summary
    from mock_server import profiles

    stems = {name: name.replace("-", "_") for name in plugins.names("scenario")}
    scenarios = {f"scenarios/{stem}.py": plugins.summary("scenario", name) for name, stem in stems.items()}
    shipped = {f"mock_server/profiles/{name}.toml": profiles.summary(name) for name in profiles.names()}
    tasks = {f"harness/client/tasks/http/shipped/{name}.toml": tasks_summary(name) for name in task_names()}
    return scenarios | SAMPLES | shipped | tasks


def locate(name: str) -> Path:
    """The file of this name; raises UsageError that lists similar names."""
    known = files()
    if name not in known:
        raise UsageError(plugins.unknown("file", name, list(known)))
    return ROOT / name


def _complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in files() if name.startswith(incomplete)]


@click.command("path", cls=Command)
@click.argument("name", required=False, shell_complete=_complete)
def command(name: str | None) -> None:
    """Print the path of a file that comes with paceline; without NAME, list them all.

    Scenarios are locustfiles, pairs.jsonl is a sample input, profiles describe servers for the mock, and the TOML files
    of tasks are those that --http knows by name.

    \b
    locust -f $(paceline path scenarios/spike.py) --headless -u 2 -r 2 -t 10s
    """
    if name is not None:
        click.echo(locate(name))
        return
    found = files()
    width = max(map(len, found))
    for known, summary in found.items():
        click.echo(f"{known:<{width}}  {summary}")
