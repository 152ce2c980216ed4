"""The transport over HTTP that a strategy needs: asyncio, or threads for a blocking strategy."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from harness.client.protocols import ThreadedStrategy, provides
from harness.client.transport.endpoint import Access
from harness.client.types import Send, Strategy

MakeExecutor = Callable[[int], concurrent.futures.Executor]


def transport_of(
    strategy: Strategy, to: Access, timeout_s: float, executor: MakeExecutor | None = None
) -> AbstractAsyncContextManager[Send]:
    """A transport that is not open yet. `executor` makes the threads of a blocking one, given their number."""
    if not strategy.blocking:
        from harness.client.transport.async_http import HttpTransport

        return HttpTransport(
            to.url,
            timeout_s=timeout_s,
            authorization=to.authorization,
            headers=to.headers,
            tls=to.tls,
            proxy=to.proxy,
        )
    from harness.client.transport.blocking import BlockingTransport

    threads = strategy.threads if provides(strategy, ThreadedStrategy) else 1
    made = executor(threads) if executor else None
    return BlockingTransport(
        to.url,
        threads=threads,
        timeout_s=timeout_s,
        executor=made,
        authorization=to.authorization,
        headers=to.headers,
        tls=to.tls,
        proxy=to.proxy,
    )
