"""The errors that a caller gets: one class and one body for all routes.

429 means that the caller exceeds its limit, 503 that the server is full, starting or draining; both have Retry-After.
TEI routes have TEI's statuses (422 for an invalid request, 413 for a too large one, 424 for a failed model) and
also `error_type` at the top level, as TEI clients expect. Routes raise the plain error; `for_tei` translates it in one
place.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from harness.base import units

Header = tuple[bytes, bytes]
CLOSE: Header = (b"connection", b"close")

_encode = msgspec.json.Encoder().encode

# text-embeddings-inference, router/src/http/server.rs: ErrorType and its StatusCode.
_TEI_BY_CODE = {
    "empty": (400, "Empty"),
    "too_many_items": (413, "Validation"),
    "text_too_long": (413, "Validation"),
    "context_length_exceeded": (413, "Validation"),
    "internal_error": (424, "Backend"),
    "server_draining": (503, "Unhealthy"),
    "server_starting": (503, "Unhealthy"),
}


class ApiError(Exception):
    """An answer other than 2xx: status, message for the user, `type` and `code` for programs, `param` in error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        type: str = "invalid_request_error",
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.extra_headers = headers
        self.error_type: str | None = None  # on TEI routes
        self._as_text = False

    def body(self) -> bytes:
        """The JSON body of the error."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        content: dict[str, Any] = {"error": self.message if self._as_text else error}
        if self.error_type is not None:
            content["error_type"] = self.error_type
        return _encode(content)

    def for_tei(self) -> ApiError:
        """This error with TEI's status and type; changed in place."""
        known = _TEI_BY_CODE.get(self.code)
        if known is not None:
            self.status, self.error_type = known
        elif self.status < 500 and self.status != 429:
            self.status, self.error_type = 422 if self.status == 400 else self.status, "Validation"
        else:
            self.error_type = "Overloaded" if self.status in (429, 503, 504) else "Backend"
        return self

    def as_text(self) -> ApiError:
        """This error with a text as its body: `{"error": "..."}`, as other servers have it; changed in place."""
        self._as_text = True
        return self

    def headers(self) -> list[Header]:
        """The error's headers, with Retry-After (whole seconds, at least 1) and retry-after-ms if the wait is known."""
        headers = list(self.extra_headers)
        if self.retry_after_s is not None:
            wait_s = max(0.0, self.retry_after_s)
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
            headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(wait_s * 1000))))
        return headers


class ClientGone(Exception):  # noqa: N818 - not an error of ours: the caller hung up
    """The client disconnected before its answer, so no answer is sent."""


def invalid(message: str, param: str | None = None, code: str = "invalid_value", status: int = 400) -> ApiError:
    """An invalid request, with the parameter in error."""
    return ApiError(status, message, code=code, param=param)


def full(message: str, retry_after_s: float) -> ApiError:
    """The queue is full; `retry_after_s` is the time to work off the backlog at the measured rate."""
    return ApiError(503, message, code="server_full", type="overloaded_error", retry_after_s=retry_after_s)


def draining() -> ApiError:
    """The server is stopping."""
    return ApiError(503, "the server is stopping", code="server_draining", type="overloaded_error", retry_after_s=1.0)


def starting() -> ApiError:
    """The model is warming up."""
    return ApiError(503, "the server is starting", code="server_starting", type="overloaded_error", retry_after_s=1.0)


def broken(failure: BaseException) -> ApiError:
    """The engine has failed for good."""
    message = f"the engine failed: {type(failure).__name__}: {failure}"
    return ApiError(503, message, code="engine_failed", type="server_error")


def too_slow(timeout_s: float) -> ApiError:
    """The body did not arrive in time. The connection is closed because the rest of the body may still arrive."""
    message = f"the body of the request was not complete after {units.seconds(timeout_s)}"
    return ApiError(408, message, code="body_timeout", type="timeout_error", headers=(CLOSE,))


def deadline_exceeded() -> ApiError:
    """The caller's deadline passed while the work was queued; nothing was computed."""
    return ApiError(
        504, "the deadline of the request passed while it was queued", code="deadline_exceeded", type="timeout_error"
    )
