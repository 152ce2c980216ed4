"""Both commands as processes: a stop in the middle of streams cuts none of them and refuses what is new."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract.kinds import CAN_COMPUTE

SLOW = "[generation]\nttft_base_s = 0.02\nitl_base_s = 0.01\n"
COMMANDS = {
    "mock": ["mock_server", "--profile", "{profile}"],
    "model": ["model_server", "--task", "annotate", "--random-weights", "tiny-llama", "--warm-up", "0"],
}


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port."""
    profile = folder / "slow.toml"
    profile.write_text(SLOW)
    command = [part.format(profile=profile) for part in COMMANDS[kind]]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, urlsplit(json.loads(process.stdout.readline())["url"]).port or 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_stop_in_the_middle_of_streams_cuts_none_of_them(kind: str, tmp_path: Path) -> None:
    if kind == "model" and not CAN_COMPUTE:
        pytest.skip("torch and transformers are not installed")
    with serving(kind, tmp_path) as (process, port):
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(4)]
        late = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        late.request("GET", "/health")
        assert late.getresponse().read() == b'{"status":"ok"}'
        for connection in connections:
            connection.request("POST", "/annotate", json.dumps({"text": "go on", "max_tokens": 150, "stream": True}))
        streams = [connection.getresponse() for connection in connections]
        begun = [stream.read1() for stream in streams]
        assert all(b"data: " in part for part in begun)
        process.send_signal(signal.SIGTERM)
        with suppress(ConnectionError, http.client.HTTPException):  # a slow test may find it gone already
            late.request("GET", "/ready")
            refused = late.getresponse()
            if refused.status != 200:  # else it came before the signal was seen
                assert (refused.status, json.loads(refused.read())["error"]["code"]) == (503, "server_draining")
                assert int(refused.headers["Retry-After"]) >= 1
        whole = [part + stream.read() for part, stream in zip(begun, streams, strict=True)]
        assert all(text.endswith(b"data: [DONE]\n\n") for text in whole)
        assert [text.count(b'{"text":') for text in whole] == [150] * 4
        for connection in [*connections, late]:
            connection.close()
        assert process.wait(60) == 0
