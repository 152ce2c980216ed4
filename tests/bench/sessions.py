"""How exactly turns are due and sent in real time, and what a turn costs the client beside a request of arrivals.

    python -m tests.bench.sessions

Plays sessions that arrive, then Poisson arrivals of chat requests at about the same rate. Prints how far each turn was
due from the answer before it plus its think time (by the records), how late it was emitted, and CPU per request.
"""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.base.turn_index import session_of
from harness.experiment.spec import CaseSpec
from harness.measure.record.files import find
from harness.measure.record.plan import read_plan
from harness.measure.record.rows_file import read
from tests.processes import paceline

SERVER = "--server llm-annotation --server-speed 20 --no-report --no-calibrate"
SESSIONS = (
    "run sessions --task chat:max_tokens=8 --session-rate 10 --turns 5 --think exponential:mean=0.5 --duration 10"
)
ARRIVALS = "run steady --task chat:max_tokens=8 --rate 50 --duration 10"


def played(line: str, folder: Path) -> dict[str, Any]:
    """The case of a run that is made in this folder."""
    done = paceline(*f"{line} {SERVER} --out {folder}".split(), cwd=folder.parent)
    if not (folder / "result.json").exists():
        raise SystemExit(done.stderr)
    case: dict[str, Any] = json.loads((folder / "result.json").read_text())["cases"][0]
    return case


def due_errors_us(folder: Path) -> np.ndarray[Any, Any]:
    """Distance of each later turn's due time from the end of the turn before plus think time, in microseconds."""
    planned = read_plan(folder).cases[0]
    sessions = msgspec.convert(msgspec.to_builtins(planned), CaseSpec).build_sessions()
    assert sessions is not None
    ((process,),) = find(folder)[planned.name].values()
    rows = np.sort(read(process.requests)[1], order="index")
    found = []
    for number in np.unique(session_of(rows["index"])).tolist():
        own = rows[session_of(rows["index"]) == number]
        thinks = sessions.plan.thinks_s(number)
        for before, after in pairwise(own):
            found.append((int(after["due"]) - int(before["done"])) / 1e3 - next(thinks) * 1e6)
    errors: np.ndarray[Any, Any] = np.abs(np.array(found))
    return errors


def main() -> None:
    """Play both and print the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        turns = played(SESSIONS, Path(scratch) / "sessions")
        errors = due_errors_us(Path(scratch) / "sessions")
        plain = played(ARRIVALS, Path(scratch) / "arrivals")
    print(f"due: {len(errors)} later turns, at most {errors.max():.3f} µs from the answer plus think time")
    for name, case in (("sessions", turns), ("arrivals", plain)):
        lag, cpu = case["lag_s"], case["resources"]["client_cpu_us_per_request"]
        late = ", ".join(f"{p} {1e6 * (lag[p]['value'] or 0):.0f} µs" for p in ("p50", "p99"))
        print(f"{name}: {case['counts']['ok']} requests, lag {late}, {cpu:.0f} µs of CPU a request")


if __name__ == "__main__":
    main()
