"""The version of a plan."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.client.errors import UsageError
from harness.measure.record.plan import read_plan, write_plan
from tests.measure_samples import plan, plan_case


def test_a_plan_of_another_schema_version_is_refused_by_name(tmp_path: Path) -> None:
    """Its checksum is right, so nothing but the version says that it is not understood."""
    write_plan(msgspec.structs.replace(plan(plan_case("a")), schema_version=99), tmp_path)
    with pytest.raises(UsageError, match="schema_version: 99, expected 2"):
        read_plan(tmp_path)
