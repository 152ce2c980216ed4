"""Settings of a run: plain data, checked when created."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.base.options import REQUIRED, option
from harness.base.quantity import duration_s, share
from harness.client.checks import at_least, between
from harness.client.errors import SettingError, UsageError
from harness.client.input_settings import InputSettings, columns_option, http_option
from harness.client.layer_settings import LayerSettings
from harness.client.transport.choice import AIOHTTP, TRANSPORT_HELP, TRANSPORTS, check_transport
from harness.client.transport.connection_settings import ConnectionSettings

SUFFIX_DEAD = ".dead.jsonl"


@dataclass(frozen=True)
class ProcessSettings:
    """One input and one output; all other settings have defaults for production."""

    # A path, or - for standard input; gzip and Zstandard are known by their content.
    input: str
    output: str = option(
        REQUIRED,
        "File of answers, one JSON object a line, or a table by its ending (.csv, .parquet); - is stdout.",
        metavar="FILE",
    )
    output_format: str | None = option(
        None,
        "openai-batch: the output is an OpenAI batch file, with the body of each answer; INPUT may be one.",
        choices=("openai-batch",),
    )
    # Files and folders that are read after `input`, as one input.
    more_inputs: tuple[str, ...] = ()
    # Without a base URL a `send` is given.
    target: str | None = option(None, "Server to send to.", metavar="URL")
    tasks: tuple[str, ...] = option(
        (),
        "Task of every line; with several, or none, each line names its own.",
        flag="--task",
        metavar="NAME[:...]",
        names="task",
    )
    http: tuple[str, ...] = http_option(())
    columns: tuple[str, ...] = columns_option("INPUT")
    strategy: str = option(
        "adaptive",
        "Client strategy; `priority` lets urgent lines overtake.",
        flag=("-s", "--strategy"),
        metavar="NAME[:...][+LAYER...]",
        names="strategy",
    )
    reading: InputSettings = field(default_factory=InputSettings)
    layers: LayerSettings = field(default_factory=lambda: LayerSettings(retries=3))
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    transport: str = option(AIOHTTP, TRANSPORT_HELP, choices=TRANSPORTS)
    resume: bool = option(False, "Continue an earlier run, if there was one; else begin.")
    overwrite: bool = option(False, "Start over and replace an earlier output.")
    dead_letter: str | None = option(
        None, "File of lines that got no answer [default: OUTPUT.dead.jsonl].", metavar="FILE"
    )
    order: str = option("input", "Order of the output.", choices=("input", "completion"))
    errors_max: float = option(
        0.05, "Stop when more than this share of the last 1000 lines are dead letters.", kind=share, metavar="SHARE"
    )
    # The share is judged only after so many lines.
    errors_least: int = 100
    window: int = option(10_000, "Most lines between the oldest unfinished line and the newest one sent.")
    patience_s: float = option(60.0, "Seconds to wait for a server that cannot be reached.", kind=duration_s)
    drain_s: float = option(10.0, "Seconds to wait for in-flight requests at a stop.", kind=duration_s)
    id_field: str = option("id", "Field that is copied to the output where present.", metavar="NAME")
    task_field: str = option("task", "Field that names the row's task, with several tasks.", metavar="NAME")
    priority_field: str = option(
        "priority",
        "Field with a whole number, smaller is more urgent; for strategies that use priorities.",
        metavar="NAME",
    )
    with_input: bool = option(False, "Put each row into its output line.")
    # Of the retries' jitter.
    seed: int = 1

    def __post_init__(self) -> None:
        for path in (*self.inputs, self.output, self.dead_letter_path):
            _check_is_path(path)
        between(self, 1, 10_000_000, "window")
        between(self, 0, 1, "errors_max")
        at_least(self, 1, "errors_least")
        at_least(self, 0, "patience_s", "drain_s")
        if self.order not in {"input", "completion"}:
            raise SettingError(f"order={self.order!r} must be input or completion")
        check_transport(self.transport, has_proxy=self.connection.proxy is not None)
        if self.resume and self.overwrite:
            raise UsageError("--resume continues an earlier run, --overwrite replaces it: give only one of them")
        if self.output == "-" and self.dead_letter is None:
            raise UsageError("--output - needs --dead-letter FILE, for the lines that get no answer")

    @property
    def inputs(self) -> tuple[str, ...]:
        """All inputs, in their order."""
        return (self.input, *self.more_inputs)

    @property
    def input_name(self) -> str:
        """The input in a message."""
        others = len(self.more_inputs)
        return f"{self.input} and {others} more" if others else self.input

    @property
    def dead_letter_path(self) -> str:
        """File of the lines that got no answer."""
        return self.dead_letter or self.output + SUFFIX_DEAD


def _check_is_path(path: str) -> None:
    """Raise UsageError for an address of an object store."""
    if found := re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise UsageError(
            f"{path}: {found[0]} is not read or written; copy the input to a disk, or mount the bucket for reading. "
            "Output and dead letters need a file system that can append"
        )
