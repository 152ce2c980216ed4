"""Sessions: conversations of several turns, each turn due after the answer before it and think time."""

from scenarios.users import Application


class Sessions(Application):
    """Conversations of several turns with history and think time, played by users or arriving by themselves."""

    sessions = True
    duration_s = 60.0
    mix = {"chat": 1.0}  # noqa: RUF012 - read, never changed
