"""How a server is reached: headers, TLS, a proxy, a Unix socket, a path in the target; over all transports."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness.client.errors import SettingError
from harness.client.tasks.http import Http
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.connection_settings import (
    CONNECTION_VARIABLE,
    ConnectionSettings,
    facts,
    target_access,
)
from harness.client.transport.endpoint import Access
from harness.client.transport.lean import LeanTransport
from harness.client.transport.proxy import proxy_of
from harness.client.transport.server import call, check_answers, check_url, root_of, route
from harness.client.transport.tls import Tls
from harness.client.types import Item, Outcome, Response
from tests.http.foreign import served
from tests.http.test_transport_cases import certificate

KINDS = {"aiohttp": HttpTransport, "lean": LeanTransport, "blocking": BlockingTransport}
WITH_PROXIES = ["aiohttp", "blocking"]
ECHO = Http(text='path = "/v1/echo"\nanswer = ""\nbody = { a = "{{ a }}" }\n')


async def send_to(kind: str, to: Access, times: int = 2) -> Response:
    """The last of some exchanges; the others show that a connection is used again."""
    settings: dict[str, Any] = {"authorization": to.authorization, "headers": to.headers, "tls": to.tls}
    bounds = {"connect_timeout_s": to.connect_timeout_s, "first_byte_timeout_s": to.first_byte_timeout_s}
    settings |= {name: bound for name, bound in bounds.items() if bound is not None}
    if to.proxy is not None:
        settings["proxy"] = to.proxy
    async with KINDS[kind](to.url, **settings) as send:
        for _ in range(times):
            response = await send(ECHO.request((Item(0, ECHO.parse({"a": 1}), ECHO),)))
    return response


class HttpProxy:
    """A proxy that wants a password, and keeps the heads it saw."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                if f"Basic {base64.b64encode(b'us:proxy-pass').decode()}" not in head:
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                elif head.startswith("CONNECT "):
                    await self._tunnel(head.split()[1], reader, writer)
                    break
                else:
                    await self._forward(head, reader, writer)
        writer.close()

    async def _tunnel(self, to: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = to.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))

    async def _forward(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, url, _ = head.split(" ", 2)
        assert url.startswith("http://"), "a proxy gets the whole URL"
        place, _, path = url.removeprefix("http://").partition("/")
        length = int(next((x.split(":")[1] for x in head.split("\r\n") if x.lower().startswith("content-length")), 0))
        body = await reader.readexactly(length)
        host, _, port = place.partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        rest = "\r\n".join(x for x in head.split("\r\n")[1:] if not x.lower().startswith("proxy-"))
        back.write(f"{method} /{path} HTTP/1.1\r\n{rest}".encode() + body)
        answer = await there.readuntil(b"\r\n\r\n")
        size = int(next(x.split(b":")[1] for x in answer.split(b"\r\n") if x.lower().startswith(b"content-length")))
        writer.write(answer + await there.readexactly(size))
        back.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[HttpProxy, str]]:
    """A proxy, and its URL with the password."""
    made = HttpProxy()
    listener = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    yield made, f"http://us:proxy-pass@127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    listener.close()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path, Path]:
    """A server's context, its key and its certificate."""
    try:
        key, found = certificate(tmp_path, "localhost")
    except FileNotFoundError:
        pytest.skip("no openssl command")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(found, key)
    return context, key, found


@pytest.mark.parametrize("kind", KINDS)
async def test_an_issuer_of_ones_own_is_trusted(kind: str, tls: tuple[ssl.SSLContext, Path, Path]) -> None:
    """--ca; without it the error names the option, with --insecure anything goes."""
    context, _, found = tls
    async with served(tls=context) as found_url:
        url = found_url.replace("127.0.0.1", "localhost")
        trusted = await send_to(kind, Access(url, tls=Tls(ca=str(found))))
        untrusted = await send_to(kind, Access(url))
        insecure = await send_to(kind, Access(url, tls=Tls(insecure=True)))
        info = await asyncio.to_thread(call, f"{url}/echo", "GET", 3.0, Access(url, tls=Tls(ca=str(found))))
    assert trusted.outcome is insecure.outcome is Outcome.ok, trusted.error
    assert untrusted.outcome is Outcome.connection_error
    assert "--ca" in (untrusted.error or "")
    assert info["path"] == "/echo", "calls beside the load are made the same way"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_client_shows_its_certificate(kind: str, tls: tuple[ssl.SSLContext, Path, Path]) -> None:
    """--cert and --key; the server refuses a client without."""
    context, key, found = tls
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(found)
    async with served(tls=context) as url:
        shown = await send_to(kind, Access(url, tls=Tls(cert=str(found), key=str(key), insecure=True)))
        without = await send_to(kind, Access(url, tls=Tls(insecure=True)))
    assert shown.outcome is Outcome.ok, shown.error
    assert without.outcome is Outcome.connection_error


@pytest.mark.parametrize("kind", WITH_PROXIES)
async def test_a_proxy_is_used_and_gets_no_secret_of_the_server(kind: str, proxy: tuple[HttpProxy, str]) -> None:
    """Plain HTTP: the whole URL; the password of the proxy does not reach the server."""
    made, url = proxy
    async with served() as server:
        to = Access(f"{server}/v1", "Bearer server-secret", {"X-Team": "a"}, proxy=proxy_of(url))
        response = await send_to(kind, to)
    assert response.outcome is Outcome.ok, response.error
    seen = response.answers[0]["headers"]
    assert (seen["Authorization"], seen["X-Team"]) == ("Bearer server-secret", "a")
    assert "Proxy-Authorization" not in seen
    assert all(head.startswith("POST http://127.0.0.1:") and "/v1/echo HTTP/1.1" in head for head in made.heads)


@pytest.mark.parametrize("kind", WITH_PROXIES)
async def test_a_tunnel_hides_everything_from_the_proxy(
    kind: str, proxy: tuple[HttpProxy, str], tls: tuple[ssl.SSLContext, Path, Path]
) -> None:
    """HTTPS: CONNECT with the password of the proxy and no header of the server; one tunnel for all exchanges."""
    made, url = proxy
    async with served(tls=tls[0]) as server:
        to = Access(server, "Bearer server-secret", {"X-Team": "a"}, Tls(insecure=True), proxy_of(url))
        response = await send_to(kind, to, times=3)
    assert response.outcome is Outcome.ok, response.error
    assert response.answers[0]["headers"]["Authorization"] == "Bearer server-secret"
    assert len(made.heads) == 1
    assert made.heads[0].startswith("CONNECT 127.0.0.1:")
    assert "server-secret" not in made.heads[0]
    assert "X-Team" not in made.heads[0]


@pytest.mark.parametrize("kind", WITH_PROXIES)
async def test_a_refusal_of_the_proxy_is_named(
    kind: str, proxy: tuple[HttpProxy, str], tls: tuple[ssl.SSLContext, Path, Path]
) -> None:
    """A wrong password is no fault of the server."""
    wrong = proxy_of(proxy[1].replace("proxy-pass", "wrong-pass"))
    async with served(tls=tls[0]) as server:
        response = await send_to(kind, Access(server, tls=Tls(insecure=True), proxy=wrong))
    assert response.outcome is Outcome.connection_error
    assert "the proxy answered 407" in (response.error or "")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_unix_socket_is_a_target(kind: str, tmp_path: Path) -> None:
    """With and without a path on the server; `/v1` appears once."""
    path = str(tmp_path / "app.sock")
    async with served(socket_path=path) as url:
        plain = await send_to(kind, Access(url))
        based = await send_to(kind, Access(f"{url}:/v1"))
        check_answers(url)
        info = await asyncio.to_thread(call, route(root_of(f"{url}:/v1"), "/echo"))
    assert (plain.outcome, based.outcome) == (Outcome.ok, Outcome.ok), plain.error
    assert plain.answers[0]["path"] == based.answers[0]["path"] == "/v1/echo"
    assert info["path"] == "/echo"
    with pytest.raises(SettingError, match="expected unix:/PATH/OF/SOCKET"):
        check_url("unix:")
    with pytest.raises(Exception, match=r"app\.sock.*is the server running"):
        check_answers(url)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("base", "path"), [("", "/v1/echo"), ("/v1", "/v1/echo"), ("/v1/", "/v1/echo")])
async def test_a_target_may_have_a_path(kind: str, base: str, path: str) -> None:
    """`/v1` or not: the route is the same."""
    async with served() as server:
        response = await send_to(kind, Access(server + base))
    assert response.answers[0]["path"] == path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", ["", "/", "/echo", "/echo/"])
async def test_a_task_may_have_no_path_of_its_own(kind: str, base: str) -> None:
    """Then it is the target's, with the query."""
    task = Http(text='method = "GET"\nanswer = "/path"\nquery = { q = "{{ q }}" }\n')
    async with served() as server, KINDS[kind](server + base) as send:
        response = await send(task.request((Item(0, task.parse({"q": "a/v1"}), task),)))
    assert response.answers == ((base.rstrip("/") or "/") + "?q=a%2Fv1",), response.error


def test_settings_reach_a_child_without_a_secret_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are resolved once; the facts for the result have names only."""
    monkeypatch.setenv("TEAM_KEY", "abc-${OTHER}-secret")
    settings = ConnectionSettings(headers=("X-Key: ${TEAM_KEY}", "X-Team:search"), proxy="http://u:pp-secret@p:3128")
    handed = settings.for_child()
    to = target_access("http://h/api", {CONNECTION_VARIABLE: handed[CONNECTION_VARIABLE]})
    assert to.headers == {"X-Key": "abc-${OTHER}-secret", "X-Team": "search"}
    assert to.proxy == proxy_of("http://u:pp-secret@p:3128")
    said = repr(facts(settings)) + repr(to) + repr(settings.access("http://h"))
    assert "secret" not in said
    assert "X-Key" in repr(facts(settings))


def bad_pem(folder: Path) -> Path:
    """A file that looks like a certificate and is none."""
    path = folder / "bad.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nnope\n-----END CERTIFICATE-----\n")
    return path


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path, tls: tuple[ssl.SSLContext, Path, Path]) -> None:
    """Each by its option, without a prompt for a password."""
    _, key, found = tls
    other = tmp_path / "other"
    other.mkdir()
    other_key, _ = certificate(other, "other")
    locked = tmp_path / "locked.pem"
    how = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(locked), "-passout", "pass:x"]
    subprocess.run(how, check=True, capture_output=True)
    for settings, text in [
        ({"ca": str(bad_pem(tmp_path))}, "--ca .*holds no certificate"),
        ({"cert": str(found), "key": str(other_key)}, "--key .*does not belong to --cert"),
        ({"cert": str(found)}, "--cert .*holds no private key; add --key"),
        ({"cert": str(found), "key": str(locked)}, "--key .*is encrypted"),
    ]:
        with pytest.raises(SettingError, match=text):
            Tls(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_time_until_an_answer_begins_has_a_bound_of_its_own(kind: str) -> None:
    """--first-byte-timeout: not the time of a new connection, and not that of a body that follows."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/never" in await reader.readuntil(b"\r\n\r\n"):
            # Until the client leaves.
            await reader.read()
            writer.close()
            return
        body = b'{"similarity_score": 0.5}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:3])
        await asyncio.sleep(1.2)
        writer.write(body[3:])
        writer.close()

    listener = await asyncio.start_server(slow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        late = await send_to(kind, Access(f"{url}/never", first_byte_timeout_s=0.6), times=1)
        slow_body = await send_to(kind, Access(url, first_byte_timeout_s=0.6), times=1)
    finally:
        listener.close()
        # The handlers end.
        await asyncio.sleep(0.1)
    assert (late.outcome, late.error) == (Outcome.timed_out, "no first byte of the answer within 600 ms")
    assert slow_body.outcome is Outcome.ok, slow_body.error


@pytest.mark.parametrize("kind", KINDS)
async def test_the_time_for_opening_a_connection_has_a_bound_of_its_own(kind: str) -> None:
    """--connect-timeout: a server that takes the connection and never shakes hands."""

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Until the client leaves.
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    try:
        to = Access(f"https://127.0.0.1:{port}", tls=Tls(insecure=True), connect_timeout_s=0.5)
        late = await send_to(kind, to, times=1)
    finally:
        silent.close()
        await asyncio.sleep(0.1)
    assert (late.outcome, late.error) == (Outcome.timed_out, "no connection within 500 ms")


def test_time_outs_reach_a_started_process_and_the_result_and_need_no_target() -> None:
    """They are options of the connection, but the mock takes them, too."""
    settings = ConnectionSettings(connect_timeout_s=2.0, first_byte_timeout_s=3.0)
    to = target_access("http://127.0.0.1:1", settings.for_child())
    assert (to.connect_timeout_s, to.first_byte_timeout_s) == (2.0, 3.0)
    assert not settings.needs_target
    shown = facts(settings)
    assert shown is not None
    assert (shown.connect_timeout_s, shown.first_byte_timeout_s) == (2.0, 3.0)
