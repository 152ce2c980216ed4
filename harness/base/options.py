"""Options of commands, declared once: at the fields of the dataclass that they fill, for argparse and for click.

    @dataclass(frozen=True)
    class Listening:
        port: int = option(8000, "Port to bind; 0 chooses a free one.", least=0, most=65535)

    add_options(parser, Listening)           # argparse: --port N
    filled(Listening, vars(parser.parse_args()))

The flag is the field's name with dashes, without the `_s` of seconds. click's side is `harness.cli.command.options_of`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.base.quantity import duration_s, rate_per_s

T = TypeVar("T")
REQUIRED: Any = dataclasses.MISSING


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    field: str
    flags: tuple[str, ...]
    help: str
    kind: Callable[[str], Any]
    default: Any
    least: float | None = None
    most: float | None = None
    choices: Sequence[str] = ()
    metavar: str | None = None
    many: bool = False  # may be given several times; the field is a tuple
    bare: str | None = None  # the value of the flag without a value, if that is allowed
    names: str | None = None  # kind of the plug-ins whose names complete it

    @property
    def in_seconds(self) -> bool:
        """Its value is a duration."""
        return self.kind is duration_s

    @property
    def flag(self) -> str:
        """Its long name."""
        return max(self.flags, key=len)


def option(
    default: Any,
    help: str,
    *,
    kind: Callable[[str], Any] | None = None,
    flag: str | tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    choices: Sequence[str] = (),
    metavar: str | None = None,
    bare: str | None = None,
    names: str | None = None,
) -> Any:
    """A field of a dataclass that is an option, too.

    Args:
        default: The field's default; a tuple makes an option that may be given several times, `REQUIRED` one that must.
        help: One sentence with a unit.
        kind: What makes a value of a text [default: the type of `default`, else `str`].
        flag: The option's name or names [default: `--` and the field's name with dashes].
        least: The least number that is allowed.
        most: The greatest number that is allowed.
        choices: The only values that are allowed.
        metavar: The value's name in the help.
        bare: The value if the option is given without one.
        names: The kind of plug-in that it names, for completion.
    """
    many = isinstance(default, tuple)
    if kind is None:
        kind = str if many or default is None or default is REQUIRED else type(default)
    flags = (flag,) if isinstance(flag, str) else flag
    declared: dict[str, Any] = {"flags": flags, "help": help, "kind": kind, "least": least, "most": most}
    declared |= {"choices": choices, "metavar": metavar, "many": many, "bare": bare, "names": names}
    return dataclasses.field(default=default, metadata={"option": declared})


def options(cls: type[Any]) -> list[Option]:
    """The options that a dataclass declares, in the order of its fields."""
    found = []
    for field in dataclasses.fields(cls):
        if (declared := field.metadata.get("option")) is not None:
            flags = declared["flags"] or ("--" + field.name.removesuffix("_s").replace("_", "-"),)
            found.append(Option(**{**declared, "field": field.name, "flags": flags, "default": field.default}))
    return found


def first_given(settings: Any, without: Collection[str] = ()) -> str:
    """The flag of the first option that was given, fields of `without` left out; empty if none was."""
    given = (one for one in options(type(settings)) if one.field not in without)
    return next((one.flag for one in given if getattr(settings, one.field) != one.default), "")


def add_options(
    parser: Any,
    *classes: type[Any],
    only: Collection[str] | None = None,
    flags: Mapping[str, str] | None = None,
    **defaults: Any,
) -> None:
    """Add the options of dataclasses to a parser, or to a group of one.

    Args:
        parser: An `argparse.ArgumentParser`, or what looks like one.
        classes: Dataclasses with options.
        only: Fields [default: all].
        flags: Other names of options, by field.
        defaults: Other defaults, by field.
    """
    for declared in (one for cls in classes for one in options(cls) if only is None or one.field in only):
        flag = (flags or {}).get(declared.field, declared.flag)
        default = defaults.get(declared.field, declared.default)
        more: dict[str, Any] = {"dest": declared.field, "help": declared.help.replace("%", "%%"), "default": default}
        if declared.kind is bool:
            parser.add_argument(flag, action="store_true", **more)
            continue
        more |= {"type": declared.kind, "metavar": declared.metavar or _unit(declared)}
        if declared.choices:
            more |= {"choices": declared.choices, "metavar": None}
        if declared.bare is not None:
            more |= {"nargs": "?", "const": declared.bare}
        if declared.many:
            more |= {"action": "append", "default": None}
        parser.add_argument(flag, **more)


def _unit(declared: Option) -> str | None:
    if declared.in_seconds:
        return "SECONDS"
    return "N" if declared.kind in (int, float, rate_per_s) else None


def filled(cls: type[T], values: Mapping[str, Any], **more: Any) -> T:
    """A dataclass from the values of its options by field name; None means the default. `more` are further fields.

    A field that is itself a dataclass, and has its defaults, is filled in the same way. Raises what a dataclass raises
    for a value that it refuses.
    """
    given = {}
    for declared in options(cls):
        value = values.get(declared.field)
        if value is not None:
            given[declared.field] = tuple(value) if declared.many else value
    for field in dataclasses.fields(cls):  # type: ignore[arg-type] # T is a dataclass
        part = field.default_factory
        if field.name not in more and isinstance(part, type) and dataclasses.is_dataclass(part):
            given[field.name] = filled(part, values)
    return cls(**{**given, **more})
