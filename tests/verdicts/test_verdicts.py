"""A server that fails, a client that starves: exit code, verdict and text of each, as docs/verdicts.md shows them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from harness.measure.record.run_queue import RunQueueSampler
from tests.processes import BUSY, ROOT
from tests.verdicts.playing import Seen, by_command, in_this_process
from tests.verdicts.situations import SITUATIONS, Situation, verdict_words

pytestmark = pytest.mark.slow
NAMES = [one.name for one in SITUATIONS]


def schedstat() -> bool:
    """Whether this system counts the waits for a processor."""
    sampler = RunQueueSampler()
    sampler.start()
    return hasattr(os, "sched_setaffinity") and sampler.longest() is not None


def check(seen: Seen, expected: Situation) -> None:
    """As expected. A busy machine may add its own reasons, and they make a valid run invalid."""
    if expected.status == "valid" and seen.status == "invalid":
        assert set(seen.texts) <= BUSY, seen
        return
    assert (seen.exit_code, seen.status) == (expected.exit_code, expected.status), seen
    text = seen.texts.get(expected.code, "")
    assert [words for words in expected.words if words not in text] == [], text


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_a_situation_has_its_verdict_code_and_text(situation: Situation, tmp_path: Path) -> None:
    """The text names what is wrong and what to do."""
    if situation.loops and not schedstat():
        pytest.skip("this system has no schedstat")
    seen = in_this_process(situation, tmp_path / "0")
    for attempt in range(1, 4 if situation.loops else 0):
        # Where others take the server's processor, too, the client's wait may be the smaller part.
        if situation.code not in seen.texts:
            seen = in_this_process(situation, tmp_path / str(attempt))
    if situation.loops and situation.code not in seen.texts and os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1):
        pytest.skip("other programs slow the server down as much as the busy loops the client")
    check(seen, situation)


def test_the_command_prints_the_reason_and_ends_with_its_code(tmp_path: Path) -> None:
    """One of them, as a user runs it."""
    situation = SITUATIONS[NAMES.index("429 to every request")]
    seen, printed = by_command(situation, tmp_path)
    check(seen, situation)
    flat = " ".join(printed.split())
    assert "verdict: invalid" in flat
    for words in situation.words:
        assert words in flat


def test_the_page_has_a_row_for_each_situation_with_its_code_and_verdict() -> None:
    """`python -m tests.verdicts docs/verdicts.md` writes them."""
    page = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+?) \| (\d \| [^|]*?) \|", page, re.MULTILINE))
    assert list(rows) == NAMES
    for one in SITUATIONS:
        assert rows[one.name] == f"{one.exit_code} | {verdict_words(one.status, one.code)}"
