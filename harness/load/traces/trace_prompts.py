"""The prompts of a replayed trace: lengths and shared prefixes as recorded, in made-up words.

Rules of this file
  1. A prompt is made when its item is needed and depends only on the trace, the salt and the item's position. Cases
     and repeats have salts of their own: a server that keeps prefixes has seen none of another case's prompts.
  2. Prompts whose first ids of blocks are equal begin with the same tokens. Without ids, a turn of a session begins
     with the prompt before it, as far as that is not longer: the conversation so far. All other prompts share nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

from harness.client.errors import ItemError, UsageError
from harness.client.task_calls import data_of
from harness.client.types import Task
from harness.load.token_text import Key, TokenText
from harness.load.traces.played_trace import Played
from harness.load.traces.reading import Rows
from harness.load.workloads.prompts import length_name, named

AHEAD = 32
"""Prompts that may be made before they are due: traces have many arrivals of one instant, and long prompts."""


class TracePrompts:
    """Makes the data of the items of a replayed trace: a workload like `Prompts`.

    Args:
        rows: The trace.
        played: The part that is played.
        texts: Makes texts.
        block_tokens: Tokens of a block.
        keeps_history: Whether a turn of a session without ids begins with the prompt before it. Default True.
        full: Whether answers are asked to have their whole length (`ignore_eos`, `min_tokens`). Default False.
        salt: Changes all words and no length, so that a server finds no prompt of an earlier case in its cache.
        parameters: Further fields of every row.
    """

    ahead = AHEAD

    def __init__(
        self,
        rows: Rows,
        played: Played,
        texts: TokenText,
        block_tokens: int,
        keeps_history: bool = True,
        full: bool = False,
        salt: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.trace = rows
        self.played = played
        self._texts = texts
        self._block_tokens = block_tokens
        self._full = full
        self._salt = salt
        self._parameters = dict(parameters or {})
        # Of each task, by its identity: it is found out once.
        self._names: dict[int, str] = {}
        self._roots = roots(rows, played) if keeps_history and rows.sessions and not rows.hashes else None

    def lengths(self, index: int, seed: int) -> tuple[int, int]:
        """Tokens of the prompt and of the answer of an item."""
        row = self.played.row[index]
        return self.trace.inputs[row], self.trace.outputs[row]

    def row(self, index: int, seed: int) -> dict[str, Any]:
        """An item as a row of an input file would have it."""
        tokens, output = self.lengths(index, seed)
        text = self._texts.prompt(tokens, self._key(index, seed), self._blocks(index, seed), self._block_tokens)
        row = {"prompt": text, "text": text, "max_tokens": output, **self._parameters}
        return row | ({"ignore_eos": True, "min_tokens": output} if self._full else {})

    def data(self, task: Task, index: int, seed: int) -> Any:
        """The data of one item. Raises UsageError if the task has no use for a prompt."""
        if (name := self._names.get(id(task))) is None:
            name = self._names[id(task)] = length_name(task)
        try:
            return data_of(task, named(self.row(index, seed), name))
        except ItemError as error:
            raise UsageError(f"--trace: the task {task.name} takes no prompts of a trace: {error}") from error

    def rows(self, task: Task, items: int, seed: int, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every item whose index is `part` modulo `parts`."""
        for index in range(part, items, parts):
            yield index, self.data(task, index, seed), 0

    def _key(self, index: int, seed: int) -> Key:
        """Identity of the part of a prompt that has no ids of blocks."""
        root = index if self._roots is None else self._roots[index]
        return f"{self._salt}/{seed}/{root}"

    def _blocks(self, index: int, seed: int) -> list[Key]:
        ids, copy = self.trace.blocks(self.played.row[index]), self.played.copy_of(index)
        return [f"{self._salt}/{seed}/{one}/{copy}" for one in ids]


def befores(rows: Rows, played: Played) -> array[int]:
    """Position of the turn before each arrival in its session and copy; -1 for a first turn."""
    found, last = array("q"), dict[tuple[int, int], int]()
    for position, row in enumerate(played.row):
        session = rows.sessions[row] if rows.sessions else -1
        if session < 0:
            found.append(-1)
            continue
        turn = session, played.copy_of(position)
        found.append(last.get(turn, -1))
        last[turn] = position
    return found


def roots(rows: Rows, played: Played) -> array[int]:
    """Position of the first turn of the conversation that each prompt goes on with.

    A prompt that is shorter than the one before it in its session does not contain it: it begins another conversation.
    """
    found, inputs = array("q"), rows.inputs
    for position, before in enumerate(befores(rows, played)):
        goes_on = before >= 0 and inputs[played.row[position]] >= inputs[played.row[before]]
        found.append(found[before] if goes_on else position)
    return found
