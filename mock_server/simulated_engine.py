"""The simulated engine: the profile sets the times of batches and tokens. `Timers` is its only source of time.

Rules of this file
  1. Every end is an absolute instant, computed from the due time of the batch (or of the previous token), not from the
     time at which a timer fired: the overshoot of one timer is not added to the next, and throughput is exact.
  2. One timer per batch, one per sequence. Where batches share the machine (`growth_by = "running"`) the next end can
     move: one timer is set for the earliest end, and a timer that fires too early does nothing.
  3. Answers are computed while the clock runs, so their cost is part of the service time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain, islice
from random import Random
from typing import Any

from mock_server import answers, proof
from mock_server.pauses import Pauses
from mock_server.prefix_cache import Keys, PrefixCache
from mock_server.profile import Profile
from mock_server.sharing import Sharing
from mock_server.timers import Timers
from model_server.work import Batch, EngineInfo, Prompt, Sequence, TokenOf, Work, line_of

_Job = tuple[Batch, Callable[[Batch], None]]


class SimulatedEngine:
    """Simulates one profile, which is already scaled. `speed` is the factor that `changes` set over time."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self.profile = profile
        self.speed = 1.0
        self.ready = True
        self.failure = None
        self.running = 0
        # Tokens of the prompts and answers of all running sequences.
        self.context = 0
        self.pauses = Pauses()
        self._per_word, self._special = profile.tokens.per_word, profile.tokens.special
        growth = profile.service.growth
        shared = profile.service.growth_by == "running"
        self._shared = Sharing[_Job](lambda n: growth.apply(1.0, n)) if shared else None
        of = profile.generation
        self._prefixes = PrefixCache(of.prefix_cache_tokens, of.prefix_block_tokens) if of.prefix_cache_tokens else None
        # The earliest timer that is set for the shared batches.
        self._armed = math.inf
        details: dict[str, Any] = {"profile": profile.name, "speed": profile.speed}
        if profile.proof:
            details["proof"] = profile.proof
        note = f"simulated: answers are made up{scale_note(profile.speed)}{proof_note(profile)}"
        self.info = EngineInfo(
            profile.model,
            answers.KINDS,
            profile.input_tokens_max,
            note,
            details=details,
            images=True,
            tools=True,
            scripts=True,
        )
        # open() sets it before the first request.
        self.timers: Timers = None  # type: ignore[assignment]
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Restart all random sequences, with no prefix kept."""
        if self._prefixes is not None:
            self._prefixes.clear()
        generation = self.profile.generation
        self._jitter = self.profile.service.jitter.sampler(Random(f"{seed}/service"))
        self._ttft_jitter = generation.ttft_jitter.sampler(Random(f"{seed}/ttft"))
        self._itl_jitter = generation.itl_jitter.sampler(Random(f"{seed}/itl"))

    def pause(self, pauses: Pauses) -> None:
        """Use these pauses from now on."""
        self.pauses = pauses
        if self._shared is not None:
            self._shared.pauses = pauses

    def open(self) -> None:
        """Create the timers on the running loop."""
        self.timers = Timers()

    def count_tokens(self, kind: str, inputs: tuple[object, ...], /) -> int:
        """Words and punctuation marks, as the profile counts them; see `answers`."""
        return answers.count_tokens(inputs, self._per_word, self._special)

    def is_long(self, kind: str, inputs: tuple[object, ...], /) -> bool:
        """Never: counting words is quick."""
        return False

    async def prepare(self, kind: str, inputs: tuple[object, ...], /) -> None:
        """Do nothing: no input is long."""

    def prompt(self, asked: Prompt, /) -> str:
        """A chat as one line per message."""
        return asked if isinstance(asked, str) else "\n".join(map(line_of, asked))

    def ids(self, kind: str, ids: tuple[int, ...], param: str, /) -> str | tuple[int, ...]:
        """Each id as a word: a mock has no vocabulary."""
        return self.text_of(kind, ids)

    async def tokens(self, kind: str, text: str, special: bool, /) -> list[TokenOf]:
        """A word is a token, its id a hash of it."""
        return answers.tokens_in(text, special=special)

    def text_of(self, kind: str, ids: tuple[int, ...], /) -> str:
        """The ids as words."""
        return " ".join(map(str, ids))

    def service_s(self, batch: Batch) -> float:
        """Service time of this batch with jitter; where batches share the machine, its time alone."""
        service = self.profile.service
        padded = batch.padded_tokens
        flat = service.base_s + service.per_item_s * len(batch.works) + service.per_token_s * padded
        if service.per_square_s:
            flat += service.per_square_s * padded * batch.length
        grown = flat if self._shared is not None else service.growth.apply(flat, batch.works[0].in_flight)
        return grown * self._jitter() / self.speed if grown else 0.0

    def start(self, batch: Batch, done: Callable[[Batch], None], /) -> None:
        """Answer every item; call `done` when the service time is over."""
        seconds = self.service_s(batch)
        for work in batch.works:
            _answer(work)
        if self._shared is not None:
            self._shared.begin(batch.started, seconds, (batch, done))
            self._arm(self._shared)
            return
        batch.ended = self.pauses.ends(batch.started, seconds)
        if not seconds or batch.ended <= self.timers.clock():
            done(batch)
        else:
            self.timers.at(batch.ended, done, batch)

    def _arm(self, shared: Sharing[_Job]) -> None:
        end = shared.next_end()
        if end < self._armed:
            self._armed = end
            self.timers.at(end, self._due, shared, end)

    def _due(self, shared: Sharing[_Job], at: float) -> None:
        if at == self._armed:
            self._armed = math.inf
        for ended, (batch, done) in shared.over(at):
            batch.ended = ended
            done(batch)
        self._arm(shared)

    def generate(self, sequence: Sequence, /) -> None:
        """Emit the first token after the TTFT, the others at their inter-token times."""
        generation = self.profile.generation
        self.running += 1
        self.context += sequence.prompt_tokens
        keys: Keys = []
        if self._prefixes is not None:
            keys = self._prefixes.keys(str(sequence.prompt))
            sequence.cached_tokens = self._prefixes.cached_tokens(keys)
        seconds = (
            generation.ttft_base_s
            + generation.ttft_per_prompt_token_s * (sequence.prompt_tokens - (sequence.cached_tokens or 0))
            + generation.ttft_per_square_s * sequence.prompt_tokens**2
            + generation.ttft_per_running_s * (self.running - 1)
        )
        first = self.pauses.ends(sequence.started, seconds * self._ttft_jitter() / self.speed)
        if keys:
            self.timers.at(first, self._computed, sequence, self._text(sequence), first, keys)
        else:
            self.timers.at(first, self._token, sequence, self._text(sequence), first)

    def _text(self, sequence: Sequence) -> Iterator[str]:
        """The tokens of an answer, to its own end if it has one."""
        prompt, sampling = str(sequence.prompt), sequence.sampling
        mean, pieces = self.profile.generation.answer_tokens_mean, answers.pieces(prompt, sampling)
        if sequence.script is not None:
            return chain(islice(pieces, sequence.script.lead), sequence.script.pieces)
        if not mean or sampling.ignore_end:
            return pieces
        return islice(pieces, max(answers.own_length(prompt, mean), sampling.tokens_min))

    def _computed(self, sequence: Sequence, text: Iterator[str], due: float, keys: Keys) -> None:
        """The prompt is computed: it is kept, and the first token is there."""
        if self._prefixes is not None:
            self._prefixes.keep(keys)
        self._token(sequence, text, due)

    def _token(self, sequence: Sequence, text: Iterator[str], due: float) -> None:
        generation = self.profile.generation
        while True:
            if sequence.cancelled:
                self._end(sequence, "cancelled", self.timers.clock())
                return
            if (piece := next(text, None)) is None:
                # The step that makes the end token takes its time, too.
                self._end(sequence, "stop", due)
                return
            sequence.emit(piece, due)
            self.context += 1
            if sequence.tokens >= sequence.tokens_max or sequence.stopped:
                self._end(
                    sequence, "length" if sequence.script is None else sequence.script.ending(sequence.tokens), due
                )
                return
            step = generation.itl_base_s + generation.itl_per_running_s * (self.running - 1)
            if generation.itl_per_context_token_s:
                step += generation.itl_per_context_token_s * self.context
            due = self.pauses.ends(due, step * self._itl_jitter() / self.speed)
            if due > self.timers.clock():
                self.timers.at(due, self._token, sequence, text, due)
                return

    def _end(self, sequence: Sequence, reason: str, now: float) -> None:
        self.running -= 1
        self.context -= sequence.prompt_tokens + sequence.tokens
        sequence.finish(reason, now)


def scale_note(speed: float) -> str:
    """The note in a report on a profile with scaled times; empty if they are not scaled."""
    return "" if speed == 1 else f"; times divided by {speed:g}"


def proof_note(profile: Profile) -> str:
    """The note on how well a fitted profile plays its server; empty for others."""
    said = proof.words(profile)
    return f"; {said}" if said else ""


def _answer(work: Work) -> None:
    work.output = answers.answer(work.kind, work.inputs)
    if work.raw:
        work.output = [(label, round(math.log(score), 6)) for label, score in work.output]
