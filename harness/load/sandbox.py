"""jinja2's sandbox with bounds: on the time, the text and the memory of a row, and on the size of each value.

The sandbox itself keeps templates from files and from Python. Everything else is done here in three ways:

- operators, calls, filters and tests are wrapped;
- loops, `~`, comparisons, lists and tables of a template are given filters of our own when it is parsed;
- each value that is written passes `finalize`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from harness.load import template_bounds
from harness.load.template_values import check_size, check_text

TEXT_FILTERS = frozenset(
    [
        *("trim", "upper", "lower", "title", "capitalize", "replace", "string", "striptags", "truncate", "wordwrap"),
        *("center", "indent", "escape", "e", "urlencode"),
    ]
)
"""Filters that make a text of any value."""
STEPS, JOINED, MADE, COMPARED = "_steps", "_joined", "_made", "_compared"
"""Filters that stand around what a loop goes through, in place of `~`, around lists, and around what is compared."""


def sandbox() -> Any:
    """The environment of a template; its `budget` begins with each row."""
    from jinja2 import StrictUndefined, TemplateError

    budget = template_bounds.Budget()
    environment: Any = _class(budget)(undefined=StrictUndefined, autoescape=False)
    environment.budget = budget
    # It makes any number of paragraphs.
    del environment.globals["lipsum"]
    environment.filters.update(
        {name: _bounded(name, apply, budget) for name, apply in environment.filters.items() if name != "join"}
    )
    environment.filters["join"] = _bounded_join(environment.filters["join"], budget)
    environment.filters.update(_own_filters(budget))
    environment.tests.update({name: _bounded_test(apply) for name, apply in environment.tests.items()})
    environment.mistakes = (TemplateError, RecursionError)
    return environment


def _class(budget: template_bounds.Budget) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = template_bounds.OPERATORS

        def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
            return _counted(super()._parse(source, name, filename))

        def call(self, context: Any, called: Any, /, *arguments: Any, **named: Any) -> Any:
            for value in (*arguments, *named.values()):
                check_size(value)
            template_bounds.check_call(called, arguments)
            return budget.made(super().call(context, called, *arguments, **named))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            template_bounds.check_operands(operator, left, right)
            return budget.made(super().call_binop(context, operator, left, right))

        def getitem(self, obj: Any, argument: Any) -> Any:
            # A tuple as a key is hashed.
            check_size(argument)
            return super().getitem(obj, argument)

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            padding = isinstance(obj, str) and attr in template_bounds.PADDING
            return not padding and super().is_safe_attribute(obj, attr, value)

    return Sandbox


def _counted(tree: Any) -> Any:
    """The template whose loops count their steps, and whose `~`, comparisons, lists and tables are bounded."""
    from jinja2 import nodes

    for loop in tree.find_all(nodes.For):
        written = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
        loop.iter = nodes.Filter(loop.iter, STEPS, [nodes.Const(written)], [], None, None)
    for parent in [tree, *tree.find_all(nodes.Node)]:
        for field, value in list(parent.iter_fields()):
            if isinstance(value, list):
                value[:] = [_watched(one, parent) for one in value]
            elif isinstance(value, nodes.Node):
                setattr(parent, field, _watched(value, parent))
    return tree


def _watched(node: Any, parent: Any) -> Any:
    """The node, or a filter of ours around it."""
    from jinja2 import nodes

    if isinstance(node, nodes.Concat):
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), JOINED)
    made = isinstance(node, nodes.List | nodes.Dict) or (isinstance(node, nodes.Tuple) and node.ctx == "load")
    # A key of a table is hashed.
    compared = isinstance(parent, nodes.Compare | nodes.Operand) or (
        isinstance(parent, nodes.Pair) and node is parent.key
    )
    watched = _filtered(node, MADE) if made else node
    plain = isinstance(node, nodes.Const) or not isinstance(node, nodes.Expr)
    return _filtered(watched, COMPARED) if compared and not plain else watched


def _filtered(node: Any, name: str) -> Any:
    from jinja2 import nodes

    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _own_filters(budget: template_bounds.Budget) -> dict[str, Any]:
    """Those of `_counted`. They take the context, so that nothing is computed while a template is compiled."""
    from jinja2 import pass_context

    @pass_context
    def steps(context: Any, values: Any, written: int) -> Any:
        return budget.steps(values, written)

    @pass_context
    def joined(context: Any, values: list[Any]) -> Any:
        return budget.made("".join(template_bounds.texts_of(values)))

    @pass_context
    def made(context: Any, value: Any) -> Any:
        return budget.made(value)

    @pass_context
    def compared(context: Any, value: Any) -> Any:
        check_size(value)
        return value

    return {STEPS: steps, JOINED: joined, MADE: made, COMPARED: compared}


def _bounded_join(apply: Callable[..., Any], budget: template_bounds.Budget) -> Callable[..., Any]:
    @wraps(apply)
    def checked(context: Any, values: Any, d: Any = "", *more: Any, **named: Any) -> Any:
        held = list(values)
        check_size(held)
        template_bounds.texts_of(held, str(d))
        return budget.made(apply(context, held, d, *more, **named))

    return checked


def _bounded(name: str, apply: Callable[..., Any], budget: template_bounds.Budget) -> Callable[..., Any]:
    place = _place(apply)

    @wraps(apply)
    def checked(*values: Any, **named: Any) -> Any:
        given = [*values[place:], *named.values()]
        for value in given:
            check_size(value)
        template_bounds.check_filter(name, given)
        made = apply(*values, **named)
        return budget.steps(made, 0) if isinstance(made, Iterator) else budget.made(made)

    return checked


def _bounded_test(apply: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(apply)
    def checked(*values: Any, **named: Any) -> Any:
        for value in (*values, *named.values()):
            check_size(value)
        return apply(*values, **named)

    return checked


def _place(apply: Callable[..., Any]) -> int:
    """The place of a filter's value: some get the environment first, which jinja2 marks by an attribute."""
    return 1 if hasattr(apply, "jinja_pass_arg") else 0


def without_null(environment: Any) -> Any:
    """A value that is null is an error where it becomes text: jinja2 would write `None` into the prompt."""
    budget = environment.budget

    def written(value: Any) -> Any:
        if type(value) is str:
            budget.spend(len(value))
        else:
            check_text(value)
        return _not_null(value)

    environment.finalize = written
    environment.filters.update({name: _of_text(environment.filters[name]) for name in TEXT_FILTERS})
    return environment


def _of_text(apply: Callable[..., Any]) -> Callable[..., Any]:
    place = _place(apply)

    @wraps(apply)
    def checked(*values: Any, **named: Any) -> Any:
        _not_null(values[place])
        return apply(*values, **named)

    return checked


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("a value is null where its text is needed; {{ NAME or '' }} writes nothing for it")
    return value
