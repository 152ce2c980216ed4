"""What one process must know of a case, and the bounds of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings
from harness.experiment.spec import SAMPLE_PAIRS, Trial
from harness.load.lines import count_lines
from harness.load.workloads.jsonl import Jsonl
from tests.processes import spec


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"users": 0}, "users=0 must be between 1 and 10000"),
        ({"drain_s": -1.0}, "drain_s=-1.0"),
        ({"duration_s": 0.0}, "duration_s=0.0"),
        ({"items": 0}, "items=0 must be at least 1"),
    ],
)
def test_bounds_are_reported(change: dict[str, float], says: str, tmp_path: Path) -> None:
    """Field, value, range."""
    with pytest.raises(UsageError, match=says):
        spec("http://x", tmp_path, **change)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [("timeout_s", 0.0, "timeout_s=0.0"), ("retries", 101, "between 0 and 100"), ("rate_limit_per_s", -1.0, "above 0")],
)
def test_layers_have_bounds_too(field: str, value: float, says: str) -> None:
    """The same way."""
    with pytest.raises(UsageError, match=says):
        LayerSettings(**{field: value})


def test_a_case_survives_json_and_builds_its_parts(tmp_path: Path) -> None:
    """Strategy, mix, source and schedule are built in each process from the same data."""
    case = spec("http://x", tmp_path, "adaptive:maximum=9", synthetic={"mean": 3.0})
    again = msgspec.json.decode(msgspec.json.encode(case), type=Trial)
    assert again == case
    assert again.build_strategy() == case.build_strategy()
    assert again.build_schedule().sha256 == case.build_schedule().sha256
    assert again.build_source(again.build_strategy()).synthetic.mean == 3.0


def test_the_shipped_pairs_are_a_thousand_good_ones_in_two_languages() -> None:
    """Real sentences, every line an item, half of them Chinese."""
    task = spec("http://x", Path("/tmp")).build_mix().tasks[0]  # noqa: S108 - nothing is written there
    jsonl = Jsonl(SAMPLE_PAIRS)
    assert len(list(jsonl.rows(task))) == count_lines(SAMPLE_PAIRS) == 1000
    assert jsonl.bad_lines == 0
    text = SAMPLE_PAIRS.read_text(encoding="utf-8")
    assert text.count('"language": "zh"') == text.count('"language": "en"') == 500
