"""The order of cases within rounds: random, with every case in every place equally often."""

from __future__ import annotations

from random import Random


def balanced_rounds(count: int, rounds: int, seed: int) -> list[list[int]]:
    """Places 0 .. count - 1 in a new order for each round.

    In each block of `count` rounds every case has every place once: the rotations of a random order, shuffled. So
    neither the first place (a cold cache) nor a steady drift of the machine favours a case. A single round keeps the
    given order, because there is nothing to balance.
    """
    if rounds < 2:
        return [list(range(count))] * rounds
    random, found = Random(seed), list[list[int]]()
    while len(found) < rounds:
        order = random.sample(range(count), count)
        block = [order[first:] + order[:first] for first in range(count)]
        random.shuffle(block)
        found += block
    return found[:rounds]
