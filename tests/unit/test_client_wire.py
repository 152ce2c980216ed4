"""Statuses, streams and Retry-After: what both transports make of bytes."""

from __future__ import annotations

import math
import tracemalloc
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.errors import BadResponse, SettingError
from harness.client.tasks.http.events import LineSplitter
from harness.client.transport.event_stream import SseSplitter, is_content
from harness.client.transport.outcomes import base_url, outcome_of_status
from harness.client.transport.retry_after import SECONDS_MAX, duration, retry_after_s
from harness.client.types import Outcome

NOW = 1_800_000_000.0


def test_every_status_has_one_outcome() -> None:
    """No status is without; only 200 and 202 are ok; only 429, 503 and 529 are rejections."""
    outcomes = {status: outcome_of_status(status) for status in range(100, 1000)}
    assert [s for s, o in outcomes.items() if o is Outcome.ok] == [200, 202]
    assert [s for s, o in outcomes.items() if o is Outcome.rejected] == [429, 503, 529]
    assert [s for s, o in outcomes.items() if o is Outcome.timed_out] == [408]
    assert [s for s, o in outcomes.items() if o is Outcome.server_error] == [
        s for s in range(500, 600) if s not in (503, 529)
    ]


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://localhost.example:1/v1/", "http://localhost.example:1/v1"),
        ("https://localhost:1", "https://localhost:1"),
    ],
)
def test_a_base_url_has_no_slash(url: str, base: str) -> None:
    """But a certificate is for a name, which stays."""
    assert base_url(url) == base


@pytest.mark.parametrize("url", ["", "http:/x", "ftp://x", "http://", "http:///"])
def test_what_is_no_url_is_named(url: str) -> None:
    with pytest.raises(SettingError, match="url="):
        base_url(url)


# What comes after the end mark is not looked at, so it is none of these.
payloads = st.lists(st.binary(min_size=1).filter(lambda b: b"\r" not in b and b"[DONE]" not in b), max_size=6)


@given(payloads, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_a_stream_cut_anywhere_gives_the_same_events(
    sent: list[bytes], end: bytes, cuts: list[int], mark: bool
) -> None:
    """Whatever the line ends, the cuts, comments and other fields between."""
    stream = b"\xef\xbb\xbf" if mark else b""
    for payload in sent:
        stream += b": ping" + end + end + b"event: x" + end
        stream += b"".join(b"data: " + line + end for line in payload.split(b"\n")) + b"id: 1" + end + end
    splitter, got, position, turn = SseSplitter(), list[bytes](), 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        got += splitter.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
    splitter.close()
    assert got == sent


_PARTS = [
    b"data: a\n\n",
    b"data: \n\n",
    b"data: [DONE]\n\n",
    b"data: b\n",
    b"\n",
    b"data:c\n\n",
    b"event: x\n",
    b": p\n\n",
    b"\r",
]


@given(st.lists(st.sampled_from(_PARTS), max_size=8), st.lists(st.integers(1, 20), min_size=1))
def test_whole_events_of_one_chunk_are_the_same_as_byte_by_byte(parts: list[bytes], cuts: list[int]) -> None:
    """A chunk that begins with whole events takes a short way."""
    stream = b"".join(parts)
    slow, quick, position, turn = SseSplitter(), SseSplitter(), 0, 0
    expected = [payload for byte in stream for payload in slow.feed(bytes([byte]))]
    got = list[bytes]()
    while position < len(stream):
        got += quick.feed(stream[position : position + cuts[turn % len(cuts)]])
        position, turn = position + cuts[turn % len(cuts)], turn + 1
    assert got == expected
    assert SseSplitter().feed(stream) == expected


def test_small_pieces_of_a_line_cost_their_bytes() -> None:
    """A list of them took thirty times their size."""
    tracemalloc.start()
    try:
        for splitter in (SseSplitter(), LineSplitter()):
            splitter.feed(b"data: ")
            for number in range(40_000):
                splitter.feed(b"%02d" % (number % 100))
            assert tracemalloc.get_traced_memory()[0] < 200_000
        many = SseSplitter()
        for _ in range(40_000):
            many.feed(b"data:ab\n")
        assert tracemalloc.get_traced_memory()[0] < 400_000
        assert len(many.feed(b"\n")[0]) == 3 * 40_000 - 1
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    """Feeding never raises, and no payload holds the end of a line that LF did not join."""
    splitter = SseSplitter()
    for chunk in chunks:
        assert all(b"\r" not in payload for payload in splitter.feed(chunk))


def test_bare_data_and_a_space_less_one_are_read() -> None:
    """As the specification has them."""
    assert SseSplitter().feed(b"data\ndata:a\ndata:  b\n\n") == [b"\na\n b"]


@pytest.mark.parametrize("rest", [b"data: x", b"data: x\n", b"dat"])
def test_half_an_event_at_the_end_is_refused(rest: bytes) -> None:
    splitter = SseSplitter()
    splitter.feed(b"data: a\n\n" + rest)
    with pytest.raises(BadResponse, match="broke off"):
        splitter.close()


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        (b"[DONE]", False),
        (b'{"text": "a"}', True),
        (b'{"text": ""}', False),
        (b'{"done": true, "tokens": 3}', False),
        (b'{"choices": [{"delta": {"role": "assistant", "content": ""}}]}', False),
        (b'{"choices": [{"delta": {"content": "a"}}]}', True),
        (b'{"choices": [{"delta": {"reasoning_content": "a"}}]}', True),
        (b'{"choices": [{"text": "a"}]}', True),
        (b'{"choices": [], "usage": {"prompt_tokens": 3}}', False),
        (b'{"token": 1}', True),
        (b"not json", True),
    ],
)
def test_only_pieces_of_the_answer_count_as_content(payload: bytes, content: bool) -> None:
    """Time to first token must not be the time to the first role."""
    assert is_content(payload) is content


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "999999"}, SECONDS_MAX),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 5, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(NOW - 500, usegmt=True)}, None),
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW + 60, usegmt=True)}, 30.0),
        ({"retry-after": "Thu, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"x-ratelimit-reset-requests": "1m2.5s"}, 62.5),
        ({"x-ratelimit-reset-tokens": "250ms"}, 0.25),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "1"}, None),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "0"}, 9.0),
        ({"x-ratelimit-reset-requests": "7"}, 7.0),
        ({"x-ratelimit-reset-requests": "-1s"}, None),
        ({"x-ratelimit-reset-requests": "nonsense"}, None),
        ({"x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-reset": str(int(NOW) + 12)}, 12.0),
    ],
)
def test_every_form_of_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


def test_without_any_clock_a_date_says_nothing_unless_the_server_dates_itself() -> None:
    late = formatdate(NOW + 90, usegmt=True)
    assert retry_after_s({"retry-after": late}, None) is None
    assert retry_after_s({"retry-after": late, "date": formatdate(NOW, usegmt=True)}, None) == 90.0


NAMES = ["retry-after-ms", "retry-after", "date", "x-ratelimit-reset-requests", "x-ratelimit-reset"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40)), st.none() | st.floats(0, 4e9))
def test_no_header_can_raise_or_ask_for_nonsense(headers: dict[str, str], now: float | None) -> None:
    """Servers send anything."""
    value = retry_after_s(headers, now)
    assert value is None or 0.0 <= value <= SECONDS_MAX


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_go_durations_add_up(hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{milliseconds / 1000:.3f}s"
    value = duration(text)
    assert value is not None
    assert math.isclose(value, hours * 3600 + minutes * 60 + milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("-1.5s", -1.5),
        ("+2ms", 0.002),
        ("1h", 3600.0),
        ("3µs", 3e-6),
        ("", None),
        ("5", None),
        ("1s!", None),
    ],
)
def test_go_durations_one_by_one(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds


EVENT_LINES = st.lists(
    st.sampled_from(
        [
            b"data: {}",
            b"data: x[DONE]x",
            b"data: ",
            b"data:x",
            b"data: a\rdata: b",
            b"event: error\ndata: 1",
            b"event: ping",
            b": c",
            b"data",
        ]
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(EVENT_LINES, st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n", b"\r\r"]), st.booleans())
def test_events_in_chunks_of_their_own_are_those_of_single_bytes(
    events: list[bytes], ends: bytes, is_over: bool
) -> None:
    """The quick way for a whole event changes nothing, whatever came before it."""
    chunks = [event + ends for event in events] + ([b"data: [DONE]\n\n", b"data: late\n\n"] if is_over else [])
    whole, single = SseSplitter(), SseSplitter()
    quick = [payload for chunk in chunks for payload in whole.feed(chunk)]
    slow = [payload for byte in b"".join(chunks) for payload in single.feed(bytes([byte]))]
    assert quick == slow
