"""A trace as the load of a run: its pacer, and its facts in the result."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from harness.base import units
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.client.prompt_settings import PromptSettings
from harness.client.trace_settings import BLOCK_TOKENS, LENGTH_MAX_S, SPEED_MAX, SPEED_MIN, TraceSettings
from harness.experiment.settings import RunSettings
from harness.load.pacers.replay import Replay
from harness.load.tokenizer import words_of
from harness.load.traces.played_trace import Played
from harness.load.traces.reading import Rows
from harness.load.traces.trace_prompts import befores, roots
from harness.measure.prompt_result import PromptPlan
from harness.measure.trace_result import TraceFacts

DURATION_MAX_S = 864_000.0
DURATION_MIN_S = 0.01
IDS_COUNTED_MAX = 1_000_000
"""Different ids of blocks up to which the shared part of the prompts is computed."""


def replay_of(settings: TraceSettings, reading: InputSettings) -> Replay:
    """The pacer that plays a trace. Raises UsageError."""
    return Replay(
        path=settings.trace or "",
        speed=settings.trace_speed or 1.0,
        format=settings.trace_format or "auto",
        columns=settings.trace_columns,
        time_unit=settings.time_unit,
        sort=settings.trace_sort,
        from_s=settings.trace_from_s,
        until_s=settings.trace_until_s,
        repeat=settings.trace_repeat or 1,
        bootstrap_s=settings.trace_bootstrap_s,
        block_s=settings.trace_block_s,
        where=reading.where,
        input_format=reading.input_format,
        delimiter=reading.delimiter,
        encoding=reading.encoding,
        mean_rate_per_s=settings.mean_rate_per_s,
    )


def changed_settings(replay: Replay) -> dict[str, Any]:
    """The settings that differ from their defaults, as JSON values."""
    plain = Replay(path=replay.path)
    values = {name: getattr(replay, name) for name in replay.__dataclass_fields__}
    changed = {name: value for name, value in values.items() if name == "path" or value != getattr(plain, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def duration_s(replay: Replay, seed: int) -> float:
    """How long a trace is played. Raises UsageError if that is too long for one run."""
    length_s = replay.played(Random(seed)).length_s
    if length_s > DURATION_MAX_S:
        raise UsageError(
            f"--trace {replay.path}: takes {length_s / 86_400:.1f} days, of at most {DURATION_MAX_S / 86_400:g}; "
            "cut it with --trace-until, or raise --speed"
        )
    return max(length_s, DURATION_MIN_S)


def recorded_per_s(settings: RunSettings) -> float:
    """The mean rate of the part of the trace that is played, as it was recorded. Raises UsageError."""
    part = replace(settings.trace, trace_speed=None, trace_bootstrap_s=None, trace_block_s=None)
    made = replay_of(part, settings.reading).played(Random(0))
    return len(made) / made.length_s


def at_rate(settings: RunSettings, rate_per_s: float, seconds: float) -> RunSettings:
    """The settings with arrivals drawn from the trace, so fast that their mean rate is this. Raises UsageError.

    Blocks are drawn, as for --trace-bootstrap: repeats with the same arrivals would agree too well.
    """
    speed = rate_per_s / recorded_per_s(settings)
    if not SPEED_MIN <= speed <= SPEED_MAX or seconds * speed > LENGTH_MAX_S:
        raise UsageError(
            f"--trace {settings.trace.trace}: {rate_per_s:g} requests/s would be {speed:.3g} times the recorded rate, "
            f"which must be between {SPEED_MIN:g} and {SPEED_MAX:g}"
        )
    trace = replace(settings.trace, trace_speed=speed, trace_bootstrap_s=seconds * speed, mean_rate_per_s=rate_per_s)
    return replace(settings, trace=trace, load=None, rate=None, duration=None)


def prompt_plan(settings: PromptSettings, trace: TraceFacts) -> PromptPlan:
    """How the prompts of a trace are made: calibrated at its mean lengths. Raises UsageError."""
    if settings.input_tokens is not None:
        raise UsageError("--input-tokens and --trace exclude each other: the trace has the lengths")
    means = PromptSettings(
        input_tokens=str(max(1, round(trace.input_tokens_mean))),
        output_tokens=str(max(1, round(trace.output_tokens_mean))),
        ignore_eos=settings.ignore_eos,
        tokenizer=settings.tokenizer,
    )
    words = [] if settings.tokenizer is None else list(words_of(settings.tokenizer))
    return PromptPlan(means, words=words, option="--trace")


def facts(replay: Replay, settings: TraceSettings, seed: int, count: int) -> TraceFacts:
    """The facts in the result about a trace of which `count` arrivals are played."""
    rows, played = replay.rows(), replay.played(Random(seed))
    block_tokens, keeps = settings.block_tokens or BLOCK_TOKENS, settings.trace_history != "none"
    taken = _sum(rows.inputs, played, count)
    several = _sessions(rows) if rows.sessions else None
    return TraceFacts(
        file=Path(replay.path).name,
        form=rows.form.name,
        rows=len(rows),
        left_out=rows.left_out,
        recorded_s=rows.at_s[-1],
        played=count,
        input_tokens_mean=taken / count,
        output_tokens_mean=_sum(rows.outputs, played, count) / count,
        shared_share=_shared(rows, played, count, block_tokens, keeps, taken),
        sessions=several,
        block_tokens=block_tokens,
        keeps_history=keeps,
        closed=settings.trace_sessions == "closed",
        changes=_changes(replay, rows, played, count, keeps),
    )


def _sum(column: array[int], played: Played, count: int) -> int:
    return sum(column[row] for row in played.row[:count])


def _sessions(rows: Rows) -> int:
    """Sessions with more than one turn."""
    turns: dict[int, int] = {}
    for session in rows.sessions:
        turns[session] = turns.get(session, 0) + 1
    turns.pop(-1, None)
    return sum(1 for number in turns.values() if number > 1)


def _shared(rows: Rows, played: Played, count: int, block_tokens: int, keeps: bool, taken: int) -> float | None:
    """The share of the input tokens that an earlier prompt of the replay begins with."""
    if rows.hashes:
        found = _shared_blocks(rows, played, count, block_tokens)
    elif rows.sessions and keeps:
        found = _shared_turns(rows, played, count)
    else:
        return None
    return None if found is None else found / taken


def _shared_blocks(rows: Rows, played: Played, count: int, block_tokens: int) -> int | None:
    seen: set[int | tuple[int, int]] = set()
    shared = 0
    for position in range(count):
        row, copy = played.row[position], played.copy_of(position)
        ids, known = rows.blocks(row), 0
        blocks: list[int | tuple[int, int]] = [(one, copy) for one in ids] if copy else list(ids)
        while known < len(blocks) and blocks[known] in seen:
            known += 1
        shared += min(known * block_tokens, rows.inputs[row])
        seen.update(blocks[known:])
        if len(seen) > IDS_COUNTED_MAX:
            return None
    return shared


def _shared_turns(rows: Rows, played: Played, count: int) -> int:
    found = zip(range(count), befores(rows, played), roots(rows, played), strict=False)
    return sum(rows.inputs[played.row[before]] for position, before, root in found if root != position)


def _changes(replay: Replay, rows: Rows, played: Played, count: int, keeps: bool) -> list[str]:
    """The changes to the trace, in words."""
    said = []
    if rows.left_out:
        said.append(f"{_number(rows.left_out, 'row')} without tokens left out")
    if replay.where is not None:
        said.append(f"only rows for which {replay.where} holds")
    if replay.sort:
        said.append("sorted by arrival")
    if replay.from_s is not None:
        said.append(f"its first {units.seconds(replay.from_s)} left out")
    if replay.until_s is not None:
        said.append(f"cut {units.seconds(replay.until_s)} after its first arrival")
    if replay.repeat > 1:
        said.append(f"played {replay.repeat} times, with other words each time")
    if replay.bootstrap_s is not None and played.block_s is not None:
        said.append(
            f"{units.seconds(replay.bootstrap_s)} made of blocks of {units.seconds(played.block_s)} that were drawn "
            "from it"
        )
    if replay.speed != 1:
        said.append(f"played {replay.speed:g} times as fast")
    if count < len(played):
        said.append(f"ended after {units.count(count)} of {units.count(len(played))} arrivals")
    if rows.sessions and not rows.hashes and keeps:
        said.append("a turn begins with the prompt before it in its session, which the trace does not record")
    return said


def _number(count: int, noun: str) -> str:
    return f"{units.count(count)} {noun}{'' if count == 1 else 's'}"
