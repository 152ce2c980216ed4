"""The figures of sessions from the rows of their turns. Pure.

The index of a row says which session and which turn it is (`harness.base.turn_index`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.base.turn_index import session_of, turn_of
from harness.client.types import Outcome
from harness.measure.record.plan import PlanCase
from harness.measure.record.rows_file import FLAG_STOPPED
from harness.measure.reduce import columns, streams
from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.latencies import points, ttft
from harness.measure.session_result import TURNS_SHOWN, SessionFigures, TurnFigures


def sessions(plan: PlanCase, repeats: Sequence[Repeat], counted: Sequence[Repeat]) -> SessionFigures | None:
    """The figures of a case; None if its load has no sessions. `counted` are the repeats without their warm-up."""
    if not plan.is_sessions:
        return None
    each = [_each(repeat.rows) for repeat in repeats]
    whole = [duration for found, durations in each for duration in durations]
    return SessionFigures(
        sessions=sum(len(failed) for failed, _ in each),
        failed=sum(int(failed.sum()) for failed, _ in each),
        turns=sum(len(repeat.rows) for repeat in repeats),
        histories_cut=sum(end.histories_cut for repeat in repeats for end in repeat.ends),
        duration_s=points(np.array(whole)) if whole else None,
        by_turn=_by_turn(counted) if any(len(repeat.rows) for repeat in counted) else [],
    )


def is_failed(rows: Array) -> Array:
    """Whether a turn neither has its answer nor was ended on purpose."""
    failed: Array = (rows["outcome"] != Outcome.ok) & ((rows["flags"] & FLAG_STOPPED) == 0)
    return failed


def _each(rows: Array) -> tuple[Array, list[int]]:
    """Whether each session of a repeat failed, and the durations of the others in ns."""
    _, place = np.unique(session_of(rows["index"]), return_inverse=True)
    number = int(place.max()) + 1 if len(place) else 0
    failed = np.bincount(place, is_failed(rows), number) > 0
    first, last = np.full(number, np.iinfo(np.int64).max), np.zeros(number, np.int64)
    np.minimum.at(first, place, rows["due"])
    np.maximum.at(last, place, rows["done"])
    return failed, (last - first)[~failed].tolist()


def _by_turn(repeats: Sequence[Repeat]) -> list[TurnFigures]:
    """Figures of each turn that occurred, later ones together. The rows of a long repeat stay in their files."""
    places = [_places(repeat.rows) for repeat in repeats]
    counted = [streams.counted(repeat) for repeat in repeats]
    prompts = np.concatenate([part.tokens["prompt"] for part in counted])
    prompts_place = np.concatenate([_places(part.rows) for part in counted])
    latest = max(int(turn_of(repeat.rows["index"]).max()) for repeat in repeats if len(repeat.rows))
    return [
        _of(
            number,
            [repeat.rows[place == number] for repeat, place in zip(repeats, places, strict=True)],
            prompts[prompts_place == number],
            latest > number > TURNS_SHOWN,
        )
        for number in np.unique(np.concatenate(places)).tolist()
    ]


def _places(rows: Array) -> Array:
    """The turn of each row; all that are not shown by themselves have one number."""
    found: Array = np.minimum(turn_of(rows["index"]), TURNS_SHOWN + 1).astype(np.uint16)
    return found


def _of(turn: int, parts: Sequence[Array], prompts: Array, and_later: bool) -> TurnFigures:
    known = prompts[prompts >= 0]
    answered = [rows[rows["outcome"] == Outcome.ok] for rows in parts]
    first = np.concatenate([ttft(ok) for ok in answered])
    return TurnFigures(
        turn=turn,
        and_later=and_later,
        requests=sum(map(len, parts)),
        ok=sum(map(len, answered)),
        stopped=sum(int(((rows["flags"] & FLAG_STOPPED) > 0).sum()) for rows in parts),
        failed=sum(int(is_failed(rows).sum()) for rows in parts),
        latency_s=points(np.concatenate([columns.latency(ok) for ok in answered])),
        ttft_s=points(first) if len(first) else None,
        prompt_tokens=float(known.mean()) if len(known) else None,
    )
