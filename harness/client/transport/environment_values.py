"""`${NAME}` in a setting: a value of the environment, so that no secret stands in a file or on a command line.

Rules of this file
  1. A value becomes known to redaction the moment it is read.
  2. `$${NAME}` is the text `${NAME}`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from harness.client.errors import SettingError
from harness.client.redaction import keep

_VARIABLE = re.compile(r"(\$?)\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def has_variable(text: str) -> bool:
    """Whether a text takes a value from the environment."""
    return any(not found[1] for found in _VARIABLE.finditer(text))


def with_variables(text: str, where: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with the values of its variables; raises SettingError that names the variable, never a value."""
    values = os.environ if environment is None else environment

    def value(found: re.Match[str]) -> str:
        name = found[2]
        if found[1]:
            return f"${{{name}}}"
        if not _NAME.fullmatch(name):
            raise SettingError(f"{where}: ${{{name}}} is not the name of a variable of the environment")
        if name not in values:
            raise SettingError(f"{where}: the environment variable {name} is not set")
        read = values[name].strip()
        if not read:
            raise SettingError(f"{where}: the environment variable {name} is empty")
        keep(read)
        return read

    read = _VARIABLE.sub(value, text)
    if "${" in _VARIABLE.sub("", text):
        raise SettingError(f"{where}: a ${{ without its }}; expected ${{NAME}}")
    return read
