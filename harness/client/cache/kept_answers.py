"""Encodes answers to bytes and back, by the type that a task declares for its answers."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from harness.client.types import Task


class AnswerCodec:
    """MessagePack codec by the annotated type of `Task.answer`; none if answers do not decode to equal values."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders: dict[type[Any], msgspec.msgpack.Decoder[Any] | None] = {}
        self._proven: set[type[Any]] = set()

    def encode(self, task: Task, answers: tuple[Any, ...]) -> bytes | None:
        """Encode answers; None if this task's answers cannot be stored outside of memory."""
        kind = type(task)
        decoder = self._decoder(kind)
        if decoder is None:
            return None
        try:
            value = self._encode(answers)
            if kind not in self._proven:
                if decoder.decode(value) != answers:
                    raise TypeError("it decodes to a different value")  # noqa: TRY301 - one place gives up
                self._proven.add(kind)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
            self._decoders[kind] = None
            return None
        return value

    def decode(self, task: Task, value: bytes) -> tuple[Any, ...] | None:
        """Decode answers; None if the bytes do not match the type, for example if another version wrote them."""
        decoder = self._decoder(type(task))
        if decoder is None:
            return None
        try:
            answers: tuple[Any, ...] = decoder.decode(value)
        except msgspec.MsgspecError:
            return None
        return answers

    def _decoder(self, kind: type[Any]) -> msgspec.msgpack.Decoder[Any] | None:
        if kind not in self._decoders:
            try:
                self._decoders[kind] = msgspec.msgpack.Decoder(typing.get_type_hints(kind.answer)["return"])
            except (NameError, KeyError, TypeError):
                self._decoders[kind] = None
        return self._decoders[kind]
