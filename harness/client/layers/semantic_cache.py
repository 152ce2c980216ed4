"""Caches answers by meaning: questions that mean the same share an answer.

Rules of this file
  1. Two questions share an answer only if everything but their text is equal, their embeddings are near, and the guard
     finds no difference in what carries meaning. An embedding alone never decides.
  2. The embedding is computed once per request, for both lookup and storage. Without one, the request bypasses this
     layer.
  3. Exchanges for the embedding on the same server are counted with the request (hit, miss or cancelled) as calls of
     this layer, not as attempts of the request.
  4. A share of the hits is sent all the same (`shadow`): the fresh answer is returned and compared with the stored
     one, so the false-hit rate is measured. With `shadow` 1 no answer is served from the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any, ClassVar

from harness.base.clock import Clock, clock
from harness.client.cache.equality import answered, keepable, repeatable
from harness.client.cache.semantic.embedding import FromUrl, Function, embedding_of
from harness.client.cache.semantic.memory import Memory
from harness.client.cache.semantic.shadow import Shadow
from harness.client.cancellation import attach, partial_of
from harness.client.checks import between
from harness.client.figures import Ratio
from harness.client.protocols import Closable
from harness.client.redaction import redact
from harness.client.text.request_text import rest_of, text_of
from harness.client.types import Attempt, Outcome, Request, Response, Send


class SemanticCache:
    """Answers to questions that mean the same: near by embedding (`embed`), and no number, name or negation apart.

    `embed` is "target" (the same server's /v1/embeddings), a URL, or a function. `agree` compares a kept answer with a
    fresh one for the shadow; by default they must be equal.

    Args:
        inner: Sends one attempt.
        embed: Source of embeddings: "target" (the same server), a URL, or a function. Default "target".
        threshold: Least cosine similarity of two texts that may share an answer, 0 to 1. Default 0.8.
        entries: Upper bound of answers in memory. Default 10000.
        ttl_s: Seconds for which an answer is kept. Default 86400.0.
        shadow: Share of hits that are sent all the same, to measure false hits; 1 serves nothing. Default 0.02.
        guard: Whether a difference in number, negation, name and the like prevents a hit. Default True.
        scope: Name that separates the answers of tenants or versions. Default "".
        sampled: Whether answers drawn at a temperature are kept too. Default False.
        rng: Source of the draw for `shadow`. Default None: a new one, seeded by the system.
        agree: Compares a kept answer with a fresh one. Default None: they must be equal.
    """

    place: ClassVar[int] = 20
    ratios: ClassVar[tuple[Ratio, ...]] = (
        Ratio("hit_share", "hits", ("hits", "misses")),
        Ratio("false_share", "false", ("checked",)),
        Ratio("false_share_high", "false", ("checked",), upper=True),
    )

    def __init__(
        self,
        inner: Send,
        embed: str | Function = "target",
        threshold: float = 0.8,
        entries: int = 10_000,
        ttl_s: float = 86_400.0,
        shadow: float = 0.02,
        guard: bool = True,
        scope: str = "",
        sampled: bool = False,
        rng: Random | None = None,
        agree: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        self.threshold, self.entries, self.ttl_s, self.shadow = threshold, entries, ttl_s, shadow
        between(self, 0.0, 1.0, "threshold", "shadow")
        between(self, 1, 1_000_000, "entries")
        between(self, 1e-3, 1e9, "ttl_s")
        self._inner = inner
        self._embed = embedding_of(embed)
        self._memory = Memory(threshold, entries, guarded=guard)
        self._scope = scope.encode()
        self._sampled = sampled
        self._rng = rng or Random()
        self._agree = agree or (lambda kept, fresh: bool(kept == fresh))
        self._now: Clock | None = None
        self.checks = Shadow()
        self.hits = 0
        self.misses = 0
        self.stored = 0  # answers kept
        self.without = 0  # requests for which there was no embedding

    async def __call__(self, request: Request, /) -> Response:
        text = text_of(request) if repeatable(request, self._sampled) else None
        if not text:
            return await self._inner(request)
        now = self._now = self._now or clock()
        vector, cost = await self._embed(text, self._inner, request.deadline)
        if vector is None:
            self.without += 1
            return await self._ask(request, cost)
        kind = blake2b(rest_of(request), digest_size=16, key=self._scope[:64]).digest()
        entry = self._memory.find(kind, text, vector, now())
        if entry is not None and self._rng.random() >= self.shadow:
            self.hits += 1
            return _charged(answered(entry.answers, now()), cost)
        self.misses += 1
        response = await self._ask(request, cost)
        if keepable(response):
            if entry is not None:
                self.checks.saw(self._agree(entry.answers, response.answers))
            self.stored += 1
            self._memory.keep(kind, text, vector, response.answers, now() + self.ttl_s)
        return response

    async def _ask(self, request: Request, cost: tuple[Attempt, ...]) -> Response:
        try:
            return _charged(await self._inner(request), cost)
        except asyncio.CancelledError as cancelled:
            if cost:
                partial = partial_of(cancelled) or Response(Outcome.cancelled)
                attach(cancelled, _charged(partial, cost))
            raise

    @property
    def needs_real_time(self) -> str | None:
        """A second server is outside of a simulation."""
        if not isinstance(self._embed, FromUrl):
            return None
        return (
            f"embed={redact(self._embed.url)}: a simulation has no other server; "
            "use embed=target or a function of your own (package.module:function)"
        )

    @property
    def refused(self) -> dict[str, int]:
        """Near entries that the guard refused, by reason."""
        return dict(self._memory.refused)

    def figures(self) -> dict[str, int]:
        """Hits, misses and stored answers; hits checked by the shadow, false ones among them; refusals of the guard."""
        refused = {f"guard_refused_{reason}": number for reason, number in sorted(self.refused.items())}
        return {
            "hits": self.hits,
            "misses": self.misses,
            "stored": self.stored,
            "checked": self.checks.checked,
            "false": self.checks.false,
            "guard_refused": sum(refused.values()),
            **refused,
            "no_embedding": self.without,
        }

    def faults(self) -> list[str]:
        """Why requests could not be looked up."""
        return ["some requests got no embedding, so they were sent without a look-up"] if self.without else []

    async def aclose(self) -> None:
        """Close the embedding's connections."""
        if isinstance(self._embed, Closable):
            await self._embed.aclose()


def _charged(response: Response, cost: tuple[Attempt, ...]) -> Response:
    """The response with the exchanges of the embedding before its own."""
    if cost:
        response.previous = (*cost, *response.previous)
    return response
