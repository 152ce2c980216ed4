"""Checks a resumed run against the earlier one: same input and settings; takes over its counts."""

from __future__ import annotations

import os
import shlex
from typing import Any

import msgspec

from harness.bulk.journal import DEAD, Past
from harness.bulk.row_items import Rows, reason_of
from harness.bulk.settings import ProcessSettings
from harness.bulk.source import InputSource
from harness.bulk.tally import RowCounts, add_dead
from harness.client.errors import UsageError

DEAD_LETTERS = "dead_letter"
"""Key of the dead-letter file; it may be another one, as long as the old one is empty or was moved there."""


def fingerprint(settings: ProcessSettings, source: InputSource, rows: Rows) -> dict[str, Any]:
    """Settings that must be equal for two sessions to share an output file; the server may change."""
    found = {"input": source.fingerprint(), "order": settings.order, **rows.fingerprint()}
    found[DEAD_LETTERS] = os.path.abspath(settings.dead_letter_path)
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def check(past: Past, ours: dict[str, Any], settings: ProcessSettings, source: InputSource) -> None:
    """Raise UsageError that names a difference, before any file is changed; reads the input again as far as before."""
    check_dead_letters(past.fingerprint.get(DEAD_LETTERS), past.checkpoint.dead_bytes, settings)
    if not source.same(past.fingerprint["input"]):
        raise UsageError(
            f"--resume: {settings.input_name} is not the input that {settings.output} was made from: its bytes differ, "
            "where lines may only be added at its end; --overwrite starts over"
        )
    for key, value in ours.items():
        theirs = past.fingerprint.get(key)
        if key not in {"input", DEAD_LETTERS} and value != theirs:
            raise UsageError(
                f"--resume: {key} was {_short(theirs)} when {settings.output} was begun, and is now {_short(value)}; "
                "--overwrite starts over"
            )
    if past.checkpoint.complete and past.fingerprint["input"] == ours["input"]:
        # The file is unchanged and complete: nothing of it will be read.
        return
    try:
        source.check(past.read)
    except UsageError as error:
        raise UsageError(f"--resume: {settings.input_name}: {error}; --overwrite starts over") from error


def check_dead_letters(theirs: str | None, size: int, settings: ProcessSettings) -> None:
    """Raise UsageError if the dead letters of the earlier session are in another file than this session's."""
    ours = settings.dead_letter_path
    if not size or (ours != "-" and os.path.exists(ours)):
        return
    if theirs is None or theirs == os.path.abspath(ours):
        raise UsageError(f"--resume: {ours}: is missing; this run's dead letters, {size:,} bytes, were written there")
    near = os.path.relpath(theirs)
    shown = theirs if near.startswith(os.pardir) else near
    raise UsageError(f"--resume: this run's dead letters are in {shown}; add --dead-letter {shlex.quote(shown)}")


def note_of_change(past: Past, source: InputSource) -> str | None:
    """Note for an input that was changed since, after the lines already read."""
    then, now = past.fingerprint["input"], source.fingerprint()
    if now["kind"] == "stream" or then["changed_ns"] == now["changed_ns"]:
        return None
    grown = f"has grown by {now['bytes'] - then['bytes']:,} bytes" if now["bytes"] > then["bytes"] else "was written to"
    return f"{source.path} {grown} since the session before; the {past.read.line - 1:,} lines read then are the same"


def is_complete(past: Past, ours: dict[str, Any]) -> bool:
    """Whether the earlier run finished every line of this input."""
    then, now = (dict(of["input"], changed_ns=None) for of in (past.fingerprint, ours))
    return past.checkpoint.complete and then == now


def counts_of(past: Past) -> RowCounts:
    """The counts of earlier sessions, including results after the last checkpoint."""
    counts = msgspec.convert(past.checkpoint.counts, RowCounts) if past.checkpoint.counts else RowCounts()
    for record in past.records:
        if record.kind == DEAD:
            add_dead(counts, reason_of(record.text))
        else:
            counts.ok += 1
    return counts


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."
