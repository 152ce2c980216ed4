"""The Responses API of OpenAI: /v1/responses, whole and as named server-sent events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from model_server.api import _checks as check
from model_server.api import _responses_types as types
from model_server.api._generation import begin, collect, events_of, failed_event
from model_server.api._structured import form_of, script_of
from model_server.errors import ApiError
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply
from model_server.http.routes import Route
from model_server.work import Said, Sequence

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode
_TOKENS_DEFAULT = 128


async def responses(app: App, exchange: Exchange, body: types.ResponsesBody) -> Reply:
    check.served(app, "generate")
    check.unsupported(body)
    messages = _messages(body)
    check.count(app, len(messages), "input")
    check.text(app, "".join([content for _, content, _ in messages]), "input")
    prompt = app.engine.prompt(messages)
    asked = body.max_tokens if body.max_output_tokens is None else body.max_output_tokens
    form = None if body.text is None else form_of(app, body.text.format, "text.format", inner="")
    script = None if form is None else await script_of(app, form, prompt, body.sampling(), asked)
    sequences = await begin(app, exchange, [prompt], body, asked, _TOKENS_DEFAULT, script)
    shape = _ResponsesShape(body, app.engine.info.model)
    if body.stream:
        return StreamReply(events_of(app, exchange, sequences, shape))
    (text,) = await collect(app, exchange, sequences)
    return Reply(_encode(shape.response(text, sequences[0])))


def _messages(body: types.ResponsesBody) -> list[Said]:
    given = [types.InputMessage("user", body.input)] if isinstance(body.input, str) else body.input
    messages: list[Said] = [(message.role, _content(message), {}) for message in given]
    return messages if body.instructions is None else [("system", body.instructions, {}), *messages]


def _content(message: types.InputMessage) -> str:
    return message.content if isinstance(message.content, str) else "".join([part.text for part in message.content])


class _ResponsesShape:
    """The response, whole, and as events: it is opened, its text grows, and it is closed."""

    def __init__(self, body: types.ResponsesBody, model: str) -> None:
        self._opened = types.ModelResponse(
            id=f"resp_{uuid4().hex}",
            created_at=int(time.time()),
            status="in_progress",
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            model=body.model or model,
            output=[],
        )
        self._item = f"msg_{uuid4().hex}"
        self._pieces: list[str] = []
        self._number = 0

    def response(self, text: str, sequence: Sequence) -> types.ModelResponse:
        """The finished response."""
        cut = sequence.finish_reason == "length"
        status: Any = "incomplete" if cut else "completed"
        usage = types.ResponsesUsage(
            sequence.prompt_tokens,
            sequence.tokens,
            sequence.prompt_tokens + sequence.tokens,
            types.InputDetails(sequence.cached_tokens or 0),
        )
        return msgspec.structs.replace(
            self._opened,
            status=status,
            incomplete_details=types.IncompleteDetails() if cut else None,
            output=[self._message(status, [types.OutputText(text)])],
            usage=usage,
        )

    def _message(self, status: Any, content: list[types.OutputText]) -> types.OutputMessage:
        return types.OutputMessage(self._item, status, content)

    def piece(self, index: int, text: str) -> bytes:
        begin = b"" if self._pieces else self._begin()
        self._pieces.append(text)
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return begin + self._event("response.output_text.delta", **place, delta=text, logprobs=[])

    def _begin(self) -> bytes:
        return b"".join(
            [
                self._event("response.created", response=self._opened),
                self._event("response.in_progress", response=self._opened),
                self._event("response.output_item.added", output_index=0, item=self._message("in_progress", [])),
                self._part("response.content_part.added", ""),
            ]
        )

    def _part(self, kind: str, text: str) -> bytes:
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return self._event(kind, **place, part=types.OutputText(text))

    def end(self, index: int, sequence: Sequence) -> bytes:
        begin = b"" if self._pieces else self._begin()
        text = "".join(self._pieces)
        response = self.response(text, sequence)
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return begin + b"".join(
            [
                self._event("response.output_text.done", **place, text=text, logprobs=[]),
                self._part("response.content_part.done", text),
                self._event("response.output_item.done", output_index=0, item=response.output[0]),
                self._event(f"response.{response.status}", response=response),
            ]
        )

    def close(self, sequences: list[Sequence]) -> bytes:
        return b""

    def failed(self, error: ApiError) -> bytes:
        return failed_event(error)

    def _event(self, kind: Any, **fields: Any) -> bytes:
        event = types.ResponsesEvent(type=kind, sequence_number=self._number, **fields)
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + _encode(event) + b"\n\n"


ROUTES = [
    Route(
        "POST",
        "/v1/responses",
        responses,
        "Response to a text or messages",
        "openai",
        types.ResponsesBody,
        types.ModelResponse,
        streams=True,
        event=types.ResponsesEvent,
    )
]
