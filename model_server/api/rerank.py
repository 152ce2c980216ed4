"""The rerank routes of Jina (/v1/rerank) and Cohere (/v2/rerank), which vLLM has too; `tei` has TEI's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import uuid4

import msgspec

from model_server.api import _checks as check
from model_server.api._asked import PositiveInt
from model_server.api._scores import sigmoid
from model_server.api._texts import SOME, Filled
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route
from model_server.work import Work

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode


class Document(msgspec.Struct):
    """A text to rank, as an object."""

    text: Filled


class RankBody(msgspec.Struct):
    """A query and the documents to rank by it; the answer has the best `top_n` of them."""

    query: Filled
    documents: Annotated[list[Filled | Document], SOME]
    model: str | None = None
    top_n: PositiveInt | None = None


class JinaBody(RankBody):
    """Jina's form, which has `return_documents` too."""

    return_documents: bool | None = True


class RankedDocument(msgspec.Struct, omit_defaults=True):
    """Index of a document in the request, and its score in [0, 1]."""

    index: int
    relevance_score: float
    document: Document | None = None


class RankUsage(msgspec.Struct):
    """Token counts of query and documents."""

    prompt_tokens: int
    total_tokens: int


class JinaRanking(msgspec.Struct):
    """The documents, best first."""

    id: str
    model: str
    usage: RankUsage
    results: list[RankedDocument]


class ApiVersion(msgspec.Struct):
    """Version of Cohere's API."""

    version: Literal["2"] = "2"


class BilledUnits(msgspec.Struct):
    """Units that Cohere bills."""

    search_units: int = 1


class CohereMeta(msgspec.Struct):
    """Facts about the answer."""

    api_version: ApiVersion
    billed_units: BilledUnits


class CohereRanking(msgspec.Struct):
    """The documents, best first."""

    id: str
    results: list[RankedDocument]
    meta: CohereMeta


async def jina(app: App, exchange: Exchange, body: JinaBody) -> Reply:
    ranked, tokens = await _ranked(app, exchange, body)
    if body.return_documents:
        texts = _texts(body)
        for entry in ranked:
            entry.document = Document(texts[entry.index])
    model = body.model or app.engine.info.model
    return Reply(_encode(JinaRanking(f"rerank-{uuid4().hex}", model, RankUsage(tokens, tokens), ranked)))


async def cohere(app: App, exchange: Exchange, body: RankBody) -> Reply:
    ranked, _ = await _ranked(app, exchange, body)
    return Reply(_encode(CohereRanking(str(uuid4()), ranked, CohereMeta(ApiVersion(), BilledUnits()))))


async def _ranked(app: App, exchange: Exchange, body: RankBody) -> tuple[list[RankedDocument], int]:
    """The best documents, best first, and the tokens of all."""
    check.served(app, "rerank")
    query = check.text(app, body.query, "query", empty=False)
    texts = check.texts(app, _texts(body), "documents")
    works = await app.run(exchange, [Work("rerank", (query, text)) for text in texts])
    ranked = [RankedDocument(index, sigmoid(work.output)) for index, work in enumerate(works)]
    ranked.sort(key=lambda entry: -entry.relevance_score)
    return ranked[: body.top_n], sum(work.tokens for work in works)


def _texts(body: RankBody) -> list[str]:
    return [entry if isinstance(entry, str) else entry.text for entry in body.documents]


def _route(path: str, handler: Any, whose: str, request: Any, answer: Any) -> Route:
    return Route("POST", path, handler, f"Documents ranked by a query ({whose})", "openai", request, answer)


ROUTES = [
    _route("/v1/rerank", jina, "Jina", JinaBody, JinaRanking),
    _route("/v2/rerank", cohere, "Cohere", RankBody, CohereRanking),
]
