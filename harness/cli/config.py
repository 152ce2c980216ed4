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
    """The file as click's default_map; raises UsageError that names key and place.

    Every value must have a form that the command line allows, also where that gives another one.
    """
    data = _parsed(path)
    shared = {key: value for key, value in data.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    for name in tables:
        if name not in COMMANDS:
            raise UsageError(f"{path}: " + unknown("table", name, list(COMMANDS)))
    options = {name: _options(name) for name in COMMANDS}
    _check_keys(f"{path}", shared, {option for names in options.values() for option in names})
    for key, value in shared.items():
        _check_shared(f"{path}: {key}", value, [found for of in options.values() if (found := of.get(_option(key)))])
    for name, table in tables.items():
        _check_keys(f"{path}: [{name}]", table, set(options[name]))
    sections = {name: _section(path, name, shared, tables.get(name, {}), options[name]) for name in COMMANDS}
    return {name: _by_subcommand(_command(name), section) for name, section in sections.items()}


def place(path: Path, command: str, option: str) -> str:
    """Where the file sets an option of a command: its name, the table and the key."""
    data = _parsed(path)
    for where, keys in ((f"{path}: [{command}]", data.get(command, {})), (f"{path}", data)):
        for key in keys:
            if _option(key) == option:
                return f"{where}: {key}"
    return f"{path}"


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: lists or tables are nested too deeply") from error


def _check_keys(where: str, keys: dict[str, Any], known: set[str]) -> None:
    """Refuse keys that no command has, and two spellings of one key."""
    first: dict[str, str] = {}
    for key in keys:
        if _option(key) not in known:
            raise UsageError(f"{where}: " + unknown("key", key, sorted(known)))
        if (other := first.setdefault(_option(key), key)) != key:
            raise UsageError(f"{where}: {other} and {key} are the same option; leave one of them out")


def _section(
    path: Path, name: str, shared: dict[str, Any], table: dict[str, Any], options: dict[str, click.Parameter]
) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for where, keys in ((f"{path}", shared), (f"{path}: [{name}]", table)):
        for key, value in keys.items():
            if (parameter := options.get(_option(key))) is not None and parameter.name is not None:
                section[parameter.name] = _value(f"{where}: {key}", value, parameter)
                if keys is table:
                    _check(f"{where}: {key}", value, parameter)
    return section


def _check_shared(where: str, value: Any, parameters: list[click.Parameter]) -> None:
    """Refuse a value that suits no command; a command that it does not suit refuses it when it is called."""
    errors = []
    for parameter in parameters:
        try:
            return _check(where, value, parameter)
        except UsageError as error:
            errors.append(error)
    raise errors[0]


def _check(where: str, value: Any, parameter: click.Parameter) -> None:
    """Convert a value as on the command line; raises UsageError for a wrong one."""
    texts = _value(where, value, parameter)
    for text in texts if isinstance(texts, list) else [texts]:
        try:
            parameter.type.convert(text, parameter, None)
        except click.BadParameter as error:
            raise UsageError(f"{where} = {value!r}: {error.message}") from error


def _option(key: str) -> str:
    return key.replace("_", "-")


def _value(where: str, value: Any, parameter: click.Parameter) -> Any:
    """The value as on the command line, so that the same checks apply; raises UsageError for a wrong type."""
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise UsageError(f"{where} = {value!r}: expected true or false")
        return value
    if parameter.multiple:
        values = value if isinstance(value, list) else [value]
        return [_scalar(where, one, "a text, or a list of texts") for one in values]
    return _scalar(where, value, "a text or a number")


def _scalar(where: str, value: Any, expected: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{where} = {value!r}: expected {expected}")
    if value == "":
        raise UsageError(f"{where}: the value is empty")
    return str(value)


def _command(name: str) -> click.Command:
    command: click.Command = importlib.import_module(f"harness.cli.{name.replace('-', '_')}").command
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
