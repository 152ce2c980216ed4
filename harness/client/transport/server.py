"""Checks a server's URL, whether it answers, and its identity. Not part of any load."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from harness.client.errors import UsageError
from harness.client.protocols import RoutedStrategy, provides
from harness.client.redaction import shown
from harness.client.transport.endpoint import Access, access
from harness.client.transport.unix_socket import is_unix, joined_unix, split_unix
from harness.client.types import Request, Strategy

_NO_URL = "--target {!r}: expected http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH/OF/SOCKET"
_API = re.compile(r"/v1(/.*)?$")
# Fields of TEI's /info.
_MODEL = ("model_id", "model_sha", "model_dtype")
PROBE_S = 3.0


def check_url(url: str) -> str:
    """The base URL without user, password and trailing slash; raises UsageError if it is not one."""
    given, url = url, access(url, where="--target").url
    if is_unix(url):
        return url
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise UsageError(_NO_URL.format(shown(given))) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        raise UsageError(_NO_URL.format(shown(given)))
    return url.rstrip("/")


def root_of(url: str) -> str:
    """The base URL without /v1, which base URLs of OpenAI clients end in."""
    if is_unix(url):
        path, base = split_unix(url)
        return joined_unix(path, _API.sub("", base))
    return _API.sub("", url)


def check_answers(url: str, to: Access | None = None) -> None:
    """Raise UsageError unless something accepts connections there, or at the proxy on the way."""
    if is_unix(url):
        _check_socket(url)
        return
    parts = urlsplit(url)
    host, port, what = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), f"target {url}"
    if to is not None and to.proxy is not None:
        host, port, what = to.proxy.host, to.proxy.port, f"--proxy {to.proxy.url}"
    try:
        with socket.create_connection((host, port), timeout=PROBE_S):
            return
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{what}: {why}; is the {'proxy' if 'proxy' in what else 'server'} running?") from error


def _check_socket(url: str) -> None:
    path, _ = split_unix(url)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_S)
            probe.connect(path)
    except OSError as error:
        raise UsageError(f"target {url}: {error.strerror or error}; is the server running?") from error


def check_route(url: str, strategy: Strategy, name: str, to: Access | None = None) -> None:
    """Raise UsageError if the server says that it does not have the route that this strategy needs."""
    if not provides(strategy, RoutedStrategy):
        return
    path = strategy.needs_route
    status = _status(url, path, to or Access(url))
    if status in {404, 405}:
        raise UsageError(
            f"-s {name}: needs a server with the route {path}, and {url} answers {status} there; a strategy that sends "
            "requests itself, such as adaptive, needs none"
        )


def _status(url: str, path: str, to: Access) -> int:
    """The status of a GET; 0 if there was no answer in time."""
    from harness.client.transport.blocking import BlockingTransport

    transport = BlockingTransport(
        url, timeout_s=PROBE_S, authorization=to.authorization, headers=to.headers, tls=to.tls, proxy=to.proxy
    )
    with closing(transport):
        return transport.exchange(Request((), _JSON, path, b"", method="GET")).status


def identity(url: str, to: Access | None = None) -> str:
    """Identity of a server for stored answers: its address, and the models that it reports."""
    root = root_of(url.rstrip("/"))
    calls = SideCalls(root, to=to)
    models, info = calls.get("/v1/models"), calls.get("/info")
    listed = models.get("data") if isinstance(models, dict) else None
    names = [one.get("id") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    fields = {key: info[key] for key in _MODEL if key in info} if isinstance(info, dict) else {}
    return json.dumps([root, sorted(map(str, names)), fields], sort_keys=True)


class SideCalls:
    """Small JSON exchanges with one server beside the load. Those without an answer share one deadline."""

    def __init__(self, root: str, patience_s: float = PROBE_S, to: Access | None = None) -> None:
        self._root = root
        self._left_s = patience_s
        self._to = to

    def get(self, path: str) -> Any:
        """The answer; None if there is none, or if earlier exchanges have used up the time."""
        if self._left_s <= 0:
            return None
        began = time.monotonic()
        answer = call(route(self._root, path), timeout_s=min(PROBE_S, self._left_s), to=self._to)
        if answer is None:
            self._left_s -= time.monotonic() - began
        return answer


def route(root: str, path: str) -> str:
    """The URL of a route outside the API."""
    if is_unix(root):
        socket_path, base = split_unix(root)
        return joined_unix(socket_path, base + path)
    return root + path


def call(url: str, method: str = "GET", timeout_s: float = PROBE_S, to: Access | None = None) -> Any:
    """A small JSON exchange beside the load (counts, info); None if the server does not offer it in time.

    `to` has the headers, TLS and proxy of the load; its URL does not count.
    """
    found: list[Any] = []
    # The resolution of a name cannot be interrupted.
    access_to_it = to or Access(url)
    thread = threading.Thread(target=lambda: found.append(_exchange(url, method, timeout_s, access_to_it)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else None


class _Json:
    """Any JSON body, as a task of the transport."""

    name = "json"

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        return (json.loads(body or b"null"),)


_JSON: Any = _Json()


def _exchange(url: str, method: str, timeout_s: float, to: Access) -> Any:
    from harness.client.transport.blocking import BlockingTransport

    transport = BlockingTransport(
        url, timeout_s=timeout_s, authorization=to.authorization, headers=to.headers, tls=to.tls, proxy=to.proxy
    )
    with closing(transport):
        answers = transport.exchange(Request((), _JSON, "", b"", method=method)).answers
    return answers[0] if answers else None
