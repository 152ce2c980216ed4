"""The transport that a strategy needs: aiohttp or lean on asyncio, or threads for a blocking strategy."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness.client.errors import UsageError
from harness.client.protocols import ThreadedStrategy, provides
from harness.client.transport.endpoint import Access
from harness.client.types import Send, Strategy

MakeExecutor = Callable[[int], concurrent.futures.Executor]
AIOHTTP, LEAN = "aiohttp", "lean"
TRANSPORTS = (AIOHTTP, LEAN)
"""Transports of strategies on asyncio, as users name them."""
TRANSPORT_HELP = (
    "How strategies on asyncio send: lean, our own HTTP/1.1 client, or aiohttp, as common production code does."
)


def check_transport(name: str | None, *, has_proxy: bool) -> None:
    """Raise UsageError for a transport that there is not, or that has no proxies."""
    if name is not None and name not in TRANSPORTS:
        raise UsageError(f"--transport {name}: expected {' or '.join(TRANSPORTS)}")
    if name == LEAN and has_proxy:
        raise UsageError(f"--transport {LEAN}: has no proxies; leave out --proxy, or choose --transport {AIOHTTP}")


def chosen(name: str | None, default: str, *, has_proxy: bool) -> str:
    """The transport that the user names, else the default of the command; with a proxy the one that has proxies."""
    return name or (AIOHTTP if has_proxy else default)


def note_of(name: str | None, default: str, *, has_proxy: bool) -> tuple[str, ...]:
    """The note in a result if a proxy changed the default of the command."""
    if name is None and has_proxy and default == LEAN:
        return (f"sent over {AIOHTTP}, because the transport {LEAN} has no proxies",)
    return ()


def transport_of(
    strategy: Strategy,
    to: Access,
    timeout_s: float,
    executor: MakeExecutor | None = None,
    name: str = AIOHTTP,
) -> AbstractAsyncContextManager[Send]:
    """A transport that is not open yet.

    Args:
        strategy: Says whether it blocks threads.
        to: The server.
        timeout_s: Seconds for one exchange.
        executor: Makes the threads of a blocking transport, given their number. Default None: its own.
        name: Transport of a strategy on asyncio, one of `TRANSPORTS`.
    """
    sent: dict[str, Any] = {"authorization": to.authorization, "headers": to.headers, "tls": to.tls}
    sent["timeout_s"] = timeout_s
    sent |= {"connect_timeout_s": to.connect_timeout_s, "first_byte_timeout_s": to.first_byte_timeout_s}
    if strategy.blocking:
        from harness.client.transport.blocking import BlockingTransport

        threads = strategy.threads if provides(strategy, ThreadedStrategy) else 1
        made = executor(threads) if executor else None
        return BlockingTransport(to.url, threads=threads, executor=made, proxy=to.proxy, **sent)
    if name == LEAN:
        from harness.client.transport.lean.transport import LeanTransport

        return LeanTransport(to.url, **sent)
    from harness.client.transport.async_http import HttpTransport

    return HttpTransport(to.url, proxy=to.proxy, **sent)
