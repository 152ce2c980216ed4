"""Steps: a staircase of rates, each held long enough to settle."""

from harness.load.pacers.steps import Steps as StepsLoad
from scenarios.users import Application


class Steps(Application):
    """A staircase of rates, each held long enough to settle."""

    load = StepsLoad(rate_per_s=10.0, factors=(1.0, 2.0, 4.0, 8.0))
    duration_s = 40.0
