"""Made-up prompts with lengths in tokens. The same seed and index always give the same lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from harness.client.errors import ItemError
from harness.client.prompt_settings import PromptSettings
from harness.client.types import Task
from harness.load.lengths import INPUT_NAMES, OUTPUT_NAMES, Lengths, drawn, parse
from harness.load.token_text import TokenText

PLAIN = TokenText()
"""A word is a token."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of drawn lengths, some of them with shared prefixes.

    Args:
        input: Lengths of the prompts.
        output: Lengths of the answers, sent as `max_tokens`. Default None: as the task says.
        texts: Makes texts.
        full: Whether answers are asked to have their whole length (`ignore_eos`, `min_tokens`). Default False.
        prefix_tokens: Length of a shared prefix. Default 0: none.
        prefix_pool: Number of prefixes. Default 1.
        prefix_share: Share of the prompts that have one. Default 1.
        salt: Changes all words and no length, so that a server finds no prompt of an earlier case in its cache.
        parameters: Further fields of every row.
    """

    # Arrivals of one instant are rare, and a prompt takes 0.03 ms for 1,000 tokens.
    ahead: ClassVar[int] = 0
    input: Lengths
    output: Lengths | None = None
    texts: TokenText = PLAIN
    full: bool = False
    prefix_tokens: int = 0
    prefix_pool: int = 1
    prefix_share: float = 1.0
    salt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # Of each task, by its identity: it is found out once.
    _names: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    def lengths(self, index: int, seed: int) -> tuple[int, int | None]:
        """Tokens of the prompt and of the answer of an item."""
        output = None if self.output is None else drawn(self.output, "output", seed, index)
        return drawn(self.input, "input", seed, index), output

    def row(self, index: int, seed: int) -> dict[str, Any]:
        """An item as a row of an input file would have it."""
        tokens, output = self.lengths(index, seed)
        text = self.texts.prompt(tokens, f"{self.salt}/{seed}/{index}", self._prefix(index, seed), self.prefix_tokens)
        row: dict[str, Any] = {**self.parameters, "prompt": text, "text": text}
        if output is not None:
            row["max_tokens"] = output
            if self.full:
                row |= {"ignore_eos": True, "min_tokens": output}
        return row

    def _prefix(self, index: int, seed: int) -> tuple[str, ...]:
        """The id of the prefix of a prompt, if it has one."""
        if not self.prefix_tokens:
            return ()
        rng = Random(f"prefix/{seed}/{index}")
        if rng.random() >= self.prefix_share:
            return ()
        return (f"{self.salt}/{seed}/{rng.randrange(self.prefix_pool)}",)

    def data(self, task: Task, index: int, seed: int) -> Any:
        """The data of item `index`; raises ItemError if the task takes no prompt."""
        if (name := self._names.get(id(task))) is None:
            name = self._names[id(task)] = length_name(task)
        return task.parse(named(self.row(index, seed), name))

    def rows(self, task: Task, items: int, seed: int, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every item whose index is `part` modulo `parts`."""
        for index in range(part, items, parts):
            yield index, self.data(task, index, seed), 0


LENGTH_NAMES = ("max_tokens", "max_output_tokens")
"""Names of the bound of an answer's length: of most APIs, and of OpenAI's Responses API."""


def named(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The row with the length of the answer under this name."""
    if "max_tokens" not in row or name == "max_tokens":
        return row
    return {name if key == "max_tokens" else key: value for key, value in row.items()}


def length_name(task: Task) -> str:
    """The first name for the length of an answer that the task does not refuse."""
    return next((name for name in LENGTH_NAMES if _takes(task, name)), LENGTH_NAMES[0])


def _takes(task: Task, name: str) -> bool:
    try:
        task.parse({"prompt": "a", "text": "a", name: 1})
    except ItemError:
        return False
    return True


def prompts(
    settings: PromptSettings,
    texts: TokenText,
    full: bool = False,
    salt: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> Prompts:
    """The prompts that the options describe; raises UsageError."""
    output = settings.output_tokens
    return Prompts(
        input=parse(settings.input_tokens or "", "--input-tokens", INPUT_NAMES),
        output=None if output is None else parse(output, "--output-tokens", OUTPUT_NAMES),
        texts=texts,
        full=full,
        prefix_tokens=settings.prefix_tokens or 0,
        prefix_pool=settings.prefix_pool or 1,
        prefix_share=1.0 if settings.prefix_share is None else settings.prefix_share,
        salt=salt,
        parameters=parameters or {},
    )
