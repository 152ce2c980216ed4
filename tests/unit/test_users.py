"""How many users a run has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.client.errors import UsageError
from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from harness.experiment.sweep import SweepSettings, prepare_sweep


def test_each_process_has_a_user_unless_the_number_is_given(tmp_path: Path) -> None:
    """A process without a user would send nothing, and nobody would notice."""

    def users(**more: Any) -> int:
        return prepare(RunSettings(strategies=("sync",), out=tmp_path / "r", overwrite=True, **more)).cases[0].users

    assert users() == 1
    assert users(processes=2) == 2
    assert users(processes=2, users=3) == 3
    assert users(processes=2, simulated=True) == 1
    with pytest.raises(UsageError, match="--processes 3 with --users 2: a process without a user sends nothing"):
        users(processes=3, users=2)


def test_a_level_of_concurrency_is_that_of_one_user(tmp_path: Path) -> None:
    settings = RunSettings(strategies=("queue-stream",), out=tmp_path / "r", processes=2)
    with pytest.raises(UsageError, match="--processes 2 with --users 1"):
        prepare_sweep(settings, SweepSettings(concurrency="1:4:x2"))
    run, _ = prepare_sweep(settings, SweepSettings(rates="10,20"))
    assert run.cases[0].users == 2
