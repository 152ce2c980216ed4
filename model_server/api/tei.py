"""The routes of text-embeddings-inference: /embed, /rerank, /predict, /info; `native` has its /similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from model_server.api import _checks as check
from model_server.api._scores import sigmoid
from model_server.api._texts import SOME, Filled, FilledTexts
from model_server.errors import invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route
from model_server.work import Work

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode


Right = Literal["right", "Right"]
"""The only supported direction of truncation: the end of a text is cut."""


class EmbedBody(msgspec.Struct):
    """One or more texts. With `truncate`, long texts are cut, and `x-truncated-inputs` has their number.

    Vectors have length 1; `normalize: false`, `prompt_name` and truncation at the start are refused.
    """

    inputs: Filled | FilledTexts
    normalize: Literal[True] | None = True
    truncate: bool | None = False
    truncation_direction: Right = "right"
    prompt_name: None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None


class RerankBody(msgspec.Struct):
    """A query and the texts to rank by it."""

    query: Filled
    texts: FilledTexts
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = False
    truncation_direction: Right = "right"


class RankedText(msgspec.Struct, omit_defaults=True):
    """Index of a text in the request, and its score."""

    index: int
    score: float
    text: str | None = None


class PredictBody(msgspec.Struct):
    """A text, a pair `[a, b]`, or a batch `[[a], [a, b], ...]`."""

    inputs: Filled | Annotated[list[Filled | FilledTexts], SOME]
    raw_scores: bool = False
    truncate: bool | None = False
    truncation_direction: Right = "right"


class Prediction(msgspec.Struct):
    """A class and its score."""

    score: float
    label: str


class Info(msgspec.Struct):
    """The model and the server's bounds; an engine may add fields."""

    model_id: str
    model_dtype: str
    tasks: list[str]
    note: str | None
    max_input_length: int
    max_batch_tokens: int | None
    max_batch_requests: int
    max_client_batch_size: int
    workers: int
    version: str


async def embed(app: App, exchange: Exchange, body: EmbedBody) -> Reply:
    check.served(app, "embed")
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    check.texts(app, texts, "inputs")
    works = await app.run(exchange, _works("embed", [(text,) for text in texts], body.truncate))
    return Reply(_encode([check.shortened(work.output, body.dimensions) for work in works]))


async def rerank(app: App, exchange: Exchange, body: RerankBody) -> Reply:
    check.served(app, "rerank")
    query = check.text(app, body.query, "query", empty=False)
    texts = check.texts(app, body.texts, "texts")
    works = await app.run(exchange, _works("rerank", [(query, text) for text in texts], body.truncate))
    ranked = [
        RankedText(index, _score(work.output, body.raw_scores), texts[index] if body.return_text else None)
        for index, work in enumerate(works)
    ]
    ranked.sort(key=lambda entry: -entry.score)
    return Reply(_encode(ranked))


async def predict(app: App, exchange: Exchange, body: PredictBody) -> Reply:
    check.served(app, "classify")
    inputs, single = _predict_inputs(body.inputs)
    check.count(app, len(inputs), "inputs")
    for entry in inputs:
        for text in entry:
            check.text(app, text, "inputs", empty=False)
    asked = _works("classify", inputs, body.truncate)
    for work in asked:
        work.raw = body.raw_scores
    works = await app.run(exchange, asked)
    answers = [[{"score": score, "label": label} for label, score in work.output] for work in works]
    return Reply(_encode(answers[0] if single else answers))


def _works(kind: str, inputs: Sequence[tuple[str, ...]], truncate: bool | None) -> list[Work]:
    works = [Work(kind, entry) for entry in inputs]
    if truncate:
        for work in works:
            work.truncate = True
    return works


def _predict_inputs(inputs: str | list[str | list[str]]) -> tuple[list[tuple[str, ...]], bool]:
    """The inputs as tuples of one or two texts, and True if the body was a single input."""
    if isinstance(inputs, str):
        return [(inputs,)], True
    flat = [entry for entry in inputs if isinstance(entry, str)]
    if flat and len(flat) == len(inputs) == 2:
        return [(flat[0], flat[1])], True
    batch: list[tuple[str, ...]] = []
    for entry in inputs:
        if isinstance(entry, str) or not 1 <= len(entry) <= 2:
            message = "inputs: must be a text, a pair [a, b], or a list of [a] and [a, b]"
            raise invalid(message, "inputs")
        batch.append(tuple(entry))
    return batch, False


def _score(logit: float, raw: bool) -> float:
    return logit if raw else sigmoid(logit)


async def info(app: App, exchange: Exchange, body: None) -> Reply:
    engine = app.engine.info
    answer: dict[str, Any] = {
        "model_id": engine.model,
        "model_dtype": engine.dtype,
        "tasks": sorted(engine.kinds),
        "note": engine.note,
        "max_input_length": engine.input_tokens_max,
        "max_batch_tokens": app.dispatcher.policy.tokens_max or None,
        "max_batch_requests": app.dispatcher.policy.items_max,
        "max_client_batch_size": app.settings.items_max,
        "workers": app.dispatcher.workers,
        "version": "1",
        **engine.details,
    }
    return Reply(_encode(answer))


ROUTES = [
    Route("POST", "/embed", embed, "Embeddings", "tei", EmbedBody, list[list[float]]),
    Route("POST", "/rerank", rerank, "Texts ranked by a query", "tei", RerankBody, list[RankedText]),
    Route(
        "POST",
        "/predict",
        predict,
        "Classes of a text or a pair",
        "tei",
        PredictBody,
        (list[Prediction], list[list[Prediction]]),
    ),
    Route("GET", "/info", info, "The model and the server's bounds", "tei", answer=Info, work=False),
]
