"""`paceline list`: what there is, with a line about each."""

from __future__ import annotations

import json

import click

PLURALS = {
    "strategies": "strategy",
    "tasks": "task",
    "limits": "limit",
    "layers": "layer",
    "loads": "load",
    "scenarios": "scenario",
    "profiles": "profile",
    "faults": "fault",
    "charts": "chart",
    "formats": "format",
}


def entries(kind: str) -> dict[str, str]:
    """Name -> first line, of one kind."""
    if kind == "profile":
        from mock_server import profiles

        return {name: profiles.summary(name) for name in profiles.names()}
    from harness import plugins

    found = {name: plugins.summary(kind, name) for name in plugins.names(kind)}
    return {"backlog": "Every item due at once.", **found} if kind == "load" else found


@click.command("list")
@click.argument("what", required=False, type=click.Choice(list(PLURALS)), metavar="[WHAT]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(what: str | None, as_json: bool) -> None:
    """List strategies, tasks, limits, layers, loads, scenarios, profiles, faults, charts and formats."""
    kinds = [what] if what else list(PLURALS)
    table = {kind: entries(PLURALS[kind]) for kind in kinds}
    if as_json:
        click.echo(json.dumps(table, indent=2, ensure_ascii=False))
        return
    width = max((len(name) for found in table.values() for name in found), default=0)
    for number, (kind, found) in enumerate(table.items()):
        click.secho(("\n" if number else "") + kind, bold=True)
        for name, line in found.items():
            click.echo(f"  {name:<{width}}  {line}")
