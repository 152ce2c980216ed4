"""Caches answers to equal requests in memory, and in a file if one is given.

Rules of this file
  1. Only ok answers that may be repeated are stored (`equality`): no errors, no tool calls, no sampled answers.
  2. The key is the whole request as the server would see it, so model, parameters and text are all in it. It includes
     the server and its models where they are known, so that servers do not share answers.
  3. A request of several items is looked up item by item; only the missing items are sent.
  4. Nothing waits for the disk. A file that fails costs hits, never answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from harness.base.clock import Clock, clock
from harness.client.cache.equality import answered, keepable, key_of, repeatable, scope_of, singles
from harness.client.cache.kept_answers import AnswerCodec
from harness.client.cache.store import AnswerStore, check_file
from harness.client.checks import between
from harness.client.errors import SettingError, UsageError
from harness.client.figures import Ratio
from harness.client.types import Item, Request, Response, Send

_Entry = tuple[float, tuple[Any, ...]]  # expiry on the loop's clock, answers


class Cache:
    """Answers equal requests from memory or from a SQLite file at `path`; sampled answers only with `sampled`.

    Entries live `ttl_s` seconds. `entries` bounds the memory (the longest unused go first), `rows` the file (those
    that expire first go). `scope` sets tenants or versions apart, and so does `server`, which paceline sets to the
    target and its models; with `shared` the answers of all servers are one. Close it (`aclose`) if it has a file.

    Args:
        inner: Sends one attempt.
        path: SQLite file for the answers, in a directory that exists. Default None: memory only.
        ttl_s: Seconds for which an answer is kept. Default 86400.0.
        entries: Upper bound of answers in memory. Default 10000.
        rows: Upper bound of answers in the file. Default 1000000.
        scope: Name that separates the answers of tenants or versions. Default "".
        sampled: Whether answers drawn at a temperature are kept too. Default False.
        shared: Whether the answers of all servers are one set. Default False.
        server: Identity of the server and its models; paceline sets it. Default "".
    """

    place: ClassVar[int] = 10
    ratios: ClassVar[tuple[Ratio, ...]] = (Ratio("hit_share", "hits", ("hits", "misses")),)

    def __init__(
        self,
        inner: Send,
        path: str | None = None,
        ttl_s: float = 86_400.0,
        entries: int = 10_000,
        rows: int = 1_000_000,
        scope: str = "",
        sampled: bool = False,
        shared: bool = False,
        server: str = "",
    ) -> None:
        self.ttl_s, self.entries, self.rows = ttl_s, entries, rows
        between(self, 1e-3, 1e9, "ttl_s")
        between(self, 1, 100_000_000, "entries", "rows")
        if path is not None and not Path(path).parent.is_dir():
            raise SettingError(f"path={path!r}: there is no directory {str(Path(path).parent)!r}")
        if path is not None and Path(path).is_dir():
            raise SettingError(f"path={path!r} is a directory; it must be a file")
        if path is not None:
            check_file(path)
        self._inner = inner
        self._path = path
        self._scope = scope_of(scope if shared or not server else f"{scope}\0{server}")
        self._sampled = sampled
        self._known: OrderedDict[bytes, _Entry] = OrderedDict()
        self._store: AnswerStore | None = None
        self._opened: AnswerStore | None = None  # the store, also after it was closed
        self._unopened: str | None = None  # why there is no store
        self._unwritable: set[str] = set()  # tasks whose answers cannot be written to a file
        self._codec = AnswerCodec()
        self._now: Clock | None = None
        self._unix_s = 0.0  # the wall clock at the loop's zero
        self.hits = 0  # items answered from here
        self.misses = 0
        self.stored = 0  # answers kept
        self.file_hits = 0  # items answered from the file

    async def __call__(self, request: Request, /) -> Response:
        if not repeatable(request, self._sampled):
            return await self._inner(request)
        now = (self._now or self._open())()
        if len(request.items) > 1:
            return await self._several(request, now)
        key = key_of(request, self._scope)
        entry = self._known.get(key)
        if entry is not None and entry[0] > now:
            self._known.move_to_end(key)
            self.hits += 1
            return answered(entry[1], now)
        if (answers := self._stored(key, request, now)) is not None:
            self.hits += 1
            return answered(answers, now)
        self.misses += 1
        response = await self._inner(request)
        if keepable(response):
            self._keep(key, request, response.answers)
        return response

    async def aclose(self) -> None:
        """Write pending answers to the file and close it."""
        store, self._store = self._store, None
        if store is not None:
            await asyncio.get_running_loop().run_in_executor(None, store.close)

    @property
    def needs_real_time(self) -> str | None:
        """A file is written by a thread, and would carry answers from one simulation into the next."""
        if self._path is None:
            return None
        return f"path={self._path}: a cache in a file cannot be simulated; leave out `path` for a cache in memory"

    @property
    def error(self) -> str | None:
        """The first error of the file, as text."""
        return self._unopened or (self._opened.error if self._opened is not None else None)

    def figures(self) -> dict[str, int]:
        """Hits, misses and stored answers; with a file, its hits and the answers that it stored and dropped."""
        counted = {"hits": self.hits, "misses": self.misses, "stored": self.stored}
        if self._path is None:
            return counted
        written, dropped = (self._opened.written, self._opened.dropped) if self._opened is not None else (0, 0)
        return {**counted, "file_hits": self.file_hits, "file_written": written, "file_dropped": dropped}

    def faults(self) -> list[str]:
        """Why the file could not be used."""
        found = [f"answers of the task {task} cannot be written to its file" for task in sorted(self._unwritable)]
        return found if self.error is None else [f"its file failed, which costs hits: {self.error}", *found]

    def _open(self) -> Clock:
        """On first use: the clock of the loop, its distance from the wall clock, and the file."""
        self._now = clock()
        # Expiry times in a file must outlive this loop.
        self._unix_s = time.time() - self._now()
        if self._path is not None:
            try:
                self._store = self._opened = AnswerStore(self._path, self.rows)
            except UsageError as error:
                self._unopened = str(error)
        return self._now

    def _lookup(self, key: bytes, request: Request, now: float) -> tuple[Any, ...] | None:
        entry = self._known.get(key)
        if entry is not None and entry[0] > now:
            self._known.move_to_end(key)
            return entry[1]
        return self._stored(key, request, now)

    def _stored(self, key: bytes, request: Request, now: float) -> tuple[Any, ...] | None:
        """Look up an answer in the file, and copy it into memory."""
        if self._store is None or (row := self._store.get(key, now + self._unix_s)) is None:
            return None
        answers = self._codec.decode(request.task, row[1])
        if answers is not None:
            self.file_hits += 1
            self._remember(key, (row[0] - self._unix_s, answers))
        return answers

    def _keep(self, key: bytes, request: Request, answers: tuple[Any, ...]) -> None:
        assert self._now is not None  # noqa: S101 - set on entry
        expires = self._now() + self.ttl_s
        self._remember(key, (expires, answers))
        self.stored += 1
        if self._store is None:
            return
        if (value := self._codec.encode(request.task, answers)) is None:
            self._unwritable.add(request.task.name)
        else:
            self._store.put(key, expires + self._unix_s, value)

    def _remember(self, key: bytes, entry: _Entry) -> None:
        self._known[key] = entry
        self._known.move_to_end(key)
        if len(self._known) > self.entries:
            self._known.popitem(last=False)

    async def _several(self, request: Request, now: float) -> Response:
        known: dict[int, Any] = {}  # position -> answer
        missing: list[tuple[int, Item, bytes, Request]] = []
        for position, (item, single) in enumerate(singles(request)):
            key = key_of(single, self._scope)
            if (answers := self._lookup(key, single, now)) is not None:
                known[position] = answers[0]
            else:
                missing.append((position, item, key, single))
        self.hits += len(known)
        self.misses += len(missing)
        if not missing:
            return answered(tuple(known[position] for position in range(len(request.items))), now)
        if known:
            rest = request.task.request(tuple(item for _, item, _, _ in missing))
            rest = msgspec.structs.replace(request, items=rest.items, body=rest.body, path=rest.path)
        response = await self._inner(rest if known else request)
        if not keepable(response):
            return response
        for (position, _, key, single), answer in zip(missing, response.answers, strict=True):
            self._keep(key, single, (answer,))
            known[position] = answer
        response.answers = tuple(known[position] for position in range(len(request.items)))
        sent = {position for position, _, _, _ in missing}
        response.cached_items = frozenset(item.index for n, item in enumerate(request.items) if n not in sent)
        return response
