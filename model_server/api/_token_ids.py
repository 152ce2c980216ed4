"""Inputs as texts or token ids: one text, several texts, the ids of one text, or those of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from model_server.api import _checks as check
from model_server.errors import invalid

if TYPE_CHECKING:
    from model_server.http.app import App

Given = str | list[str | int | list[int]]


def inputs(app: App, kind: str, given: Given, param: str) -> list[str | tuple[int, ...]]:
    """The engine's inputs for this kind of work; raises `ApiError` at `param`."""
    if isinstance(given, str):
        given = [given]
    kinds = set(map(type, given))
    if len(kinds) > 1:
        raise invalid(f"{param}: must be texts, token ids, or lists of token ids, and not a mixture", param)
    if int in kinds:
        return [_ids(app, kind, cast(list[int], given), param)]
    if list in kinds:
        check.count(app, len(given), param)
        lists = cast(list[list[int]], given)
        return [_ids(app, kind, ids, f"{param}[{index}]") for index, ids in enumerate(lists)]
    return list(check.texts(app, cast(list[str], given), param))


def _ids(app: App, kind: str, ids: list[int], param: str) -> str | tuple[int, ...]:
    if not ids:
        raise invalid(f"{param}: must hold at least one token id", param, "empty")
    if len(ids) > app.settings.text_max_chars:
        message = f"{param}: has {len(ids)} token ids, over the limit of {app.settings.text_max_chars}"
        raise invalid(message, param, "text_too_long")
    return app.engine.ids(kind, tuple(ids), param)
