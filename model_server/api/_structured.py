"""Structured output: the tokens of a generation that has to be JSON, of a chat, a response or a call of a tool.

No grammar is enforced on a trained model here. The mock and random weights, whose answers have no meaning anyway, emit
JSON that is made to fit the schema; each token takes the model's time as in any other text.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from model_server.errors import ApiError, invalid
from model_server.sampling import Sampling, Script
from model_server.structured import ANY_OBJECT, SchemaError, value

if TYPE_CHECKING:
    from model_server.http.app import App

KINDS = ("text", "json_object", "json_schema")
_encode = msgspec.json.Encoder().encode


class Form(msgspec.Struct, frozen=True):
    """The schema of an answer, and its place in the request."""

    schema: Any
    path: str


def form_of(app: App, given: Any, param: str, *, inner: str) -> Form | None:
    """The form that `response_format` asks for; None for text. `inner`: the key that holds name and schema, or "".

    Raises `ApiError` for a mistake, or if the model of this server cannot follow a form.
    """
    if given is None or given == {"type": "text"}:
        return None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in KINDS:
        raise invalid(f"{param}.type: must be one of {', '.join(KINDS)}{_hint(given, inner)}", f"{param}.type")
    if kind == "text":
        return None
    check(app, param)
    if kind == "json_object":
        return Form(ANY_OBJECT, param)
    held, where = (given.get(inner), f"{param}.{inner}") if inner else (given, param)
    if not isinstance(held, dict) or "schema" not in held:
        raise invalid(f"{where}.schema: is missing", f"{where}.schema", "missing_field")
    return Form(held["schema"], f"{where}.schema")


def check(app: App, param: str) -> None:
    """Raises `ApiError` if the engine cannot emit given tokens."""
    if not app.engine.info.scripts:
        message = (
            f"{param}: this server does not constrain the output of a trained model; only the mock and random weights "
            "answer with JSON. Leave it out, or use a server that does, such as vLLM"
        )
        raise ApiError(400, message, code="unsupported_parameter", param=param)


def _hint(given: Any, inner: str) -> str:
    """What to do with a schema that stands where its envelope has to."""
    if not isinstance(given, dict) or not given.keys() & {"properties", "$schema", "$ref", "anyOf", "enum", "items"}:
        return ""
    envelope = f'"{inner}": {{"name": "answer", "schema": ...}}' if inner else '"name": "answer", "schema": ...'
    return f'; this is a JSON Schema, which goes into {{"type": "json_schema", {envelope}}}'


async def script_of(app: App, form: Form, prompt: Any, sampling: Sampling, most: int | None, lead: int = 0) -> Script:
    """The tokens of JSON that fits. It is drawn by the prompt, and by the seed where tokens are drawn.

    If it has more than `most` tokens after `lead` others, a small one is made; if that has more, too, it will be cut.
    """
    most = app.settings.tokens_max if most is None else most
    try:
        made = await _tokens(app, form, prompt, sampling, lead, lean=False)
        if made.tokens > most:
            made = await _tokens(app, form, prompt, sampling, lead, lean=True)
    except SchemaError as error:
        raise ApiError(400, str(error), code="invalid_schema", param=error.path) from error
    return made


async def _tokens(app: App, form: Form, prompt: Any, sampling: Sampling, lead: int, *, lean: bool) -> Script:
    seed = sampling.seed if sampling.draws else None
    made = value(form.schema, Random(f"{prompt}\0{seed}"), form.path, lean=lean)
    text = _encode(made).decode()
    found = await app.engine.tokens("generate", text, False)
    # A special token within the text has no place of its own: it stays with the token before it.
    placed = [(number, start) for number, _, _, start, _ in found if start is not None]
    cuts = [0, *[start for _, start in placed[1:]], len(text)]
    pieces = tuple([text[start:end] for start, end in pairwise(cuts)])
    return Script(tuple([number for number, _ in placed]), pieces, lead)
