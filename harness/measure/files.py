"""Where things lie in a run directory, and how they get there whole.

runs/x/plan.json, result.json
runs/x/records/<slug>.requests|.attempts|.timeline|.end.json     one set for each process of each repeat of each case
runs/x/records/<slug>.decisions.jsonl                            why its limits changed, if they did
runs/x/records/<slug of process 0>.facts.json                    what was learnt from outside, once for each repeat
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.measure.record import MAGIC, Header

RECORDS = "records"
SLUG_CHARACTERS = 60
HEADER_BYTES_MAX = 65536


@dataclass(frozen=True)
class RecordPaths:
    """The files of one process in one repeat of one case; any of them may be missing."""

    case: str
    repeat: int
    process: int
    requests: Path
    attempts: Path
    timeline: Path
    end: Path
    decisions: Path


def slug(case: str, repeat: int, process: int) -> str:
    """A file name's stem that is safe on every filesystem, and different for different cases."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", case)[:SLUG_CHARACTERS].strip("-")
    if stem != case or stem != stem.lower():  # something was lost, or a filesystem that ignores case would lose it
        stem = f"{stem}-{hashlib.sha256(case.encode()).hexdigest()[:8]}".lstrip("-")
    return f"{stem}.r{repeat}.p{process}"


def paths(directory: Path, case: str, repeat: int, process: int) -> RecordPaths:
    """The files of one process, whether they exist or not; `directory` is the run's or its `records`."""
    base = records_in(directory)
    name = slug(case, repeat, process)
    kinds = (base / f"{name}.{kind}" for kind in ("requests", "attempts", "timeline", "end.json", "decisions.jsonl"))
    return RecordPaths(case, repeat, process, *kinds)


def records_in(directory: Path) -> Path:
    """The directory of the record files: `records` below a run directory, else the directory itself."""
    inner = directory / RECORDS
    return inner if inner.is_dir() else directory


def find(directory: Path, order: Iterable[str] = ()) -> dict[str, dict[int, list[RecordPaths]]]:
    """What was recorded: case -> repeat -> processes. Cases come in the given order, others after them by name.

    The header tells whose file it is, not its name. A file whose header is torn (killed in its first instant) has no
    rows to lose and is left out.
    """
    found: dict[str, dict[int, list[RecordPaths]]] = {}
    for path in sorted(records_in(directory).glob("*.requests")):
        header = _header(path)
        if header is not None:
            of_process = paths(directory, header.case, header.repeat, header.process)
            found.setdefault(header.case, {}).setdefault(header.repeat, []).append(of_process)
    places = {name: place for place, name in enumerate(order)}
    names = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    return {
        name: {
            repeat: sorted(found[name][repeat], key=lambda process: process.process) for repeat in sorted(found[name])
        }
        for name in names
    }


def read_header(path: Path) -> tuple[Header, int]:
    """The header of a record file and where its rows begin; raises ValueError if it is torn or not ours."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES_MAX)
    if not head.startswith(MAGIC):
        raise ValueError(f"{path}: not a paceline record file")
    end = head.find(b"\n", len(MAGIC))
    if end < 0:
        raise ValueError(f"{path}: the header is torn")
    return msgspec.json.decode(head[len(MAGIC) : end], type=Header), end + 1


def _header(path: Path) -> Header | None:
    try:
        return read_header(path)[0]
    except (ValueError, OSError):
        return None


def write_atomically(path: Path, data: bytes) -> None:
    """Whole or not at all: readers and `kill -9` never meet half a file. Raises OSError."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)
