"""Requests that are sent together, and answers that come together, are handled one after another: for how long they
waited for each other in the client, at most. Pure.

Rules of this file
  1. The client's work for a request is its time on a processor and waiting for one, at least 1 / its ceiling and at
     most `COLD` times that: at low rates the rest is not for requests.
  2. The instants of sending are known. A request of a burst may wait until the whole burst is sent, since a connection
     is opened in several steps. That takes the backlog of a single server with this work.
  3. Of an answer only the instant is known at which it was read. While answers follow each other as fast as the client
     can read them, the later ones may have been there before. The work counts `SLACK` times, so that answers read at
     full speed add their whole distance to the wait, and slower ones less or nothing.
  4. No request waited for longer than its own service time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from harness.measure.reduce.column_rows import pieces
from harness.measure.reduce.columns import Repeat, sent_itself
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, rank

Array = np.ndarray[Any, np.dtype[Any]]

SLACK = 1.5
COLD = 4.0
PIECE = 1 << 20
"""Requests that are looked at together, so that memory is bounded."""


def bursts(repeats: Sequence[Repeat], ceiling_per_s: float | None) -> dict[str, float]:
    """p50 and p99 of these waits over all successes, as far as there are enough of them; empty without a ceiling."""
    if ceiling_per_s is None:
        return {}
    found = [_of_repeat(repeat, _work_s(repeat, 1 / ceiling_per_s)) for repeat in repeats]
    pooled = np.sort(np.concatenate(found)) if found else np.empty(0)
    return {
        name: float(pooled[rank(len(pooled), PERCENTILES[name])])
        for name in ("p50", "p99")
        if len(pooled) >= LEAST_N[name]
    }


def sending_waits_s(sent_ns: Array, work_s: float) -> Array:
    """Seconds until the burst of each request was sent, at most; `sent_ns` ascending."""
    if not len(sent_ns):
        return np.empty(0)
    backlog = _backlog_s(sent_ns, work_s)
    starts = np.flatnonzero(backlog <= 0)
    lengths = np.diff(np.append(starts, len(backlog)))
    waits: Array = np.repeat(np.maximum.reduceat(backlog, starts), lengths)
    return waits


def reading_waits_s(done_ns: Array, work_s: float) -> Array:
    """Seconds for which each answer waited for those read before it, at most; `done_ns` ascending."""
    if not len(done_ns):
        return np.empty(0)
    backlog = _backlog_s(done_ns, SLACK * work_s)
    starts = backlog <= 0
    first = done_ns[starts][np.cumsum(starts) - 1]
    waits: Array = np.minimum(backlog / (SLACK - 1), (done_ns - first) / 1e9)
    return waits


def _backlog_s(instants_ns: Array, work_s: float) -> Array:
    """The work that each arrival at a single server finds before it."""
    walk = np.concatenate(([0.0], np.cumsum(work_s - np.diff(instants_ns) / 1e9)))
    backlog: Array = walk - np.minimum.accumulate(walk)
    return backlog


def _work_s(repeat: Repeat, at_ceiling_s: float) -> float:
    """The client's work for a request; processes work side by side."""
    busy_s = sum(end.cpu_s + (end.run_queue_s or 0.0) for end in repeat.ends)
    found = busy_s / max(1, len(repeat.rows)) / max(1, len(repeat.ends))
    return min(max(at_ceiling_s, found), COLD * at_ceiling_s)


def _of_repeat(repeat: Repeat, work_s: float) -> Array:
    rows = repeat.ok()
    rows = rows[sent_itself(rows)]
    waits = np.zeros(len(rows))
    for name, waits_s in (("sent", sending_waits_s), ("done", reading_waits_s)):
        instants = rows[name]
        order = np.argsort(instants, kind="stable")
        instants = instants[order]
        for piece, found in _in_pieces(instants, work_s, waits_s):
            waits[order[piece]] += found
        del instants, order
    sent, done = rows["sent"], rows["done"]
    for piece in pieces(len(rows)):
        waits[piece] = np.minimum(waits[piece], (done[piece] - sent[piece]) / 1e9)
    return waits


def _in_pieces(
    instants_ns: Array, work_s: float, waits_s: Callable[[Array, float], Array]
) -> Iterator[tuple[slice, Array]]:
    """The waits of ascending instants piece by piece. A piece ends with a burst, unless one is longer than a piece."""
    begin = 0
    while begin < len(instants_ns):
        piece = instants_ns[begin : begin + PIECE]
        if begin + PIECE < len(instants_ns):
            last = int(np.flatnonzero(_backlog_s(piece, SLACK * work_s) <= 0)[-1])
            piece = piece[: last or PIECE]
        yield slice(begin, begin + len(piece)), waits_s(piece, work_s)
        begin += len(piece)
