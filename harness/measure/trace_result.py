"""A replayed trace in plan and result: its size, and the changes made to it."""

from __future__ import annotations

import msgspec


class Instants(msgspec.Struct, frozen=True):
    """How late the requests of a trace were sent, after the instants at which they were due."""

    n: int
    within_share: float  # sent within 1 ms
    p50_s: float
    p99_s: float
    max_s: float


class TraceFacts(msgspec.Struct, frozen=True):
    """A replayed trace. Times are of the trace, before `speed`."""

    file: str
    form: str  # mooncake, burstgpt, azure, columns
    rows: int  # with tokens, in the file
    left_out: int  # rows without tokens, which are failures of the recorded service
    recorded_s: float  # from the first arrival to the last
    played: int  # arrivals that are replayed
    input_tokens_mean: float  # of those
    output_tokens_mean: float
    # Share of the input tokens that an earlier prompt of this replay begins with, by ids of blocks or sessions: what a
    # server with an unbounded cache of prefixes could keep. Null if the trace says nothing about prefixes.
    shared_share: float | None = None
    sessions: int | None = None  # with more than one turn; null if the trace has none
    block_tokens: int = 512
    keeps_history: bool = True
    closed: bool = False  # whether a turn waits for the answer to the turn before it
    changes: list[str] = []  # what was changed, in words; empty: nothing
    instants: Instants | None = None  # measured; null in a plan, and if nothing was sent
