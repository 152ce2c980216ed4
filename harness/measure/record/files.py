"""The layout of a run directory.

runs/x/plan.json, measured.json, result.json
runs/x/records/<slug>.requests|.attempts|.timeline|.end.json     one set for each process of each repeat of each case
runs/x/records/<slug>.requests.0001.gz ...                       what a long run has recorded before, see `segments`
runs/x/records/<slug>.tokens|.gaps                               token counts and gaps between tokens, if any
runs/x/records/<slug>.decisions.jsonl                            changes of its limits, if any
runs/x/records/<slug>.interim.json                               its failures and layer figures until its end, if any
runs/x/records/<slug of process 0>.facts.json                    facts observed from outside, one file per repeat
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.measure.record import segments
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
    interim: Path
    tokens: Path
    gaps: Path


def slug(case: str, repeat: int, process: int) -> str:
    """A file name that is safe on every filesystem and unique for each case, without its ending."""
    return f"{_stem(case)}.r{repeat}.p{process}"


def _stem(case: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", case)[:SLUG_CHARACTERS].strip("-")
    # Add a hash if characters were replaced, or if a case-insensitive filesystem could confuse two names.
    if stem != case or stem != stem.lower():
        stem = f"{stem}-{hashlib.sha256(case.encode()).hexdigest()[:8]}".lstrip("-")
    return stem


def paths(directory: Path, case: str, repeat: int, process: int) -> RecordPaths:
    """The files of one process, existing or not. `directory` is the run directory or its `records`."""
    base = records_in(directory)
    name = slug(case, repeat, process)
    kinds = ("requests", "attempts", "timeline", "end.json", "decisions.jsonl", "interim.json", "tokens", "gaps")
    return RecordPaths(case, repeat, process, *(base / f"{name}.{kind}" for kind in kinds))


def records_in(directory: Path) -> Path:
    """The directory of the record files: `records` below a run directory, else the directory itself."""
    inner = directory / RECORDS
    return inner if inner.is_dir() else directory


def find(directory: Path, order: Iterable[str] = ()) -> dict[str, dict[int, list[RecordPaths]]]:
    """Recorded files: case -> repeat -> processes. Cases come in the given order, then all others by name.

    The header identifies a file, not its name. Files with an unreadable header are left out; `unreadable` lists
    them. Raises UsageError for files of an older format.
    """
    found: dict[str, dict[int, list[RecordPaths]]] = {}
    for header in _headers(directory):
        of_process = paths(directory, header.case, header.repeat, header.process)
        found.setdefault(header.case, {}).setdefault(header.repeat, []).append(of_process)
    places = {name: place for place, name in enumerate(order)}
    names = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    return {name: _in_order(found[name]) for name in names}


def find_case(directory: Path, case: str, repeat: int | None = None) -> dict[int, list[RecordPaths]]:
    """Recorded files of one case, or of one repeat of it: repeat -> processes. Other files are not opened."""
    beginning = f"{_stem(case)}." if repeat is None else slug(case, repeat, 0).removesuffix("0")
    found: dict[int, list[RecordPaths]] = {}
    for header in _headers(directory, beginning):
        if header.case == case and repeat in (None, header.repeat):
            found.setdefault(header.repeat, []).append(paths(directory, case, header.repeat, header.process))
    return _in_order(found)


def _headers(directory: Path, beginning: str = "") -> Iterator[Header]:
    """The readable headers of the request files whose name begins so, by name."""
    for path in _request_files(directory, beginning):
        with contextlib.suppress(ValueError, OSError):
            yield read_header(path)[0]


def _request_files(directory: Path, beginning: str = "") -> list[Path]:
    base = records_in(directory)
    try:
        names = os.listdir(base)
    except OSError:
        return []
    return [base / name for name in sorted(names) if name.startswith(beginning) and name.endswith(".requests")]


def _in_order(found: dict[int, list[RecordPaths]]) -> dict[int, list[RecordPaths]]:
    return {repeat: sorted(found[repeat], key=lambda process: process.process) for repeat in sorted(found)}


def digest(processes: Iterable[RecordPaths]) -> str:
    """SHA-256 of the rows of every request, attempt and stream of these processes. Raises OSError."""
    sha256 = hashlib.sha256()
    for process in processes:
        streams = (path for path in (process.tokens, process.gaps) if path.exists())
        for path in (process.requests, process.attempts, *streams):
            for part in segments.parts_of(path):
                with segments.opened(part) as file:
                    while block := file.read(1 << 20):
                        sha256.update(block)
    return sha256.hexdigest()


def unreadable(directory: Path, case: str) -> tuple[list[str], list[str]]:
    """Request files of a case with an unreadable header: the incomplete ones, and the damaged ones with the defect.

    Without a header, the file name identifies the case.
    """
    torn, damaged = list[str](), list[str]()
    mine = re.compile(re.escape(_stem(case)) + r"\.r\d+\.p\d+\.requests")
    for path in _request_files(directory, f"{_stem(case)}."):
        if mine.fullmatch(path.name):
            try:
                read_header(path)
            except TornHeaderError as error:
                ended = path.with_name(path.name.removesuffix("requests") + "end.json").exists()
                had_rows = ended or segments.parts_of(path) != [path]
                (damaged if had_rows else torn).append(_named(error, path))
            except (ValueError, OSError) as error:
                damaged.append(_named(error, path))
    return torn, damaged


def _named(error: Exception, path: Path) -> str:
    return f"{str(error).removeprefix(f'{path}: ')} ({path.name})"


def read_header(path: Path) -> tuple[Header, int]:
    """The header of a record file and the offset of its rows. Raises like `decode_header`."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES_MAX)
    return decode_header(head, path)


def disk_failed(error: OSError) -> bool:
    """Whether the disk cannot accept data: full, over quota, read-only or broken."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
