"""The answer of an assistant as one value, whether it came whole or in pieces.

Rules of this file
  1. The answer itself is checked strictly: its texts, its tool calls, and that it is complete.
  2. Everything else is read if possible, else left out; deviations from the API are counted.
  3. A stream is assembled into the message of the plain form, and both are read by one function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from harness.client.answers import Usage, consistent, is_count, summed
from harness.client.errors import BadResponse
from harness.client.redaction import excerpt

TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_TEXT_PARTS = frozenset({"text", "output_text", "refusal"})
_THINKING_PARTS = frozenset({"thinking", "reasoning"})


_COUNTS = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens", "prompt_cache_hit_tokens"),
    ("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens", "reasoning_tokens"),
)
"""Names of each count of `Usage`: OpenAI's chat and Responses APIs, then those of DeepSeek and others."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call by the assistant; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str = ""
    id: str | None = None


class Completion(msgspec.Struct, frozen=True):
    """The assistant's text, its finish reason, the tokens if the server counted them, thinking and tool calls."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    reasoning: str | None = None  # thinking that the server separates from the answer
    tool_calls: tuple[ToolCall, ...] = ()


def joined_completion(answers: Sequence[Completion], separator: str) -> Completion:
    """Join completions: texts in order, the sum of tokens, and the first reason that is not `stop`."""
    usage = summed(answer.usage for answer in answers)
    thinking = [answer.reasoning for answer in answers if answer.reasoning]
    calls = tuple(call for answer in answers for call in answer.tool_calls)
    reasons = [answer.finish_reason for answer in answers]
    reason = next((reason for reason in reasons if reason != "stop"), "stop")
    text = separator.join(answer.text for answer in answers)
    return Completion(text, reason, usage, separator.join(thinking) or None, calls)


class Oddities:
    """Counts harmless deviations from the API."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def object(self, value: Any) -> dict[str, Any] | None:
        """The value if it is a JSON object; anything else counts as a deviation and gives an empty one."""
        if isinstance(value, dict):
            return value
        self.count += 1
        return None

    def usage(self, value: Any) -> Usage | None:
        """Token counts; unreadable ones are None."""
        if value is None:
            return None
        found = self.object(value)
        if found is None:
            return None
        read = Usage(*(self._first(found, names) for names in _COUNTS))
        if read == Usage():
            self.count += 1
            return None
        kept = consistent(read)
        self.count += kept is not read
        return kept

    def _first(self, usage: Mapping[str, Any], names: Sequence[str]) -> int | None:
        """The first of these counts that is there; `details.name` is inside of an object that may be missing."""
        for name in names:
            outer, _, inner = name.rpartition(".")
            within = usage.get(outer) if outer else usage
            if isinstance(within, dict) and within.get(inner) is not None:
                return self._tokens(within[inner])
        return None

    def _tokens(self, value: Any) -> int | None:
        if is_count(value):
            return int(value)
        self.count += value is not None
        whole = type(value) is float and math.isfinite(value) and value == int(value)
        return int(value) if whole and is_count(int(value)) else None

    def reason(self, value: Any) -> str | None:
        """The finish reason; some servers send numbers as reasons, and an empty text for none."""
        if value is None or (isinstance(value, str) and value):
            return value
        self.count += 1
        return str(value) if type(value) is int else None

    def parts(self, value: Any, field: str) -> tuple[str, str]:
        """Text and thinking of a content: a text, a list of parts, or absent; raises BadResponse for anything else."""
        if value is None:
            return "", ""
        if isinstance(value, str):
            return value, ""
        self.count += 1
        if not isinstance(value, list):
            raise BadResponse(f"{field}: is {type(value).__name__}, not a text")
        text, thinking = [], []
        for part in value:
            kind = part.get("type", "text") if isinstance(part, dict) else None
            if isinstance(part, str):
                text.append(part)
            elif kind in _TEXT_PARTS and isinstance(found := part.get("text", part.get(kind)), str):
                text.append(found)
            elif kind in _THINKING_PARTS:
                inner = part.get("thinking", part.get("reasoning", part.get("text")))
                thinking.append("".join(self.parts(inner, field)))
            else:
                raise BadResponse(f"{field}: has a part that is no text: {excerpt(str(part), 80)!r}")
        return "".join(text), "".join(thinking)


class Said:
    """A message, whole or assembled from pieces."""

    __slots__ = ("_calls", "_odd", "_texts", "_thinking")

    def __init__(self, odd: Oddities) -> None:
        self._odd = odd
        self._texts: dict[str, list[str]] = {}
        self._thinking: list[str] = []  # inside of content
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, message: dict[str, Any], field: str) -> None:
        """Add a piece, or the whole; raises BadResponse if a text field is not a text."""
        if len(message) == 1 and type(text := message.get("content")) is str:  # nearly every piece of a stream
            self._texts.setdefault("content", []).append(text)
            return
        for name in TEXTS:
            value = message.get(name)
            if value is None:
                continue
            if name in ("reasoning_content", "reasoning") and not isinstance(value, str):
                self._odd.count += 1
                continue
            text, thinking = self._odd.parts(value, f"{field}.{name}")
            self._texts.setdefault(name, []).append(text)
            self._thinking += filter(None, [thinking])
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise BadResponse(f"{field}.tool_calls: is {type(calls).__name__}, not a list")
        for place, call in enumerate(calls or ()):
            self._call(call, place, f"{field}.tool_calls[{place}]")
        if message.get("function_call") is not None:  # the older form, of which there is one
            self._call({"function": message["function_call"]}, 0, f"{field}.function_call")

    def _call(self, call: Any, place: int, field: str) -> None:
        if not isinstance(call, dict):
            raise BadResponse(f"{field}: is {type(call).__name__}, not an object")
        index = call.get("index", place)
        kept = self._calls.setdefault(index if type(index) is int else place, {"id": None, "name": "", "arguments": ""})
        if isinstance(call.get("id"), str) and call["id"]:
            kept["id"] = call["id"]
        function = call.get("function")
        if not isinstance(function, dict):
            self._odd.count += 1
            return
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # as an object, where the API says a text
            self._odd.count += 1
            arguments = msgspec.json.encode(arguments).decode()
        for name, value in (("name", function.get("name")), ("arguments", arguments)):
            if isinstance(value, str):
                kept[name] += value
            elif value is not None:
                raise BadResponse(f"{field}.function.{name}: is {type(value).__name__}, not a text")

    @property
    def anything(self) -> bool:
        """Whether there is any content, even an empty text."""
        return bool(self._texts or self._calls)

    def completion(self, reason: str | None, usage: Usage | None) -> Completion:
        """The complete answer. Thinking is kept apart from the text; if it has two names, one is read."""
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        text = texts.get("content") or texts.get("refusal") or ""
        thinking = texts.get("reasoning_content") or texts.get("reasoning") or "".join(self._thinking)
        calls = tuple(ToolCall(**self._calls[index]) for index in sorted(self._calls))
        return Completion(text, reason, usage, thinking or None, calls)
