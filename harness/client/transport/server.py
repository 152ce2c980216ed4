"""Checks a server's URL, whether it answers, and its identity. Not part of any load."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from harness.client.errors import UsageError
from harness.client.redaction import shown
from harness.client.transport.endpoint import access

_NO_URL = "--target {!r}: expected http://HOST[:PORT] or https://HOST[:PORT]"
_API = re.compile(r"/v1(/.*)?$")
# Fields of TEI's /info.
_MODEL = ("model_id", "model_sha", "model_dtype")
PROBE_S = 3.0


def check_url(url: str) -> str:
    """The base URL without user, password and trailing slash; raises UsageError if it is not one."""
    given, url = url, access(url, where="--target").url
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
    return _API.sub("", url)


def check_answers(url: str) -> None:
    """Raise UsageError unless something accepts connections there."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=PROBE_S):
            return
    except OSError as error:
        raise UsageError(f"target {url}: {error.strerror or error}; is the server running?") from error


def identity(url: str) -> str:
    """Identity of a server for stored answers: its address, and the models that it reports."""
    root = root_of(url.rstrip("/"))
    calls = SideCalls(root)
    models, info = calls.get("/v1/models"), calls.get("/info")
    listed = models.get("data") if isinstance(models, dict) else None
    names = [one.get("id") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    fields = {key: info[key] for key in _MODEL if key in info} if isinstance(info, dict) else {}
    return json.dumps([root, sorted(map(str, names)), fields], sort_keys=True)


class SideCalls:
    """Small JSON exchanges with one server beside the load. Those without an answer share one deadline."""

    def __init__(self, root: str, patience_s: float = PROBE_S) -> None:
        self._root = root
        self._left_s = patience_s

    def get(self, path: str) -> Any:
        """The answer; None if there is none, or if earlier exchanges have used up the time."""
        if self._left_s <= 0:
            return None
        began = time.monotonic()
        answer = call(self._root + path, timeout_s=min(PROBE_S, self._left_s))
        if answer is None:
            self._left_s -= time.monotonic() - began
        return answer


def call(url: str, method: str = "GET", timeout_s: float = PROBE_S) -> Any:
    """A small JSON exchange beside the load (counts, info); None if the server does not offer it in time."""
    found: list[Any] = []
    # A socket's timeout holds for each read: a server that sends a byte a second would never meet it.
    thread = threading.Thread(target=lambda: found.append(_exchange(url, method, timeout_s)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else None


def _exchange(url: str, method: str, timeout_s: float) -> Any:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - check_url allows http and https only
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
            return json.loads(answer.read(1 << 20) or b"null")
    # HTTPException: the answer is not HTTP. RecursionError: its JSON is nested too deeply.
    except (OSError, ValueError, HTTPException, RecursionError):
        return None
