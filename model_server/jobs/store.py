"""Jobs in SQLite (WAL): one file, one connection, used by one thread.

A commit survives the death of the process; items in computation are computed again. The file is locked while it is
open: two servers on one file would both compute the same items.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_server.jobs.job import ItemResult, Job, JobsError, NewJob, status_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, endpoint TEXT NOT NULL, total INTEGER NOT NULL,
  completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL, started_at REAL, completed_at REAL, key TEXT UNIQUE, fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inputs (
  job INTEGER NOT NULL, item INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
  job INTEGER NOT NULL, item INTEGER NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (job, item)) WITHOUT ROWID;
"""
_ADDED = {
    # Processes that began the job and died before a new result.
    "begun": "INTEGER NOT NULL DEFAULT 0",
    # Number of results when the last of these processes began.
    "begun_at": "INTEGER NOT NULL DEFAULT -1",
    # The last item that was computed alone.
    "alone": "INTEGER NOT NULL DEFAULT -1",
    "alone_times": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns of `jobs` that files of an older version lack."""
_JOBS = (
    "SELECT id, endpoint, total, completed, failed, cancelled, created_at, started_at, completed_at, "
    "fingerprint, number FROM jobs "
)


class StoreError(JobsError):
    """The file cannot be used; the message names it."""


class NoRoom(Exception):  # noqa: N818 - the caller turns it into an error
    """Too many items wait; `waiting` is their number."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} items wait")
        self.waiting = waiting


class Store:
    """The tables and all queries. Raises `StoreError` if the file cannot be opened."""

    def __init__(self, path: Path | str) -> None:
        try:
            if path != ":memory:":
                _private(Path(path))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
            known = {row[1] for row in self._db.execute("PRAGMA table_info(jobs)")}
            for column in _ADDED.keys() - known:
                self._db.execute(f"ALTER TABLE jobs ADD COLUMN {column} {_ADDED[column]}")
        except (sqlite3.Error, OSError) as error:
            reason = "another server has it open" if "locked" in str(error) else str(error)
            raise StoreError(f"jobs file {path}: {reason}") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, new: NewJob, waiting_max: int) -> tuple[Job, str, bool]:
        """Add a job; returns the job, its fingerprint, and True if it is new. A known key gives the job of that key.

        Raises `NoRoom` if more than `waiting_max` items would wait; a known job needs no room.
        """
        with _Transaction(self._db):
            if new.key is not None:
                row = self._db.execute(_JOBS + "WHERE key = ?", (new.key,)).fetchone()
                if row is not None:
                    return _job(row), row[9], False
            waiting = self.waiting()
            if waiting + len(new.inputs) > waiting_max:
                raise NoRoom(waiting)
            number = self._db.execute(
                "INSERT INTO jobs (id, endpoint, total, created_at, key, fingerprint) VALUES (?, ?, ?, ?, ?, ?)",
                (new.id, new.endpoint, len(new.inputs), new.created_at, new.key, new.fingerprint),
            ).lastrowid
            self._db.executemany(
                "INSERT INTO inputs VALUES (?, ?, ?)", [(number, item, body) for item, body in enumerate(new.inputs)]
            )
        job = self.get(new.id)
        assert job is not None  # noqa: S101 - it was just put there
        return job, new.fingerprint, True

    def get(self, job_id: str) -> Job | None:
        """One job."""
        row = self._db.execute(_JOBS + "WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def page(self, limit: int, after: str | None) -> list[Job]:
        """The jobs, latest first, that come after job `after` in this order."""
        row = self._db.execute("SELECT number FROM jobs WHERE id = ?", (after,)).fetchone()
        below = row[0] if row is not None else 1 << 62
        rows = self._db.execute(_JOBS + "WHERE number < ? ORDER BY number DESC LIMIT ?", (below, limit))
        return [_job(row) for row in rows]

    def results(self, job_id: str, start: int, limit: int) -> list[ItemResult]:
        """The existing results, by item."""
        rows = self._db.execute(
            "SELECT item, status, body FROM results WHERE job = (SELECT number FROM jobs WHERE id = ?) "
            "AND item >= ? ORDER BY item LIMIT ?",
            (job_id, start, limit),
        )
        return [ItemResult(*row) for row in rows]

    def next_open(self, now: float) -> tuple[Job, list[tuple[int, bytes]]] | None:
        """The oldest job with open items, and these items; it counts as started from now on."""
        row = self._db.execute(
            _JOBS + "WHERE completed + failed < total AND NOT cancelled ORDER BY number LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        self._db.execute("UPDATE jobs SET started_at = coalesce(started_at, ?) WHERE number = ?", (now, row[-1]))
        items = self._db.execute(
            "SELECT item, body FROM inputs WHERE job = ? AND item NOT IN (SELECT item FROM results WHERE job = ?) "
            "ORDER BY item",
            (row[-1], row[-1]),
        ).fetchall()
        return _job(row), items

    def begin(self, job_id: str) -> int:
        """Record that this process begins the job; returns the number of processes that did since its last result."""
        (times,) = self._db.execute(
            "UPDATE jobs SET begun = CASE WHEN begun_at = completed + failed THEN begun + 1 ELSE 1 END, "
            "begun_at = completed + failed WHERE id = ? RETURNING begun",
            (job_id,),
        ).fetchone()
        return int(times)

    def alone(self, job_id: str, index: int) -> int:
        """Record that an item will be computed alone; returns how often that began without a result, with this time."""
        (times,) = self._db.execute(
            "UPDATE jobs SET alone_times = CASE WHEN alone = ? THEN alone_times + 1 ELSE 1 END, alone = ? "
            "WHERE id = ? RETURNING alone_times",
            (index, index, job_id),
        ).fetchone()
        return int(times)

    def rest(self) -> None:
        """Reset the counts of deaths, because this process ends regularly."""
        self._db.execute("UPDATE jobs SET begun = 0, alone_times = 0 WHERE completed_at IS NULL")

    def keep(self, job_id: str, results: Sequence[ItemResult], now: float) -> Job | None:
        """Store and count new results; returns the job, or None if it has ended or expired."""
        with _Transaction(self._db):
            row = self._db.execute(
                "SELECT number FROM jobs WHERE id = ? AND completed_at IS NULL", (job_id,)
            ).fetchone()
            if row is None:
                return None
            (number,) = row
            completed = failed = 0
            for result in results:
                kept = self._db.execute(
                    "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)",
                    (number, result.index, result.status, result.body),
                ).rowcount
                completed += kept and result.ok
                failed += kept and not result.ok
            self._db.execute(
                "UPDATE jobs SET completed = completed + ?, failed = failed + ?, completed_at = CASE WHEN "
                "NOT cancelled AND completed + failed + ? >= total THEN ? END WHERE number = ?",
                (completed, failed, completed + failed, now, number),
            )
            self._db.execute(
                "DELETE FROM inputs WHERE job = ? AND (SELECT completed + failed >= total FROM jobs WHERE number = ?)",
                (number, number),
            )
        return self.get(job_id)

    def cancel(self, job_id: str, now: float, *, running: bool) -> Job | None:
        """Cancel a job. It ends now, unless it is `running`: then `end_cancelled` ends it."""
        self._db.execute(
            "UPDATE jobs SET cancelled = 1, completed_at = CASE WHEN ? THEN NULL ELSE ? END "
            "WHERE id = ? AND completed_at IS NULL",
            (running, now, job_id),
        )
        return self.get(job_id)

    def end_cancelled(self, now: float) -> None:
        """End all cancelled jobs, because none of their items is in computation."""
        self._db.execute("UPDATE jobs SET completed_at = ? WHERE cancelled AND completed_at IS NULL", (now,))

    def waiting(self) -> int:
        """The number of open items of all jobs."""
        row = self._db.execute(
            "SELECT coalesce(sum(total - completed - failed), 0) FROM jobs WHERE NOT cancelled"
        ).fetchone()
        return int(row[0])

    def expire(self, before: float) -> int:
        """Delete the jobs that ended before this instant; returns their number."""
        with _Transaction(self._db):
            gone = "SELECT number FROM jobs WHERE completed_at < ?"
            for table in ("results", "inputs"):
                self._db.execute(f"DELETE FROM {table} WHERE job IN ({gone})", (before,))  # noqa: S608 - two names of ours
            return self._db.execute("DELETE FROM jobs WHERE completed_at < ?", (before,)).rowcount


class _Transaction:
    """A transaction: all statements or none."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            # Needed also after a failed COMMIT; on a full disk SQLite itself has ended the transaction.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _private(path: Path) -> None:
    """Restrict the file to its owner before it has content; SQLite's other files get the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def _job(row: tuple[Any, ...]) -> Job:
    job_id, endpoint, total, completed, failed, cancelled, created_at, started_at, completed_at = row[:9]
    status = status_of(
        total,
        failed,
        completed + failed,
        cancelled=bool(cancelled),
        started=started_at is not None,
        over=completed_at is not None,
    )
    return Job(job_id, endpoint, status, total, completed, failed, created_at, started_at, completed_at)
