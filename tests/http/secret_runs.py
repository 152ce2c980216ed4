"""Runs of every command with planted secrets, against a server that echoes all it was sent; then a search for them.

`python -m tests.http.secret_runs` makes all runs and prints how many files and bytes were searched, and what was found.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from tests.processes import ROOT

USER, PASSWORD, KEY, TOKEN = "carol", "Pa55w0rd/&planted", "sk-planted-key-4711", "tok-planted-0815"
BAD_KEY = "sk-bad-“planted”-2342"


def needles() -> set[bytes]:
    """The secrets in each form in which they may be written."""
    found: set[bytes] = set()
    for text in (PASSWORD, KEY, TOKEN, BAD_KEY, f"{USER}:{PASSWORD}"):
        forms = {text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1]}
        forms |= {text.replace("&", "&amp;"), base64.b64encode(text.encode()).decode().rstrip("=")}
        found |= {form.encode() for form in (*forms, *disguised(text))}
    return found


def disguised(text: str) -> list[str]:
    """Forms that a server has for a secret only if it means to get it past a search."""
    data = text.encode()
    coded = ["".join(form.format(byte) for byte in data) for form in ("%{:02X}", "%{:02x}", "\\u{:04x}")]
    # Base64 of a longer text: the bits that are of the secret alone.
    within = base64.b64encode(b"x" + data).decode()[2 : 8 * (1 + len(data)) // 6]
    return [text[::-1], data.hex(), data.hex().upper(), within, *coded]


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers some calls well and repeats in all others, in head, body or stream, what it got, also in disguise."""

    protocol_version = "HTTP/1.1"
    calls = 0
    heard: ClassVar[set[str]] = set()  # credentials that came, by user agent

    def do_POST(self) -> None:
        """Good answers, and errors of several kinds that give away the request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Echo.calls += 1
        Echo.heard.add(f"{self.headers.get('Authorization', '')} by {self.headers.get('User-Agent', '').split('/')[0]}")
        secret = self.headers.get("Authorization", "").partition(" ")[2]
        known = [text for text in (secret, _decoded(secret), _decoded(secret).partition(":")[2]) if text]
        said = f"{self.requestline} {dict(self.headers)} {' '.join(known)}"
        kind = Echo.calls % 8
        if kind == 4:
            # Each time another disguise.
            self._answer(500, " ".join(disguised(text)[Echo.calls // 8 % 7] for text in known))
        elif kind == 5:
            self._answer(
                400, json.dumps({"error": {"message": " ".join(form for text in known for form in disguised(text))}})
            )
        elif kind != 3 and b'"stream":true' in body.replace(b" ", b""):
            self._stream(kind, said, known)
        elif kind == 0:
            self._answer(401, json.dumps({"error": said}), [("WWW-Authenticate", f'Basic realm="{said}"')])
        elif kind == 1:
            self._answer(500, "x" * 150 + said)
        elif kind == 2:
            self._answer(302, said, [("Location", f"http://h/?{said}")])
        elif kind == 3:
            self._answer(200, said)
        else:
            self._answer(200, '{"similarity_score": 0.5, "text": "a", "choices": [{"message": {"content": "a"}}]}')

    do_GET = do_POST  # noqa: N815 - the name that http.server looks for

    def _stream(self, kind: int, said: str, known: list[str]) -> None:
        """An event stream that goes wrong in the middle, or well."""
        chunk = 'data: {"choices": [{"delta": {"content": "a"}, "text": "a"}], "text": "a", "token": {"text": "a"}}\n\n'
        error = json.dumps({"error": {"message": f"{said} {' '.join(disguised(known[0])) if known else ''}"}})
        ends = ["data: [DONE]\n\n", f"event: error\ndata: {error}\n\n", f"data: {error}\n\n", f"data: {said}\n\n"]
        body = (chunk + ends[kind % 4]).encode()
        self.send_response(200, said[-60:].replace("\n", " "))
        self.send_header("Content-Type", "text/event-stream")
        # Every second one breaks off.
        self.send_header("Content-Length", str(len(body) + (kind > 4) * 99))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _answer(self, status: int, text: str, headers: list[tuple[str, str]] | None = None) -> None:
        body = text.encode()
        self.send_response(status, text[-60:].replace("\n", " "))
        for name, value in [*(headers or []), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return ""


@contextmanager
def echoing() -> Iterator[int]:
    """The port of such a server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Run:
    """A command line (without `paceline`), its environment, and for how long it is left running."""

    line: list[str]
    env: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None  # a server is stopped after this
    module: str = "harness"


def runs(port: int) -> list[Run]:
    """More than forty runs, good and failing ones, of all commands."""
    url = f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
    plain, key = f"http://127.0.0.1:{port}", {"PACELINE_TARGET_KEY": KEY}
    quick = ["--no-calibrate"]
    compare = ["compare", "--items", "18", "--no-calibrate", "--timeout", "5"]
    chosen = ["-s", "queue-stream:concurrency=3"]
    process = ["process", "in.jsonl", "--task", "annotate", "--errors-max", "100%", "--retries", "1"]
    stop = ["process", "in.jsonl", "--task", "annotate", "--errors-max", "0%", "--retries", "0"]
    server = {"PACELINE_API_KEY": KEY}
    mix = ["-s", "sync", "-s", "adaptive", "-s", "threads:workers=2"]
    return [
        Run([*compare, *mix, "--target", url, "--out", "c1"]),
        Run([*compare, *mix, "--target", plain, "--out", "c2"], key),
        Run([*compare, *chosen, "--target", url + "/v1", "--task", "chat", "--out", "c3"], key),
        Run([*compare, *chosen, "--target", url, "--task", "annotate:stream=true", "--out", "c4", "--json"], key),
        Run([*compare, *chosen, "--target", url, "--out", "c5", "--slo", "errors<1%"]),
        Run([*compare, *chosen, "--target", url, "--retries", "2", "--out", "c1"]),
        Run([*compare, *chosen, "--target", url, "--out", "c1", "--overwrite"]),
        Run([*compare, *chosen, "--target", f"{plain}/?token={TOKEN}", "--out", "c6"]),
        Run([*compare, *chosen, "--target", f"{plain}/#{TOKEN}", "--out", "c6"]),
        Run([*compare, *chosen, "--target", f"{USER}:{PASSWORD}@127.0.0.1:{port}", "--out", "c6"]),
        Run([*compare, *chosen, "--target", f"http://{USER}:{PASSWORD}@127.0.0.1:{port}", "--out", "c6"]),
        Run([*compare, *chosen, "--target", f"http://{TOKEN}@127.0.0.1:{port}", "--out", "c7"]),
        Run([*compare, *chosen, "--target", url, "--out", "c8", "--nonsense", url]),
        Run([*compare, *chosen, "--target", url, "--out", "c8", url]),
        Run([*compare, "-s", "nonsense", "--target", url, "--out", "c8"]),
        Run([*compare, *chosen, "--target", f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:1", "--out", "c8"]),
        Run([*compare, *chosen, "--target", plain, "--out", "c9"], {"PACELINE_TARGET_KEY": f" {KEY}\r\n"}),
        Run([*compare, *chosen, "--target", plain, "--out", "c10"], {"PACELINE_TARGET_KEY": BAD_KEY}),
        Run([*compare, *chosen, "--out", "c11", "--server", "null"], key | server),
        Run([*compare, "-s", f"sync+semantic-cache:embed={url}", "--target", plain, "--out", "c12"]),
        Run([*compare, *chosen, "--target", url, "--input", f"{TOKEN[:3]}-missing.jsonl", "--out", "c13"]),
        Run(["compare", *chosen, "--items", "12", "--target", url, "--out", "c14", "--quiet"]),
        Run([*compare, *mix, "--target", plain, "--task", "chat:stream=true", "--items", "24", "--out", "c15"], key),
        Run(["capacity", "--target", url, "--slo", "p99<1s", "--by", "rate", *quick, "--budget", "4", "--out", "k1"]),
        Run(["gate", "--baseline-target", url, "--target", plain, "--items", "18", "--pairs", "1", "--pairs-max", "1",
             *quick, "--out", "g1", "--junit", "g1.xml", "--summary", "g1.md"], key),
        Run(["run", "soak", *chosen, "--duration", "1", "--rate", "15", *quick, "--target", url, "--out", "r1"]),
        Run(["run", "ramp", *chosen, "--duration", "1", "--no-calibrate", "--target", plain, "--out", "r2"], key),
        Run(["run", "nonsense", *chosen, "--target", url, "--out", "r3"]),
        Run(["run", "backlog", *chosen, "--items", "9", "--processes", "2", *quick, "--target", url, "--out", "r4"]),
        Run([*process, "--output", "p1.jsonl", "--target", url]),
        Run([*process, "--output", "p2.jsonl", "--target", plain, "--json"], key),
        Run([*stop, "--output", "p3.jsonl", "--target", url]),
        Run([*stop, "--output", "p3.jsonl", "--target", url, "--resume"]),
        Run([*process, "--output", "p4.jsonl", "--target", f"{plain}?token={TOKEN}"]),
        Run([*process, "--output", "p5.jsonl", "-s", "threads:workers=2", "--cache", "p5.sqlite", "--target", url]),
        Run([*process[:3], "annotate:stream=true", *process[4:], "--output", "p8.jsonl", "--target", url]),
        Run([*process, "--output", "p6.jsonl", "--patience", "0.5", "--target", url.replace(str(port), "1")]),
        Run([*process, "--output", "/nowhere/p7.jsonl", "--target", url], key),
        Run(["simulate", "compare", "--items", "50", "--out", "s1"], key | server),
        Run(["simulate", "compare", "--items", "50", "--out", "s2", "--target", url], key),
        Run(["report", "c1"]),
        Run(["report", "c2", "--json"], key),
        Run(["report", url]),
        Run(["serve", "mock", "--server", "null", "--port", "0", "--jobs", "none"], server, seconds=2.0),
        Run(["serve", "mock", "--server", "null", "--port", "0", "--jobs", "celery", "--broker",
             f"redis://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:1/0"], server, seconds=6.0),
        Run(["list", "strategies"], key),
        Run(["-f", str(ROOT / "scenarios" / "backlog.py"), "--headless", "-u", "1", "-t", "8", "-H", url, "--items",
             "9", "--out", "l1"], module="locust"),
    ]  # fmt: skip


def play(run: Run, folder: Path) -> tuple[int, bytes]:
    """Exit code, and all that it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PACELINE")}
    env |= {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "state"), **run.env}
    command = [sys.executable, "-m", run.module, *run.line]
    child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.seconds is not None:
        threading.Timer(run.seconds, child.terminate).start()
    output, _ = child.communicate(timeout=120)
    return child.returncode, output


def search(folder: Path, outputs: list[bytes]) -> list[str]:
    """Where a secret stands: in which file, in its name, or in which run's output."""
    found, sought = [], needles()
    for number, output in enumerate(outputs):
        found += [f"output of run {number}: {needle!r}" for needle in sought if needle in output]
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        found += [f"{path}: {needle!r}" for needle in sought if needle in data or needle in os.fsencode(path)]
    return found


def prepare(folder: Path) -> None:
    """The input of the bulk runs."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": f"t{n}"}) + "\n" for n in range(150)))


def main() -> None:
    """All of them."""
    with tempfile.TemporaryDirectory() as name, echoing() as port:
        folder, outputs, began = Path(name), list[bytes](), time.monotonic()
        prepare(folder)
        for run in runs(port):
            code, output = play(run, folder)
            outputs.append(output)
            print(code, run.line[:2], output[-160:], flush=True)
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) + sum(map(len, outputs))
        found = search(folder, outputs)
        print(*sorted(Echo.heard), sep="\n")
        print(f"{len(outputs)} runs in {time.monotonic() - began:.0f} s, {Echo.calls} calls were echoed or answered;")
        print(f"{len(files)} files and {size} bytes searched for {len(needles())} forms: {len(found)} found")
        print(*found[:40], sep="\n")


if __name__ == "__main__":
    main()
