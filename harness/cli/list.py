"""`paceline list`: plug-ins and profiles, with a one-line description, settings and defaults."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from typing import Any

import click

from harness.cli.command import Command
from harness.client.errors import UsageError

PLURALS = {
    "strategies": "strategy",
    "tasks": "task",
    "http": "http",
    "limits": "limit",
    "layers": "layer",
    "loads": "load",
    "scenarios": "scenario",
    "profiles": "profile",
    "faults": "fault",
    "charts": "chart",
    "formats": "format",
}
Entry = dict[str, Any]
"""`summary`, and `settings`: name -> `type`, and `default` unless the setting is required."""


def entries(kind: str) -> dict[str, Entry]:
    """Name -> entry, of one kind."""
    if kind == "profile":
        return _profiles()
    if kind == "http":
        from harness.client.tasks.http import shipped

        return {name: {"summary": shipped.summary(name), "settings": _fields(name)} for name in shipped.names()}
    from harness import plugins
    from harness.client import stack

    names = stack.names() if kind == "layer" else plugins.names(kind)
    found = {name: _entry(kind, name) for name in names}
    return {"backlog": {"summary": "Every item due at once.", "settings": {}}, **found} if kind == "load" else found


def _profiles() -> dict[str, Entry]:
    """The profiles, and of fitted ones how well they play their server."""
    from mock_server import profiles, proof

    found: dict[str, Entry] = {}
    for name in profiles.names():
        proven = proof.words(profiles.load(name))
        mark = {} if proven is None else {"fitted": proven}
        summary = profiles.summary(name) + ("" if proven is None else f" [{proven}]")
        found[name] = {"summary": summary, "settings": {}, **mark}
    return found


def _entry(kind: str, name: str) -> Entry:
    from harness import plugins

    # Functions without settings; importing them would load the drawing library.
    if kind in {"chart", "format"}:
        return {"summary": plugins.summary(kind, name), "settings": {}}
    try:
        return {"summary": plugins.summary(kind, name), "settings": _settings(kind, name)}
    except UsageError as error:
        return {"summary": f"(cannot be used) {error}", "settings": {}}


def _settings(kind: str, name: str) -> dict[str, Entry]:
    if kind == "fault":
        return _of_fault(name)
    from harness import plugins

    cls = plugins.load(kind, name)
    if kind == "scenario":
        return _of_scenario(cls)
    if kind == "layer":
        from harness.client import stack

        takes = inspect.signature(cls).parameters
        return {
            key: _setting(hint, takes[key].default, inspect.Parameter.empty)
            for key, hint in stack.settings(cls).items()
        }
    hints = typing.get_type_hints(cls)
    return {
        field.name: _setting(hints[field.name], _default(field), dataclasses.MISSING)
        for field in dataclasses.fields(cls)
        if field.init
    }


def _fields(name: str) -> dict[str, Entry]:
    """The fields of the rows of a task that is a TOML file."""
    from harness.client.tasks.http import Http
    from harness.client.tasks.http.fields import UNSET

    found: dict[str, Entry] = {}
    fields = Http(name).made.fields
    for field in (*fields.all, *fields.constant.values()):
        entry: Entry = {"type": field.kind}
        if field.optional or field.default is not UNSET:
            entry["default"] = None if field.default is UNSET else field.default
        found[field.source] = entry
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _setting(hint: Any, default: Any, missing: object) -> Entry:
    from harness import plugins

    entry = {"type": plugins.type_name(hint)}
    return entry if default is missing else entry | {"default": default}


def _of_fault(name: str) -> dict[str, Entry]:
    import msgspec

    from mock_server.faults import kinds

    cls = kinds()[name]
    hints = typing.get_type_hints(cls)
    return {
        field.name: _setting(hints[field.name], field.default, msgspec.NODEFAULT)
        for field in msgspec.structs.fields(cls)
    }


def _of_scenario(cls: type[Any]) -> dict[str, Entry]:
    """The defaults of a scenario, which options override."""
    from harness import plugins

    load = "replay" if cls.needs_trace else "backlog"
    if cls.load is not None:
        given = ",".join(f"{key}={_text(value)}" for key, value in plugins.settings_of(cls.load).items())
        load = f"{plugins.name_of(type(cls.load))}:{given}"
    tasks = " + ".join(f"{task}*{weight:g}" if len(cls.mix) > 1 else task for task, weight in cls.mix.items())
    facts: dict[str, Any] = {"load": load, "task": tasks}
    if not cls.needs_trace:
        facts |= {"items": cls.items} if cls.load is None else {"duration": cls.duration_s}
    return {key: {"type": type(value).__name__, "default": value} for key, value in facts.items() if value is not None}


@click.command("list", cls=Command)
@click.argument("what", required=False, type=click.Choice(list(PLURALS)), metavar="[WHAT]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(what: str | None, as_json: bool) -> None:
    """List strategies, tasks, limits, layers, loads, scenarios, profiles, faults, charts and formats.

    Settings with their defaults follow each name; ! marks a required setting. Layers are listed from outside in. http
    are the tasks that --http knows by name, with the fields of their rows.
    """
    kinds = [what] if what else list(PLURALS)
    table = {kind: entries(PLURALS[kind]) for kind in kinds}
    if as_json:
        click.echo(json.dumps(table, indent=2, ensure_ascii=False, default=str))
        return
    width = max((len(name) for found in table.values() for name in found), default=0)
    for number, (kind, found) in enumerate(table.items()):
        click.secho(("\n" if number else "") + kind, bold=True)
        for name, entry in found.items():
            click.echo(f"  {name:<{width}}  {entry['summary']}")
            if entry["settings"]:
                indent = " " * (width + 6)
                click.secho(click.wrap_text(_line(entry["settings"]), 110, indent, indent), dim=True)


def _line(settings: dict[str, Entry]) -> str:
    """`concurrency=20, path!`: as written after a name."""
    return ", ".join(
        f"{name}={_text(setting['default'])}" if "default" in setting else f"{name}!"
        for name, setting in settings.items()
    )


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "|".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
