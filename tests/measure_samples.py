"""Run directories made of rows, for the tests of measuring: what a recorder would have left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.client.types import Outcome
from harness.measure.judge.slo import parse
from harness.measure.record.files import paths
from harness.measure.record.frames import frame
from harness.measure.record.plan import (
    PLAN_VERSION,
    CaseFacts,
    Measured,
    Plan,
    PlanCase,
    TaskShare,
    write_facts,
    write_measured,
    write_plan,
)
from harness.measure.record.rows_file import (
    ATTEMPT_DTYPE,
    KINDS,
    REQUEST_DTYPE,
    TIMELINE_DTYPE,
    End,
    Header,
    encode_header,
)
from harness.measure.record.sealed_json import write_sealed
from harness.measure.reduce.summary import measure_case
from harness.measure.result import Case, Named, Target

MS = 1_000_000
CASE = "queue-stream:concurrency=4"


def request_rows(
    n: int, *, service_ms: float = 10, slots: int = 4, gap_ms: float | None = None, first: int = 0
) -> np.ndarray[Any, Any]:
    """`n` successes over `slots`; a backlog, or arrivals every `gap_ms`."""
    rows = np.zeros(n, REQUEST_DTYPE)
    free = [0] * slots
    for place, row in enumerate(rows):
        due = 0 if gap_ms is None else round(place * gap_ms * MS)
        slot = min(range(slots), key=free.__getitem__)
        sent = max(due, free[slot])
        free[slot] = done = sent + round(service_ms * MS)
        row["index"], row["due"], row["fired"] = first + place, due, due
        row["first_sent"], row["sent"], row["first_byte"], row["last_chunk"], row["done"] = sent, sent, done, -1, done
        row["status"], row["attempts"] = 200, 1
    return rows


def fail(rows: np.ndarray[Any, Any], outcome: Outcome, status: int = 0) -> np.ndarray[Any, Any]:
    """The same rows with another outcome."""
    rows["outcome"], rows["status"] = outcome, status
    return rows


def ticks(n: int = 20, every_s: float = 0.05, **columns: float) -> np.ndarray[Any, Any]:
    """Timeline rows; CPU grows by a tenth of the time."""
    rows = np.zeros(n, TIMELINE_DTYPE)
    rows["t"] = np.arange(n) * every_s
    rows["cpu"] = rows["t"] * 0.1
    rows["limit"] = 4.0
    rows["rss"] = 50e6
    for name, value in columns.items():
        rows[name] = value
    return rows


def plan_case(name: str = CASE, **changes: Any) -> PlanCase:
    """A planned backlog of four in flight."""
    case = PlanCase(
        name=name,
        strategy=Named("queue-stream", {"concurrency": 4}),
        tasks=[TaskShare(Named("similarity"))],
        schedule_sha256="abc",
    )
    return msgspec.structs.replace(case, **changes)


def plan(*cases: PlanCase, **changes: Any) -> Plan:
    """A plan of these cases."""
    base = Plan(
        schema_version=PLAN_VERSION,
        id="x",
        started_at="2026-01-01T00:00:00+00:00",
        tool={"name": "paceline"},
        environment={},
        seed=1,
        cases=list(cases),
    )
    return msgspec.structs.replace(base, **changes)


def leave(
    run: Path,
    rows: np.ndarray[Any, Any],
    *,
    case: str = CASE,
    repeat: int = 0,
    process: int = 0,
    end: End | str | None = "whole",
    attempts: np.ndarray[Any, Any] | None = None,
    timeline: np.ndarray[Any, Any] | None = None,
    t0_unix_s: float = 1000.0,
) -> None:
    """Record files of one process; `end=None` as after `kill -9`."""
    (run / "records").mkdir(parents=True, exist_ok=True)
    where = paths(run, case, repeat, process)
    empty = np.zeros(0, ATTEMPT_DTYPE)
    of: dict[str, tuple[Path, np.ndarray[Any, Any]]] = {
        "requests": (where.requests, rows),
        "attempts": (where.attempts, empty if attempts is None else attempts),
        "timeline": (where.timeline, ticks() if timeline is None else timeline),
    }
    for kind, (path, data) in of.items():
        header = Header(kind, case, repeat, process, t0_unix_s, KINDS[kind].itemsize)
        path.write_bytes(encode_header(header) + framed(data))
    if end == "whole":
        end = whole_end(rows)
    if isinstance(end, End):
        write_sealed(where.end, end)


def framed(rows: np.ndarray[Any, Any], each: int = 10) -> bytes:
    """Rows as a recorder leaves them that flushed after every ten."""
    parts = [rows[first : first + each] for first in range(0, len(rows), each)]
    return b"".join(frame(part.tobytes(), rows.itemsize, place) for place, part in enumerate(parts))


def whole_end(rows: Sequence[Any] | np.ndarray[Any, Any], **changes: Any) -> End:
    """The end of a process that did all it meant to."""
    n = len(rows)
    end = End(n, n, n, 0, duration_s=1.0, cpu_s=0.1, rss_start_mb=40.0, rss_max_mb=50.0)
    return msgspec.structs.replace(end, **changes)


def finished(
    run: Path, rows: np.ndarray[Any, Any], *, seen: int | None = None, slo: str | None = None, **of: Any
) -> None:
    """A whole run of one case and repeat: plan, records, facts."""
    write_plan(plan(of.pop("planned", plan_case()), slo=slo), run)
    write_measured(Measured(Target("http://127.0.0.1:1", server="demo"), of.pop("ceilings", {})), run)
    leave(run, rows, **of)
    write_facts(CaseFacts(CASE, 0, 0, None, len(rows) if seen is None else seen, 1.0), run)


def summarize_case(planned: PlanCase, run: Path, slo: str = "") -> Case:
    """One case from its files, without a plan."""
    found = measure_case(planned, run, Measured(), parse(slo) if slo else [])
    assert found is not None
    return found[0]
