"""Finds exhausted quotas in response headers; costs next to nothing for servers that send none.

Rules of this file
  1. While responses carry no quota headers, only every `SOME`-th is examined. Once they do, every response is, and only
     the headers that were found.
  2. Quotas that are not exhausted are not parsed: how much may be sent is for the limit to learn, or for the rate
     limit to enforce.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from harness.client.transport.rate_limit_headers import REMAINING, SILENT, SOME, Quota, quotas

# A number, or the field of the IETF draft.
_NOTHING = re.compile(r"^\s*0*(\.\d*)?\s*$|\b(r|remaining)\s*=\s*0*(?!\d)")


class QuotaReader:
    """Reads the quota headers of one server."""

    __slots__ = ("_names", "_silent")

    def __init__(self) -> None:
        # Of the quota headers that this server sends.
        self._names: list[str] = []
        self._silent = 0

    def exhausted(self, headers: Mapping[str, str], always: bool = False) -> list[Quota]:
        """The exhausted quotas, with the seconds until their reset; nearly always none.

        `always` examines this response even if those before it had no quota headers.
        """
        if not self._names:
            self._silent += 1
            if self._silent > SILENT and not always and self._silent % SOME:
                return []
            self._names = [name for name in REMAINING if name in headers]
        for name in self._names:
            if (text := headers.get(name)) is not None and _NOTHING.search(text):
                return [quota for quota in quotas(headers, time.time()) if quota.remaining < 1.0 and quota.reset_s > 0]
        return []
