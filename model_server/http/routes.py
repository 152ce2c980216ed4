"""A route: where it is, what it takes and gives, and which function answers it.

The table of routes, the OpenAPI document and the table in docs/servers.md are all made from these.
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

    `request` is what the body decodes to, None for no body; `answer` what comes back, a tuple if it has several shapes.
    """

    method: str
    path: str
    handler: Handler
    summary: str  # one line, for people and for OpenAPI
    family: str  # native, openai, tei, ops
    request: Any = None
    answer: Any = None
    request_forms: tuple[Any, ...] = ()  # where one path takes several bodies: each of them, for OpenAPI
    work: bool = True  # counted, limited, refused while draining
    open: bool = False  # needs no API key
    streams: bool = False  # can answer with server-sent events
    event: Any = None  # what is in each of them, but the closing [DONE]
    content_type: str = "application/json"
    status: int = 200  # of a good answer
    statuses: tuple[int, ...] = ()  # of errors beyond those that its kind of route has anyway, for OpenAPI
    tei_param: str | None = None  # the field by which a body is told to be TEI's, where a path takes both

    def tells_as_tei(self, error: ApiError) -> bool:
        """TEI routes have statuses of their own for some errors, and carry `error_type`."""
        if self.family == "tei":
            return True
        return self.tei_param is not None and (error.param or "").split(".")[0] == self.tei_param
