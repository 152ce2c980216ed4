"""Where to send, what to prove oneself with, and that neither is repeated anywhere."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugins
from harness.client import redaction, stack
from harness.client.errors import SettingError, UsageError
from harness.client.redaction import excerpt, keep, keep_from_texts, redact, shown
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.endpoint import (
    AUTHORIZATION_VARIABLE,
    KEY_VARIABLE,
    access,
    access_to,
    check_headers,
    checked_key,
    own_headers,
)
from harness.client.transport.lean import LeanTransport
from harness.client.transport.outcomes import base_url, joined
from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from harness.experiment.target import RunningTarget, check_url


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins without secrets, and leaves none."""
    monkeypatch.setattr(redaction, "_forms", set())
    monkeypatch.setattr(redaction, "_pattern", None)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("url", "key", "clean", "header"),
    [
        ("http://h:1/x", None, "http://h:1/x", None),
        ("http://h:1", "k", "http://h:1", "Bearer k"),
        ("http://u:p@h:1/x/", None, "http://h:1/x/", basic("u:p")),
        ("https://u:p%40%2F%3A@h", None, "https://h", basic("u:p@/:")),
        ("http://u:p@h", "k", "http://h", basic("u:p")),
        ("http://token@h", None, "http://h", basic("token:")),
        ("http://u:p@[::1]:8000/v1", None, "http://[::1]:8000/v1", basic("u:p")),
        (" http://h/a@b ", None, "http://h/a@b", None),
    ],
)
def test_user_and_password_become_one_header(url: str, key: str | None, clean: str, header: str | None) -> None:
    """What is in the URL wins over the key: it was written for this server."""
    found = access(url, key)
    assert (found.url, found.authorization) == (clean, header)
    assert header is None or header.partition(" ")[2] not in repr(found)


async def test_both_transports_send_the_same() -> None:
    for url, key in (("http://u:p@h:1", None), ("http://u:p@h:1", "k"), ("http://h:1", " k\n")):
        blocking, asynchronous = BlockingTransport(url, api_key=key), HttpTransport(url, api_key=key)
        assert asynchronous._headers.get("Authorization") == blocking._origin.all_headers["Authorization"]
        assert asynchronous._origin == blocking._origin
        assert asynchronous._origin.base == "http://h:1"


@pytest.mark.parametrize("url", ["http://h/?token=s3cret-s3cret", "http://h:1/v1#s3cret-s3cret", "http://u:s3cret#1@h",
                                 "http://u:s3cret/1@h", "u:s3cret-s3cret@h", "ftp://u:s3cret-s3cret@h",
                                 "http://u:s3cret?x@h:8", "http://u:s3cret-s3cret@h:port"])  # fmt: skip
def test_a_target_that_is_refused_is_not_repeated(url: str) -> None:
    """Nor is any part of what may be its password or token."""
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert "s3cret" not in str(caught.value)
    if "?" in url or "#" in url:
        assert "no query and no fragment" in str(caught.value)
        assert KEY_VARIABLE in str(caught.value)


@pytest.mark.parametrize("value", ["k1", " k1", "k1\n", "\tk1\r\n", "\ufeffk1 ", "\u00a0k1\u200b"])
def test_what_is_safe_is_stripped_from_a_key(value: str) -> None:
    assert access_to("http://h", {KEY_VARIABLE: value}).authorization == "Bearer k1"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("“secret”", "character 1 is left double quotation mark (U+201C)"),
        ("'secret'", "character 1 is apostrophe (U+0027)"),
        ("sec ret", "character 4 is space (U+0020)"),
        ("sec\nret", "character 4 is a control character (U+000A)"),
        ("secré", "character 5 is latin small letter e with acute (U+00E9)"),
        ("Bearer secret", "character 7 is space (U+0020)"),
    ],
)
def test_what_is_no_key_is_refused_by_name_before_the_load(
    value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without repeating it; in every way in which a run begins."""
    with pytest.raises(SettingError) as caught:
        access_to("http://h", {KEY_VARIABLE: value})
    assert KEY_VARIABLE in str(caught.value)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(UsageError, match=KEY_VARIABLE):
        prepare(RunSettings(strategies=("sync",), task="annotate"))
    with pytest.raises(SettingError, match="api_key"):
        HttpTransport("http://h", api_key=value)


def test_a_process_that_was_started_takes_the_header_as_it_was_checked() -> None:
    """And knows the password in it."""
    found = access_to("http://h", {AUTHORIZATION_VARIABLE: basic("u:passw0rd"), KEY_VARIABLE: "other"})
    assert found.authorization == basic("u:passw0rd")
    assert redact("it was passw0rd") == "it was ***"


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nb"}, {"X-A": "“a”"}, {"X-A": "a "}, {"": "a"}, {"X-ü": "a"}])
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="task x: header"):
        check_headers(headers, "task x")
    check_headers({"X-A": "caf\u00e9", "Idempotency-Key": "1"}, "task x")


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("http://h", "/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/v1", "/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/api/v1", "/v1/embeddings", "http://h/api/v1/embeddings"),
        ("http://h/v1/chat/completions", "/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/v1", "/similarity", "http://h/v1/similarity"),
        ("http://h/v1beta", "/v1/embeddings", "http://h/v1beta/v1/embeddings"),
        ("/v1", "/v1/jobs/x/results?start=0&limit=9", "/v1/jobs/x/results?start=0&limit=9"),
        ("", "/v1/jobs", "/v1/jobs"),
    ],
)
def test_what_base_and_path_share_is_written_once(base: str, path: str, url: str) -> None:
    """OpenAI's base URLs end in /v1."""
    assert joined(base, path) == url


@pytest.mark.parametrize("url", ["http://h", "http://h/v1", "http://h/v1/chat/completions"])
def test_the_routes_beside_the_api_lie_at_its_root(url: str) -> None:
    assert RunningTarget(url).root == "http://h"


secrets = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=6, max_size=20)


@given(secrets, st.sampled_from([str, quote, json.dumps, lambda s: quote(s, safe=""), repr,
                                 lambda s: base64.b64encode(s.encode()).decode()]))  # fmt: skip
def test_a_secret_is_replaced_however_it_is_written(secret: str, form: object) -> None:
    """As it is, and as URLs, JSON, Python and base64 write it."""
    # Hundreds of secrets at once would make the search slow.
    redaction._forms.clear()
    keep(secret)
    written = form(secret)  # type: ignore[operator]
    assert written.strip("\"'") not in redact(f"<{written}>")


DISGUISES = {
    "reversed": lambda s: s[::-1],
    "upper": str.upper,
    "lower": str.lower,
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "percent": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "percent lower": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "entities": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "unicode": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "base64 reversed": lambda s: base64.b64encode(s.encode()[::-1]).decode(),
}


@pytest.mark.parametrize("secret", ["sk-planted-Key-4711", "Pa55w0rd/&planted", "hunter", "ключ-секрет"])
def test_a_secret_in_disguise_is_replaced(secret: str) -> None:
    """Reversed, in hex, coded byte by byte, or in base64 of whatever stands around it."""
    keep(secret)
    for name, form in DISGUISES.items():
        assert form(secret) not in redact(f"<{form(secret)}>"), name
    for before in range(7):
        for after in range(4):
            whole = base64.b64encode(b"x" * before + secret.encode() + b"y" * after).decode()
            left = redact(whole).replace("***", "")
            assert len(whole) - len(left) >= 8 * len(secret.encode()) // 6 - 1, (before, after, left)


@pytest.mark.parametrize("secret", ['sig"quoted"4711', "back\\slash-4711", "ключ-секрет", "a<b>&'c'-4711"])
def test_a_secret_is_replaced_in_json_within_json(secret: str) -> None:
    """An error's message holds the request's body, a gateway's message holds the error, and a page shows it."""
    keep(secret)
    for ascii_only in (True, False):
        written = json.dumps({"auth": f"user:{secret}"}, ensure_ascii=ascii_only)
        for _ in range(2):
            written = json.dumps({"message": written}, ensure_ascii=ascii_only)
            for shown_as in (written, html.escape(written), html.escape(written, quote=False), quote(written)):
                assert "user:***" in redact(shown_as).replace("%3A", ":"), shown_as


def test_a_short_secret_tears_no_word_apart() -> None:
    keep("a1", "no")
    assert redact("on NO 6e6f") == "on NO 6e6f"
    assert redact("a1, a12 and xa1: a1") == "***, a12 and xa1: ***"


def test_an_excerpt_never_holds_half_a_secret() -> None:
    """What is cut to length was redacted before."""
    keep("sk-4711-4711-4711")
    for size in range(1, 40):
        for text in ("x" * 12 + "sk-4711-4711-4711 and more", b"x" * 12 + b"sk-4711-4711-4711 and more"):
            assert "sk-" not in excerpt(text, size).replace("***", "")
            assert len(excerpt(text, size)) <= size


def test_secrets_of_a_command_line_are_known_before_it_is_read() -> None:
    keep_from_texts(
        ["--target", "http://u:passw0rd@h", "--x=http://h/?key=qwertyuiop&a=1", "me:hunter22@h", "--items", "5"]
    )
    assert redact("passw0rd qwertyuiop hunter22 1 5 u") == "*** *** *** 1 5 u"
    assert shown("http://u:pw@h/?q") == "http://***@h/"


def test_a_setting_takes_no_password() -> None:
    """Settings are written into plan, result and file names."""
    with pytest.raises(UsageError, match="user or password cannot be a setting") as caught:
        plugins.make("task", "chat:model=http://u:s3cret@h")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError, match="user or password cannot be a setting") as caught:
        stack.parse(["semantic-cache:embed=http://u:s3cret@h"])
    assert "s3cret" not in str(caught.value)


def test_a_url_of_no_scheme_is_not_repeated() -> None:
    with pytest.raises(SettingError, match="expected http") as caught:
        base_url("ftp://u:s3cret@h")
    assert "s3cret" not in str(caught.value)


def test_the_plan_of_a_run_holds_no_password(tmp_path: Path) -> None:
    """Nor what the command was; the header is kept beside it, in no file."""
    run = prepare(
        RunSettings(
            strategies=("sync",),
            task="annotate",
            target="http://u:s3cret-s3cret@127.0.0.1:9/",
            command="paceline compare --target http://u:s3cret-s3cret@127.0.0.1:9/",
            out=tmp_path / "run",
        )
    )
    assert run.authorization == basic("u:s3cret-s3cret")
    assert run.plan.command == "paceline compare --target http://***@127.0.0.1:9/"
    assert "s3cret" not in f"{run.plan}{run.cases}{run}"
    assert run.settings.target == "http://127.0.0.1:9"


def test_checked_keys_are_known_at_once() -> None:
    checked_key("sk-known", "key")
    assert redact("it said sk-known") == "it said ***"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X-A": "s3cret\r\nX-B: 1"}, "X-A: character 7 is a control character (U+000D)"),
        ({"X-A": "s3cré"}, "X-A: character 5 is latin small letter e with acute"),
        ({"X-A": "s3cret\0"}, "X-A: character 7"),
        ({"X A": "s3cret"}, "'X A' is not the name of a header"),
        ({"X-A: s": "s3cret"}, "is not the name of a header"),
        ({"": "s3cret"}, "'' is not the name of a header"),
        ({"Content-length": "1"}, "Content-length is set by the transport"),
        ({"X-A": 3}, "the value of X-A is int, not a text"),
        ({"X-A": "s3cret", "x-a": "s3cret"}, "given twice"),
        ({"X-A": "s3cret" * 3000}, "1 of 18003 characters; at most 64 of 16384"),
        ({f"X-{number}": "s3cret" for number in range(65)}, "65 of "),
        ({"authorization": "Bearer s3cret"}, "Authorization is given twice"),
    ],
)
@pytest.mark.parametrize("transport", [HttpTransport, LeanTransport, BlockingTransport])
def test_headers_of_a_transport_are_checked_and_never_repeated(
    transport: type[HttpTransport] | type[LeanTransport] | type[BlockingTransport], headers: dict[str, str], why: str
) -> None:
    with pytest.raises(SettingError) as caught:
        transport("http://h", api_key="key-0815", headers=headers)
    assert why in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_values_of_headers_are_redacted_where_they_may_be_secrets() -> None:
    """Neither short ones nor those of harmless headers: ordinary texts stay whole."""
    own_headers(
        {"X-Gateway": "gate-4711-0815\n", "Cookie": "id=c00kie; a=b2", "Accept": "application/json", "X-V": "1"}, None
    )
    own_headers({"Authorization": basic("u:passw0rd")}, None)
    assert redact("gate-4711-0815 c00kie passw0rd 1 application/json") == "*** *** *** 1 application/json"
