"""Parameters of all generating routes besides the prompt: length, stop texts and sampling.

Rules of this file
  1. A field that changes the answer or the load is supported, or refused by name: a field that is not listed is
     refused, and so is a value that `neutral` does not list. null means absent.
  2. A listed field without effect changes neither the answer nor the load.
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
"""Texts at which a generation ends; the answer does not include them."""

Neutral = dict[str, tuple[Any, ...]]


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Without `temperature`, `top_p` and `seed`, sampling is greedy; with any of them, tokens are drawn at random."""

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
        """The stop texts as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def sampling(self) -> Sampling:
        """The sampling parameters. A missing temperature is 1 if tokens are drawn, as in OpenAI's API, and else 0."""
        temperature = self.temperature
        given = (temperature, self.top_p, self.seed, self.min_tokens, self.ignore_eos)
        if given.count(None) == len(given):
            return GREEDY
        if temperature is None:
            temperature = 0.0 if self.seed is None and self.top_p in (None, 1) else 1.0
        top_p = 1.0 if self.top_p is None else self.top_p
        return Sampling(temperature, top_p, self.seed, self.min_tokens or 0, bool(self.ignore_eos))
