"""The way of a request into the layers: it waits for a server that is down, and is not sent once the run stops."""

from __future__ import annotations

from harness.bulk import tally
from harness.bulk.ending import EarlyEnd
from harness.bulk.server_watch import ServerWatch
from harness.bulk.tally import ExchangeMeter, RowCounts
from harness.client.errors import UsageError
from harness.client.types import Outcome, Request, Response, Send


def entrance(inner: Send, server: ServerWatch, end: EarlyEnd, meter: ExchangeMeter, counts: RowCounts) -> Send:
    """What the strategy calls; `inner` are the layers above the transport. An error of a user's layer is an answer."""

    async def send(request: Request, /) -> Response:
        while server.down and not end:
            await server.back()
        if end:
            return Response(Outcome.not_sent)
        try:
            response = await inner(request)
        # Errors of a disk or a setting end the run.
        except (OSError, UsageError):
            raise
        except Exception as error:
            response = tally.broken(error)
        counts.oddities += response.oddities
        meter.unkept += 1
        return response

    return send
