"""`--map a=x b=y`: the second pair would be an argument of the command, such as a file to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click


def refuse(
    command: click.Command, values: Mapping[str, Any], left: Sequence[str], options: Iterable[click.Option]
) -> None:
    """Raise click.UsageError for NAME=VALUE that may belong to an option that takes such pairs."""
    arguments = [values.get(str(one.name)) for one in command.params if isinstance(one, click.Argument)]
    stray = [one for given in (left, *arguments) for one in _texts(given) if "=" in one and not Path(one).exists()]
    for option in options if stray else ():
        if option.multiple and all("=" in str(one) for one in values[str(option.name)]):
            flag = max(option.opts, key=len)
            raise click.UsageError(f"{stray[0]}: is no option and no file; write {flag} {stray[0]} if it belongs there")


def _texts(given: Any) -> list[str]:
    return [str(one) for one in given] if isinstance(given, list | tuple) else []
