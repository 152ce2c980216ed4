"""Warm-up of a server: computes every frequent shape once and measures the fixed cost of a batch.

The first batch of a new shape is slower (about 14 % for a small encoder), because the libraries prepare for it. With
lengths padded to multiples of 16 there are few enough shapes to compute all of them, cheapest first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from model_server.engines.decoding import Decoder
from model_server.engines.served import Served
from model_server.work import Sequence

PAD_MULTIPLE = 16
_TOKENS_MAX = 2048
_ITEMS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_OVERHEAD_TOKENS_MAX = 4096.0
Progress = Callable[[str], None]


def warm_encoder(served: Served, items_max: int, budget_s: float) -> int:
    """Compute each shape once, for at most `budget_s` seconds; returns the number of computed shapes."""
    longest = min(served.loaded.tokens_max, _TOKENS_MAX) // PAD_MULTIPLE * PAD_MULTIPLE
    shapes = [
        (items * length, items, length)
        for items in _ITEMS
        for length in range(PAD_MULTIPLE, longest + 1, PAD_MULTIPLE)
        if items <= items_max and items * length <= _TOKENS_MAX
    ]
    until = time.monotonic() + budget_s
    for done, (_, items, length) in enumerate(sorted(shapes)):
        if time.monotonic() > until:
            return done
        served.warm(items, length)
    return len(shapes)


def overhead_tokens(served: Served, items: int = 8, length: int = 64, tries: int = 3) -> float:
    """The fixed cost of a batch in padded tokens: `a / b` in time = a + b x items x length.

    Each time is the minimum of several tries, so that other load on the machine has little influence.
    """
    length = min(length, served.loaded.tokens_max)

    def least(count: int) -> float:
        times = []
        for _ in range(tries):
            began = time.perf_counter()
            served.warm(count, length)
            times.append(time.perf_counter() - began)
        return min(times)

    one, many = least(1), least(items)
    per_token = (many - one) / ((items - 1) * length)
    if per_token <= 0:
        return _OVERHEAD_TOKENS_MAX
    return min(_OVERHEAD_TOKENS_MAX, max(1.0, one / per_token - length))


def warm_decoder(decoder: Decoder, running_max: int, budget_s: float) -> int:
    """Generate a few tokens with 1, 2, 4 ... concurrent sequences; returns the number of computed sizes."""
    until = time.monotonic() + budget_s
    done, count = 0, 1
    while time.monotonic() < until:
        for _ in range(count):
            decoder.add(Sequence("a b c d e f g h", 8, 4, 0.0))
        while decoder.busy:
            decoder.step()
        done += 1
        if count == running_max:
            break
        count = min(2 * count, running_max)
    return done
