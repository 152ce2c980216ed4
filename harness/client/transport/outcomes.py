"""Common parts of all transports: status to outcome, finished answer to response.

Rules of this file
  1. It is pure: bytes in, values out; no clock, no socket. All transports classify alike because all call this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.client.errors import SettingError
from harness.client.redaction import excerpt, shown
from harness.client.transport.retry_after import retry_after_s
from harness.client.types import ANSWERED, Outcome, Response

END_WAIT_S = 0.1  # time for the connection to end the body after the stream's own end mark
LOOPBACK = ("127.0.0.1", "::1")  # addresses of `localhost`, in the order in which they are tried
REFUSED = frozenset({429, 503, 529})
_EXCERPT = 200  # bytes of a refusal that are kept for messages


def base_url(url: str) -> str:
    """Without a trailing slash."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or rest[:1] in {"", "/"}:
        raise SettingError(f"url={shown(url)!r}: expected http://HOST[:PORT] or https://HOST[:PORT]")
    return f"{scheme}://{rest.rstrip('/')}"


def joined(base: str, path: str) -> str:
    """The URL of a route; a `/v1` at the end of the base and the start of the path appears once.

    OpenAI's base URLs end in `/v1`, which the paths of its routes begin with.
    """
    if not path.startswith("/"):
        # The target's own path, which is at least a slash.
        place = base.partition("://")[2] if "://" in base else base
        return base + path if "/" in place else f"{base}/{path}"
    shared = path.partition("?")[0]
    while shared:
        if base.endswith(shared):
            return base + path[len(shared) :]
        shared = shared.rpartition("/")[0]
    return base + path


def outcome_of_status(status: int) -> Outcome:
    """The outcome of an HTTP status, before the body is read.

    200 is ok, and so is 202 for an answer that comes later. 429 and 503 mean "not now", and so does 529, which
    Anthropic's API answers when it is overloaded; 408 is the server's own time-out (RFC 9110); every other 5xx is the
    server's error. Any other status, redirects and other 2xx included, means that the request was wrong.
    """
    if status in ANSWERED:
        return Outcome.ok
    if status in REFUSED:
        return Outcome.rejected
    if status == 408:
        return Outcome.timed_out
    return Outcome.server_error if 500 <= status <= 599 else Outcome.client_error


def refuse(response: Response, status: int, headers: Mapping[str, str], body: bytes, now_unix_s: float) -> None:
    """Fill in a response with a status other than 200; the keys of `headers` are case-insensitive."""
    outcome = outcome_of_status(status)
    # The task does not take this status for an answer.
    response.outcome = Outcome.client_error if outcome is Outcome.ok else outcome
    response.retry_after_s = retry_after_s(headers, now_unix_s)
    response.error = f"HTTP {status}: {_redirect(status, headers)}{excerpt(body, _EXCERPT)}"


def _redirect(status: int, headers: Mapping[str, str]) -> str:
    """Target of a redirect, without secrets; redirects are not followed."""
    location = headers.get("Location", "") if 300 <= status <= 399 else ""
    if not location:
        return ""
    place = re.sub(r"//[^/?#]*@", "//", re.split("[?#]", location)[0])[:_EXCERPT]
    return f"a redirect to {place!r}, which is not followed; if that is the server that is meant, name it. "
