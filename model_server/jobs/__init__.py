"""Jobs: many inputs of one route, computed in the background. Two backends: embedded SQLite, and Celery on Redis.

Rules of this package
  1. An item of a job is the body of a synchronous route, and its result is that route's answer: same checks, same
     batches.
  2. An item has one result, even if it is computed several times: the first stored one stays (`INSERT OR IGNORE`,
     `HSETNX`).
  3. An accepted job is not lost when a worker is killed or an embedded server restarts.
"""
