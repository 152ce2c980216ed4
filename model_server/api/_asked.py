"""What every generating route takes besides its prompt: how long the text is, where it ends, how tokens are chosen.

Rules of this file
  1. What changes the answer or the load is honoured, or refused by name: a field that is not listed is refused, and so
     is a value that `neutral` does not hold. null is as good as absent.
  2. What is listed and has no effect changes neither.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from model_server.sampling import GREEDY, Sampling

Seed = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
Unsupported = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "null", "description": "not supported"})]
NoEffect = Annotated[Any, msgspec.Meta(extra_json_schema={"description": "has no effect"})]
STOPS_MAX, STOP_MAX = 4, 64
Stop = Annotated[str, msgspec.Meta(max_length=STOP_MAX, extra_json_schema={"minLength": 1})]
Stops = Stop | Annotated[list[Stop], msgspec.Meta(max_length=STOPS_MAX)]
"""Texts at which a generation ends; they are no part of the answer."""

Neutral = dict[str, tuple[Any, ...]]


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Without `temperature`, `top_p` and `seed` the most likely token is taken; with one of them, tokens are drawn."""

    neutral: ClassVar[Neutral] = {
        "top_k": (-1, 0),
        "min_p": (0,),
        "repetition_penalty": (1,),
        "length_penalty": (1,),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "logit_bias": ({},),
        "stop_token_ids": ([],),
        "best_of": (1,),
        "use_beam_search": (False,),
        "skip_special_tokens": (True,),
    }
    max_tokens: PositiveInt | None = None
    stream: bool | None = False
    stop: Stops | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    ignore_eos: bool | None = None
    min_tokens: Count | None = None
    echo: bool | None = None
    top_k: Unsupported = None
    min_p: Unsupported = None
    repetition_penalty: Unsupported = None
    length_penalty: Unsupported = None
    presence_penalty: Unsupported = None
    frequency_penalty: Unsupported = None
    logit_bias: Unsupported = None
    stop_token_ids: Unsupported = None
    best_of: Unsupported = None
    use_beam_search: Unsupported = None
    skip_special_tokens: Unsupported = None
    user: NoEffect = None
    metadata: NoEffect = None
    store: NoEffect = None
    service_tier: NoEffect = None
    safety_identifier: NoEffect = None
    prompt_cache_key: NoEffect = None
    prompt_cache_retention: NoEffect = None

    @property
    def stops(self) -> tuple[str, ...]:
        """Any number of them, as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def sampling(self) -> Sampling:
        """A temperature that is not given is 1 where tokens are to be drawn, as the API has it, and 0 elsewhere."""
        temperature = self.temperature
        given = (temperature, self.top_p, self.seed, self.min_tokens, self.ignore_eos)
        if given.count(None) == len(given):
            return GREEDY
        if temperature is None:
            temperature = 0.0 if self.seed is None and self.top_p in (None, 1) else 1.0
        top_p = 1.0 if self.top_p is None else self.top_p
        return Sampling(temperature, top_p, self.seed, self.min_tokens or 0, bool(self.ignore_eos))
