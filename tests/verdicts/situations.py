"""What goes wrong in a measurement, and what paceline must say: one list for the tests and for docs/verdicts.md."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from tests.verdicts.ill_servers import HTML, dies, hangs, http, ill_server, nobody, refuses, says, sick

Server = Callable[[], AbstractContextManager[str]]
"""Its URL, while the block runs."""


@dataclass(frozen=True)
class Situation:
    """One thing that goes wrong."""

    name: str
    server: Server
    exit_code: int
    status: str
    # The reason that decides, and parts of its text: the finding and the remedy.
    code: str
    words: tuple[str, ...]
    options: tuple[str, ...] = ()
    items: int = 200
    # The user presses Ctrl-C once requests are in flight.
    stopped: bool = False
    # Busy loops on the client's processor.
    loops: int = 0


def verdict_words(status: str, code: str) -> str:
    """The verdict as the table has it."""
    if code == "SLO":
        return f"{status}, SLO failed"
    return f"{status} `{code}`" if code else status or "–"


NO_API = "is not the API that the task similarity expects"
SHORT = ("--timeout", "0.5", "--drain", "0.2")
ARRIVALS = ("--load", "constant", "--rate", "200", "--duration", "1")

SITUATIONS = [
    Situation(
        "429 to every second request",
        partial(ill_server, refuses(2)),
        *(4, "invalid", "errors"),
        ("50 % of the requests failed (100 of 200", "HTTP 429", "send less", "--retries"),
    ),
    Situation(
        "429 to every second request, and the user allows it",
        partial(ill_server, refuses(2)),
        *(0, "valid", "", ()),
        ("--slo", "errors<60%"),
    ),
    Situation(
        "429 to every second request, and an SLO",
        partial(ill_server, refuses(2)),
        *(1, "valid", "SLO", ("errors<1% FAILS: 50 %",)),
        ("--slo", "errors<1%"),
    ),
    Situation(
        "429 to every request",
        partial(ill_server, refuses(1)),
        *(4, "invalid", "no_data"),
        ("No success among 200 items: 200 rejected (HTTP 429)", "limits its rate or its queue", "send less"),
    ),
    Situation(
        "dies in mid-run, a backlog",
        partial(ill_server, dies(80)),
        *(4, "invalid", "server_gone"),
        ("The server was gone after", "later requests were refused or cut off", "Look at its log"),
    ),
    Situation(
        "dies in mid-run, arrivals with an SLO",
        partial(ill_server, dies(80)),
        *(4, "invalid", "server_gone"),
        ("The server was gone after", "Did it crash or restart?"),
        (*ARRIVALS, "--slo", "errors<1%"),
    ),
    Situation(
        "hangs from the start",
        partial(ill_server, hangs(0)),
        *(4, "invalid", "no_data"),
        ("No success among 24 items: 24 timed out", "hangs or is overloaded", "--timeout"),
        SHORT,
        items=24,
    ),
    Situation(
        "hangs in mid-run",
        partial(ill_server, hangs(80)),
        *(4, "invalid", "errors"),
        ("of the requests failed", "timed out, and nothing was answered after", "hangs or is overloaded"),
        SHORT,
        items=104,
    ),
    Situation(
        "hangs, and the user presses Ctrl-C",
        partial(ill_server, hangs(0)),
        *(5, "inconclusive", "interrupted"),
        ("stopped before the first answer", "requests had no answer after", "the server hangs: look at its log"),
        ("--drain", "0.2"),
        stopped=True,
    ),
    Situation(
        "a web page in place of JSON",
        partial(ill_server, says(http("200 OK", HTML, "text/html"))),
        *(4, "invalid", "no_data"),
        ("200 bad responses (HTTP 200)", NO_API, "check --target and --task"),
    ),
    Situation(
        "JSON of another API",
        partial(ill_server, says(http("200 OK", b'{"label": "positive"}'))),
        *(4, "invalid", "no_data"),
        ("200 bad responses (HTTP 200)", NO_API, "check --target and --task"),
    ),
    Situation(
        "no HTTP at all",
        partial(ill_server, says(b"SSH-2.0-OpenSSH_9.2p1\r\n")),
        *(4, "invalid", "no_data"),
        ("200 bad responses", NO_API, "check --target and --task"),
    ),
    Situation(
        "garbage to every fifth request",
        partial(ill_server, sick(5, http("200 OK", b'{"similarity_sc'))),
        *(4, "invalid", "errors"),
        ("20 % of the requests failed (40 of 200", "all of them bad responses (HTTP 200)", "or it is faulty"),
    ),
    Situation(
        "500 to every request",
        partial(ill_server, says(http("500 Internal Server Error", b'{"error": "CUDA out of memory"}'))),
        *(4, "invalid", "no_data"),
        ("200 server errors (HTTP 500)", "Look at the server's log"),
    ),
    Situation(
        "404: another route",
        partial(ill_server, says(http("404 Not Found", b'{"detail": "Not Found"}'))),
        *(4, "invalid", "no_data"),
        ("200 client errors (HTTP 404)", "no such route", "check --target and --task"),
    ),
    Situation(
        "401: no key",
        partial(ill_server, says(http("401 Unauthorized", b'{"error": "missing key"}'))),
        *(4, "invalid", "no_data"),
        ("200 client errors (HTTP 401)", "set PACELINE_TARGET_KEY"),
    ),
    Situation(
        "is never there",
        nobody,
        *(2, "", ""),
        ("Connection refused", "is the server running?"),
    ),
    Situation(
        "answers well, but three busy loops take the client's processor",
        partial(ill_server, refuses(0)),
        *(4, "invalid", "client_starved"),
        ("The client was starved of its processor", "Use a quieter machine"),
        ("--load", "constant", "--rate", "500", "--duration", "1"),
        loops=3,
    ),
]
