"""Which of the server's quotas are used up, as its answers tell; made to cost nothing where they tell nothing.

Rules of this file
  1. While answers are silent on limits only some are looked at. Once they tell, every answer is, and of it only the
     headers that were found.
  2. What is left, unless it is nothing, is not read: how much may go is the limit's to learn, or the rate limit's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from harness.client.quota import REMAINING, Quota, quotas

SILENT = 8  # answers without a word on limits, after which only some are looked at
SOME = 32
_NOTHING = re.compile(r"^\s*0*(\.\d*)?\s*$|\b(r|remaining)\s*=\s*0*(?!\d)")  # a number, or the draft's field


class Told:
    """What answers tell of quotas that are used up."""

    __slots__ = ("_names", "_silent")

    def __init__(self) -> None:
        self._names: list[str] = []  # of the headers that this server sends
        self._silent = 0

    def used_up(self, headers: Mapping[str, str], surely: bool = False) -> list[Quota]:
        """The quotas of which nothing is left, with the seconds until they are whole; nearly always none.

        `surely` looks at this answer even though those before it told nothing.
        """
        if not self._names:
            self._silent += 1
            if self._silent > SILENT and not surely and self._silent % SOME:
                return []
            self._names = [name for name in REMAINING if name in headers]
        for name in self._names:
            if (text := headers.get(name)) is not None and _NOTHING.search(text):
                return [quota for quota in quotas(headers, time.time()) if quota.remaining < 1.0 and quota.reset_s > 0]
        return []
