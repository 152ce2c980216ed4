"""Bodies of the type multipart/form-data (RFC 7578): parts with texts and with files, as a browser sends a form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from harness.client.errors import ItemError
from harness.client.tasks.http.fields import UNSET, File, as_text
from harness.client.tasks.http.template import Constant, Fields, Values, maker, value_part


def multipart_of(parts: Mapping[str, Any], fields: Fields, where: str) -> tuple[Callable[[Values], bytes], str]:
    """The function that makes a body, and its content type; a task has one boundary, made from its parts."""
    boundary = f"paceline-{hashlib.sha256(repr(parts).encode()).hexdigest()[:40]}"
    fields.files_allowed = True
    made = [(name, value_part(template, fields, f"{where}.{name}")) for name, template in parts.items()]
    fields.files_allowed = False
    makers = [(name, maker(Constant(part.value) if isinstance(part, Constant) else part)) for name, part in made]

    def body(values: Values) -> bytes:
        pieces: list[bytes] = []
        for name, make in makers:
            _add(pieces, boundary, name, make(values))
        return b"".join([*pieces, f"--{boundary}--\r\n".encode()])

    return body, f"multipart/form-data; boundary={boundary}"


def _add(pieces: list[bytes], boundary: str, name: str, value: Any) -> None:
    """The part of a value: none for a missing one, several for a list."""
    if value is UNSET or value is None:
        return
    if isinstance(value, list):
        for each in value:
            _add(pieces, boundary, name, each)
        return
    if isinstance(value, dict):
        raise ItemError(f"{name}: is an object, which a part cannot carry")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, File):
        head += f'; filename="{_quoted(value.name)}"\r\nContent-Type: {value.kind}'
    data = value.data if isinstance(value, File) else as_text(value, name).encode()
    pieces += [f"{head}\r\n\r\n".encode(), data, b"\r\n"]


def _quoted(text: str) -> str:
    """A name within quotes, as browsers write it."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
