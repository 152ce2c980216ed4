"""The Celery application: how a chunk of items travels from the server to a worker, and comes back if that one dies.

A killed worker cannot say so: its deliveries come back when their visibility time-out has passed. So that this takes
seconds, the time-out is short; so that a long chunk is not given to a second worker while the first still lives, the
worker renews its deliveries (`Runtime._beat`). The time-out must exceed the delay of a retry, which waits at a worker
too.
"""

from __future__ import annotations

from typing import Any

import msgspec
from celery import Celery

from model_server.jobs.job import JobSettings

TASK = "paceline.run_items"
QUEUE = "paceline"
VISIBILITY_MIN_S = 8.0
CHUNK = 16
"""Items that travel together: enough to fill a batch, few enough to spread a job over the workers."""


def visibility_s(settings: JobSettings) -> float:
    """Seconds after which a delivery that nobody renews is given to another worker."""
    return max(VISIBILITY_MIN_S, settings.retry_delay_s + 2.0)


def chunk_id(job_id: str, start: int) -> str:
    """The name of a chunk's message, its starts at multiples of `CHUNK`."""
    return f"{job_id}:{start}"


class _Properties(msgspec.Struct):
    correlation_id: str = ""


class _Message(msgspec.Struct):
    properties: _Properties


_queued = msgspec.json.Decoder(_Message).decode
_unacked = msgspec.json.Decoder(tuple[_Message, str, str]).decode


def chunk_of(message: bytes) -> str | None:
    """The name of the chunk that one of Celery's messages in Redis carries; None if it is not ours."""
    try:
        found = _unacked(message)[0] if message.startswith(b"[") else _queued(message)
    except msgspec.MsgspecError:
        return None
    return found.properties.correlation_id or None


def celery_app(url: str, settings: JobSettings) -> Celery:
    """Configured alike for the server, which only sends, and for workers."""
    app: Any = Celery("paceline", broker=url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,  # results are kept by job and item, in `redis_store`
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker outlives a Redis that is away for long
        broker_transport_options={
            "visibility_timeout": visibility_s(settings),
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 3,  # a worker killed while it restores must not stop the others from it
        },
        worker_proc_alive_timeout=600.0,  # models take a while to load
        worker_cancel_long_running_tasks_on_connection_loss=False,  # they wait for Redis and store what they computed
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        enable_utc=True,
    )
    return app
