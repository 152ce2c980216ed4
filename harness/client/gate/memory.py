"""What adaptive limits learnt about servers, carried from run to run in a file.

Rules of this file
  1. The file is JSON with a version, at most `BYTES_MAX` bytes and `SERVERS_MAX` servers. It holds addresses without
     credentials, and figures. It is replaced atomically; what other processes have written meanwhile is kept.
  2. A file that cannot be read, or whose folder cannot be written, is a mistake of the user: one line, before anything
     is sent. An error at the end only loses what was learnt (`error`).
  3. What was learnt more than `AGE_MAX_S` ago is not used.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from harness.base.files import write_atomically
from harness.client.errors import UsageError
from harness.client.gate.carried import CarriedLimit, Learnt
from harness.client.types import Limit

VERSION = 1
BYTES_MAX = 1_000_000
SERVERS_MAX = 1_000
AGE_MAX_S = 7 * 86_400.0
KEY_MAX = 1_000  # characters

NewLimit = Callable[[int | None], Limit]
"""Builds a limit that begins with a number, or as usual."""


class _Server(msgspec.Struct, frozen=True):
    server: Annotated[str, Meta(max_length=KEY_MAX)]
    limit: Annotated[str, Meta(max_length=KEY_MAX)]
    learnt: Learnt
    at_unix_s: float


class _File(msgspec.Struct, frozen=True):
    paceline_limits: int
    servers: Annotated[list[_Server], Meta(max_length=SERVERS_MAX)]


class LimitMemory:
    """The servers of a file. Raises UsageError for a file that cannot be read.

    Args:
        path: The file; it may be missing.
    """

    def __init__(self, path: Path | str) -> None:
        # The file itself is replaced, and not a link to it.
        self.path = Path(path).resolve()
        self.error: str | None = None
        self._servers = _read(self.path)
        _check_folder(path, self.path.parent)
        self._limits: dict[tuple[str, str], CarriedLimit] = {}
        self._saved = 0

    def limit(self, server: str, name: str, new_limit: NewLimit) -> Limit:
        """A limit that begins with the saved findings of its server, and whose own are saved."""
        key = server.strip()[:KEY_MAX], name[:KEY_MAX]
        known = self._servers.get(key)
        fresh = known is not None and time.time() - known.at_unix_s < AGE_MAX_S
        limit = self._limits[key] = CarriedLimit(new_limit, known.learnt if known is not None and fresh else None)
        return limit

    def save(self) -> None:
        """Write the findings; an error is kept in `error`."""
        found = {key: learnt for key, limit in self._limits.items() if (learnt := limit.learnt()) is not None}
        if not found:
            return
        try:
            # Another process may have written meanwhile.
            servers = _read(self.path)
            for (server, name), learnt in found.items():
                servers[server, name] = _Server(server, name, learnt, round(time.time(), 3))
            latest = sorted(servers.values(), key=lambda one: one.at_unix_s)[-SERVERS_MAX:]
            data = msgspec.json.encode(_File(VERSION, latest))
            write_atomically(self.path, msgspec.json.format(data, indent=2) + b"\n")
            self._saved = len(found)
        except (OSError, UsageError) as error:
            self.error = f"the findings of the limits could not be saved: {getattr(error, 'strerror', None) or error}"

    def figures(self) -> dict[str, int]:
        """Counts of limits, as those of a layer."""
        limits = self._limits.values()
        return {
            "limits that began with saved findings": sum(limit.is_known for limit in limits),
            "of which started over": sum(limit.is_forgotten for limit in limits),
            "saved": self._saved,
        }

    def faults(self) -> list[str]:
        """Why nothing was saved."""
        return [self.error] if self.error else []


def _check_folder(path: Path | str, folder: Path) -> None:
    """Raise UsageError where the file could not be saved at the end: a whole run would be played first."""
    if not folder.is_dir():
        raise UsageError(f"--remember {path}: there is no folder {folder}; create it, or name another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--remember {path}: the folder {folder} is not writable; name another file")


def _read(path: Path) -> dict[tuple[str, str], _Server]:
    try:
        # A pipe would keep the run waiting, and a device would be replaced by a file.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"--remember {path}: is not a regular file; name another one")
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"--remember {path}: {error.strerror or error}") from error
    if not data:
        return {}
    if len(data) > BYTES_MAX:
        raise UsageError(f"--remember {path}: has more than {BYTES_MAX:,} bytes; such a file has at most 1,000 servers")
    try:
        found = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"--remember {path}: is not a file of learnt limits ({error}); name another file") from error
    if found.paceline_limits != VERSION:
        raise UsageError(
            f"--remember {path}: has version {found.paceline_limits}, this paceline reads {VERSION}; name another file"
        )
    return {(one.server, one.limit): one for one in found.servers if math.isfinite(one.at_unix_s)}


_memory: ContextVar[LimitMemory | None] = ContextVar("memory of limits", default=None)


def current_memory() -> LimitMemory | None:
    """The memory of this context."""
    return _memory.get()


@contextmanager
def recalling(memory: LimitMemory | None) -> Iterator[None]:
    """Streams that begin inside use this memory, or that of the context if there is none; it is not saved."""
    token = _memory.set(memory or _memory.get())
    try:
        yield
    finally:
        _memory.reset(token)


@contextmanager
def remembering(path: Path | str) -> Iterator[LimitMemory]:
    """Adaptive limits of streams that begin inside start with what the file knows; at the end it is written.

    Args:
        path: The file; it may be missing. Raises UsageError for one that cannot be read.
    """
    memory = LimitMemory(path)
    with recalling(memory):
        try:
            yield memory
        finally:
            memory.save()
