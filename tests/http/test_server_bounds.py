"""Bounds of the HTTP face that options set, packed bodies, and web pages that may call."""

from __future__ import annotations

import argparse
import gzip
import json
from typing import Any

import pytest

from harness.base.options import add_options, options
from mock_server.main import MockOptions, main, worker_app, worker_recipe
from model_server.command import BoundsError, bounds_of
from model_server.http.bounds import FaceSettings
from tests.http.test_server_pipelines import BODY, conversation, sized, statuses
from tests.server_helpers import PAIR, call, null_app, serving

PAGE = "https://page.example"


BOUNDS = [bound for bound in options(FaceSettings) if not bound.many]


def parsed(line: list[str]) -> dict[str, Any]:
    """The values of the face's options on a command line."""
    parser = argparse.ArgumentParser()
    add_options(parser, FaceSettings)
    return vars(parser.parse_args(line))


def test_every_bound_has_an_option_and_its_default() -> None:
    assert bounds_of(parsed([])) == FaceSettings()
    assert len(BOUNDS) == 8
    line = [part for number, bound in enumerate(BOUNDS) for part in (bound.flag, str(number + 2))]
    found = bounds_of(parsed([*line, "--cors-origin", PAGE, "--cors-origin", "*"]))
    assert [getattr(found, bound.field) for bound in BOUNDS] == [number + 2 for number in range(len(BOUNDS))]
    assert found.cors_origins == (PAGE, "*")


def test_a_worker_has_the_bounds_of_its_server() -> None:
    recipe = worker_recipe(MockOptions("null"), FaceSettings(items_max=5, api_key="k", cors_origins=(PAGE,)))
    settings = worker_app(**json.loads(recipe.arguments_json)).settings
    assert settings == FaceSettings(items_max=5)


def test_a_bound_that_cannot_be_is_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    for line, message in (
        (["--items-max", "0"], "items_max = 0: must be an integer >= 1"),
        (["--keep-alive", "0"], "keep_alive_s = 0.0: must be > 0 and <= 86400"),
        (["--cors-origin", "https://a/b"], "cors_origins = 'https://a/b': must be * or like"),
    ):
        assert main(["--profile", "null", *line]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    with pytest.raises(BoundsError):
        bounds_of(parsed(["--body-timeout", "-1"]))


def test_paceline_serve_passes_every_bound_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from harness.cli.serve import command

    seen: list[dict[str, Any]] = []
    monkeypatch.setattr("mock_server.main.run", lambda values, *rest: seen.append(values) or 0)
    line = [part for bound in BOUNDS for part in (bound.flag, "7")]
    assert CliRunner().invoke(command, ["mock", *line, "--cors-origin", PAGE]).exit_code == 0
    assert bounds_of(seen[0]) == FaceSettings(**{bound.field: 7 for bound in BOUNDS}, cors_origins=(PAGE,))


@pytest.mark.parametrize("cuts", [1, 7, 4000])
def test_a_small_bound_of_the_head_holds_however_it_is_cut(cuts: int) -> None:
    head = b"GET /health HTTP/1.1\r\nhost: x\r\ncookie: " + b"c" * 300 + b"\r\n\r\n"
    reads = [head[place : place + cuts] for place in range(0, len(head), cuts)]
    for bytes_max, status in ((400, b"200"), (300, b"431")):
        answers, _, _ = conversation(reads, [False] * len(reads), FaceSettings(head_max_bytes=bytes_max))
        assert statuses(answers) == [status]
    answers, closed, _ = conversation([sized(BODY, b"x: y\r\n")], [False], FaceSettings(head_max_fields=2))
    assert (statuses(answers), closed) == ([b"431"], True)


async def test_a_packed_body_is_unpacked_also_when_it_has_several_members() -> None:
    raw = json.dumps(PAIR).encode()
    async with serving(null_app()) as client:
        for body in (gzip.compress(raw), gzip.compress(raw[:9]) + gzip.compress(raw[9:])):
            for name in ("gzip", "X-Gzip"):
                async with client.post("/similarity", data=body, headers={"content-encoding": name}) as response:
                    assert await response.json() == {"similarity_score": 0.25}
        async with client.post("/similarity", data=raw, headers={"content-encoding": "br"}) as response:
            assert (response.status, response.headers["accept-encoding"]) == (415, "gzip, identity")


async def test_scripts_of_an_allowed_page_may_call_and_read() -> None:
    app = null_app(cors_origins=(PAGE,), api_key="k")
    asked: dict[str, Any] = {"origin": PAGE, "access-control-request-method": "POST"}
    before = await call(
        app, "/similarity", method="OPTIONS", headers={**asked, "access-control-request-headers": "x-a"}
    )
    assert before.status == 200
    assert before.headers["access-control-allow-origin"] == PAGE
    assert before.headers["access-control-allow-methods"] == "POST"
    assert before.headers["access-control-allow-headers"] == "x-a"
    for headers, status in (({"authorization": "Bearer k"}, 200), ({}, 401)):
        answer = await call(app, "/similarity", PAIR, headers={"origin": PAGE, **headers})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, PAGE)
        assert "server-timing" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "origin"
    assert app.counts.total()["in_flight"] == 0


async def test_others_may_not_and_without_the_option_nobody_may() -> None:
    app = null_app(cors_origins=(PAGE,))
    answer = await call(app, "/similarity", PAIR, headers={"origin": "https://other.example"})
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    everyone = await call(null_app(cors_origins=("*",)), "/similarity", PAIR, headers={"origin": "null"})
    assert everyone.headers["access-control-allow-origin"] == "*"
    asked = {"origin": PAGE, "access-control-request-method": "POST"}
    off = await call(null_app(), "/similarity", method="OPTIONS", headers=asked)
    assert off.status == 405
    assert not [name for name in off.headers if name.startswith("access-control")]
