"""Checks that several routes share; each raises an error that names the parameter and its bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Set
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from model_server.errors import ApiError, invalid

if TYPE_CHECKING:
    from model_server.api._asked import Asked
    from model_server.http.app import App


def served(app: App, kind: str) -> None:
    """Raises `ApiError` 404 unless the model of this server does this kind of work."""
    if kind not in app.engine.info.kinds:
        kinds = ", ".join(sorted(app.engine.info.kinds))
        raise ApiError(404, f"this server does not do {kind}; it does {kinds}", code="task_not_served")


def text(app: App, value: str, param: str, *, empty: bool = True) -> str:
    """Check the length of a text; with `empty`, it may be blank."""
    if len(value) > app.settings.text_max_chars:
        message = f"{param}: has {len(value)} characters, over the limit of {app.settings.text_max_chars}"
        raise invalid(message, param, "text_too_long")
    if not empty and not value.strip():
        raise invalid(f"{param}: must not be empty", param, "empty")
    return value


def texts(app: App, values: list[str], param: str) -> list[str]:
    """Check the number of texts; none may be blank or too long."""
    count(app, len(values), param)
    for index, value in enumerate(values):
        text(app, value, f"{param}[{index}]", empty=False)
    return values


def count(app: App, items: int, param: str) -> None:
    """Check the number of items of one request."""
    if items < 1:
        raise invalid(f"{param}: must hold at least one item", param, "empty")
    if items > app.settings.items_max:
        message = f"{param}: holds {items} items, over the limit of {app.settings.items_max}"
        raise invalid(message, param, "too_many_items")


def tokens(app: App, value: int | None, param: str) -> None:
    """Check the number of requested tokens."""
    if value is not None and not 1 <= value <= app.settings.tokens_max:
        raise invalid(f"{param}: {value} is not in 1..{app.settings.tokens_max}", param)


def shortened(vector: list[float], dimensions: int | None) -> list[float]:
    """The first `dimensions` of a vector, scaled to length 1 again, as for Matryoshka embeddings."""
    if dimensions is None or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        raise invalid(f"dimensions: {dimensions} is not in 1..{len(vector)}, which this model gives", "dimensions")
    cut = vector[:dimensions]
    length = math.sqrt(math.fsum(value * value for value in cut)) or 1.0
    return [value / length for value in cut]


def unsupported(body: Asked, but: Set[str] = frozenset()) -> None:
    """Refuse unsupported fields but these, unless their value is one of `neutral`, which has no effect."""
    values = _values_of(type(body))(body)
    if values.count(None) == len(values):
        return
    for value, (name, neutral) in zip(values, body.neutral.items(), strict=True):
        if value is not None and value not in neutral and name not in but:
            raise invalid(f"{name}: is not supported by this server; leave it out", name, "unsupported_parameter")


def softmax(logits: list[float]) -> list[float]:
    """Logits to probabilities, without overflow for large logits."""
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


@cache
def _values_of(body: type[Asked]) -> Callable[[Asked], tuple[Any, ...]]:
    """A function that reads all unsupported fields in one call: a chat has 30 of them."""
    return attrgetter(*body.neutral)
