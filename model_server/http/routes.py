"""A route: its path, the types of its bodies and answers, and the function that answers it.

The table of routes, the OpenAPI document and the table in docs/servers.md are made from routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_server.errors import ApiError
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply

if TYPE_CHECKING:
    from model_server.http.app import App

Handler = Callable[["App", Exchange, Any], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """One path and method.

    `request` is the type of the body, None for no body. `answer` is the type of the answer, or a tuple of types.
    """

    method: str
    path: str
    handler: Handler
    summary: str  # one line, for the documentation and OpenAPI
    family: str  # native, openai, tei, ops
    request: Any = None
    answer: Any = None
    request_forms: tuple[Any, ...] = ()  # each body format of a path with several, for OpenAPI
    work: bool = True  # counted, limited, refused while draining
    open: bool = False  # needs no API key
    streams: bool = False  # can answer with server-sent events
    event: Any = None  # type of its events, except the closing [DONE]
    content_type: str = "application/json"
    status: int = 200  # status of a successful answer
    statuses: tuple[int, ...] = ()  # error statuses besides those of its kind of route, for OpenAPI
    event_type: str = "text/event-stream"  # content type of its streams
    translate: Callable[[ApiError], ApiError] | None = None  # into the errors of another server
    tei_param: str | None = None  # the field that identifies TEI's body format, if a path takes several

    def tells_as_tei(self, error: ApiError) -> bool:
        """True if this error is sent in TEI's format, with its status and `error_type`."""
        if self.family == "tei":
            return True
        return self.tei_param is not None and (error.param or "").split(".")[0] == self.tei_param
