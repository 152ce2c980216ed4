"""The order of the tests when several workers run them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

T = TypeVar("T")


def in_shares(slow: Sequence[Sequence[T]], quick: Sequence[T], workers: int) -> list[T]:
    """One list whose `workers` pieces of equal length begin with files of slow tests; quick ones fill them up.

    xdist gives each worker one such piece at the begin, and later what others have left at the ends of theirs. In the
    order of the folders, one worker would have all slow tests, and the last ones would run alone. A file stays
    together, for its fixtures.
    """
    piece = math.ceil((sum(map(len, slow)) + len(quick)) / workers)
    shares = [list(chain.from_iterable(slow[place::workers])) for place in range(workers)]
    begin = 0
    for share in shares:
        room = max(0, piece - len(share))
        share.extend(quick[begin : begin + room])
        begin += room
    return [*chain.from_iterable(shares), *quick[begin:]]
