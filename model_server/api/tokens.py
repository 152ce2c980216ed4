"""/tokenize: the token ids of texts, in vLLM's format (`prompt` or `messages`) or TEI's (`inputs`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec

from model_server.api import _checks as check
from model_server.api._asked import NoEffect
from model_server.api._openai_types import ChatMessage
from model_server.api._texts import SOME
from model_server.api.openai import said
from model_server.errors import invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode
_KINDS = ("embed", "rerank", "classify", "similarity", "nli", "fill-mask", "generate")


class TokenizeBody(msgspec.Struct, forbid_unknown_fields=True):
    """One of `prompt`, `messages` and `inputs`; tokenized as for the model that serves such texts."""

    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    inputs: str | list[str] | None = None
    add_special_tokens: bool = True
    model: NoEffect = None


class OfPrompt(msgspec.Struct, forbid_unknown_fields=True):
    """vLLM's format for a text."""

    prompt: str
    add_special_tokens: bool = True
    model: NoEffect = None


class OfChat(msgspec.Struct, forbid_unknown_fields=True):
    """vLLM's format for a chat: the tokens of the chat as the model's chat template renders it."""

    messages: Annotated[list[ChatMessage], SOME]
    model: NoEffect = None


class OfInputs(msgspec.Struct, forbid_unknown_fields=True):
    """TEI's format for one or more texts."""

    inputs: str | Annotated[list[str], SOME]
    add_special_tokens: bool = True


class Counted(msgspec.Struct):
    """vLLM's answer."""

    count: int
    max_model_len: int
    tokens: list[int]


class Token(msgspec.Struct):
    """TEI's answer for one token; `start` and `stop` are offsets in the text, null for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


async def tokenize(app: App, exchange: Exchange, body: TokenizeBody) -> Reply:
    forms = [name for name in ("prompt", "messages", "inputs") if getattr(body, name) is not None]
    if len(forms) != 1:
        raise invalid(f"{forms[1] if forms else 'prompt'}: give one of prompt, messages and inputs", "prompt")
    if body.inputs is not None:
        exchange.tei = True
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        return Reply(_encode(await _of_inputs(app, texts, body)))
    check.served(app, "generate")
    text = body.prompt
    if body.messages is not None:
        check.count(app, len(body.messages), "messages")
        text = app.engine.prompt([said(app, message, number) for number, message in enumerate(body.messages)])
    found = await _tokens(app, "generate", text or "", body, forms[0])
    return Reply(_encode(Counted(len(found), app.engine.info.tokens_max("generate"), [token.id for token in found])))


async def _of_inputs(app: App, texts: list[str], body: TokenizeBody) -> list[list[Token]]:
    check.count(app, len(texts), "inputs")
    found = []
    for text in texts:
        found.append(await _tokens(app, _kind(app), text, body, "inputs"))
        # Many texts must not delay other requests.
        await asyncio.sleep(0)
    return found


def _kind(app: App) -> str:
    return next(kind for kind in _KINDS if kind in app.engine.info.kinds)


async def _tokens(app: App, kind: str, text: str, body: TokenizeBody, param: str) -> list[Token]:
    check.text(app, text, param)
    return [Token(*token) for token in await app.engine.tokens(kind, text, body.add_special_tokens)]


ROUTES: list[Route] = [
    Route(
        "POST",
        "/tokenize",
        tokenize,
        "Token ids of a text",
        "ops",
        TokenizeBody,
        (Counted, list[list[Token]]),
        (OfPrompt, OfChat, OfInputs),
        work=False,
        statuses=(404, 422),
        tei_param="inputs",
    ),
]
