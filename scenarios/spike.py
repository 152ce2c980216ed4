"""Spike: a steady rate with one sudden burst in the middle."""

from harness.load.pacers.spike import Spike as SpikeLoad
from scenarios.users import Application


class Spike(Application):
    """A steady rate with one sudden burst in the middle; shows the depth of the drop and the time to recover."""

    load = SpikeLoad(rate_per_s=20.0, factor=4.0)
