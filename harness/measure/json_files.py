"""Reads JSON files that people keep, and may have changed."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def decode(data: bytes, kind: type[T]) -> T:
    """The value of a JSON file. Whatever is wrong with it is a msgspec.DecodeError or its ValidationError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deeply") from error


def encode(value: Any) -> bytes:
    """Indented JSON, keys in the order of the fields, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


class _Version(msgspec.Struct):
    schema_version: int


def check_version(data: bytes, expected: int) -> None:
    """Raise msgspec.ValidationError if the file has another version."""
    version = decode(data, _Version).schema_version
    if version != expected:
        raise msgspec.ValidationError(f"schema_version: {version}, expected {expected}")
