"""Options of all commands: made from dataclasses, given once, with units, and completed by the shell."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from harness.base.options import REQUIRED, Option, options
from harness.base.quantity import (
    DURATION_HELP,
    RATE_HELP,
    REPEATS_HELP,
    SHARE_HELP,
    duration_s,
    rate_per_s,
    repeats_or_auto,
    seconds_or_none,
    share,
)
from harness.cli import stray_pairs
from harness.client.checks import shown
from harness.client.errors import UsageError

PROJECT_FILE = "harness.cli.config"
"""Key of the context's meta data: the path of paceline.toml, if it was read."""


class _Once(click.Command):
    """Refuses an option that takes one value and is given twice, and an empty value.

    Otherwise the last of two values would win silently, and an unset shell variable would mean the default.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the command line, then parse it."""
        if not ctx.resilient_parsing and not (self.no_args_is_help and not args):
            values, left, given = self.make_parser(ctx).parse_args(args=list(args))
            options = [parameter for parameter in given if isinstance(parameter, click.Option)]
            for option in options:
                times = options.count(option)
                if times > 1 and not _repeatable(option, args):
                    raise click.UsageError(f"{_name(option)}: given {times} times, it takes one value")
                value = values[str(option.name)]
                if "" in (value if isinstance(value, list) else [value]):
                    raise click.UsageError(f"{_name(option)}: the value is empty")
            stray_pairs.refuse(self, values, left, options)
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if error.param is None or (found := _place(ctx, error.param)) is None:
                raise
            text = f"{error.message.rstrip('.')} (set in {found})"
            raise click.BadParameter(text, ctx, error.param, error.param_hint) from error


def _repeatable(option: click.Option, args: list[str]) -> bool:
    """Whether the option takes several values, or is a flag without contradiction."""
    contradicted = any(name in args for name in option.opts) and any(name in args for name in option.secondary_opts)
    return option.multiple or option.count or (option.is_flag and not contradicted)


def _name(option: click.Option) -> str:
    return "/".join([max(option.opts, key=len), *option.secondary_opts])


class Command(_Once):
    """A command of paceline."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error about a setting names its option, and says where the project file sets it."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            text = _of_option(ctx, str(error))
            if places := list(_places(ctx, text)):
                text = f"{text} (set in {', '.join(places)})"
            if text == str(error):
                raise
            raise UsageError(text) from error


def _of_option(ctx: click.Context, message: str) -> str:
    """The message `FIELD=VALUE must be ...` with the name of the option that was given, in place of the field's."""
    found = re.fullmatch(r"(\w+)=(\S+?):? (must .*)", message, re.DOTALL)
    for option in ctx.command.params if found else ():
        unset = ctx.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT
        # A setting of a plug-in may have the same name.
        if found and option.name == found[1] and not unset and repr(ctx.params[str(option.name)]) == found[2]:
            value = found[2].removesuffix(".0").strip("'")
            return f"{max(option.opts, key=len)} {value}: {found[3]}"
    return message


def _places(ctx: click.Context, message: str) -> Iterator[str]:
    """Where the project file sets the options that a message names, by flag, field or value."""
    for option in ctx.command.params:
        if (found := _place(ctx, option)) is not None:
            values = ctx.params[str(option.name)]
            texts = [value for value in (values if option.multiple else [values]) if isinstance(value, str)]
            named = [rf"{max(option.opts, key=len)}(?![\w-])", rf"\b{option.name}="]
            named += [rf"(?<!\w){re.escape(text)}(?!\w)" for text in texts]
            if any(re.search(pattern, message) for pattern in named):
                yield found


def _place(ctx: click.Context, option: click.Parameter) -> str | None:
    """Where the project file sets this option: file, table and key. None if its value is not from there."""
    from_file = ctx.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT_MAP
    if not from_file or (file := ctx.meta.get(PROJECT_FILE)) is None:
        return None
    from harness.cli.config import place

    return place(file, ctx.command_path.split()[1], max(option.opts, key=len).removeprefix("--"))


class Group(_Once, click.Group):
    """A command with subcommands."""

    command_class = Command


class Quantity(click.ParamType[Any]):
    """A number with a unit, or a word in its place."""

    def __init__(
        self,
        name: str,
        parse: Callable[[Any], Any],
        allowed: str,
        low: float | None = None,
        high: float | None = None,
        unit: str = "",
    ) -> None:
        self.name = name
        self._parse = parse
        self._allowed = allowed
        self._bounds, self._unit = (low, high), unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as a number in the base unit."""
        try:
            number = self._parse(value)
        except (ValueError, TypeError):
            self.fail(f"{value!r} is not {self._allowed}", param, ctx)
        if (wanted := _outside(number, *self._bounds, self._unit)) is not None:
            self.fail(f"{value!r}: must be {wanted}", param, ctx)
        return number


def _outside(number: float, low: float | None, high: float | None, unit: str = "") -> str | None:
    """The bounds in words for a number outside them; None for one within."""
    if (low is None or number >= low) and (high is None or number <= high):
        return None
    if low is not None and high is not None:
        return f"between {shown(low)} and {shown(high)}{unit}"
    return f"at most {shown(high or 0)}{unit}" if low is None else f"at least {shown(low)}{unit}"


def duration(low: float | None = None, high: float | None = None) -> Quantity:
    """`30s`, `500ms`, or seconds."""
    return Quantity("duration", duration_s, DURATION_HELP, low, high, " s")


def rate() -> Quantity:
    """`100/s`, `6000/min`, or per second."""
    return Quantity("rate", rate_per_s, RATE_HELP)


class WholeNumber(click.IntRange):
    """A whole number between bounds; the error says them in words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = click.INT.convert(value, param, ctx)
        if (wanted := _outside(number, self.min, self.max)) is not None:
            self.fail(f"{number}: must be {wanted}", param, ctx)
        return number


class PluginName(click.ParamType[str]):
    """NAME[:key=value,...] of a kind of plug-in; completes names and, after the colon, settings."""

    name = "text"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that start so; the setting names of a complete one."""
        from dataclasses import fields

        from harness import plugins

        before, plus, layer = incomplete.rpartition("+")
        if plus and self._kind == "strategy":
            from harness.client.stack import names

            return [CompletionItem(f"{before}+{n}") for n in names() if n.startswith(layer)]
        name, colon, given = incomplete.partition(":")
        if not colon:
            return [CompletionItem(n) for n in plugins.names(self._kind) if n.startswith(incomplete)]
        before, _, last = given.rpartition(",")
        prefix = f"{name}:{before + ',' if before else ''}"
        try:
            settings = [field.name for field in fields(plugins.load(self._kind, name)) if field.init]
        except UsageError:
            return []
        return [CompletionItem(f"{prefix}{field}=") for field in settings if field.startswith(last)]


class ProfileName(click.ParamType[str]):
    """A profile of the mock server, built in or a TOML file."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The built-in ones."""
        from mock_server import profiles

        return [CompletionItem(name) for name in profiles.names() if name.startswith(incomplete)]


class HttpTaskName(click.ParamType[str]):
    """A TOML file that describes an API, or one that comes with paceline."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that come with paceline."""
        from harness.client.tasks.http import shipped

        return [CompletionItem(name) for name in shipped.names() if name.startswith(incomplete)]


_OWN_NAMES: dict[str, type[click.ParamType[str]]] = {"profile": ProfileName, "http": HttpTaskName}
"""Names that are no plug-ins."""


def options_of(
    *classes: type[Any],
    names: Mapping[str, Sequence[str]] | None = None,
    defaults: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of dataclasses; `names` and `defaults`, by field, replace theirs.

    `without` are fields that this command has no option for.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for declared in reversed([one for cls in classes for one in options(cls) if one.field not in without]):
            flags = (names or {}).get(declared.field, declared.flags)
            default = (defaults or {}).get(declared.field, declared.default)
            if declared.kind is bool and default:
                flags = tuple(f"{flag}/--no-{flag.removeprefix('--')}" for flag in flags)
            function = click.option(*flags, declared.field, **_as_click(declared, default))(function)
        return function

    return decorate


def left_out(function: Callable[..., Any], fields: Collection[str]) -> Callable[..., Any]:
    """The decorated function without its options for these fields."""
    parameters = vars(function)["__click_params__"]
    parameters[:] = [parameter for parameter in parameters if parameter.name not in fields]
    return function


def described(function: Callable[..., Any], texts: Mapping[str, str], **metavars: str) -> Callable[..., Any]:
    """The decorated function with other help for these fields, where they mean something else in this command."""
    for option in vars(function)["__click_params__"]:
        option.help = texts.get(option.name, option.help)
        option.metavar = metavars.get(option.name, option.metavar)
    return function


def _as_click(declared: Option, default: Any) -> dict[str, Any]:
    more: dict[str, Any] = {"help": declared.help}
    if declared.kind is bool:
        return more | {"is_flag": True, "default": default}
    more |= {"metavar": declared.metavar, "type": _kind(declared)}
    if declared.many:
        return more | {"multiple": True}
    if default is REQUIRED:
        return more | {"required": True}
    if declared.bare is not None:
        more |= {"is_flag": False, "flag_value": declared.bare}
    shown = default is not None and default != ""
    return more | {"default": default, "show_default": shown}


def _kind(declared: Option) -> Any:
    if declared.choices:
        return click.Choice(declared.choices)
    if declared.in_seconds:
        return duration(declared.least, declared.most)
    if declared.kind is rate_per_s:
        return rate()
    if declared.kind is repeats_or_auto:
        return Quantity("repeats", repeats_or_auto, REPEATS_HELP)
    if declared.kind is seconds_or_none:
        return Quantity("duration", seconds_or_none, f"none, {DURATION_HELP}")
    if declared.kind is share:
        return Quantity("share", share, SHARE_HELP)
    if declared.names is not None:
        return _OWN_NAMES[declared.names]() if declared.names in _OWN_NAMES else PluginName(declared.names)
    if declared.kind is int and (declared.least, declared.most) != (None, None):
        return WholeNumber(_whole(declared.least), _whole(declared.most))
    return click.Path(path_type=Path) if declared.kind is Path else declared.kind


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)
