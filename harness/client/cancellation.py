"""The response of a cancelled attempt: its CancelledError carries it outwards, so that the recorder counts it."""

from __future__ import annotations

from asyncio import CancelledError

from harness.client.types import Response


def attach(cancelled: CancelledError, response: Response | None) -> None:
    """Let an error carry the response of the attempt that it ended; None: nothing was sent."""
    cancelled.response = response  # type: ignore[attr-defined] # the error of the standard library has no place for it


def partial_of(cancelled: CancelledError) -> Response | None:
    """The response that an error carries; None if nothing was sent."""
    response: Response | None = getattr(cancelled, "response", None)
    return response
