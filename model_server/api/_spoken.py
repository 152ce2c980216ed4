"""The simulated assistant's use of its tokens where a chat asks for more than text: it thinks, or calls a tool.

With `reasoning_effort`, or `enable_thinking` in `chat_template_kwargs`, the first half of the tokens is thinking. With
`tool_choice` the others are the arguments of one call: JSON that fits the `parameters` of the function or, if it has
none, the argument `text`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from model_server.api._structured import Form
from model_server.errors import invalid
from model_server.work import Sequence

if TYPE_CHECKING:
    from model_server.api._openai_types import ChatBody
    from model_server.http.app import App

FIELDS = frozenset({"tools", "tool_choice", "chat_template_kwargs", "reasoning_effort"})
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_TOKEN = re.compile(r"\S+\s*")
_OPENING, _CLOSING = '{"text": "', '"}'


class Wanted(msgspec.Struct, frozen=True):
    """A chat's demands beside text."""

    thinks: bool = False
    function: str | None = None
    # Of the arguments.
    form: Form | None = None

    def lead(self, asked: int | None, default: int) -> int:
        """The tokens of thinking before an answer or a call that has a form."""
        return (default if asked is None else asked) // 2 if self.thinks else 0


def wanted(app: App, body: ChatBody) -> Wanted | None:
    """The demands of the chat; None for text only, or if the model cannot do more. Raises `ApiError`."""
    if not app.engine.info.tools:
        return None
    effort, more = body.reasoning_effort, body.chat_template_kwargs
    if effort is not None and effort not in EFFORTS:
        raise invalid(f"reasoning_effort: must be one of {', '.join(EFFORTS)}", "reasoning_effort", "invalid_value")
    if more is not None and not isinstance(more, dict):
        raise invalid("chat_template_kwargs: must be an object", "chat_template_kwargs", "invalid_value")
    thinks = effort not in (None, "none") or (more or {}).get("enable_thinking") is True
    function = _function(_names(body.tools), body.tool_choice)
    found = Wanted(thinks, function, None if function is None else _parameters(body.tools, function))
    return None if found == Wanted() else found


def _parameters(tools: list[Any], name: str) -> Form | None:
    """The schema of a function's arguments, and its place."""
    place = next(place for place, tool in enumerate(tools) if _name(tool) == name)
    schema = tools[place]["function"].get("parameters")
    named = isinstance(schema, dict) and schema.get("properties")
    return Form(schema, f"tools[{place}].function.parameters") if named else None


def _names(tools: Any) -> list[str]:
    """The names of the functions."""
    given = [] if tools is None else tools
    found = [_name(tool) for tool in given] if isinstance(given, list) else [None]
    if None in found:
        raise invalid('tools: must be a list of {"type": "function", "function": {"name"}}', "tools", "invalid_value")
    return [name for name in found if name is not None]


def _name(tool: Any) -> str | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name else None


def _function(names: list[str], choice: Any) -> str | None:
    """The function that has to be called; with `auto` the simulated model answers in text."""
    if choice in (None, "auto", "none"):
        return None
    if choice == "required" and names:
        return names[0]
    name = _name(choice)
    if name is None or name not in names:
        message = "tool_choice: must be none, auto, required or a function, which is one of tools"
        raise invalid(message, "tool_choice", "invalid_value")
    return name


class Spoken:
    """Turns the tokens of one generation into the pieces of a message."""

    def __init__(self, asked: Wanted, sequence: Sequence) -> None:
        self._most = sequence.tokens_max
        script = sequence.script
        self._thinking = script.lead if script is not None else self._most // 2 if asked.thinks else 0
        self._function = asked.function
        # Arguments that have a form are whole as they stand.
        self._around = (_OPENING, _CLOSING) if asked.form is None else ("", "")
        self._call = {"index": 0, "id": f"call_{uuid4().hex[:24]}", "type": "function"}
        self._tokens = 0
        self._opened = self._closed = False

    def delta(self, text: str) -> dict[str, Any]:
        """The piece that a token adds."""
        self._tokens += 1
        if self._tokens <= self._thinking:
            return {"role": "assistant", "reasoning_content": text}
        if self._function is None:
            return {"role": "assistant", "content": text}
        return self._argument(self._escaped(text), closes=self._tokens >= self._most)

    def _escaped(self, text: str) -> str:
        return msgspec.json.encode(text).decode()[1:-1] if self._around[0] else text

    def _argument(self, text: str, *, closes: bool) -> dict[str, Any]:
        self._closed = closes
        text += self._around[1] if closes else ""
        if self._opened:
            return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        self._opened = True
        function = {"name": self._function, "arguments": self._around[0] + text}
        return {"role": "assistant", "content": None, "tool_calls": [{**self._call, "function": function}]}

    def end(self) -> dict[str, Any]:
        """The last piece: it ends a call that was cut short by a stop text."""
        return {} if self._function is None or self._closed else self._argument("", closes=True)

    def message(self, text: str) -> dict[str, Any]:
        """The whole message."""
        tokens = _TOKEN.findall(text)
        self._tokens = len(tokens)
        thinking, said = "".join(tokens[: self._thinking]), "".join(tokens[self._thinking :])
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if thinking:
            message["reasoning_content"] = thinking
        if self._function is not None:
            arguments = self._around[0] + self._escaped(said) + self._around[1]
            call = {"id": self._call["id"], "type": "function"}
            call["function"] = {"name": self._function, "arguments": arguments}
            message |= {"content": None, "tool_calls": [call]}
        return message

    def reason(self, reason: str | None) -> str | None:
        """The finish reason."""
        return reason if self._function is None else "tool_calls"

    def counts(self) -> dict[str, Any]:
        """The part of the usage about thinking."""
        return {"completion_tokens_details": {"reasoning_tokens": min(self._tokens, self._thinking)}}
