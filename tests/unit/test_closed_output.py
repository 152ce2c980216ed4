"""A command whose standard output was closed before its start ends like any other."""

import sys
from collections import defaultdict
from typing import Any

import pytest

from harness.cli.options import play
from harness.cli.signals import reader_may_leave
from harness.client.errors import UsageError


def test_a_closed_standard_output_does_not_end_a_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with reader_may_leave():
            done.append("shown")
    assert done == ["shown"]


def test_json_for_a_closed_standard_output_is_refused_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = defaultdict(lambda: None, as_json=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with pytest.raises(UsageError, match="--json writes to standard output, which is closed"):
            play(options, "backlog", [])
