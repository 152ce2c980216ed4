"""A command whose standard output was closed before its start ends like any other."""

import sys

import pytest

from harness.cli.signals import reader_may_leave


def test_a_closed_standard_output_does_not_end_a_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with reader_may_leave():
            done.append("shown")
    assert done == ["shown"]
