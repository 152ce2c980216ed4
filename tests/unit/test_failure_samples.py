"""One failure of each outcome is kept with its text, from the process that saw it to every report."""

from __future__ import annotations

import asyncio
import base64
import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.cli.show import show
from harness.client import redaction
from harness.client.redaction import SAMPLE_MAX, keep
from harness.client.tasks.annotate import Annotate
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.endpoint import access
from harness.client.types import Item, Outcome
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, FailureSample, RunResult, encode
from reports.formats import html, markdown
from tests.measure_samples import summarize_case
from tests.unit.recorded import Exchange, end, one_by_one, plan, plan_case, record, recorder, write_case

PASSWORD, KEY = "Pa55w0rd-of-samples", "sk-key-of-samples-4711"


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins without secrets, and leaves none."""
    monkeypatch.setattr(redaction, "_forms", set())
    monkeypatch.setattr(redaction, "_pattern", None)


def failed(outcome: Outcome, status: int, error: str | None) -> Exchange:
    """An exchange that failed and says why."""
    return one_by_one(1, outcome=outcome, status=status, error=error)[0]


def measured(tmp_path: Path, *exchanges: Exchange) -> Case:
    """The case of these exchanges, beside ten good ones."""
    write_case(tmp_path, "sync", [*one_by_one(10), *exchanges])
    return summarize_case(plan_case(), tmp_path)


def everywhere(result: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """All four places in which a result is shown: result.json, terminal, report.md, report.html."""
    show(result, tmp_path, [])
    return [encode(result).decode(), capsys.readouterr().out, markdown.render(result), html.render(result)]


def test_the_first_failure_of_each_outcome_is_kept(tmp_path: Path) -> None:
    """Later ones of the same outcome are counted only; one without a text gives way to one that has it."""
    case = measured(
        tmp_path,
        failed(Outcome.client_error, 401, "HTTP 401: "),
        failed(Outcome.client_error, 401, 'HTTP 401: {"error": "unknown key"}'),
        failed(Outcome.client_error, 404, "HTTP 404: no such path"),
        failed(Outcome.connection_error, 0, "connection refused"),
        failed(Outcome.cancelled, 0, None),
    )
    assert case.failure_samples == {
        "client_error": FailureSample(401, '{"error": "unknown key"}'),
        "connection_error": FailureSample(None, "connection refused"),
    }


def test_the_first_process_that_kept_one_gives_the_sample(tmp_path: Path) -> None:
    """Of several repeats one sample is left, not one for each."""
    for repeat, text in enumerate(("", "second", "third")):
        into = recorder(tmp_path, "sync", repeat)
        record(into, [failed(Outcome.server_error, 500, text)])
        end(into)
    case = summarize_case(plan_case(repeats=3), tmp_path)
    assert case.failure_samples == {"server_error": FailureSample(500, "second")}


def test_successes_leave_no_sample(tmp_path: Path) -> None:
    """A good answer may carry a note; it is no failure."""
    assert measured(tmp_path, one_by_one(1, error="odd")[0]).failure_samples == {}


def test_a_sample_is_bounded_and_moves_no_cursor(tmp_path: Path) -> None:
    """However long it is and whatever it holds, also where every character must be escaped."""
    case = measured(
        tmp_path,
        failed(Outcome.server_error, 500, "a\x1b[2J\r\n" + "b" * 10_000),
        failed(Outcome.bad_response, 200, "\x00" * 10_000),
        failed(Outcome.rejected, 429, "\u202e no"),
    )
    texts = {name: sample.text for name, sample in case.failure_samples.items()}
    assert texts["server_error"].startswith("a\\x1b[2J\\r\\nbbb")
    assert texts["rejected"] == "\\u202e no"
    assert all(len(text) <= SAMPLE_MAX and text.isprintable() for text in texts.values())


def test_samples_stand_in_every_report_and_are_escaped_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Markup of a server is text here."""
    write_case(tmp_path, "sync", [*one_by_one(10), failed(Outcome.rejected, 429, "HTTP 429: <b>slow</b> *down* |[x]")])
    plan(tmp_path, plan_case())
    data, terminal, text, page = everywhere(summarize_run(tmp_path), tmp_path, capsys)
    assert '"text": "<b>slow</b> *down* |[x]"' in data
    assert "rejected (HTTP 429), for example: <b>slow</b> *down* |[x]" in terminal
    assert r"| 429 | 1 | 9.1 % | &lt;b&gt;slow&lt;/b&gt; \*down\* \|\[x\]" in text
    assert "for example: &lt;b&gt;slow&lt;/b&gt; *down* |[x]" in page


class _Echo(http.server.BaseHTTPRequestHandler):
    """Repeats the caller's credentials in an error, plain and decoded."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorization = self.headers["Authorization"]
        plain = base64.b64decode(authorization.split()[1] + "==", validate=False).decode("latin-1")
        body = f"{'x' * 150}{authorization} {plain}".encode("latin-1")
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.mark.parametrize("secret", [PASSWORD, KEY])
def test_a_secret_that_the_server_repeats_is_in_no_sample(
    secret: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The password of the target, or the key: neither whole nor cut, in no file and on no terminal."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    user = f"carol:{PASSWORD}@" if secret is PASSWORD else ""
    try:
        into = recorder(tmp_path)
        asyncio.run(_ask(into, f"http://{user}127.0.0.1:{server.server_port}", None if user else KEY))
        end(into)
    finally:
        server.shutdown()
        server.server_close()
    plan(tmp_path, plan_case())
    result = summarize_run(tmp_path)
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert result.cases[0].failure_samples["client_error"].text.startswith("xxx")
    for text in [*written, *everywhere(result, tmp_path, capsys)]:
        assert secret[:12] not in text
        assert base64.b64encode(f"carol:{secret}".encode()).decode()[:14] not in text


async def _ask(into: Any, target: str, key: str | None) -> None:
    to = access(target, key)
    async with HttpTransport(to.url, timeout_s=5, authorization=to.authorization) as transport:
        task = Annotate()
        await into.layer(transport)(task.request((Item(0, task.parse({"text": "a"}), task),)))


def test_an_error_of_the_users_own_code_is_redacted_too(tmp_path: Path) -> None:
    """Not every text comes through a transport."""
    keep(KEY)
    case = measured(tmp_path, failed(Outcome.bad_response, 200, f"ValueError: bad header {KEY}"))
    assert case.failure_samples["bad_response"].text == "ValueError: bad header ***"
