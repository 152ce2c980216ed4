"""One model for one kind of work: lengths, padding and the computation of batches."""

from __future__ import annotations

from typing import Any

from model_server.engines.encoding import Encoded, Encoder, Row
from model_server.engines.heads import Head, Inputs, head_of
from model_server.engines.loading import Loaded
from model_server.work import Work


class Served:
    """Encoder, model and head for one kind of work."""

    def __init__(self, kind: str, loaded: Loaded) -> None:
        self.kind = kind
        self.loaded = loaded
        self.encoder = Encoder(loaded)
        self.head: Head = head_of(kind, loaded)
        self._pad = loaded.tokenizer.pad_token_id or 0
        self._typed = "token_type_ids" in loaded.tokenizer.model_input_names

    def tokens(self, inputs: tuple[Any, ...]) -> int:
        """Length of an item's longest row, which decides its padding."""
        return max(len(self.encoder(row).ids) for row in self.head.rows(inputs))

    def compute(self, works: list[Work], length: int) -> None:
        """Set the output of every item. `length` is the policy's padded length; it is reduced to the model's bound."""
        rows = [self.encoder(row, clip=work.truncate) for work in works for row in self.head.rows(work.inputs)]
        inputs = self._inputs(rows, min(length, self.loaded.tokens_max))
        for work, output in zip(works, self.head.outputs(inputs, works), strict=True):
            work.output = output

    def example(self, tokens: int) -> Work:
        """An item of about this number of tokens for the warm-up."""
        text = "[MASK]" + " a" * max(1, tokens // 2 if self.kind in ("nli", "rerank") else tokens - 8)
        inputs: dict[str, tuple[Any, ...]] = {"embed": (text,), "classify": (text,), "fill-mask": (text, 5)}
        work = Work(self.kind, inputs.get(self.kind, (text, text)))
        work.truncate = True
        return work

    def warm(self, items: int, length: int) -> None:
        """Compute an artificial batch of exactly this shape."""
        work = self.example(length)
        rows = [self.encoder(row, clip=True) for row in self.head.rows(work.inputs)] * items
        cut = [Encoded(row.ids[:length], row.types[:length]) for row in rows]
        self.head.outputs(self._inputs(cut, length), [work] * items)

    def _inputs(self, rows: list[Encoded], length: int) -> Inputs:
        import torch

        length = max(length, *(len(row.ids) for row in rows))
        ids = torch.tensor([row.ids + [self._pad] * (length - len(row.ids)) for row in rows])
        mask = torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in rows])
        types = None
        if self._typed:
            types = torch.tensor([row.types + [0] * (length - len(row.types)) for row in rows])
        device = self.loaded.model.device
        return Inputs(ids.to(device), mask.to(device), None if types is None else types.to(device))

    def knows(self, inputs: tuple[Any, ...]) -> bool:
        """True if the item is in the cache, so counting is free."""
        return all(self.encoder.knows(row) for row in self.head.rows(inputs))

    def prepare(self, inputs: tuple[Any, ...]) -> None:
        """Tokenize the item and cache the result."""
        for row in self.head.rows(inputs):
            self.encoder(Row(*row))
