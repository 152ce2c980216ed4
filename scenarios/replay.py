"""Replay: the arrivals, lengths and shared prefixes of a recorded trace."""

from scenarios.users import Application


class Replay(Application):
    """The arrivals, lengths, sessions and shared prefixes of a recorded trace (--trace FILE)."""

    needs_trace = True
    mix = {"chat": 1.0}  # noqa: RUF012 - read, never changed
