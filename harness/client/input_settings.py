"""How an input file is read, as plain data."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.base.options import first_given, option, options
from harness.client.errors import UsageError
from harness.client.protocols import ParameterTask, provides
from harness.client.types import Task

FORMS = ("jsonl", "json", "csv", "tsv", "text", "parquet", "arrow")
"""Forms of input files."""
CONVERSATIONS = ("chat", "responses")
"""Tasks whose rows may have a system message."""


def http_option(default: tuple[()] | None = None) -> Any:
    """The option for tasks that a file describes."""
    return option(
        default,
        "TOML file that describes the requests and answers of your API, in place of --task, or the name of one of "
        f"`paceline list http`; FIELD=VALUE sets a field.{'' if default is None else ' Repeatable.'}",
        metavar="FILE.toml[:FIELD=VALUE,...]",
        names="http",
    )


def columns_option(source: str = "--input") -> Any:
    """The option for fields that are taken from other columns."""
    return option(
        (),
        f"Fields of the task, and the columns of {source} that they are taken from. Repeatable.",
        flag="--map",
        metavar="FIELD=COLUMN[,...]",
    )


def field_columns(texts: Iterable[str], flag: str) -> dict[str, str]:
    """Field -> column, from `FIELD=COLUMN,...`; raises UsageError that names the flag."""
    columns: dict[str, str] = {}
    for text in texts:
        for part in text.split(","):
            field, equals, column = (piece.strip() for piece in part.partition("="))
            if not equals or not field or not column:
                raise UsageError(f"{flag} {text}: {part!r} is not FIELD=COLUMN")
            if field in columns:
                raise UsageError(f"{flag} {text}: {field} is given twice")
            columns[field] = column
    return columns


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
    system: str | None = option(None, "System message of each row of the task chat or responses.", metavar="TEXT")
    parameters: tuple[str, ...] = option(
        (),
        "Parameter of the API for rows without their own, such as temperature=0, response_format=@schema.json; with "
        "--http a field of the row. Repeatable.",
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
        return first_given(self)

    def check_unused(self) -> None:
        """Raise UsageError if an option was given, though no file is read."""
        flag = self.first_flag
        if flag == "--param":
            name, _, value = self.parameters[0].partition("=")
            own = f"--task NAME:{name}={value} or --http NAME:{name}={value}"
            raise UsageError(f"--param needs --input: it completes rows of that file. Made-up items have {own}")
        if flag:
            raise UsageError(f"{flag} needs --input: it says how that file is read")

    @property
    def task_flag(self) -> str:
        """The option that belongs to a task, if one was given."""
        return "--system" if self.system is not None else "--param" if self.parameters else ""

    def fingerprint(self) -> dict[str, Any]:
        """The settings that were given: a resumed run must have the same."""
        values = {one.field: getattr(self, one.field) for one in options(type(self))}
        return {name: list(value) if type(value) is tuple else value for name, value in values.items() if value}

    def check_tasks(self, tasks: Iterable[Task]) -> None:
        """Raise UsageError if a system message or a parameter is given for a task that does not have it."""
        for task in tasks:
            if self.system is not None and task.name not in CONVERSATIONS:
                raise UsageError(
                    f"--system: belongs to the tasks {' and '.join(CONVERSATIONS)}; the task is {task.name}"
                )
            for text in self.parameters:
                _check_parameter(text, text.partition("=")[0], task)

    @staticmethod
    def _check_encoding(name: str) -> None:
        try:
            known = codecs.lookup(name)
        except LookupError:
            known = None
        # Codecs from bytes to bytes, such as zip, are no encodings of texts.
        if known is None or not getattr(known, "_is_text_encoding", True):
            raise UsageError(f"--encoding {name}: is not known; such as utf-8, latin-1, cp1252, utf-16, shift_jis")


def _check_parameter(text: str, name: str, task: Task) -> None:
    task_name = task.name
    if not provides(task, ParameterTask):
        raise UsageError(f"--param {text}: the task {task_name} has no parameters")
    if name in task.refused_parameters:
        raise UsageError(f"--param {text}: {task.refused_parameters[name]}")
    if name not in task.parameter_names:
        known = sorted(task.parameter_names)
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.7)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        has = ", ".join(known) or "none"
        raise UsageError(f"--param {text}: {name} is no parameter of the task {task_name}; {meant}it has {has}")
