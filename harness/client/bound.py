"""What bounds the sending of a client at an instant."""

from __future__ import annotations

import enum


class Bound(enum.IntEnum):
    """The reason why no further attempt starts now. The names are what records and results hold; never rename one."""

    text: str

    def __new__(cls, code: int, text: str) -> Bound:
        made = int.__new__(cls, code)
        made._value_ = code
        made.text = text
        return made

    demand = 0, "nothing was ready to be sent"
    limit = 1, "the limit's number in flight"
    maximum = 2, "the limit at its maximum"
    pace = 3, "the limit's pace after refusals"
    pause = 4, "a pause: the server accepted nothing, or asked for it"
    quota = 5, "a quota that the server reported"
