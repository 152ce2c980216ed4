"""Spike: a steady rate with one sudden burst in the middle."""

from harness.load.pacers.spike import Spike as SpikeLoad
from scenarios.users import Application


class Spike(Application):
    """A steady rate with one sudden burst in the middle: how deep is the hole, how long the way out?"""

    load = SpikeLoad(rate_per_s=20.0, factor=4.0)
