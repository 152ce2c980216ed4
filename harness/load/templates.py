"""`--template` and `--where`: jinja2 in its sandbox, over the columns of a row.

A template sees each column by its name, and all of them as `row`. It cannot reach files, other templates or Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.client.errors import ItemError, UsageError
from harness.load.lines import text_of
from harness.load.sandbox import sandbox, without_null

PROMPT = ("prompt", "text")
"""Fields that a template without FIELD= fills: those of the built-in tasks."""


class Where:
    """A condition on a row. Raises UsageError if it is not one."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._what = f"--where {expression!r}"
        environment = self._environment = sandbox()
        try:
            self.columns = _columns("{{ (" + expression + ") }}", environment)
            environment.compile_expression(expression)
            # An expression alone is not bounded by the environment.
            self._template = environment.from_string("{% if (" + expression + ") %}1{% endif %}")
        except environment.mistakes as error:
            raise UsageError(
                f"{self._what}: {_first_line(error)}; such as 'language == \"en\" and id|int > 3'"
            ) from error

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is wanted; raises ItemError."""
        self._environment.budget.begin()
        try:
            return bool("".join(self._template.generate({"row": row, **row})))
        # An expression may raise whatever its operators raise.
        except Exception as error:
            raise ItemError(f"{self._what}: {_first_line(error)}") from error


class Template:
    """A file that makes a field of a row, `FILE` or `FIELD=FILE`. Raises UsageError."""

    def __init__(self, said: str) -> None:
        field, equals, file = said.partition("=")
        named = bool(equals) and field.isidentifier() and not Path(said).exists()
        self.fields = (field,) if named else PROMPT
        self.file = file if named else said
        text = text_of(Path(self.file))
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        environment = self._environment = without_null(sandbox())
        try:
            self.columns = _columns(text, environment)
            self._template = environment.from_string(text)
        except environment.mistakes as error:
            line = getattr(error, "lineno", None)
            raise UsageError(
                f"--template {self.file}{f', line {line}' if line else ''}: {_first_line(error)}"
            ) from error

    @property
    def is_prompt(self) -> bool:
        """Whether it makes the whole prompt."""
        return self.fields is PROMPT

    def fill(self, row: dict[str, Any]) -> None:
        """Set the field; raises ItemError."""
        budget = self._environment.budget
        budget.begin()
        try:
            text = budget.joined(self._template.generate({"row": row, **row}))
        # A template may raise whatever its operators raise.
        except Exception as error:
            raise ItemError(f"template {self.file}: {_first_line(error)}") from error
        for field in self.fields:
            row[field] = text
        if self.is_prompt:
            # They would be sent in place of the prompt.
            row.pop("messages", None)


def check_columns(what: str, used: Collection[str], names: Collection[str], path: str, shown: str) -> None:
    """Raise UsageError if a column is used that the file does not have."""
    for column in sorted(set(used) - set(names) - {"row"}):
        raise UsageError(f"{what} uses the column {column!r}, which {path} does not have; it has {shown}")


def _columns(text: str, environment: Any) -> set[str]:
    """The columns that a template uses."""
    from jinja2.exceptions import TemplateSyntaxError
    from jinja2.meta import find_referenced_templates, find_undeclared_variables

    parsed = environment.parse(text)
    for _ in find_referenced_templates(parsed):
        raise TemplateSyntaxError("it reaches no other file: include, import and extends are not there", 1)
    return set(find_undeclared_variables(parsed)) - set(environment.globals)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
