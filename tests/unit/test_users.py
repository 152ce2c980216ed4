"""How many users a run has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.client.errors import UsageError
from harness.experiment.capacity import CapacitySettings, prepare_capacity
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


@pytest.mark.parametrize("command", ["sweep", "capacity"])
def test_a_level_of_concurrency_is_that_of_one_user(command: str, tmp_path: Path) -> None:
    """Two users would have twice the level in flight."""

    def first(by: str, **more: Any) -> int:
        settings = RunSettings(strategies=("queue-stream",), out=tmp_path / "r", overwrite=True, **more)
        if command == "capacity":
            return prepare_capacity(settings, CapacitySettings(slo=("service_p99<1s",), by=by))[0].cases[0].users
        wanted = SweepSettings(rates="10,20") if by == "rate" else SweepSettings(concurrency="1:4:x2")
        return prepare_sweep(settings, wanted)[0].cases[0].users

    assert first("concurrency") == 1
    assert first("concurrency", users=2, processes=2) == 2
    assert first("concurrency", processes=2, simulated=True) == 1
    with pytest.raises(
        UsageError, match="--processes 2: a level of concurrency has one user, so one process; with --u"
    ):
        first("concurrency", processes=2)
    assert first("rate", processes=2) == 2
