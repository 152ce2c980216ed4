"""Where things lie in a run directory, and how they get there whole.

runs/x/plan.json, measured.json, result.json
runs/x/records/<slug>.requests|.attempts|.timeline|.end.json     one set for each process of each repeat of each case
runs/x/records/<slug>.decisions.jsonl                            why its limits changed, if they did
runs/x/records/<slug of process 0>.facts.json                    facts seen from outside, once for each repeat
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.measure.record.rows_file import HEADER_BYTES_MAX, Header, TornHeaderError, decode_header

RECORDS = "records"
SLUG_CHARACTERS = 60


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

    The header tells whose file it is, not its name. A file whose header cannot be read is left out; `unreadable` names
    it. Raises UsageError for files of an older format.
    """
    found: dict[str, dict[int, list[RecordPaths]]] = {}
    for path in sorted(records_in(directory).glob("*.requests")):
        try:
            header = read_header(path)[0]
        except (ValueError, OSError):
            continue
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


def digest(processes: Iterable[RecordPaths]) -> str:
    """SHA-256 of the rows of every request and attempt of these processes. Raises OSError."""
    sha256 = hashlib.sha256()
    for process in processes:
        for path in (process.requests, process.attempts):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    sha256.update(block)
    return sha256.hexdigest()


def unreadable(directory: Path, case: str) -> tuple[list[str], list[str]]:
    """Files of requests of a case whose header cannot be read: those only torn, and what is wrong with the others.

    The header is lost, so the name tells whose file it is.
    """
    torn, damaged = list[str](), list[str]()
    mine = re.compile(re.escape(slug(case, 0, 0).removesuffix(".r0.p0")) + r"\.r\d+\.p\d+\.requests")
    for path in sorted(records_in(directory).glob("*.requests")):
        if mine.fullmatch(path.name):
            try:
                read_header(path)
            except TornHeaderError as error:
                ended = path.with_name(path.name.removesuffix("requests") + "end.json").exists()
                (damaged if ended else torn).append(_named(error, path))
            except (ValueError, OSError) as error:
                damaged.append(_named(error, path))
    return torn, damaged


def _named(error: Exception, path: Path) -> str:
    return f"{str(error).removeprefix(f'{path}: ')} ({path.name})"


def read_header(path: Path) -> tuple[Header, int]:
    """The header of a record file and where its rows begin; raises as `decode_header` does."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES_MAX)
    return decode_header(head, path)


def disk_failed(error: OSError) -> bool:
    """Whether it is the disk that takes no more: full, over quota, read-only or broken."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
