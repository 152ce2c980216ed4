"""Soak: a moderate rate for a long time, to find leaks and drift."""

from harness.load.pacers.constant import Constant
from scenarios.users import Application


class Soak(Application):
    """A moderate, even rate for a long time; shows leaks, drift and slow decay."""

    load = Constant(rate_per_s=20.0)
    duration_s = 600.0
