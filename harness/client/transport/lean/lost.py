"""What ends an exchange before its answer is complete."""

from __future__ import annotations

from harness.client.transport.connection_errors import IDLE_CLOSE


class LostError(ConnectionError):
    """The connection broke before the answer was complete; `idle` if it was a kept one and no byte had come."""

    def __init__(self, message: str, *, idle: bool = False) -> None:
        super().__init__(message)
        self.idle = idle


class ExpiredError(Exception):
    """The exchange took too long."""


def lost(cause: BaseException | None, *, used: bool, heard: bool) -> LostError:
    """The error for this cause; None is a close by the server.

    A reset is no idle close: the server may have begun to work.

    Args:
        cause: What the loop reports.
        used: An exchange was made on the connection before.
        heard: A byte of the answer has come.
    """
    if used and not heard and not isinstance(cause, ConnectionResetError):
        return LostError(IDLE_CLOSE, idle=True)
    if cause is None:
        return LostError(f"the server closed the connection {'inside' if heard else 'before'} its answer")
    error = LostError(f"{type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error
