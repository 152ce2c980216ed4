"""Jobs: many inputs of one route, answered later. One protocol, two backends (embedded SQLite, Celery on Redis).

Rules of this package
  1. An item of a job is the body of a synchronous route, its result is that route's answer: same checks, same batches.
  2. An item has one result, whoever computes it how often: the first one stored stays (`INSERT OR IGNORE`, `HSETNX`).
  3. A job that was accepted is not lost: not by a worker that is killed, and not by a restart of an embedded server.
"""
