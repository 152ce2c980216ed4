"""How the server is reached: headers of every request, TLS, a proxy, time-outs. Options of every command that sends.

Rules of this file
  1. Values of headers, and user and password of a proxy, are written to no file: a process that is started gets them in
     its environment.
  2. What a result says of a connection (`facts`) has names of headers, never values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from harness.base.options import option
from harness.base.quantity import duration_s
from harness.client.errors import SettingError
from harness.client.redaction import keep
from harness.client.transport.endpoint import Access, access_to, own_headers
from harness.client.transport.environment_values import with_variables
from harness.client.transport.proxy import proxy_of
from harness.client.transport.tls import Tls
from harness.client.transport.unix_socket import is_unix

CONNECTION_VARIABLE = "PACELINE_TARGET_CONNECTION"
"""Set by paceline for the processes it starts: the settings as JSON, with the values of headers."""
SECRET_NAME = re.compile(r"(?i)(^|[-_])(auth|authorization|key|apikey|token|secret|password|cookie|session)($|[-_])")
"""Names of headers and parameters whose value is a secret."""


@dataclass(frozen=True)
class ConnectionSettings:
    """How the server is reached."""

    headers: tuple[str, ...] = option(
        (),
        "Header of every request; ${NAME} in it is a variable of the environment. Repeatable.",
        flag="--header",
        metavar='"NAME: VALUE"',
    )
    ca: str | None = option(None, "Trusted issuers of the server's certificate, in PEM format.", metavar="FILE")
    cert: str | None = option(None, "The client's own certificate, in PEM format.", metavar="FILE")
    key: str | None = option(None, "Private key of --cert, if it is in a file of its own.", metavar="FILE")
    insecure: bool = option(False, "Accept any certificate of the server; the verdict says so.")
    proxy: str | None = option(None, "HTTP proxy to the server.", metavar="http://[USER:PASSWORD@]HOST:PORT")
    connect_timeout_s: float | None = option(
        None,
        "Seconds for opening a connection, TLS included.",
        flag="--connect-timeout",
        kind=duration_s,
        least=0.001,
    )
    first_byte_timeout_s: float | None = option(
        None,
        "Seconds from the sending of a request until its answer begins.",
        flag="--first-byte-timeout",
        kind=duration_s,
        least=0.001,
    )

    @property
    def needs_target(self) -> bool:
        """Whether anything is set that only a server of the user's own takes."""
        return replace(self, connect_timeout_s=None, first_byte_timeout_s=None).any

    @property
    def any(self) -> bool:
        """Whether anything is set."""
        return self != ConnectionSettings()

    def tls(self) -> Tls | None:
        """The settings of TLS; None for the defaults. Raises SettingError."""
        if self.ca is None and self.cert is None and self.key is None and not self.insecure:
            return None
        return Tls(self.ca, self.cert, self.key, self.insecure)

    def header_values(self, environment: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers by name, with the values of variables. Raises SettingError."""
        found: dict[str, str] = {}
        for text in self.headers:
            name, colon, value = text.partition(":")
            name = name.strip()
            if not colon or not name:
                raise SettingError(f'--header {_shown(text)}: expected "NAME: VALUE"')
            if name.lower() in {other.lower() for other in found}:
                raise SettingError(f"--header {name}: is given twice")
            if SECRET_NAME.search(name):
                keep(value.strip())
            value = with_variables(value.strip(), f"--header {name}", environment)
            if not value:
                raise SettingError(f"--header {name}: has no value")
            found[name] = value
        try:
            return own_headers(found, None)
        except SettingError as error:
            raise SettingError(str(error).replace("headers: ", "--header ", 1)) from error

    def access(self, url: str, where: str = "--target", environment: Mapping[str, str] | None = None) -> Access:
        """Access to a server with these settings; raises SettingError that names the option."""
        given = os.environ if environment is None else environment
        to = access_to(url, given, where=where)
        headers = self.header_values(given)
        if to.authorization and any_name(headers, "authorization"):
            raise SettingError(
                "--header Authorization: is given twice; leave out the key of the environment, or the user of the URL"
            )
        if self.proxy and is_unix(url):
            raise SettingError("--proxy: a Unix socket is reached without a proxy")
        proxy = proxy_of(self.proxy) if self.proxy else None
        bounds = self.connect_timeout_s, self.first_byte_timeout_s
        return Access(to.url, to.authorization, headers, self.tls(), proxy, *bounds)

    def for_child(self) -> dict[str, str]:
        """The environment of a process that sends with these settings; nothing if none is set."""
        if not self.any:
            return {}
        plain: dict[str, Any] = msgspec.to_builtins(self)
        # Values of variables are resolved here: the child must not read them a second time as templates.
        plain["headers"] = [f"{name}: {_escaped(value)}" for name, value in self.header_values().items()]
        return {CONNECTION_VARIABLE: msgspec.json.encode(plain).decode()}


def any_name(headers: Mapping[str, str], name: str) -> bool:
    """Whether a header of this name is among them; its case does not count."""
    return any(other.lower() == name for other in headers)


def _escaped(value: str) -> str:
    return value.replace("${", "$${")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 and not SECRET_NAME.search(text) else repr(text[:8] + "...")


def target_access(url: str, environment: Mapping[str, str] = os.environ) -> Access:
    """Access to the target of a process that paceline started; raises SettingError."""
    given = environment.get(CONNECTION_VARIABLE)
    settings = msgspec.json.decode(given, type=ConnectionSettings) if given else ConnectionSettings()
    return settings.access(url, environment=environment)


class ConnectionFacts(msgspec.Struct, frozen=True):
    """The facts about the connection in a result."""

    headers: list[str] = []  # names only
    ca: str | None = None
    cert: str | None = None
    insecure: bool = False
    proxy: str | None = None  # without user and password
    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None


def facts(settings: ConnectionSettings) -> ConnectionFacts | None:
    """The facts of these settings; None for the defaults."""
    if not settings.any:
        return None
    proxy = proxy_of(settings.proxy).url if settings.proxy else None
    return ConnectionFacts(
        sorted(settings.header_values()),
        settings.ca,
        settings.cert,
        settings.insecure,
        proxy,
        settings.connect_timeout_s,
        settings.first_byte_timeout_s,
    )
