"""Options of commands, declared once: at the fields of the dataclass that they fill, for argparse and for click.

    @dataclass(frozen=True)
    class Listening:
        port: int = option(8000, "Port to bind; 0 chooses a free one.", least=0, most=65535)

    add_options(parser, Listening)           # argparse: --port N
    filled(Listening, vars(parser.parse_args()))

The flag is the field's name with dashes, without the `_s` of seconds. click's side is `harness.cli.command.options_of`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    field: str
    flag: str
    help: str
    kind: Callable[[str], Any]
    default: Any
    least: float | None = None
    most: float | None = None
    choices: Sequence[str] = ()
    metavar: str | None = None
    many: bool = False  # may be given several times; the field is a tuple
    bare: str | None = None  # the value of the flag without a value, if that is allowed

    @property
    def in_seconds(self) -> bool:
        """Its value is a duration."""
        return self.kind is float and self.field.endswith("_s")


def option(
    default: Any,
    help: str,
    *,
    kind: Callable[[str], Any] | None = None,
    flag: str | None = None,
    least: float | None = None,
    most: float | None = None,
    choices: Sequence[str] = (),
    metavar: str | None = None,
    bare: str | None = None,
) -> Any:
    """A field of a dataclass that is an option, too.

    Args:
        default: The field's default; a tuple makes an option that may be given several times.
        help: One sentence with a unit.
        kind: What makes a value of a text [default: the type of `default`, else `str`].
        flag: The option's name [default: `--` and the field's name with dashes].
        least: The least number that is allowed.
        most: The greatest number that is allowed.
        choices: The only values that are allowed.
        metavar: The value's name in the help.
        bare: The value if the option is given without one.
    """
    many = isinstance(default, tuple)
    if kind is None:
        kind = str if many or default is None else type(default)
    declared: dict[str, Any] = {"flag": flag, "help": help, "kind": kind, "least": least, "most": most}
    declared |= {"choices": choices, "metavar": metavar, "many": many, "bare": bare}
    return dataclasses.field(default=default, metadata={"option": declared})


def options(cls: type[Any]) -> list[Option]:
    """The options that a dataclass declares, in the order of its fields."""
    found = []
    for field in dataclasses.fields(cls):
        if (declared := field.metadata.get("option")) is not None:
            flag = declared["flag"] or "--" + field.name.removesuffix("_s").replace("_", "-")
            found.append(Option(**{**declared, "field": field.name, "flag": flag, "default": field.default}))
    return found


def add_options(parser: argparse.ArgumentParser, *classes: type[Any], **defaults: Any) -> None:
    """Add the options of dataclasses to a parser; `defaults` are other ones than the fields'."""
    for declared in (one for cls in classes for one in options(cls)):
        default = defaults.get(declared.field, declared.default)
        more: dict[str, Any] = {"dest": declared.field, "help": declared.help.replace("%", "%%"), "default": default}
        if declared.kind is bool:
            parser.add_argument(declared.flag, action="store_true", **more)
            continue
        more |= {"type": declared.kind, "metavar": declared.metavar or _unit(declared)}
        if declared.choices:
            more |= {"choices": declared.choices, "metavar": None}
        if declared.bare is not None:
            more |= {"nargs": "?", "const": declared.bare}
        if declared.many:
            more |= {"action": "append", "default": None}
        parser.add_argument(declared.flag, **more)


def _unit(declared: Option) -> str | None:
    if declared.in_seconds:
        return "SECONDS"
    return "N" if declared.kind in (int, float) else None


def filled(cls: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from the values of its options by field name; a value None that the field has not means its default.

    Raises what the dataclass raises for a value that it refuses.
    """
    given = {}
    for declared in options(cls):
        value = values.get(declared.field)
        if value is not None:
            given[declared.field] = tuple(value) if declared.many else value
    return cls(**given)
