"""Mixed: several tasks by weight, arriving independently."""

from harness.load.pacers.poisson import Poisson
from scenarios.users import Application


class Mixed(Application):
    """Several tasks by weight on one server, arriving independently, with synthetic texts."""

    load = Poisson(rate_per_s=20.0)
    mix = {"similarity": 5.0, "fill-mask": 2.0, "zero-shot": 2.0, "annotate": 1.0}  # noqa: RUF012 - read, never changed
