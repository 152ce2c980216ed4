"""Checks that the files of a run can exist, and that they are different files, even under different names."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from harness.bulk.settings import ProcessSettings
from harness.client.errors import UsageError

SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""


def check_apart(
    settings: ProcessSettings, layers: Mapping[str, Mapping[str, Any]], others: Sequence[tuple[str, str]] = ()
) -> None:
    """Raise UsageError if a file cannot exist, or if two of them are one; links and standard streams are followed.

    `others` are roles and paths of files that the settings do not name.
    """
    files = [(what, path, _identity(what, path)) for what, path in (*_files(settings, layers), *others)]
    for folder in filter(os.path.isdir, settings.inputs):
        inside = os.path.realpath(folder)
        for what, path, _ in files[len(settings.inputs) :]:
            if path != "-" and os.path.dirname(os.path.realpath(path)) == inside:
                raise UsageError(f"{what} {path} is in the folder {folder}, whose files are all read as input")
    for (one, path, identity), (other, other_path, other_identity) in combinations(files, 2):
        if identity & other_identity:
            if one == other == "INPUT":
                raise UsageError(
                    f"INPUT: {other_path} is given twice{'' if path == other_path else f', also as {path}'}"
                )
            raise UsageError(
                f"{one} {path} and {other} {other_path} are the same file; "
                "input, output, dead-letter file, journal and cache must be different files"
            )


def _files(settings: ProcessSettings, layers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Role and path of each file."""
    yield from (("INPUT", path) for path in settings.inputs)
    yield "--output", settings.output
    # Output and dead letters may share standard output.
    if not settings.output == settings.dead_letter_path == "-":
        yield "--dead-letter", settings.dead_letter_path
    if settings.output != "-":
        yield "the journal", settings.output + ".journal"
        yield "the new journal", settings.output + ".journal.new"
    if settings.layers.remember is not None:
        yield "--remember", settings.layers.remember
    for name, values in layers.items():
        if isinstance(path := values.get("path"), str):
            yield f"the layer {name}'s file", path
            for suffix in SQLITE_SUFFIXES:
                yield f"the layer {name}'s file", path + suffix


def _identity(what: str, path: str) -> frozenset[Any]:
    """Keys that identify a file under all its names; empty for pipes, terminals and devices.

    Raises UsageError for a path at which no file can be: too long a name, or a file where a folder should be.
    """
    try:
        info = _standard(what) if path == "-" else os.stat(path)
    except FileNotFoundError:
        return frozenset({os.path.realpath(path)})
    except (OSError, ValueError) as error:
        if path == "-":
            # It is closed.
            return frozenset()
        raise UsageError(f"{what} {path}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(info.st_mode):
        return frozenset()
    names: set[Any] = {(info.st_dev, info.st_ino)}
    return frozenset(names if path == "-" else {*names, os.path.realpath(path)})


def _standard(what: str) -> os.stat_result:
    """Keys of standard input or output; raises OSError or ValueError if it is closed or no file of the system."""
    stream = sys.stdin if what == "INPUT" else sys.stdout
    if stream is None:
        raise ValueError("closed")
    return os.fstat(stream.fileno())
