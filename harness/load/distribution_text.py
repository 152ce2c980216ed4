"""Distributions as a user writes them: a number, `NAME:key=value,...`, or a range such as `uniform:2..8`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from harness import plugins
from harness.client.errors import UsageError


def built(
    text: str,
    flag: str,
    kinds: Mapping[str, type[Any]],
    forms: str,
    number: Callable[[str], float] | None = None,
    others: tuple[str, ...] = (),
) -> Any:
    """The distribution that an option describes; raises UsageError that begins with the option.

    Args:
        text: `3`, `constant:3`, `uniform:2..8`, or `NAME:key=value,...`.
        flag: The option, for errors.
        kinds: Class of each name. The first field of `constant` is its number; `uniform` has `min` and `max`.
        forms: All forms, for errors.
        number: Reads a value that may have a unit.
        others: Further names that the option knows.
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    where = f"{flag} {name}"
    if not colon and name not in kinds:
        name, rest = "constant", name
    if name not in kinds:
        raise UsageError(f"{flag} {text}: {plugins.unknown('distribution', name, [*kinds, *others])}")
    try:
        settings = plugins.split_spec(f"{name}:{_by_names(name, rest, kinds)}")[1]
    except UsageError as error:
        raise UsageError(f"{flag} {error}; it is {forms}") from error
    given = {key: value if number is None else _read(value, number) for key, value in settings.items()}
    try:
        return plugins.fill(kinds[name], where, given)
    except UsageError as error:
        if colon or not str(error).endswith(("a number", "a whole number")):
            raise
        raise UsageError(f"{where}: is not {forms}") from error


def _by_names(name: str, rest: str, kinds: Mapping[str, type[Any]]) -> str:
    """`2..8` and a single number as settings with names."""
    if "=" in rest:
        return rest
    low, dots, high = rest.partition("..")
    if name == "uniform" and dots:
        return f"min={low},max={high}"
    return f"{dataclasses.fields(kinds[name])[0].name}={rest}" if name == "constant" else rest


def _read(value: str, number: Callable[[str], float]) -> str | float:
    with suppress(ValueError):
        return number(value)
    return value
