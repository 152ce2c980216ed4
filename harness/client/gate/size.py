"""The size of an attempt relative to an average one, so that long requests do not look like congestion; pure.

Rules of this file
  1. An attempt has two numbers: input tokens and output tokens, counted by the server or estimated from bytes. The cost
     of each depends on server and task, so it is fitted: latency = a + b x input + c x output, by least squares over
     the last few hundred responses.
  2. Until size matters beyond noise, every attempt has size 1.0. A latency divided by the size estimates the latency of
     an average attempt; where size does not matter, the division changes nothing.
"""

from __future__ import annotations

from harness.client.protocols import CountedAnswer, TextAnswer, provides
from harness.client.types import Request, Response

# Responses; older ones fade.
MEMORY = 400
FIT_EVERY = 32
FIT_MIN = 64
# An explained share of the variance above SURE / (number of responses) is not noise (F test, p = 0.003).
SURE = 12.0
RELATIVE_MIN = 0.05
NO_COST = (0.0, 0.0)
_BYTES_A_TOKEN, _WIDE_BYTES_A_TOKEN, _CHARACTERS_A_TOKEN = 4, 3, 4


def work_of(request: Request, response: Response) -> tuple[float, float]:
    """(input tokens, output tokens): as the server counted them, else estimated; output is 0 if no text is generated.

    Without a count the output tokens are the events of a stream, or a quarter of the characters of a text.
    """
    body = request.body
    given = len(body) / (_BYTES_A_TOKEN if body.isascii() else _WIDE_BYTES_A_TOKEN)
    made = 0.0
    for answer in response.answers:
        if type(answer) is float:
            continue
        usage = answer.usage if provides(answer, CountedAnswer) else None
        if usage is not None:
            made += usage.completion_tokens or 0
            if len(response.answers) == 1 and usage.prompt_tokens is not None:
                given = float(usage.prompt_tokens)
            continue
        text = answer if type(answer) is str else answer.text if provides(answer, TextAnswer) else None
        if response.chunks:
            made = float(len(response.chunks))
        elif type(text) is str:
            made += len(text) / _CHARACTERS_A_TOKEN if text.isascii() else len(text)
    return given, made


class Sizes:
    """Fits the cost of a token, and gives the relative size of an attempt: 1.0 is average."""

    __slots__ = ("_cost", "_count", "_gg", "_given", "_gl", "_gm", "_latency_s", "_ll", "_made", "_ml", "_mm", "_of")

    def __init__(self) -> None:
        self._count = 0
        self._given = self._made = self._latency_s = 0.0  # means
        self._gg = self._gm = self._mm = self._gl = self._ml = self._ll = 0.0  # covariances
        self._cost = (0.0, 0.0)  # of an input and an output token, in mean latencies
        self._of = (0.0, 0.0)  # the average attempt at the time of the fit

    @property
    def is_settled(self) -> bool:
        """Size does not matter by the fit, which has seen enough: a part of the attempts is enough to follow it."""
        return self._count >= MEMORY and self._cost == NO_COST

    def relative(self, work: tuple[float, float], latency_s: float) -> float:
        """The relative size of an attempt by the present fit; then the attempt enters the fit."""
        given, made = work
        cost_given, cost_made = self._cost
        size = 1.0
        if cost_given or cost_made:
            of_given, of_made = self._of
            size = max(RELATIVE_MIN, 1.0 + cost_given * (given - of_given) + cost_made * (made - of_made))
        self._count = count = self._count + 1
        share = 1.0 / count if count < MEMORY else 1.0 / MEMORY
        keep = 1.0 - share
        off_given, off_made, off_s = given - self._given, made - self._made, latency_s - self._latency_s
        self._given += share * off_given
        self._made += share * off_made
        self._latency_s += share * off_s
        self._gg = keep * (self._gg + share * off_given * off_given)
        self._gm = keep * (self._gm + share * off_given * off_made)
        self._mm = keep * (self._mm + share * off_made * off_made)
        self._gl = keep * (self._gl + share * off_given * off_s)
        self._ml = keep * (self._ml + share * off_made * off_s)
        self._ll = keep * (self._ll + share * off_s * off_s)
        if not count % FIT_EVERY and count >= FIT_MIN:
            self._fit(min(count, MEMORY))
        return size

    def _fit(self, count: int) -> None:
        """Fit the cost of a token; 0 unless it is significant."""
        given_s, made_s = self._slopes()
        explained = given_s * self._gl + made_s * self._ml
        if self._latency_s <= 0.0 or explained <= SURE / count * self._ll:
            self._cost = NO_COST
            return
        by_size_s = given_s * self._given + made_s * self._made
        scale = 1.0 / max(self._latency_s, by_size_s)  # so that an attempt without tokens has no negative size
        self._cost = (given_s * scale, made_s * scale)
        self._of = (self._given, self._made)

    def _slopes(self) -> tuple[float, float]:
        """Seconds for each token, by least squares; never negative."""
        gg, gm, mm, gl, ml = self._gg, self._gm, self._mm, self._gl, self._ml
        free = gg * mm - gm * gm
        if free > 1e-6 * gg * mm:
            given_s, made_s = (gl * mm - ml * gm) / free, (ml * gg - gl * gm) / free
            if given_s >= 0.0 and made_s >= 0.0:
                return given_s, made_s
        alone = (gl / gg if gg > 0 else 0.0, ml / mm if mm > 0 else 0.0)
        if alone[0] * gl >= alone[1] * ml:  # the one that explains more
            return max(0.0, alone[0]), 0.0
        return 0.0, max(0.0, alone[1])
