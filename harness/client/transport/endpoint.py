"""The server's URL and credentials: splits a URL into a base URL without secrets and an `Authorization` header.

Rules of this file
  1. User and password of a URL, and an API key, become the value of `Authorization` here and nowhere else, so that all
     transports send the same. The URL takes precedence: it was written for this server.
  2. The resulting URL holds no secret; it is the only one that is shown or stored.
  3. A value that no header can carry is refused before anything is sent; the message names it but never repeats it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from harness.client.errors import SettingError
from harness.client.redaction import keep, keep_from_texts, keep_userinfo, shown
from harness.client.transport.unix_socket import is_unix, joined_unix, split_unix

if TYPE_CHECKING:
    from harness.client.transport.proxy import Proxy
    from harness.client.transport.tls import Tls

KEY_VARIABLE = "PACELINE_TARGET_KEY"
AUTHORIZATION_VARIABLE = "PACELINE_TARGET_AUTHORIZATION"
"""Set by paceline for the processes it starts: the whole value of the header."""
HEADERS_MOST = 64
HEADERS_BYTES_MAX = 16_384
SECRET_MIN = 8  # characters of a header's value that make it a possible secret
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_PUBLIC = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "host", "user-agent", "traceparent"}
)
_STRIPPED = " \t\r\n\f\v\ufeff\u00a0\u200b"


@dataclass(frozen=True)
class Access:
    """A base URL without secrets, and what belongs to it: `Authorization`, further headers, TLS, a proxy, time-outs."""

    url: str
    authorization: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls | None = None
    proxy: Proxy | None = None
    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None


def access(url: str, api_key: str | None = None, name: str = "api_key", where: str = "url") -> Access:
    """The URL's user and password, or else the key, as a header; raises SettingError that names the mistake."""
    keep_from_texts([url])
    url = url.strip()
    if is_unix(url):
        key = None if api_key is None else checked_key(api_key, name)
        return Access(joined_unix(*split_unix(url, where)), f"Bearer {key}" if key else None)
    scheme, _, rest = url.partition("://")
    if "?" in rest or "#" in rest:
        raise SettingError(
            f"{where} {shown(url)}: a base URL has no query and no fragment; leave it out (an API key belongs into the "
            f"environment variable {KEY_VARIABLE}; / ? # in a password are written %2F %3F %23)"
        )
    userinfo, at, host = rest.partition("/")[0].rpartition("@")
    if at:
        return Access(f"{scheme}://{host}{rest[len(userinfo) + 1 + len(host) :]}", basic(userinfo))
    key = None if api_key is None else checked_key(api_key, name)
    return Access(url, f"Bearer {key}" if key else None)


def basic(userinfo: str) -> str:
    """`user:password` of a URL as the value of an Authorization header (RFC 7617)."""
    keep_userinfo(userinfo)
    user, _, password = userinfo.partition(":")
    value = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    keep(value)
    return f"Basic {value}"


def checked_key(value: str, name: str) -> str:
    """A key without surrounding blanks and line ends; raises SettingError, which never holds it, for an invalid key."""
    key = value.strip(_STRIPPED)
    keep(key)
    if not key:
        raise SettingError(f"{name} is empty; leave it out (`unset` it) to send no key")
    for place, character in enumerate(key, 1):
        if not "!" <= character <= "~" or character in "\"'`":
            raise SettingError(f"{name}: character {place} is {_named(character)}, which no key has")
    return key


def _named(character: str) -> str:
    return f"{unicodedata.name(character, 'a control character').lower()} (U+{ord(character):04X})"


def check_headers(headers: Mapping[str, str], where: str) -> None:
    """Raise SettingError unless each of these headers can be sent unchanged."""
    for name, value in headers.items():
        text = f"{name}{value}"
        if not name or not name.isascii() or any(c in "\0\r\n" for c in text) or not _latin(value):
            raise SettingError(f"{where}: header {name!r} holds a character that no header can carry")
        if value != value.strip(" \t"):
            raise SettingError(f"{where}: header {name!r} has a blank at an end, which servers drop")


def own_headers(headers: Mapping[str, str] | None, authorization: str | None) -> dict[str, str]:
    """Headers for every request, checked, their values known to redaction; with `Authorization` if there is one.

    Raises SettingError that names the header and never holds its value.
    """
    # First: all spellings of a very long value would take seconds.
    _check_size(headers or {})
    for name, value in (headers or {}).items():
        _keep_header(name.lower(), _checked_header(name, value))
    made = checked_headers(headers or {})
    if authorization and any(name.lower() == "authorization" for name in made):
        raise SettingError("headers: Authorization is given twice; leave out the key, or the user in the URL")
    return made | ({"Authorization": authorization} if authorization else {})


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that can be sent, without blanks around their values; raises SettingError that names the header."""
    made = {name: _checked_header(name, value) for name, value in headers.items()}
    lower = [name.lower() for name in made]
    if len(set(lower)) < len(lower):
        raise SettingError("headers: a name is given twice, in different spellings")
    _check_size(made)
    return made


def _check_size(headers: Mapping[str, str]) -> None:
    size = sum(len(str(name)) + len(str(value)) for name, value in headers.items())
    if len(headers) > HEADERS_MOST or size > HEADERS_BYTES_MAX:
        raise SettingError(
            f"headers: {len(headers)} of {size} characters; at most {HEADERS_MOST} of {HEADERS_BYTES_MAX} are allowed"
        )


def merged(headers: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """Both sets of headers; those of `over` take precedence. The case of names does not count."""
    names = {name.lower() for name in over}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(over)


def _checked_header(name: str, value: str) -> str:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise SettingError(f"headers: {name!r:.80} is not the name of a header")
    if name.lower() in _FRAMING:
        raise SettingError(f"headers: {name} is set by the transport itself")
    if not isinstance(value, str):
        raise SettingError(f"headers: the value of {name} is {type(value).__name__}, not a text")
    value = value.strip(_STRIPPED)
    for place, character in enumerate(value, 1):
        if not " " <= character <= "~" and character != "\t":
            raise SettingError(f"headers: {name}: character {place} is {_named(character)}, which no header can carry")
    return value


def _keep_header(name: str, value: str) -> None:
    """Register a header's value as a possible secret, unless it is short or the header is known to hold none."""
    if name == "authorization":
        scheme, _, credentials = value.partition(" ")
        keep(credentials or value)
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                keep_userinfo(base64.b64decode(credentials).decode())
    elif name == "cookie":
        keep(*(part.partition("=")[2] for part in value.split(";")))
    if len(value) >= SECRET_MIN and name not in _PUBLIC:
        keep(value)


def _latin(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def key_of_environment(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key for the target, cleaned; None where there is none. Raises SettingError that names the variable."""
    value = environment.get(KEY_VARIABLE)
    return None if value is None else checked_key(value, f"the environment variable {KEY_VARIABLE}")


def access_to(url: str, environment: Mapping[str, str] = os.environ, where: str = "--target") -> Access:
    """Access to the target, from its URL and the environment; raises SettingError."""
    value = environment.get(AUTHORIZATION_VARIABLE)
    if value is None:
        return access(url, key_of_environment(environment), where=where)
    scheme, _, credentials = value.partition(" ")
    keep(credentials)
    if scheme == "Basic":
        with contextlib.suppress(ValueError):
            keep_userinfo(base64.b64decode(credentials).decode())
    return Access(access(url, where=where).url, value)
