"""How an input file is read, as plain data."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.base.options import option, options
from harness.client.errors import UsageError

FORMS = ("jsonl", "json", "csv", "tsv", "text", "parquet", "arrow")
"""Forms of input files."""


@dataclass(frozen=True)
class InputSettings:
    """How the rows of an input file are read. None: as the file's name and its first line say."""

    input_format: str | None = option(
        None, "Form of the input [default: by the ending of its name, else jsonl].", choices=FORMS
    )
    delimiter: str | None = option(
        None, "Character between the values of CSV, or tab [default: found in the first line].", metavar="CHARACTER"
    )
    encoding: str | None = option(
        None, "Encoding of a text, such as latin-1 or utf-16 [default: UTF-8].", metavar="NAME"
    )
    where: str | None = option(
        None, "Only rows for which this holds, such as 'language == \"en\"' (jinja2).", metavar="EXPRESSION"
    )
    template: str | None = option(
        None,
        "Template (jinja2) that makes the prompt or text of each row from its columns, or another FIELD.",
        metavar="[FIELD=]FILE",
    )
    system: str | None = option(None, "System message of each row of the task chat.", metavar="TEXT")
    parameters: tuple[str, ...] = option(
        (),
        "Parameter of the task chat for rows without their own, such as temperature=0, response_format=@schema.json. "
        "Repeatable.",
        flag="--param",
        metavar="NAME=VALUE",
    )

    def __post_init__(self) -> None:
        if self.input_format is not None and self.input_format not in FORMS:
            raise UsageError(f"--input-format {self.input_format}: must be one of {', '.join(FORMS)}")
        if self.delimiter is not None and (len(self.mark) != 1 or self.mark in '"\r\n' or not self.mark.isascii()):
            raise UsageError(f"--delimiter {self.delimiter!r}: must be one ASCII character other than a quote, or tab")
        if self.encoding is not None:
            self._check_encoding(self.encoding)

    @property
    def mark(self) -> str:
        """The delimiter as one character; empty if none was given."""
        return "\t" if self.delimiter in {"tab", "\\t"} else self.delimiter or ""

    @property
    def first_flag(self) -> str:
        """The first option that was given."""
        return next((one.flag for one in options(type(self)) if getattr(self, one.field) != one.default), "")

    def fingerprint(self) -> dict[str, Any]:
        """The settings that were given: a resumed run must have the same."""
        values = {one.field: getattr(self, one.field) for one in options(type(self))}
        return {name: list(value) if type(value) is tuple else value for name, value in values.items() if value}

    def check_tasks(self, names: Iterable[str]) -> None:
        """Raise UsageError if an option of the task chat is given for another task."""
        if (self.system is not None or self.parameters) and (other := [name for name in names if name != "chat"]):
            flag = "--param" if self.system is None else "--system"
            raise UsageError(f"{flag}: belongs to the task chat; the task is {other[0]}")

    @staticmethod
    def _check_encoding(name: str) -> None:
        try:
            known = codecs.lookup(name)
        except LookupError:
            known = None
        # Codecs from bytes to bytes, such as zip, are no encodings of texts.
        if known is None or not getattr(known, "_is_text_encoding", True):
            raise UsageError(f"--encoding {name}: is not known; such as utf-8, latin-1, cp1252, utf-16, shift_jis")
