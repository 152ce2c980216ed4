"""The classification route of vLLM and SGLang: /classify; `tei` has TEI's /predict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import msgspec

from model_server.api import _checks as check
from model_server.api._openai_types import Texts
from model_server.api._token_ids import inputs
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route
from model_server.work import Work

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode


class ClassifyBody(msgspec.Struct):
    """One or more texts, or their token ids."""

    input: Texts
    model: str | None = None


class Classified(msgspec.Struct):
    """The best class of a text; `probs` has the probability of every class, by the name of the class."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassifyUsage(msgspec.Struct):
    """Token counts of the texts."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class Classification(msgspec.Struct):
    """Classes in the order of the texts."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Classified]
    usage: ClassifyUsage


async def classify(app: App, exchange: Exchange, body: ClassifyBody) -> Reply:
    check.served(app, "classify")
    texts = inputs(app, "classify", body.input, "input")
    works = await app.run(exchange, [Work("classify", (text,)) for text in texts])
    tokens = sum(work.tokens for work in works)
    answer = Classification(
        f"classify-{uuid4().hex}",
        "list",
        int(time.time()),
        body.model or app.engine.info.model,
        [_classified(index, work.output) for index, work in enumerate(works)],
        ClassifyUsage(tokens, tokens),
    )
    return Reply(_encode(answer))


def _classified(index: int, scores: list[tuple[str, float]]) -> Classified:
    """The engine gives the classes best first."""
    return Classified(index, scores[0][0], [score for _, score in sorted(scores)], len(scores))


ROUTES = [Route("POST", "/classify", classify, "Classes of texts (vLLM)", "openai", ClassifyBody, Classification)]
