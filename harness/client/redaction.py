"""Keeps secrets out of everything that is written or printed, by replacing those that the process uses.

Rules of this file
  1. A secret is known from the moment it is read (`keep`), in every form in which a server may echo it, and in simple
     disguises. A server that got a secret can always write it in a form that nobody foresees (docs/client.md).
  2. Texts from outside are redacted before they are cut to length: half a secret is a leak as well.
  3. A short secret is replaced only where it stands alone; elsewhere it would tear ordinary words apart.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
ALONE_BELOW = 6  # characters; a secret that is shorter is replaced only between other than letters and digits
QUERY_MIN = 8  # characters of a value in a URL's query that make it a possible secret
SAMPLE_MAX = 300  # characters of a text that is shown as a sample
NAME_MIN = 16  # characters of a user name in a URL that make it a possible token
_OVERLAP = 4096  # bytes after the end of an excerpt that are searched as well, so that no secret is cut in two

_forms: set[str] = set()
_pattern: re.Pattern[str] | None = None
_USERS = (  # of a URL as it should be, with a / in its password, and without its scheme
    re.compile(r"://([^/?#\s\"'<>]*)@"),
    re.compile(r"://([^\s\"'<>]*)@"),
    re.compile(r"(?:^|=)([^\s:/@=]+:(?!//)[^\s@]+)@"),
)
_QUERY = re.compile(r"://[^\s\"'<>?#]*[?#]([^\s\"'<>]*)")


def keep(*secrets: str | None) -> None:
    """Register secrets: from now on `redact` replaces them."""
    global _pattern  # noqa: PLW0603 - one process has one set of secrets
    before = len(_forms)
    for secret in secrets:
        if secret and secret.strip():
            _forms.update(_spellings(secret.strip()))
    if len(_forms) > before:
        longest_first = sorted(_forms, key=lambda form: (-len(form), form))
        _pattern = re.compile("|".join(map(_guarded, longest_first)))


def _guarded(form: str) -> str:
    escaped = re.escape(form)
    if len(form) >= ALONE_BELOW:
        return escaped
    return rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def _spellings(secret: str) -> Iterator[str]:
    """All spellings of a secret: plain, as URLs, JSON, HTML, Python and base64 write it, and those meant to hide it."""
    for text in {secret, unquote(secret)}:
        quoted = (quote(text, safe=""), quote(text), quote_plus(text))
        yield from (text, *quoted, *(re.sub("%..", lambda m: m[0].lower(), form) for form in quoted))
        yield from (html.escape(text), repr(text)[1:-1], *_in_json(text))
        data = text.encode("utf-8", "surrogateescape")
        for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
            form = encoded.decode()
            yield from {form, form.rstrip("="), quote(form, safe="")}
        if len(text) >= ALONE_BELOW:
            yield from _disguises(text, data)


def _in_json(text: str) -> Iterator[str]:
    """The text in JSON, and in up to two more layers: an error's message holds the request, a gateway's the error."""
    layer = {text}
    for _ in range(3):
        layer = {json.dumps(one, ensure_ascii=ascii_only)[1:-1] for one in layer for ascii_only in (True, False)}
        yield from (
            form for one in layer for form in (one, html.escape(one), html.escape(one, quote=False), quote(one))
        )


def _disguises(text: str, data: bytes) -> Iterator[str]:
    """A longer secret reversed, in other case, in hex, coded byte by byte, and within base64 of a longer text."""
    yield from (text[::-1], text.upper(), text.lower(), data.hex(), data.hex().upper(), data.hex(" "), data.hex(":"))
    yield from (base64.b64encode(data[::-1]).decode().rstrip("="), data[::-1].hex())
    for form in ("%{:02x}", "%{:02X}", "\\x{:02x}", "\\u{:04x}", "&#{};", "&#x{:x};"):
        yield "".join(form.format(number) for number in (map(ord, text) if form[1] in "u#" else data))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # The characters that hold nothing but bits of the secret.
            first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6
            yield encode(bytes(before) + data).decode()[first:last]


def redact(text: str) -> str:
    """The text without any secret in use."""
    return text if _pattern is None else _pattern.sub(MASK, text)


def excerpt(text: str | bytes, size: int) -> str:
    """The first `size` characters of a text from outside, without any secret in use."""
    beginning = text[: size + _OVERLAP]
    if isinstance(beginning, bytes):
        beginning = beginning.decode(errors="replace")
    return redact(beginning)[:size]


def one_line(text: str) -> str:
    """A sample of a text from outside: bounded, without secrets in use and without control characters."""
    beginning = excerpt(text, SAMPLE_MAX + 1)
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in beginning)
    return line if len(line) <= SAMPLE_MAX else line[: SAMPLE_MAX - 3] + "..."


def keep_userinfo(userinfo: str) -> None:
    """The password of `user:password`, also as Basic authentication sends it; and a user name that may be a token."""
    keep(userinfo.partition(":")[2])
    user, colon, password = (unquote(part) for part in userinfo.partition(":"))
    keep(userinfo if password else None, f"{user}:{password}" if password else None, password)
    if user and (not colon or not password or len(user) >= NAME_MIN):
        keep(user, f"{user}:")


def keep_from_texts(texts: Iterable[str]) -> None:
    """Possible secrets in a URL of a command line or a setting."""
    for text in texts:
        for pattern in _USERS:
            for userinfo in pattern.findall(text):
                keep_userinfo(userinfo)
        for query in _QUERY.findall(text):
            pairs = (pair.rpartition("=")[2] for pair in re.split("[&;]", query))
            keep(*(value for value in pairs if len(value) >= QUERY_MIN))


def shown(url: str) -> str:
    """A URL for messages: without user, password, query and fragment, also if the URL is invalid."""
    before, at, after = url.rpartition("@")
    scheme = before.partition("://")[0] + "://" if "://" in before else ""
    return redact(re.split("[?#]", f"{scheme}{MASK}@{after}" if at else url)[0])
