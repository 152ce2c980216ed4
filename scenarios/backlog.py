"""Backlog: every item is due at once, as in a batch job."""

from scenarios.users import Application


class Backlog(Application):
    """Every item is due at once, as in a batch job; the figure of merit is the makespan."""

    items = 1000
