"""Answers to bytes and back, by the type that a task says its answers have."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from harness.client.types import Task


class AnswerCodec:
    """MessagePack by the annotated type of `Task.answer`; a task whose answers do not come back equal has none."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders: dict[type[Any], msgspec.msgpack.Decoder[Any] | None] = {}
        self._proven: set[type[Any]] = set()

    def encode(self, task: Task, answers: tuple[Any, ...]) -> bytes | None:
        """None if this task's answers cannot be kept outside of memory."""
        kind = type(task)
        decoder = self._decoder(kind)
        if decoder is None:
            return None
        try:
            value = self._encode(answers)
            if kind not in self._proven:
                if decoder.decode(value) != answers:
                    raise TypeError("it comes back as something else")  # noqa: TRY301 - one place gives up
                self._proven.add(kind)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
            self._decoders[kind] = None
            return None
        return value

    def decode(self, task: Task, value: bytes) -> tuple[Any, ...] | None:
        """None if these bytes are not such answers (written by another version, say)."""
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
