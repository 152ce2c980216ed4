"""Options of a load of sessions."""

from __future__ import annotations

from dataclasses import dataclass

from harness.base.options import first_given, option
from harness.base.quantity import rate_per_s, share
from harness.base.turn_index import SESSIONS_MAX
from harness.client.checks import flags_between
from harness.load.sessions.distributions import think_of, turns_of

RATE_MAX = 100_000


@dataclass(frozen=True)
class SessionSettings:
    """How sessions arrive, how long they are, and what their requests carry. None: as the option's help says."""

    turns: str | None = option(
        None,
        "Turns of a session: a number, uniform:2..8 or geometric:mean=4 [default: 5; with --input all user turns of "
        "the conversation, which is also the most].",
        metavar="N|DIST",
    )
    think: str | None = option(
        None,
        "Time from an answer to the next turn: none, a time, exponential:mean=3, lognormal:mean=3,sigma=1 or "
        "uniform:1..5 [default: none].",
        metavar="TIME|DIST",
    )
    session_rate: float | None = option(
        None,
        "Sessions that arrive per second, whatever the answers [default: each of --users plays one session after "
        "another].",
        kind=rate_per_s,
    )
    sessions: int | None = option(
        None, "Sessions in all [default: one for each user; as many as arrive, or begin, in --duration].", kind=int
    )
    new_sessions: float = option(
        1.0,
        "Share of sessions that begin without history; the others go on with an earlier conversation.",
        kind=share,
        metavar="SHARE",
    )
    cancel: float = option(0.0, "Share of streams that the client cancels in the middle.", kind=share, metavar="SHARE")
    history: int = option(
        16_000, "Most tokens of history in a request, as estimated; older exchanges are left out.", kind=int
    )

    def __post_init__(self) -> None:
        turns_of(self.turns or "1")
        think_of(self.think or "none")
        flags_between(
            ("--session-rate", self.session_rate, 1e-3, RATE_MAX),
            ("--sessions", self.sessions, 1, SESSIONS_MAX),
            ("--history", self.history, 0, 10_000_000),
        )

    @property
    def first_flag(self) -> str:
        """The first option that was given; empty if none was."""
        return first_given(self)
