"""KServe's Open Inference Protocol v2, as Triton, MLServer and OpenVINO serve it (kserve.github.io, "V2 protocol").

Any name of a model is answered. One input of n texts gives `embedding`, two give `score`, the similarity of each pair.
Data is JSON, flat in row-major order; the binary extension is not supported.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from model_server.api import _checks as check
from model_server.api._asked import NoEffect
from model_server.api._texts import SOME
from model_server.errors import ApiError, invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route
from model_server.work import Work

if TYPE_CHECKING:
    from model_server.http.app import App

DIMENSIONS = 64
_encode = msgspec.json.Encoder().encode


class KserveInput(msgspec.Struct):
    """A tensor of texts: BYTES of shape [n] or [n, 1]."""

    name: str
    shape: Annotated[list[int], msgspec.Meta(min_length=1, max_length=2)]
    datatype: Literal["BYTES"]
    data: Annotated[list[str | list[str]], SOME]
    parameters: NoEffect = None


class KserveAsked(msgspec.Struct):
    """An output that is asked for."""

    name: Literal["embedding", "score"]
    parameters: NoEffect = None


class KserveInferBody(msgspec.Struct):
    """One input, or two of the same shape."""

    inputs: Annotated[list[KserveInput], msgspec.Meta(min_length=1, max_length=2)]
    id: str | None = None
    outputs: list[KserveAsked] | None = None
    parameters: NoEffect = None


class KserveOutput(msgspec.Struct):
    """A tensor of numbers."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class KserveInferred(msgspec.Struct, omit_defaults=True):
    """The answer."""

    model_name: str
    model_version: str
    outputs: list[KserveOutput]
    id: str | None = None


class KserveTensor(msgspec.Struct):
    """Name, type and shape of a tensor; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]


class KserveModel(msgspec.Struct):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[KserveTensor]
    outputs: list[KserveTensor]


class KserveServer(msgspec.Struct):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class KserveReady(msgspec.Struct):
    """A model is ready."""

    name: str
    ready: bool


class KserveLive(msgspec.Struct):
    """The server runs."""

    live: bool


async def infer(app: App, exchange: Exchange, body: KserveInferBody) -> Reply:
    columns = [_texts(app, tensor) for tensor in body.inputs]
    if len(columns) == 2 and len(columns[0]) != len(columns[1]):
        raise invalid(f"inputs: have {len(columns[0])} and {len(columns[1])} texts; two inputs make pairs", "inputs")
    kind, name = ("similarity", "score") if len(columns) == 2 else ("embed", "embedding")
    if body.outputs and any(asked.name != name for asked in body.outputs):
        raise invalid(f"outputs: {len(columns)} inputs give {name} and nothing else", "outputs")
    check.served(app, kind)
    works = await app.run(exchange, [Work(kind, row) for row in zip(*columns, strict=True)])
    shape = [len(works)] if kind == "similarity" else [len(works), DIMENSIONS]
    data = [work.output for work in works] if kind == "similarity" else [x for work in works for x in work.output]
    model, _, version = exchange.params["model"].partition("/versions/")
    return Reply(_encode(KserveInferred(model, version or "1", [KserveOutput(name, "FP32", shape, data)], body.id)))


def _texts(app: App, tensor: KserveInput) -> list[str]:
    flat = [text for row in tensor.data for text in ([row] if isinstance(row, str) else row)]
    elements = math.prod(tensor.shape)
    if elements != len(flat):
        message = f"inputs: {tensor.name} has shape {tensor.shape}, {elements} elements, and {len(flat)} in data"
        raise invalid(message, "inputs")
    return check.texts(app, flat, "inputs")


async def metadata(app: App, exchange: Exchange, body: None) -> Reply:
    texts, vectors = KserveTensor("text", "BYTES", [-1]), KserveTensor("embedding", "FP32", [-1, DIMENSIONS])
    return Reply(_encode(KserveModel(exchange.params["model"], ["1"], "paceline_mock", [texts], [vectors])))


async def server(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(KserveServer("paceline mock", "1", [])))


async def model_ready(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(KserveReady(exchange.params["model"], True)))


async def live(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(KserveLive(True)))


def _family(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method, path, handler, summary, "kserve", translate=ApiError.as_text, **more)


ROUTES = [
    _family(
        "POST", "/v2/models/{model}/infer", infer, "Embeddings of texts, or similarity of pairs",
        request=KserveInferBody, answer=KserveInferred,
    ),
    _family("GET", "/v2/models/{model}/ready", model_ready, "A model is ready", answer=KserveReady, work=False),
    _family("GET", "/v2/models/{model}", metadata, "A model's inputs and outputs", answer=KserveModel, work=False),
    _family("GET", "/v2/health/live", live, "The process is running", answer=KserveLive, work=False, open=True),
    _family("GET", "/v2/health/ready", live, "The server accepts work", answer=KserveLive, work=False, open=True),
    _family("GET", "/v2", server, "The server", answer=KserveServer, work=False),
]  # fmt: skip
