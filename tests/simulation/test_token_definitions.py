"""What is measured of language models, against streams whose stamps are known, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.client.layer_settings import LayerSettings
from harness.client.tasks.chat import Chat
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item, Outcome
from harness.experiment.simulate import simulate
from harness.experiment.simulate.network import Pipe
from harness.experiment.simulate.virtual_loop import VirtualLoop, run
from harness.measure.record.files import find
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import End
from harness.measure.reduce.columns import Repeat, load_repeat
from harness.measure.reduce.latencies import distributions
from harness.measure.reduce.timeline import buckets
from harness.measure.reduce.token_figures import token_figures
from tests.bench.token_counts import count
from tests.simulation.kernel import servers

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class HandMade(asyncio.Protocol):
    """A server that streams one answer a request: each event at its instant after it, in seconds."""

    def __init__(self, events: Sequence[tuple[float, Any]]) -> None:
        self.events = events
        self.pipe: Pipe

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if not data.startswith(b"POST "):
            return
        self.pipe.write(HEAD)
        for at_s, event in self.events:
            payload = b"data: " + (b"[DONE]" if event is None else json.dumps(event).encode()) + b"\n\n"
            loop.call_later(at_s, self.pipe.write, b"%x\r\n%s\r\n" % (len(payload), payload))
        loop.call_later(self.events[-1][0], self.pipe.write, b"0\r\n\r\n")

    def connect(self, client: asyncio.BaseProtocol) -> Pipe:
        """A connection of the network in memory."""
        near, far = Pipe(client, 0.0, ("127.0.0.1", 10_000), SERVER), Pipe(self, 0.0, SERVER, ("127.0.0.1", 10_000))
        near.peer, far.peer = far, near
        self.pipe = far
        client.connection_made(near)
        return near


SERVER = ("127.0.0.1", 80)


def piece(text: str, usage: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return found if usage is None else found | {"usage": usage}


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def used(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "choices": [],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
    }


def measured(tmp_path: Path, events: Sequence[tuple[float, Any]]) -> tuple[dict[str, Any], Any]:
    """Distributions and token figures of one stream."""
    repeat = played(tmp_path, events)
    return distributions([repeat], backlog=True), token_figures([repeat], [])


def played(tmp_path: Path, events: Sequence[tuple[float, Any]], streams: int = 1) -> Repeat:
    """The records of some equal streams, one after the other, through the real HTTP client."""
    recorder = Recorder(tmp_path, case="stream", t0=0.0, t0_unix_s=0.0)
    task = Chat(stream=True)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.connect = HandMade(events).connect
        async with HttpTransport("http://127.0.0.1") as transport:
            send = recorder.layer(transport)
            for index in range(streams):
                await send(task.request((Item(index, task.parse({"prompt": "count"}), task),)))

    run(play())
    recorder.end(End(streams, streams, recorder.recorded, 0))
    return load_repeat(0, [recorder.paths])


KNOWN = [
    (0.010, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
    (0.120, piece("one")),
    (0.150, piece(" two")),
    (0.250, piece(" three")),
    (0.270, piece(" four")),
    (0.300, STOP),
    (0.400, used(12, 4, 8, 1)),
    (0.500, None),
]
"""First token at 120 ms, gaps of 30, 100 and 20 ms; then finish reason, usage and end, without content."""


def test_times_are_those_of_the_known_stamps(tmp_path: Path) -> None:
    """TTFT 120 ms, gaps 30/100/20 ms, E2E 270 ms, TPOT 50 ms: within 1 ms. Events without content do not count."""
    times, tokens = measured(tmp_path, KNOWN)
    assert times["ttft_s"].mean == pytest.approx(0.120, abs=1e-3)
    assert times["e2e_s"].mean == pytest.approx(0.270, abs=1e-3)
    assert times["tpot_s"].mean == pytest.approx(0.050, abs=1e-3)
    assert (times["itl_s"].n, times["itl_s"].min, times["itl_s"].max) == (
        3,
        pytest.approx(0.020, abs=1e-3),
        pytest.approx(0.100, abs=1e-3),
    )
    assert times["service_time_s"].mean == pytest.approx(0.500, abs=1e-3)
    assert tokens.per_s.per_user.mean == pytest.approx(1 / 0.05, rel=0.01)
    known = (tokens.prompt.total, tokens.output.total, tokens.cached.total, tokens.reasoning.total)
    assert known == (12, 4, 8, 1)
    assert tokens.absent == {}


def test_tokens_over_time_arrive_when_their_events_do(tmp_path: Path) -> None:
    """The sum over the slices is the output; each slice has the tokens of its instants."""
    repeat = played(tmp_path, KNOWN, 3)
    timeline = buckets(repeat)
    assert sum(bucket.output_tokens or 0 for bucket in timeline) == pytest.approx(12)
    full = [round(bucket.t_s + bucket.width_s / 2, 2) for bucket in timeline if bucket.output_tokens]
    expected = [0.5 * k + at for k in range(3) for at in (0.120, 0.150, 0.250, 0.270)]
    assert full == pytest.approx(expected, abs=0.03)


def test_without_usage_the_events_count_and_absent_figures_say_why(tmp_path: Path) -> None:
    """Four events are four tokens; the prompt is not known."""
    _, tokens = measured(tmp_path, [event for event in KNOWN if event[1] is None or "usage" not in event[1]])
    assert (tokens.counted_by_server, tokens.counted_by_events, tokens.output.total) == (0, 1, 4)
    assert tokens.prompt is None
    assert tokens.absent["prompt"] == "the answers have no count of prompt tokens"


def test_several_tokens_in_a_chunk_are_told_apart(tmp_path: Path) -> None:
    """A first chunk of three tokens, by the server's count in each event; TPOT stays (E2E - TTFT) / (tokens - 1)."""
    counted = {"prompt_tokens": 5, "completion_tokens": 3}
    events = [
        (0.1, piece("one two three", counted)),
        (0.2, piece(" four five")),
        (0.3, STOP),
        (0.3, used(5, 5)),
        (0.3, None),
    ]
    times, tokens = measured(tmp_path, events)
    assert (tokens.first_chunk_several, tokens.bundled) == (1, 1)
    assert times["tpot_s"].mean == pytest.approx(0.1 / 4, abs=1e-3)
    assert times["itl_s"].mean == pytest.approx(0.1, abs=1e-3)


def test_a_stream_of_one_chunk_has_no_time_per_token(tmp_path: Path) -> None:
    """Five tokens at one instant: a first token and an end, and nothing between; the figures say why."""
    times, tokens = measured(tmp_path, [(0.1, piece("all")), (0.1, STOP), (0.1, used(3, 5)), (0.1, None)])
    assert "tpot_s" not in times
    assert "itl_s" not in times
    assert times["ttft_s"].mean == pytest.approx(0.1, abs=1e-3)
    assert tokens.absent["tpot_s"] == "no stream had two tokens or more in several chunks"


def test_token_counts_are_those_of_the_mock(tmp_path: Path) -> None:
    """Over 200 streams of different lengths; `python -m tests.bench.token_counts` does it over 10,000."""
    sums = count(200, tmp_path)
    assert sums.streams == 200
    assert (sums.prompt, sums.output) == sums.of_the_mock
    assert sums.events == sums.output
    assert sums.gaps == sums.events - sums.streams


@pytest.mark.parametrize("network", ["none", "memory"])
def test_a_stream_that_is_given_up_keeps_the_tokens_that_came(
    tmp_path: Path, network: Literal["none", "memory"]
) -> None:
    """First token after 50 ms, then one each 20 ms, and the client waits for 100 ms: three events, no success."""
    profile = servers.written(tmp_path, "[generation]\nttft_base_s = 0.05\nitl_base_s = 0.02\n")
    (tmp_path / "records").mkdir()
    run = simulate(
        "sync",
        profile,
        items=5,
        task="chat:stream=true,max_tokens=16",
        layers=LayerSettings(timeout_s=0.1),
        network=network,
        records=tmp_path / "records",
    )
    assert run.count(Outcome.timed_out) == 5
    ((case,),) = [list(found.values()) for found in find(tmp_path / "records").values()]
    repeat = load_repeat(0, case)
    assert repeat.tokens.counts["output"].tolist() == [3] * 5
    assert token_figures([repeat], []) is None
