"""`python -m model_server`: the ready line when it is warm, a stop that drains, a user's mistakes in one line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.serve import command
from model_server.main import main
from tests.http.test_server_command import post

pytestmark = pytest.mark.slow


def test_it_says_where_and_what_it_serves_and_stops_on_sigterm(tmp_path: Path) -> None:
    arguments = ["--task", "similarity,annotate", "--random-weights", "similarity=tiny-bert,annotate=tiny-llama"]
    arguments += ["--warm-up", "0.2", "--port-file", str(tmp_path / "port.json")]
    process = subprocess.Popen(
        [sys.executable, "-m", "model_server", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["note"] == "random weights: answers are meaningless"
        assert line["model"] == "tiny-bert-random-weights+tiny-llama-random-weights"
        assert line["pid"] == process.pid
        assert json.loads((tmp_path / "port.json").read_text()) == line
        assert post(line["url"] + "/similarity", {"text1": "a", "text2": "a"})["similarity_score"] > 0.99
        assert post(line["url"] + "/annotate", {"text": "x", "max_tokens": 5})["tokens"] == 5
        process.send_signal(signal.SIGTERM)
        _, progress = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "loading random weights tiny-bert for similarity" in progress
    assert "Traceback" not in progress


def test_mistakes_are_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, message in (
            (["--task", "translate", "--random-weights"], "task 'translate': must be one of"),
            (["--random-weights", "bert-huge"], "random weights 'bert-huge': must be one of"),
            (["--random-weights", "tiny-bert", "--port", port], "Address already in use"),
            (["--random-weights", "tiny-bert", "--batch-tokens", "0"], "batch tokens = 0: must be an integer >= 1"),
            (["--model", str(tmp_path)], "the folder has no config.json"),
        ):
            assert main(arguments) == 2
            captured = capfd.readouterr()
            assert captured.out == ""
            assert message in captured.err.splitlines()[-1]
            assert "Traceback" not in captured.err


def test_the_command_hands_its_options_on() -> None:
    for arguments, message in (
        (["--task", "embed"], "task embed has no model"),
        (["--task", "embed", "--random-weights", "--model", "annotate=x"], "task annotate is not served"),
        (["--task", "annotate", "--random-weights", "minilm-l6"], "do not fit task annotate"),
    ):
        result = CliRunner().invoke(command, ["model", *arguments])
        assert result.exit_code == 2
        assert message in result.output
