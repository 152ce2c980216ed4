"""Common parts of all commands: repeated options are refused, durations and rates may have units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harness.base.options import Option, options


class _Once(click.Command):
    """Refuses an option that takes one value and is given twice, and an empty value.

    Otherwise the last of two values would win silently, and an unset shell variable would mean the default.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the command line, then parse it."""
        if not ctx.resilient_parsing and not (self.no_args_is_help and not args):
            values, _, given = self.make_parser(ctx).parse_args(args=list(args))
            options = [parameter for parameter in given if isinstance(parameter, click.Option)]
            for option in options:
                times = options.count(option)
                if times > 1 and not _repeatable(option, args):
                    raise click.UsageError(f"{_name(option)}: given {times} times, it takes one value")
                value = values[str(option.name)]
                if "" in (value if isinstance(value, list) else [value]):
                    raise click.UsageError(f"{_name(option)}: the value is empty")
        return super().parse_args(ctx, args)


def _repeatable(option: click.Option, args: list[str]) -> bool:
    """Whether the option takes several values, or is a flag without contradiction."""
    contradicted = any(name in args for name in option.opts) and any(name in args for name in option.secondary_opts)
    return option.multiple or option.count or (option.is_flag and not contradicted)


def _name(option: click.Option) -> str:
    return "/".join([max(option.opts, key=len), *option.secondary_opts])


class Command(_Once):
    """A command of paceline."""


class Group(_Once, click.Group):
    """A command with subcommands."""

    command_class = Command


class Quantity(click.ParamType[float]):
    """A number with a unit."""

    def __init__(self, name: str, parse: Callable[[Any], float], allowed: str, low: float | None = None) -> None:
        self.name = name
        self._parse = parse
        self._allowed = allowed
        self._low = low

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The value as a number in the base unit."""
        try:
            number = self._parse(value)
        except (ValueError, TypeError):
            self.fail(f"{value!r} is not {self._allowed}", param, ctx)
        if self._low is not None and number < self._low:
            self.fail(f"{value!r}: must be at least {self._low:g}", param, ctx)
        return number


def duration(low: float | None = None) -> Quantity:
    """`30s`, `500ms`, or seconds."""
    from harness.client.quantity import DURATION_HELP, duration_s

    return Quantity("duration", duration_s, DURATION_HELP, low)


def rate() -> Quantity:
    """`100/s`, `6000/min`, or per second."""
    from harness.client.quantity import RATE_HELP, rate_per_s

    return Quantity("rate", rate_per_s, RATE_HELP)


def options_of(
    *classes: type[Any], names: Mapping[str, Sequence[str]] | None = None, defaults: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of dataclasses; `names` and `defaults`, by field, replace theirs."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for declared in reversed([one for cls in classes for one in options(cls)]):
            flags = (names or {}).get(declared.field, (declared.flag,))
            default = (defaults or {}).get(declared.field, declared.default)
            function = click.option(*flags, declared.field, **_as_click(declared, default))(function)
        return function

    return decorate


def _as_click(declared: Option, default: Any) -> dict[str, Any]:
    more: dict[str, Any] = {"help": declared.help}
    if declared.kind is bool:
        return more | {"is_flag": True, "default": default}
    if declared.many:
        return more | {"multiple": True, "metavar": declared.metavar}
    if declared.bare is not None:
        more |= {"is_flag": False, "flag_value": declared.bare}
    shown = default is not None and default != ""
    return more | {
        "default": default,
        "show_default": shown,
        "type": _kind(declared),
        "metavar": declared.metavar,
    }


def _kind(declared: Option) -> Any:
    if declared.choices:
        return click.Choice(declared.choices)
    if declared.in_seconds:
        return duration(declared.least)
    if declared.kind is int and (declared.least, declared.most) != (None, None):
        return click.IntRange(_whole(declared.least), _whole(declared.most))
    return click.Path(path_type=Path) if declared.kind is Path else declared.kind


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)
