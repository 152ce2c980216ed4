"""`--template` and `--where`: jinja2 in its sandbox, over the columns of a row.

A template sees each column by its name, and all of them as `row`. It cannot reach files, other templates or Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from harness.client.errors import ItemError, UsageError
from harness.load import template_bounds
from harness.load.lines import text_of

PROMPT = ("prompt", "text")
"""Fields that a template without FIELD= fills: those of the built-in tasks."""

TEXT_FILTERS = frozenset(
    [
        "trim",
        "upper",
        "lower",
        "title",
        "capitalize",
        "replace",
        "string",
        "striptags",
        "truncate",
        "wordwrap",
        "center",
        "indent",
        "escape",
        "e",
        "urlencode",
    ]
)
"""Filters that make a text of any value."""
BOUNDED = ("center", "indent", "replace", "wordwrap", "format")
"""Filters that make a text longer."""


class Where:
    """A condition on a row. Raises UsageError if it is not one."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._what = f"--where {expression!r}"
        environment = _sandbox()
        try:
            self.columns = _columns("{{ (" + expression + ") }}", environment)
            self._holds = environment.compile_expression(expression, undefined_to_none=False)
        except environment.mistakes as error:
            raise UsageError(
                f"{self._what}: {_first_line(error)}; such as 'language == \"en\" and id|int > 3'"
            ) from error

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is wanted; raises ItemError."""
        try:
            return bool(self._holds({"row": row, **row}))
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
        environment = _without_null(_sandbox())
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
        try:
            text = template_bounds.joined(self._template.generate({"row": row, **row}))
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


def _sandbox() -> Any:
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = template_bounds.OPERATORS

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            template_bounds.check_operands(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            padding = isinstance(obj, str) and attr in template_bounds.PADDING
            return not padding and super().is_safe_attribute(obj, attr, value)

    # The texts are sent as JSON, never shown as HTML.
    environment: Any = Sandbox(undefined=StrictUndefined, autoescape=False)
    environment.filters.update({name: _bounded(name, environment.filters[name]) for name in BOUNDED})
    environment.mistakes = (TemplateError, RecursionError)
    return environment


def _bounded(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    place = 1 if hasattr(apply, "jinja_pass_arg") else 0

    @wraps(apply)
    def checked(*values: Any, **named: Any) -> Any:
        template_bounds.check_filter(name, [*values[place:], *named.values()])
        return apply(*values, **named)

    return checked


def _without_null(environment: Any) -> Any:
    """A value that is null is an error where it becomes text: jinja2 would write `None` into the prompt."""
    environment.finalize = _not_null
    environment.filters.update({name: _of_text(environment.filters[name]) for name in TEXT_FILTERS})
    return environment


def _of_text(apply: Callable[..., Any]) -> Callable[..., Any]:
    # Some filters get the environment first; jinja2 marks them by this attribute, which `wraps` keeps.
    place = 1 if hasattr(apply, "jinja_pass_arg") else 0

    @wraps(apply)
    def checked(*values: Any, **named: Any) -> Any:
        _not_null(values[place])
        return apply(*values, **named)

    return checked


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("a value is null where its text is needed; {{ NAME or '' }} writes nothing for it")
    return value


def _columns(text: str, environment: Any) -> set[str]:
    """The columns that a template uses."""
    from jinja2.meta import find_undeclared_variables

    return set(find_undeclared_variables(environment.parse(text))) - set(environment.globals)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
