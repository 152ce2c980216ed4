"""The Celery application: delivers chunks of items from the server to workers, again if a worker dies.

Deliveries of a killed worker return to the queue after their visibility time-out. The time-out is short, so this takes
seconds. Workers renew their deliveries (`Runtime._beat`), so that a long chunk does not go to a second worker while the
first one lives. The time-out must exceed the delay of a retry, which also waits at a worker.
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
"""Items per message: enough to fill a batch, few enough to spread a job over the workers."""


def visibility_s(settings: JobSettings) -> float:
    """Seconds after which a delivery that is not renewed goes to another worker."""
    return max(VISIBILITY_MIN_S, settings.retry_delay_s + 2.0)


def chunk_id(job_id: str, start: int) -> str:
    """The name of a chunk's message; chunks begin at multiples of `CHUNK`."""
    return f"{job_id}:{start}"


class _Properties(msgspec.Struct):
    correlation_id: str = ""


class _Message(msgspec.Struct):
    properties: _Properties


_queued = msgspec.json.Decoder(_Message).decode
_unacked = msgspec.json.Decoder(tuple[_Message, str, str]).decode


def chunk_of(message: bytes) -> str | None:
    """The name of the chunk in one of Celery's messages in Redis; None if the message is not ours."""
    try:
        found = _unacked(message)[0] if message.startswith(b"[") else _queued(message)
    except msgspec.MsgspecError:
        return None
    return found.properties.correlation_id or None


def celery_app(url: str, settings: JobSettings) -> Celery:
    """The Celery application, with the same configuration for the server, which only sends, and for workers."""
    app: Any = Celery("paceline", broker=url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        # `redis_store` keeps the results, by job and item.
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        # A worker waits for Redis without a limit.
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": visibility_s(settings),
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            # A worker that is killed while it restores deliveries must not block the others for long.
            "unacked_mutex_expire": 3,
        },
        # Models take long to load.
        worker_proc_alive_timeout=600.0,
        # Tasks wait for Redis and then store their results.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        enable_utc=True,
    )
    return app
