"""The key of the live page: when it is needed, in which forms it is sent, and what is answered without it."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.client.errors import UsageError
from harness.live import live_server
from harness.live.key import VARIABLE, Key, key_of_environment
from harness.live.live_server import TOKEN_HEADER
from tests.unit.test_live_server import ask, served

KEY = "a-key-of-this-test"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [
        (f"Bearer {KEY}", True),
        (f"bearer   {KEY}", True),
        (basic(f":{KEY}"), True),
        (basic(f"prometheus:{KEY}"), True),
        (f"Bearer {KEY}x", False),
        (f"Bearer {KEY[:-1]}", False),
        ("Bearer", False),
        ("", False),
        (KEY, False),
        (f"Digest {KEY}", False),
        (basic(KEY), False),
        (basic(f"a:b:{KEY}"), False),
        ("Basic !!!", False),
        ("Basic \udcff", False),
        ("Bearer \udcff", False),
    ],
)
def test_a_key_is_a_bearer_token_or_the_password_of_any_user(authorization: str, allowed: bool) -> None:
    assert Key(KEY).allows(authorization) is allowed


@pytest.mark.parametrize(
    ("given", "needed", "says"),
    [
        (None, True, rf"--live 0\.0\.0\.0:80: other machines reach .* set {VARIABLE} .* at least 12 characters"),
        ("", False, f"{VARIABLE} is empty"),
        ("  ", True, f"{VARIABLE} is empty"),
        ("short", False, f"{VARIABLE} has 5 characters; at least 12"),
        ("a key with blanks", True, f"{VARIABLE}: character 2 is space"),
        ("schlüssel-für-alle", True, f"{VARIABLE}: character 5 is latin small letter u with diaeresis"),
    ],
)
def test_a_missing_or_weak_key_is_one_line_without_it(
    given: str | None, needed: bool, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(UsageError, match=says) as refused:
        key_of_environment("0.0.0.0:80", needed)
    assert "\n" not in str(refused.value)
    assert not given or len(given.strip()) < 5 or given not in str(refused.value)


def test_an_address_for_other_machines_without_a_key_is_refused_before_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for line in (["run", "steady"], ["process", "-", "--output", str(tmp_path / "x.jsonl"), "--target", "http://x"]):
        with pytest.raises(SystemExit) as ended:
            main([*line, "--live", "0.0.0.0:0", *(["--out", str(tmp_path / "run")] if line[0] == "run" else [])])
        err = capsys.readouterr().err
        assert ended.value.code == 2
        assert VARIABLE in err
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_every_route_needs_the_key_and_then_any_name_of_the_server_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in a cluster's DNS is one that this machine does not know."""
    monkeypatch.setattr(live_server, "WRONG_KEY_S", 0.2)
    stops: list[int] = [0]
    with served(stops, key=Key(KEY)) as (server, port):
        token = {TOKEN_HEADER: server.token}
        for method, path in (("GET", "/"), ("GET", "/events"), ("GET", "/metrics"), ("GET", "/x"), ("POST", "/stop")):
            status, headers, text = ask(port, method, path, **token)
            assert (status, KEY in text) == (401, False)
            assert headers["www-authenticate"].startswith('Basic realm="paceline"')
        begun = time.monotonic()
        assert ask(port, "GET", "/metrics", Authorization="Bearer wrong")[0] == 401
        assert time.monotonic() - begun >= 0.2
        known = {"Authorization": basic(f"me:{KEY}")}
        assert ask(port, "GET", "/", **known)[0] == 200
        far = {"Host": "paceline.load.svc:8090", "Authorization": f"Bearer {KEY}"}
        assert ask(port, "GET", "/metrics", **far)[0] == 200
        assert ask(port, "POST", "/stop", **known)[0] == 403
        # A proxy in front of it has HTTPS.
        assert ask(port, "POST", "/stop", Origin="http://evil.example", **far, **token)[0] == 403
        assert ask(port, "POST", "/stop", Origin="https://paceline.load.svc:8090", **far, **token)[0] == 202
    assert stops == [0, 1]
