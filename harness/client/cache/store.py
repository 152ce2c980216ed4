"""Answers on disk: one SQLite file in WAL mode, read on the loop and written by a separate thread.

Rules of this file
  1. Nothing here fails a request. A failed read is a miss; a failed write is counted, with the reason.
  2. Reading is one look-up in a B-tree (about 10 µs when its page is in memory), which is faster than a thread.
     Writing waits for the disk, so it never happens on the loop; the thread writes all pending answers in one
     transaction.
  3. Several processes may share the file: readers never wait for a writer, and writers wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

from harness.client.errors import SettingError, UsageError

APPLICATION_ID = 0x50414345  # "PACE": this file is ours
PENDING_MAX = (
    10_000  # answers waiting for the disk; further ones are dropped, so that a slow disk costs hits and not memory
)
_BUSY_MS = 5_000
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, expires REAL NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_expiry ON answers (expires);
"""
_Row = tuple[bytes, float, bytes]


def check_file(path: str | Path) -> None:
    """Raise UsageError if this file cannot be used as a cache of answers; it is not changed."""
    if why := _why_unusable(path):
        raise UsageError(f"{path}: cannot be used as a cache of answers: {why}")
    if not (os.path.exists(path) and os.path.getsize(path)):
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            _check(connection, path)
    except sqlite3.OperationalError:
        return  # in use, or not readable now: reported when it is opened
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path}: cannot be used as a cache of answers: {error}") from error


def _why_unusable(path: str | Path) -> str | None:
    exists, directory = os.path.exists(path), os.path.dirname(path) or "."
    if not exists and not os.path.isdir(directory):
        return "its directory does not exist"
    if exists and not os.path.isfile(path):
        return "it is not a regular file"
    if os.access(path if exists else directory, os.R_OK | os.W_OK):
        return None
    return "it cannot be read and written" if exists else "its directory cannot be written"


def _check(connection: sqlite3.Connection, path: str | Path) -> bool:
    """Whether the file has our mark; raises UsageError if it belongs to another program."""
    marked = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not marked and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise UsageError(f"{path}: is another program's database, not a cache of answers")
    return bool(marked)


class AnswerStore:
    """Key -> bytes with an expiry, at most `rows_max` of them; raises UsageError if the file cannot be used."""

    def __init__(self, path: str | Path, rows_max: int = 1_000_000) -> None:
        if rows_max < 1:
            raise SettingError(f"rows_max={rows_max!r} must be at least 1")
        self.path = Path(path)
        self.rows_max = rows_max
        self.error: str | None = None  # first failed read or write
        self.written = 0  # answers that reached the file
        self._refused = self._lost = 0  # dropped answers, counted by the loop and by the writer
        self._reader = self._open()
        self._pending: queue.Queue[_Row | None] = queue.Queue(PENDING_MAX)
        self._thread = threading.Thread(target=self._write, name="paceline-answers", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of answers that did not reach the file."""
        return self._refused + self._lost

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            try:
                marked = _check(connection, self.path)
            except UsageError:
                connection.close()
                raise
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last answers, never the file
            if not marked:
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.executescript(_TABLE)
        except sqlite3.Error as error:
            raise UsageError(f"{self.path}: cannot be used as a cache of answers: {error}") from error
        return connection

    def get(self, key: bytes, now_unix_s: float) -> tuple[float, bytes] | None:
        """Expiry and value of a key; None if it is absent or expired."""
        try:
            row = self._reader.execute("SELECT expires, value FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        return (row[0], row[1]) if row is not None and row[0] > now_unix_s else None

    def put(self, key: bytes, expires_unix_s: float, value: bytes) -> None:
        """Hand an answer to the writer; never waits."""
        try:
            self._pending.put_nowait((key, expires_unix_s, value))
        except queue.Full:
            self._refused += 1
            self._failed("answers came faster than the disk could write them")

    def close(self) -> None:
        """Write pending answers, then close the file. Blocks until they are on disk."""
        if self._thread.is_alive():
            self._pending.put(None)
            self._thread.join()
        self._reader.close()

    def _failed(self, error: Exception | str) -> None:
        text = str(error)
        self.error = self.error or (text if text.startswith(f"{self.path}: ") else f"{self.path}: {text}")

    def _write(self) -> None:
        """The thread: writes pending answers, one transaction at a time."""
        connection: sqlite3.Connection | None = None
        try:
            connection = self._open()
        except UsageError as error:  # the file was moved away: every batch is counted as dropped
            self._failed(error)
        rows = connection.execute("SELECT count(*) FROM answers").fetchone()[0] if connection else 0
        ended = False
        while not ended:
            batch, ended = self._batch()
            if batch:
                rows = self._transaction(connection, batch, rows)
        if connection is not None:
            connection.close()

    def _batch(self) -> tuple[list[_Row], bool]:
        batch: list[_Row] = []
        entry = self._pending.get()
        while entry is not None:
            batch.append(entry)
            try:
                entry = self._pending.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _transaction(self, connection: sqlite3.Connection | None, batch: list[_Row], rows: int) -> int:
        """Write a batch and keep `rows_max`; returns an upper bound of the rows (replaced ones count twice)."""
        if connection is None:
            self._lost += len(batch)
            return rows
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", batch)
            rows += len(batch)
            if rows > self.rows_max:
                rows = self._prune(connection)
            connection.execute("COMMIT")
            self.written += len(batch)
        except sqlite3.Error as error:
            self._failed(error)
            self._lost += len(batch)
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        return rows

    def _prune(self, connection: sqlite3.Connection) -> int:
        """Drop the rows that expire first, a tenth more than necessary, so that this is rare."""
        rows = int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
        if rows > self.rows_max:
            surplus = rows - self.rows_max + self.rows_max // 10
            nearest = "SELECT key FROM answers ORDER BY expires LIMIT ?"
            connection.execute(f"DELETE FROM answers WHERE key IN ({nearest})", (surplus,))  # noqa: S608 - a constant
            rows -= surplus
        return rows
