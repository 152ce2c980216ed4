"""A load of sessions as it is played: its plan, its texts and its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from harness.client.conversation import ConversationTask
from harness.client.errors import UsageError
from harness.client.protocols import provides
from harness.client.types import Task
from harness.load.feed import MadeUp as Workload
from harness.load.sessions.content import Content, Conversations, MadeUp
from harness.load.sessions.session_plan import SessionLoad, SessionPlan
from harness.load.workloads.jsonl import Jsonl


class Sessions(NamedTuple):
    """A load of sessions."""

    plan: SessionPlan
    content: Content
    task: ConversationTask
    jsonl: Jsonl | None
    """The file that the conversations were read from."""


def sessions_of(
    settings: Mapping[str, Any],
    duration_s: float,
    seed: int,
    task: Task,
    jsonl: Jsonl | None,
    synthetic: Callable[[], Workload],
) -> Sessions:
    """Build the load from its settings. Raises UsageError if the task has no conversations, or the file none."""
    load = SessionLoad(**settings)
    if not provides(task, ConversationTask):
        raise UsageError(f"task {task.name}: has no conversations; sessions need a task that has, such as chat")
    if jsonl is None:
        plan, made = SessionPlan(load, duration_s, seed), MadeUp(synthetic(), task, seed)
        # A described API may have no conversations.
        made.asked(0, plan.length(0), 1)
        return Sessions(plan, made, task, None)
    found = Conversations(jsonl, task, None if load.users is None else load.sessions)
    return Sessions(SessionPlan(load, duration_s, seed, found.sizes), found, task, jsonl)
