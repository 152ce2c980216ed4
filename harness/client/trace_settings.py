"""The trace that is replayed and the changes to it, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.base.options import first_given, option
from harness.base.quantity import duration_s
from harness.client.checks import flags_between
from harness.client.errors import UsageError
from harness.client.input_settings import field_columns

FORMS = ("mooncake", "burstgpt", "azure", "columns")
"""Forms of traces."""
FIELDS = ("arrival", "input", "output", "session", "hashes")
"""Fields of a trace that `--columns` takes from columns of a file."""
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Units of arrival times, in seconds."""
SPEED_MIN, SPEED_MAX = 1e-3, 1e6
REPEAT_MAX = 10_000
LENGTH_MAX_S = 864_000_000.0
BLOCK_TOKENS = 512


@dataclass(frozen=True)
class TraceSettings:
    """A trace and the changes to it. None: as it was recorded."""

    trace: str | None = option(
        None,
        "Recorded arrivals with the lengths of prompts and answers: Mooncake, BurstGPT, Azure, or any other file by "
        "--columns.",
        metavar="FILE",
    )
    trace_format: str | None = option(None, "Form of the trace [default: by the names of its columns].", choices=FORMS)
    trace_columns: tuple[str, ...] = option(
        (),
        "Columns of a trace in a form of your own: arrival, input and output; session and hashes if it has them. "
        "Repeatable.",
        flag="--columns",
        metavar="FIELD=COLUMN[,...]",
    )
    time_unit: str | None = option(
        None, "Unit of the arrival times [default: by the form, the name or the size].", choices=tuple(UNITS)
    )
    trace_sort: bool = option(False, "Sort the trace by arrival; without it a row that goes back in time is an error.")
    trace_speed: float | None = option(
        None, "How many times as fast the trace is played as it was recorded [default: 1].", flag="--speed", kind=float
    )
    trace_from_s: float | None = option(
        None, "Leave out the trace before this time since its first arrival.", kind=duration_s
    )
    trace_until_s: float | None = option(
        None, "Leave out the trace from this time since its first arrival on.", kind=duration_s
    )
    trace_repeat: int | None = option(None, "Play the trace this many times, one after the other.", kind=int)
    trace_bootstrap_s: float | None = option(
        None,
        "Make a trace of this length of blocks that are drawn from the recorded one by --seed, before --speed.",
        kind=duration_s,
        metavar="SECONDS",
    )
    trace_block_s: float | None = option(
        None, "Length of the blocks of --trace-bootstrap [default: a twentieth of the trace].", kind=duration_s
    )
    block_tokens: int | None = option(
        None, f"Tokens that an id of the column hashes stands for [default: {BLOCK_TOKENS}].", kind=int
    )
    trace_sessions: str | None = option(
        None,
        "open: a turn is sent when it is due; closed: not before the turn before it is answered [default: open].",
        choices=("open", "closed"),
    )
    trace_history: str | None = option(
        None,
        "keep: a turn of a session without hashes begins with the prompt before it; none: it shares nothing "
        "[default: keep].",
        choices=("keep", "none"),
    )

    # The mean rate that `trace_speed` gives, of a command that plays the trace at several rates.
    mean_rate_per_s: float | None = None

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.trace is None:
            if (flag := first_given(self, without=("trace",))) == "--speed":
                raise UsageError(
                    f"--speed {self.trace_speed:g}: needs --trace; --server-speed is the speed of the embedded mock"
                )
            if flag:
                raise UsageError(f"{flag} needs --trace: it says how a recorded trace is replayed")
            return
        if self.trace == "-":
            raise UsageError("--trace -: a trace is read more than once; give a file")
        if self.trace_repeat is not None and self.trace_bootstrap_s is not None:
            raise UsageError("--trace-repeat and --trace-bootstrap exclude each other")
        if self.trace_block_s is not None and self.trace_bootstrap_s is None:
            raise UsageError("--trace-block needs --trace-bootstrap: it is the length of its blocks")
        if self.trace_format not in (None, "columns") and self.trace_columns:
            raise UsageError(f"--columns: --trace-format {self.trace_format} has columns of its own")
        if self.trace_format == "columns" and not self.trace_columns:
            raise UsageError("--trace-format columns needs --columns, such as --columns arrival=ts,input=a,output=b")
        first, last = self.trace_from_s or 0.0, self.trace_until_s
        if last is not None and last <= first:
            raise UsageError(f"--trace-until {last:g}: must be after --trace-from {first:g}")

    def _check_numbers(self) -> None:
        flags_between(
            ("--speed", self.trace_speed, SPEED_MIN, SPEED_MAX),
            ("--trace-from", self.trace_from_s, 0.0, LENGTH_MAX_S),
            ("--trace-until", self.trace_until_s, 0.0, LENGTH_MAX_S),
            ("--trace-repeat", self.trace_repeat, 1, REPEAT_MAX),
            ("--trace-bootstrap", self.trace_bootstrap_s, 0.001, LENGTH_MAX_S),
            ("--trace-block", self.trace_block_s, 0.001, LENGTH_MAX_S),
            ("--block-tokens", self.block_tokens, 1, 1_000_000),
        )


def trace_columns(texts: Iterable[str]) -> dict[str, str]:
    """Field of a trace -> column, from `FIELD=COLUMN,...`; raises UsageError."""
    columns = field_columns(texts, "--columns")
    for field in columns:
        if field not in FIELDS:
            raise UsageError(f"--columns: {field!r} is no field of a trace; fields are {', '.join(FIELDS)}")
    if texts and (missing := [field for field in FIELDS[:3] if field not in columns]):
        raise UsageError(f"--columns: {' and '.join(missing)} missing; needed are arrival, input and output")
    return columns
