"""The texts of the sessions of a load: made-up texts, or the user's turns of the conversations of a file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from harness.base.turn_index import index_of
from harness.client.conversation import ConversationTask, Exchange, Script
from harness.client.errors import UsageError
from harness.load.feed import MadeUp as Workload
from harness.load.sessions.session_plan import Length
from harness.load.workloads.jsonl import Jsonl

CONVERSATIONS_MAX = 10_000
"""Conversations of a file that are held in memory; a load of more sessions uses them again, from the first."""
_MADE_UP = 7_919
"""Added to the seed of answers that are made up, so that they are not the user's words."""


class Content(Protocol):
    """The texts of sessions."""

    def earlier(self, session: int, length: Length, /) -> list[Exchange]:
        """The exchanges that the history of a session begins with."""
        ...

    def asked(self, session: int, length: Length, turn: int, /) -> tuple[Script, Exchange]:
        """The user's messages in a turn of the conversation (from 1), with the script that it belongs to."""
        ...


class Conversations:
    """The conversations of a file. Raises UsageError if none has a message of the user."""

    def __init__(self, jsonl: Jsonl, task: ConversationTask, needed: int | None = None) -> None:
        self.jsonl = jsonl
        most = min(CONVERSATIONS_MAX, needed or CONVERSATIONS_MAX)
        rows = islice(jsonl.rows(task), CONVERSATIONS_MAX)
        scripts = (task.script_of(data) for _, data, _ in rows)
        self._scripts = list(islice((script for script in scripts if script.exchanges), most))
        if not self._scripts:
            raise UsageError(f"{jsonl.path}: no conversation has a message of the user")

    @property
    def sizes(self) -> Sequence[int]:
        """The user's turns of each conversation."""
        return [len(script.exchanges) for script in self._scripts]

    def earlier(self, session: int, length: Length, /) -> list[Exchange]:
        return list(self._script(session).exchanges[: length.earlier])

    def asked(self, session: int, length: Length, turn: int, /) -> tuple[Script, Exchange]:
        script = self._script(session)
        return script, script.exchanges[turn - 1]

    def _script(self, session: int) -> Script:
        return self._scripts[session % len(self._scripts)]


class MadeUp:
    """Texts of random words; the same seed gives the same texts."""

    def __init__(self, synthetic: Workload, task: ConversationTask, seed: int) -> None:
        self._synthetic, self._task, self._seed = synthetic, task, seed

    def earlier(self, session: int, length: Length, /) -> list[Exchange]:
        found = []
        for turn in range(1, length.earlier + 1):
            answer = self._synthetic.data(self._task, index_of(session, turn), self._seed + _MADE_UP)
            asked = self.asked(session, length, turn)[1].asked
            found.append(Exchange(asked, self._task.made_up(answer)))
        return found

    def asked(self, session: int, length: Length, turn: int, /) -> tuple[Script, Exchange]:
        script = self._task.script_of(self._synthetic.data(self._task, index_of(session, turn), self._seed))
        return script, script.exchanges[0]
