"""The output of OpenAI's Responses API as a completion, whole or assembled from named events.

The events repeat what they have said: deltas, then the finished part, then the whole response at the end. The answer is
read from the response at the end if it has its output, else from the deltas.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.tasks._said import Completion, Oddities, Said
from harness.client.transport.event_stream import DONE, SseSplitter

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Types of the last event."""
_REASONS = {"max_output_tokens": "length"}
_DELTAS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
_ARGUMENTS = "response.function_call_arguments.delta"


class _Head(msgspec.Struct):
    type: Any = None
    delta: Any = None


_head = msgspec.json.Decoder(_Head)


class ResponseEvents:
    """The form of the events: a piece of text, of thinking or of a tool call is a delta."""

    splitter = SseSplitter

    @staticmethod
    def is_content(payload: bytes, /) -> bool:
        """Whether it is a delta that is not empty."""
        head = _read(payload)
        return head is not None and isinstance(head.type, str) and head.type.endswith(".delta") and bool(head.delta)

    @staticmethod
    def is_end(payload: bytes, /) -> bool:
        """Whether it holds the finished response."""
        head = _read(payload)
        return payload == DONE or (head is not None and head.type in ENDS)


def _read(payload: bytes) -> _Head | None:
    try:
        return _head.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def completion_of(response: dict[str, Any], odd: Oddities, said: Said | None = None) -> Completion:
    """The completion in a response; `said` is what the deltas gave, if it was a stream. Raises BadResponse."""
    status = response.get("status")
    if error := response.get("error"):
        raise BadResponse(f"an error in place of an answer: {excerpt(_message(error), 200)}")
    if status not in ("completed", "incomplete"):
        found = "is missing" if status is None else f"is {excerpt(str(status), 40)!r}"
        raise BadResponse(f"status: {found}, expected completed or incomplete")
    output = response.get("output")
    if not isinstance(output, list):
        raise BadResponse(f"output: is {'missing' if output is None else type(output).__name__}, not a list")
    if said is None or output:
        said = Said(odd)
        for place, item in enumerate(output):
            _add_item(said, item, place, odd)
    if not said.anything and status == "completed":
        raise BadResponse("output: has no message, reasoning or function call")
    return said.completion(_reason(response, status), odd.usage(response.get("usage")))


def _message(error: Any) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)


def _reason(response: dict[str, Any], status: str) -> str:
    """The finish reason in the words of the chat API."""
    if status == "completed":
        return "stop"
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _REASONS.get(reason, reason) if isinstance(reason, str) else "incomplete"


def _add_item(said: Said, item: Any, place: int, odd: Oddities) -> None:
    """An item of the output; those of the server's own tools are no part of the answer."""
    kind = item.get("type") if isinstance(item, dict) else None
    field = f"output[{place}]"
    if kind == "message":
        content = item.get("content")
        if not isinstance(content, list):
            raise BadResponse(
                f"{field}.content: is {'missing' if content is None else type(content).__name__}, not a list"
            )
        for part in content:
            _add_part(said, part, f"{field}.content")
    elif kind == "reasoning":
        parts = [part for name in ("content", "summary") if isinstance(item.get(name), list) for part in item[name]]
        texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
        said.add({"reasoning": "".join(texts)}, field)
    elif kind == "function_call":
        said.add({"tool_calls": [tool_call(item, place)]}, field)
    else:
        odd.count += not isinstance(kind, str)


def _add_part(said: Said, part: Any, field: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    name = {"output_text": "text", "refusal": "refusal"}.get(kind or "")
    text = part.get(name) if name else None
    if not isinstance(text, str):
        raise BadResponse(f"{field}: has a part that is no text: {excerpt(str(part), 80)!r}")
    said.add({"content" if kind == "output_text" else "refusal": text}, field)


def tool_call(item: dict[str, Any], index: Any) -> dict[str, Any]:
    """A function call in the form of the chat API."""
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"index": index, "id": item.get("call_id") or item.get("id"), "function": function}


def add_event(said: Said, event: dict[str, Any]) -> None:
    """A delta, or the begin of a function call, whose name no delta has."""
    kind, index = event.get("type"), event.get("output_index")
    if kind in _DELTAS:
        said.add({_DELTAS[kind]: event.get("delta")}, "delta")
    elif kind == _ARGUMENTS:
        said.add({"tool_calls": [{"index": index, "function": {"arguments": event.get("delta")}}]}, "delta")
    elif kind == "response.output_item.added":
        item = event.get("item")
        if isinstance(item, dict) and item.get("type") == "function_call":
            said.add({"tool_calls": [tool_call({**item, "arguments": None}, index)]}, "item")
