"""paceline.toml: options of the commands in a file, for CI.

seed = 7                # top level: for every command that has the option
[compare]
strategy = ["sync", "queue-stream:concurrency=50"]
slo = "service_p99<500ms,errors<1%"
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import click

from harness.cli.main import COMMANDS
from harness.client.errors import UsageError
from harness.load.lines import text_of
from harness.plugins import unknown


def read(path: Path) -> dict[str, Any]:
    """The file as click's default_map; raises UsageError that names key and place."""
    try:
        data = tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    shared = {key: value for key, value in data.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    for name in tables:
        if name not in COMMANDS:
            raise UsageError(f"{path}: " + unknown("table", name, list(COMMANDS)))
    options = {name: _options(name) for name in COMMANDS}
    every = sorted({option for names in options.values() for option in names})
    for key in shared:
        if _option(key) not in every:
            raise UsageError(f"{path}: " + unknown("key", key, every))
    sections = {name: _section(path, name, shared, tables.get(name, {}), options[name]) for name in COMMANDS}
    return {name: _by_subcommand(_command(name), section) for name, section in sections.items()}


def _section(
    path: Path, name: str, shared: dict[str, Any], table: dict[str, Any], options: dict[str, click.Parameter]
) -> dict[str, Any]:
    for key in table:
        if _option(key) not in options:
            raise UsageError(f"{path}: [{name}]: " + unknown("key", key, sorted(options)))
    section: dict[str, Any] = {}
    for where, keys in ((f"{path}", shared), (f"{path}: [{name}]", table)):
        for key, value in keys.items():
            if (parameter := options.get(_option(key))) is not None and parameter.name is not None:
                section[parameter.name] = _value(f"{where}: {key}", value, parameter)
    return section


def _option(key: str) -> str:
    return key.replace("_", "-")


def _value(where: str, value: Any, parameter: click.Parameter) -> Any:
    """The value as on the command line, so that the same checks apply; raises UsageError for a wrong type."""
    if parameter.multiple:
        values = value if isinstance(value, list) else [value]
        return [_scalar(where, one, "a text, or a list of texts") for one in values]
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise UsageError(f"{where} = {value!r}: expected true or false")
        return value
    return _scalar(where, value, "a text or a number")


def _scalar(where: str, value: Any, expected: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{where} = {value!r}: expected {expected}")
    return str(value)


def _command(name: str) -> click.Command:
    command: click.Command = importlib.import_module(f"harness.cli.{name}").command
    return command


def _options(name: str) -> dict[str, click.Parameter]:
    """Options by their names on the command line; for a group, the options of all its commands."""
    command = _command(name)
    parts = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    options = (option for part in parts for option in part.params if isinstance(option, click.Option))
    return {max(option.opts, key=len).removeprefix("--"): option for option in options}


def _by_subcommand(command: click.Command, section: dict[str, Any]) -> dict[str, Any]:
    """A group's section applies to each of its commands that has the option."""
    if not isinstance(command, click.Group):
        return section
    return {
        name: {key: value for key, value in section.items() if key in {parameter.name for parameter in part.params}}
        for name, part in command.commands.items()
    }
