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
BOUNDED = (
    "center",
    "indent",
    "replace",
    "wordwrap",
    "format",
    "batch",
    "slice",
    "round",
    "tojson",
    *template_bounds.SLOW,
)
"""Filters that make a text or a list longer."""
STEPS, JOINED = "_steps", "_joined"
"""Filters that stand around what a loop goes through, and in place of `~`."""


class Where:
    """A condition on a row. Raises UsageError if it is not one."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._what = f"--where {expression!r}"
        environment = self._environment = _sandbox()
        try:
            self.columns = _columns("{{ (" + expression + ") }}", environment)
            self._holds = environment.compile_expression(expression, undefined_to_none=False)
        except environment.mistakes as error:
            raise UsageError(
                f"{self._what}: {_first_line(error)}; such as 'language == \"en\" and id|int > 3'"
            ) from error

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is wanted; raises ItemError."""
        self._environment.budget.begin()
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
        environment = self._environment = _without_null(_sandbox())
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


def _sandbox() -> Any:
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    budget = template_bounds.Budget()

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = template_bounds.OPERATORS

        def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
            return _counted(super()._parse(source, name, filename))

        def call(self, context: Any, called: Any, /, *arguments: Any, **named: Any) -> Any:
            budget.spend()
            template_bounds.check_call(called, arguments)
            return super().call(context, called, *arguments, **named)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            template_bounds.check_operands(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            padding = isinstance(obj, str) and attr in template_bounds.PADDING
            return not padding and super().is_safe_attribute(obj, attr, value)

    # The texts are sent as JSON, never shown as HTML.
    environment: Any = Sandbox(undefined=StrictUndefined, autoescape=False)
    environment.budget = budget
    # It makes any number of paragraphs.
    del environment.globals["lipsum"]
    environment.filters.update({name: _bounded(name, environment.filters[name]) for name in BOUNDED})
    environment.filters["join"] = _bounded_join(environment.filters["join"])
    environment.filters.update(_own_filters(budget))
    environment.mistakes = (TemplateError, RecursionError)
    return environment


def _counted(tree: Any) -> Any:
    """The template whose loops count their steps, and whose `~` is bounded."""
    from jinja2 import nodes

    for loop in tree.find_all(nodes.For):
        written = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
        loop.iter = nodes.Filter(loop.iter, STEPS, [nodes.Const(written)], [], None, None)
    for parent in [tree, *tree.find_all(nodes.Node)]:
        for field, value in list(parent.iter_fields()):
            if isinstance(value, nodes.Concat):
                setattr(parent, field, _joining(value))
            elif isinstance(value, list):
                value[:] = [_joining(one) if isinstance(one, nodes.Concat) else one for one in value]
    return tree


def _joining(concat: Any) -> Any:
    from jinja2 import nodes

    listed = nodes.List(concat.nodes, lineno=concat.lineno)
    return nodes.Filter(listed, JOINED, [], [], None, None, lineno=concat.lineno)


def _own_filters(budget: template_bounds.Budget) -> dict[str, Any]:
    """Those of `_counted`. They take the context, so that nothing is computed while a template is compiled."""
    from jinja2 import pass_context

    @pass_context
    def steps(context: Any, values: Any, written: int) -> Any:
        return budget.steps(values, written)

    @pass_context
    def joined(context: Any, values: list[Any]) -> str:
        texts = [str(value) for value in values]
        template_bounds.check_joined(texts)
        return "".join(texts)

    return {STEPS: steps, JOINED: joined}


def _bounded_join(apply: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(apply)
    def checked(context: Any, values: Any, d: Any = "", *more: Any, **named: Any) -> Any:
        held = list(values)
        template_bounds.check_joined([str(value) for value in held], str(d))
        return apply(context, held, d, *more, **named)

    return checked


def _bounded(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    place = 1 if hasattr(apply, "jinja_pass_arg") else 0

    @wraps(apply)
    def checked(*values: Any, **named: Any) -> Any:
        template_bounds.check_filter(name, [*values[place:], *named.values()])
        return apply(*values, **named)

    return checked


def _without_null(environment: Any) -> Any:
    """A value that is null is an error where it becomes text: jinja2 would write `None` into the prompt."""
    budget = environment.budget

    def written(value: Any) -> Any:
        if type(value) is str:
            budget.spend(len(value))
        return _not_null(value)

    environment.finalize = written
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
    from jinja2.exceptions import TemplateSyntaxError
    from jinja2.meta import find_referenced_templates, find_undeclared_variables

    parsed = environment.parse(text)
    for _ in find_referenced_templates(parsed):
        raise TemplateSyntaxError("it reaches no other file: include, import and extends are not there", 1)
    return set(find_undeclared_variables(parsed)) - set(environment.globals)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
