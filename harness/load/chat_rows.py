"""Rows of the task chat: `--system`, `--param`, conversations of ShareGPT, and lines of OpenAI's batch files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.tasks._conversation import REFUSED, SENT
from harness.load.lines import text_of

_PARAMETERS = SENT | REFUSED.keys()
_SCHEMA_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_BATCH = {"custom_id", "method", "url", "body"}
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def parameters_of(texts: Iterable[str]) -> dict[str, Any]:
    """The parameters that `NAME=VALUE` gives: JSON where it is JSON, else a text; `@FILE` is a file of JSON.

    Whether the task has them is checked by `InputSettings.check_tasks`.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text}: is not NAME=VALUE or NAME=@FILE.json")
        if name in found:
            raise UsageError(f"--param {text}: {name} is given twice")
        found[name] = _from_file(text, value[1:]) if value.startswith("@") else _value(value)
        if name == "response_format":
            found[name] = _enveloped(found[name])
    return found


def _enveloped(given: Any) -> Any:
    """A plain JSON Schema in the form that the API asks for; anything else as it is."""
    if not isinstance(given, dict) or given.get("type", "object") not in _SCHEMA_TYPES:
        return given
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": given}} if given else given


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _from_file(text: str, path: str) -> Any:
    try:
        return msgspec.json.decode(text_of(Path(path)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"--param {text}: {path} is not JSON: {error}") from error


def drop_parameters(row: dict[str, Any], kept: Collection[str]) -> None:
    """Drop columns that only happen to have the name of a parameter: a template has made the prompt from them."""
    for name in (row.keys() & _PARAMETERS).difference(kept):
        del row[name]


def add(row: dict[str, Any], system: str | None, parameters: Mapping[str, Any]) -> None:
    """Give the row its system message and the parameters that it does not have itself."""
    for name, value in parameters.items():
        row.setdefault(name, value)
    if system is None:
        return
    messages = row.get("messages")
    if messages is None and (prompt := row.get("prompt", row.get("text"))) is not None:
        messages = [{"role": "user", "content": prompt}]
    if isinstance(messages, list) and not any(_is_system(message) for message in messages):
        row["messages"] = [{"role": "system", "content": system}, *messages]


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"


def unfolded(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a line of an OpenAI batch file, or of a conversation of ShareGPT; any other row as it is.

    Raises ItemError.
    """
    if "custom_id" in row:
        body = row.get("body")
        if isinstance(body, dict):
            return _from_batch(row, body)
        if row.keys() >= _BATCH:
            raise ItemError(f"body: is {type(body).__name__}, not an object; it is the body of the request")
    return _from_sharegpt(row) if "conversations" in row else row


def _from_batch(row: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    name = row["custom_id"]
    if type(name) not in (str, int, type(None)):
        raise ItemError(f"custom_id: is {type(name).__name__}, not a text")
    if row.get("method", "POST") != "POST":
        raise ItemError(f"method: is {str(row['method'])[:20]!r}; the requests of a batch file are POST")
    return {**body, "id": name, **({"url": row["url"]} if "url" in row else {})}


def _from_sharegpt(row: dict[str, Any]) -> dict[str, Any]:
    """The row with `messages` if it is a conversation of ShareGPT; its last answers are left out."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or "messages" in row:
        return row
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or turn.get("from") not in _ROLES:
            return row
        messages.append({"role": _ROLES[turn["from"]], "content": turn.get("value")})
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    return {**row, "messages": messages}
