"""Steady: independent callers at a constant mean rate."""

from harness.load.pacers.poisson import Poisson
from scenarios.users import Application


class Steady(Application):
    """Independent callers at a constant mean rate (Poisson arrivals)."""

    load = Poisson(rate_per_s=20.0)
