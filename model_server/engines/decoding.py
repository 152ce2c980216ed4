"""Generation with continuous batching: all running sequences share each decode step.

Rules of this file
  1. Between two steps, ended and cancelled sequences leave, and waiting sequences are prefilled together, as many as
     fit into `PREFILL_TOKENS_MAX` padded tokens (at least one): this bounds the delay by long prompts.
  2. A prefill gives the first token, each step one more to every running sequence: the most likely token, or a random
     one (`choosing`).
  3. With random weights the end token is never chosen: a load test needs the requested lengths. Nor is the previous
     token: if input and output share their weights, it would be the most likely token for ever.
  4. A sequence with a script is computed as any other, but its tokens are those of the script.
(Orca, OSDI 2022, calls it iteration-level scheduling.)
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

from model_server.engines.choosing import Draw, drawn
from model_server.engines.detokenizing import TextOf
from model_server.engines.encoding import Encoder
from model_server.engines.loading import Loaded
from model_server.engines.settings import EngineError
from model_server.work import Sequence

PREFILL_TOKENS_MAX = 1024
_PAD_MULTIPLE = 16


class Event(NamedTuple):
    """An event of a sequence: a piece of text, its end, or both. `owner` is the owner passed to `Decoder.add`."""

    sequence: Sequence
    owner: Any
    piece: str | None
    reason: str | None
    now: float


class Running:
    """A sequence with its token ids."""

    __slots__ = ("draw", "ids", "last", "owner", "sequence", "text", "tokens")

    def __init__(self, sequence: Sequence, owner: Any, ids: list[int], raw: Any) -> None:
        self.sequence = sequence
        self.owner = owner
        self.ids = ids
        self.text = TextOf(raw)
        self.tokens = 0
        self.last = 0
        self.draw = Draw(sequence.sampling) if sequence.sampling.draws else None

    @property
    def endless(self) -> bool:
        """True if the end token must not be chosen now."""
        sampling = self.sequence.sampling
        return sampling.ignore_end or self.tokens < sampling.tokens_min

    def scripted(self, token: int) -> int:
        """The token that follows: that of the script, if the sequence has one, else the model's."""
        script = self.sequence.script
        return token if script is None or self.tokens < script.lead else script.ids[self.tokens - script.lead]

    def said(self, token: int, *, last: bool) -> str:
        """The text of the token that was counted last; with `last`, also the held back text."""
        script = self.sequence.script
        if script is None or self.tokens <= script.lead:
            return self.text.push(token, last=last)
        return script.pieces[self.tokens - script.lead - 1]

    @property
    def ending(self) -> str | None:
        """The finish reason of a sequence that ends with its present token; None if it goes on."""
        script, most = self.sequence.script, self.sequence.tokens_max
        if script is None:
            return "length" if self.tokens >= most else None
        return script.ending(self.tokens) if self.tokens >= min(most, script.tokens) else None


class Decoder:
    """The running sequences of one causal model. It is used on the engine's thread, except the encoder's `prompt`."""

    def __init__(self, loaded: Loaded, running_max: int) -> None:
        from model_server.engines.slots import Slots

        config = loaded.config
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        if not kinds <= {"full_attention", "sliding_attention"}:
            raise EngineError(f"model {loaded.name}: layers of type {', '.join(sorted(kinds))} are not supported")
        self.loaded = loaded
        self.encoder = Encoder(loaded)
        self._model = loaded.model
        self._raw = loaded.tokenizer.backend_tokenizer
        self._known = min(len(loaded.tokenizer), config.vocab_size)
        self._ends = _end_tokens(loaded)
        self._slots = Slots(config.num_hidden_layers, running_max)
        self._rows: list[Running] = []
        self._waiting: deque[Running] = deque()
        # Sequences that are being prefilled, so neither waiting nor running.
        self._joining: list[Running] = []

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._waiting)

    def add(self, sequence: Sequence, owner: Any = None) -> None:
        """Add a sequence; it joins before the next step."""
        self._waiting.append(Running(sequence, owner, self.encoder.prompt(sequence.prompt), self._raw))

    def fail(self) -> list[Event]:
        """End every sequence with an error, because a step failed."""
        now, everybody = time.monotonic(), (*self._rows, *self._joining, *self._waiting)
        events = [Event(one.sequence, one.owner, None, "error", now) for one in everybody]
        self._rows.clear()
        self._joining = []
        self._waiting.clear()
        self._slots.lengths.clear()
        return events

    def step(self) -> list[Event]:
        """Remove cancelled sequences, prefill new ones, and generate one token for each."""
        events: list[Event] = []
        self._drop_cancelled(events)
        self._prefill(events)
        if self._rows:
            self._decode(events)
        return events

    def _drop_cancelled(self, events: list[Event]) -> None:
        now = time.monotonic()
        for row in reversed(range(len(self._rows))):
            one = self._rows[row]
            if one.sequence.cancelled:
                events.append(Event(one.sequence, one.owner, None, "cancelled", now))
                self._leave(row)
        for one in [one for one in self._waiting if one.sequence.cancelled]:
            self._waiting.remove(one)
            events.append(Event(one.sequence, one.owner, None, "cancelled", now))

    def _leave(self, row: int) -> None:
        self._slots.leave(row)
        last = self._rows.pop()
        if row < len(self._rows):
            self._rows[row] = last

    def _newcomers(self) -> list[Running]:
        chosen: list[Running] = []
        longest = 0
        while self._waiting and len(self._rows) + len(chosen) < self._slots.rows_max:
            longest = max(longest, len(self._waiting[0].ids))
            if chosen and (len(chosen) + 1) * longest > PREFILL_TOKENS_MAX:
                break
            chosen.append(self._waiting.popleft())
        return chosen

    def _prefill(self, events: list[Event]) -> None:
        """Prefill the new sequences in one forward pass, their prompts aligned at the ends."""
        import torch
        from transformers.cache_utils import DynamicCache

        newcomers = self._joining = self._newcomers()
        if not newcomers:
            return
        longest = max(len(one.ids) for one in newcomers)
        length = -(-longest // _PAD_MULTIPLE) * _PAD_MULTIPLE
        ids = torch.zeros(len(newcomers), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(newcomers):
            ids[row, length - len(one.ids) :] = torch.tensor(one.ids)
            mask[row, length - len(one.ids) :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache()
        tokens = self._forward(newcomers, ids, mask, positions, cache)
        joined = []
        for row, (one, token) in enumerate(zip(newcomers, tokens, strict=True)):
            if not self._take(one, token, events):
                self._slots.join(cache, row, len(one.ids))
                joined.append(one)
        self._rows += joined
        self._joining = []

    def _decode(self, events: list[Event]) -> None:
        import torch

        slots = self._slots
        slots.make_room()
        first, end = slots.first, slots.end
        ids = torch.tensor([[one.last] for one in self._rows])
        positions = torch.tensor([[length] for length in slots.lengths])
        starts = torch.tensor([end - length for length in slots.lengths])
        mask = (torch.arange(first, end + 1) >= starts[:, None])[:, None, None, :]
        tokens = self._forward(self._rows, ids, mask, positions, slots)
        slots.stepped()
        for row in reversed(range(len(self._rows))):
            if self._take(self._rows[row], tokens[row], events):
                self._leave(row)

    def _forward(self, rows: list[Running], ids: Any, mask: Any, positions: Any, cache: Any) -> list[int]:
        device = self._model.device
        logits = self._model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1, : self._known]
        if self.loaded.random:
            logits[:, list(self._ends)] = float("-inf")
            logits.scatter_(1, ids[:, -1:].to(device), float("-inf"))
        elif endless := [row for row, one in enumerate(rows) if one.endless]:
            for end in self._ends:
                logits[endless, end] = float("-inf")
        tokens: list[int] = logits.argmax(-1).tolist()
        draws = {row: one.draw for row, one in enumerate(rows) if one.draw is not None}
        if draws:
            for row, token in zip(draws, drawn(logits[list(draws)], list(draws.values())), strict=True):
                tokens[row] = token
        return [one.scripted(token) for one, token in zip(rows, tokens, strict=True)]

    def _take(self, one: Running, token: int, events: list[Event]) -> bool:
        """Add the event of a token; True if it was the last."""
        now = time.monotonic()
        if token in self._ends and one.sequence.script is None:
            events.append(Event(one.sequence, one.owner, None, "stop", now))
            return True
        one.tokens += 1
        one.last = token
        reason = one.ending
        piece = one.said(token, last=reason is not None)
        events.append(Event(one.sequence, one.owner, piece, reason, now))
        return reason is not None


def _end_tokens(loaded: Loaded) -> frozenset[int]:
    """The end tokens of the generation configuration, else the tokenizer's."""
    generation = getattr(loaded.model, "generation_config", None)
    found = getattr(generation, "eos_token_id", None)
    found = loaded.tokenizer.eos_token_id if found is None else found
    return frozenset(() if found is None else found if isinstance(found, list) else [found])
