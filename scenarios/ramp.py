"""Ramp: the rate rises steadily to find the point of overload."""

from harness.load.pacers.ramp import Ramp as RampLoad
from scenarios.users import Application


class Ramp(Application):
    """The rate rises steadily to five times its start."""

    load = RampLoad(rate_per_s=10.0, factor=5.0)
    duration_s = 30.0
