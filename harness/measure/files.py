"""What lies where in a run directory: names, finding, and writing so that a reader never sees half a file.

<run>/plan.json   <run>/result.json   <run>/records/<case>.r<repeat>.p<process>.{requests,attempts,timeline,end.json}
<run>/records/<case>.r<repeat>.case.json
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.measure.record import MAGIC, End, Header

END_SUFFIX = ".end.json"
RECORDS = "records"
HEADER_MAX = 64 * 1024
_NAME_MAX = 120


def case_slug(case: str) -> str:
    """A case's name made safe for file systems: `queue-stream:concurrency=50` -> `queue-stream_concurrency-50`.

    Names that this would shorten or could confuse with another carry a digest.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", case.replace("=", "-").replace(":", "_").replace(",", "_")).lstrip(".")
    if re.fullmatch(r"[A-Za-z0-9.:=,-]+", case) and len(safe) <= _NAME_MAX and not case.startswith("."):
        return safe
    return f"{safe[:_NAME_MAX]}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"


def slug(case: str, repeat: int, process: int) -> str:
    """The stem of the record files of one process: `queue-stream_concurrency-50.r0.p0`."""
    return f"{case_slug(case)}.r{repeat}.p{process}"


@dataclass(frozen=True)
class Part:
    """What one process recorded of one repeat of a case."""

    header: Header
    requests: Path
    attempts: Path
    timeline: Path
    end: Path

    def read_end(self) -> End | None:
        """The end, or None: then the process never got there."""
        try:
            return msgspec.json.decode(self.end.read_bytes(), type=End)
        except (OSError, msgspec.DecodeError):
            return None


def find(directory: Path) -> dict[tuple[str, int], list[Part]]:
    """Record files grouped by (case, repeat), processes in order; a file whose header is torn holds nothing."""
    found: dict[tuple[str, int], list[Part]] = {}
    for path in sorted(directory.glob("*.requests")):
        header = read_header(path)
        if header is None:
            continue
        stem = path.name.removesuffix(".requests")
        part = Part(
            header,
            path,
            path.with_name(f"{stem}.attempts"),
            path.with_name(f"{stem}.timeline"),
            path.with_name(stem + END_SUFFIX),
        )
        found.setdefault((header.case, header.repeat), []).append(part)
    for parts in found.values():
        parts.sort(key=lambda part: part.header.process)
    return found


def read_header(path: Path) -> Header | None:
    """The header of a record file; None if it is torn or not one of ours."""
    with path.open("rb") as file:
        if file.readline(len(MAGIC) + 1) != MAGIC:
            return None
        line = file.readline(HEADER_MAX)
    try:
        return msgspec.json.decode(line, type=Header) if line.endswith(b"\n") else None
    except msgspec.DecodeError:
        return None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
