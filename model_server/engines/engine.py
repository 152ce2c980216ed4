"""The engine of the model server: torch models behind `model_server.work.Engine`.

Rules of this file
  1. The code here runs on the loop's thread and is quick; computation runs on the one `ComputeThread`.
  2. The engine is ready when its shapes are warm; until then work is refused.
  3. It may be opened again on another loop when the first loop no longer uses it: the thread and its warm models stay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from harness.base import units
from model_server.engines.decoding import Decoder
from model_server.engines.encoding import Encoder
from model_server.engines.served import Served
from model_server.engines.settings import RANDOM_NOTE, EngineSettings
from model_server.engines.thread import ComputeThread
from model_server.engines.warming import Progress, overhead_tokens, warm_decoder, warm_encoder
from model_server.errors import invalid
from model_server.work import Batch, EngineInfo, Prompt, Said, Sequence, TokenOf, Work, line_of

_LONG_CHARS = 4000
"""Texts up to this length are tokenized on the loop, in less than a millisecond."""


class TorchEngine:
    """An engine for several kinds of work, each with its model, on one thread."""

    def __init__(
        self,
        settings: EngineSettings,
        served: dict[str, Served],
        decoder: Decoder | None,
        progress: Progress,
        details: dict[str, Any],
    ) -> None:
        self.settings = settings
        self.served = served
        self.decoder = decoder
        self.ready = False
        # Measured after the warm-up.
        self.overhead_tokens = 0.0
        self.failure: BaseException | None = None
        # Called on the loop after the warm-up, or after a failure, which is then in `failure`.
        self.on_ready: Callable[[], None] = lambda: None
        self.info = _info(served, decoder, details)
        self._progress = progress
        self._thread = ComputeThread(settings.threads, self._compute, decoder)
        self._thread.on_failure = self._ended
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Serve the running loop; the first time, start the thread and warm up."""
        first, self._loop = self._loop is None, asyncio.get_running_loop()
        if first:
            self._thread.start()
            self._thread.call(self._loop, self._warm, self._warmed)

    def close(self) -> None:
        """End the thread after its current job."""
        self._thread.close()

    def count_tokens(self, kind: str, inputs: tuple[Any, ...], /) -> int:
        """Length of the input by the model's tokenizer; results are cached."""
        if kind == "generate" and self.decoder is not None:
            return len(self.decoder.encoder.prompt(inputs[0]))
        return self.served[kind].tokens(inputs)

    def is_long(self, kind: str, inputs: tuple[Any, ...], /) -> bool:
        """True if tokenizing the input would block the loop."""
        if sum([len(part) for part in inputs if isinstance(part, str)]) <= _LONG_CHARS:
            return False
        if kind == "generate" and self.decoder is not None:
            return not self.decoder.encoder.knows(inputs[0])
        return not self.served[kind].knows(inputs)

    async def prepare(self, kind: str, inputs: tuple[Any, ...], /) -> None:
        """Tokenize a long input on a separate thread and cache the result."""
        if kind in self.served:
            await asyncio.to_thread(self.served[kind].prepare, inputs)
        elif self.decoder is not None:
            await asyncio.to_thread(self.decoder.encoder.prompt, inputs[0])

    def prompt(self, asked: Prompt, /) -> str:
        """The chat in the model's template; without a template, one line per message."""
        messages: list[Said] = [("user", asked, {})] if isinstance(asked, str) else list(asked)
        decoder = self.decoder
        if decoder is None or not decoder.loaded.tokenizer.chat_template:
            return asked if isinstance(asked, str) else "\n".join(map(line_of, messages))
        try:
            text: str = decoder.loaded.tokenizer.apply_chat_template(
                [{"role": role, "content": content, **more} for role, content, more in messages],
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception as error:
            # The template is a program of the model and can raise anything.
            raise invalid(f"messages: the model's chat template refuses them: {error}", "messages") from error
        return text

    def ids(self, kind: str, ids: tuple[int, ...], param: str, /) -> str | tuple[int, ...]:
        """The ids, checked against the vocabulary of the model for this kind of work."""
        known = self._encoder(kind).vocabulary
        wrong = next((place for place, number in enumerate(ids) if number >= known), None)
        if wrong is not None:
            place = f"{param}[{wrong}]"
            raise invalid(f"{place}: {ids[wrong]} is no token id of this model, whose last is {known - 1}", place)
        return ids

    async def tokens(self, kind: str, text: str, special: bool, /) -> list[TokenOf]:
        """The tokens of a text; a long text is tokenized outside the loop."""
        encoder = self._encoder(kind)
        if len(text) > _LONG_CHARS:
            return await asyncio.to_thread(encoder.tokens, text, special=special)
        return encoder.tokens(text, special=special)

    def text_of(self, kind: str, ids: tuple[int, ...], /) -> str:
        """The text of the ids, without special tokens."""
        return self._encoder(kind).text_of(ids)

    def _encoder(self, kind: str) -> Encoder:
        if kind == "generate" and self.decoder is not None:
            return self.decoder.encoder
        return self.served[kind].encoder

    def start(self, batch: Batch, done: Callable[[Batch], None], /) -> None:
        """Queue the batch for the thread."""
        assert self._loop is not None  # noqa: S101 - open() came first
        self._thread.batch(self._loop, batch, done)

    def generate(self, sequence: Sequence, /) -> None:
        """Add a sequence to the running ones before the next step."""
        assert self._loop is not None  # noqa: S101 - open() came first
        self._thread.sequence(self._loop, sequence)

    def compute(self, works: list[Work], length: int) -> None:
        """Compute one batch in the calling thread, for measurements without a server."""
        self.served[works[0].kind].compute(works, length)

    def _compute(self, batch: Batch) -> None:
        self.compute(batch.works, batch.length)

    def _warm(self) -> None:
        settings = self.settings
        parts = len(self.served) + (self.decoder is not None)
        began, shapes = time.monotonic(), 0
        if not settings.warm_s:
            return
        for served in self.served.values():
            self._progress(f"warming {served.kind} ({served.loaded.name})")
            shapes += warm_encoder(served, settings.rows_max, settings.warm_s / parts)
        if self.decoder is not None:
            self._progress(f"warming generate ({self.decoder.loaded.name})")
            shapes += warm_decoder(self.decoder, settings.running_max, settings.warm_s / parts)
        found = [overhead_tokens(served) for served in self.served.values()]
        self.overhead_tokens = min(found, default=0.0)
        self._progress(f"warmed {shapes} shapes in {units.seconds(time.monotonic() - began)}")

    def _ended(self, error: BaseException) -> None:
        """The thread has ended, so nothing can be computed: notify the server, which ends too."""
        if self._loop is not None:
            # A closed loop has no server.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._warmed, error)

    def _warmed(self, problem: BaseException | None) -> None:
        self.failure = problem
        self.ready = problem is None
        self.on_ready()


def _info(served: dict[str, Served], decoder: Decoder | None, details: dict[str, Any]) -> EngineInfo:
    models = {kind: one.loaded for kind, one in served.items()}
    if decoder is not None:
        models["generate"] = decoder.loaded
    limits = {kind: one.tokens_max for kind, one in models.items()}
    described = {
        kind: {
            "model": one.name,
            "architecture": type(one.model).__name__,
            "max_input_length": one.tokens_max,
            "random_weights": one.random,
        }
        for kind, one in models.items()
    }
    return EngineInfo(
        "+".join(dict.fromkeys(_model_id(one) for one in models.values())),
        frozenset(models),
        max(limits.values()),
        RANDOM_NOTE if any(one.random for one in models.values()) else None,
        details["dtype"],
        {**details, "models": described},
        limits,
        # A trained model would be made to say what it does not mean.
        scripts=decoder is not None and decoder.loaded.random,
    )


def _model_id(loaded: Any) -> str:
    """The name as a model id of the API, without blanks."""
    return str(loaded.name).replace(" (random weights)", "-random-weights").replace(" ", "-")


def describe(threads: int, device: Any, dtype: Any) -> dict[str, Any]:
    """Facts about the computation for /info."""
    import torch

    return {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": threads,
        "torch": str(torch.__version__),
    }
