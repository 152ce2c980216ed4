"""Known parameters are found again, changed servers are refuted, and servers that cannot be fitted are refused.

Whole tables: `python -m tests.bench.fit_recovery` and `python -m tests.bench.verify_changes`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.fitting.calibration import Plan
from harness.fitting.estimates import fit
from tests.bench.fit_recovery import KINDS, calibrated, misses

SHORT = Plan(idle_s=6.0, level_s=4.0, items=400)


@pytest.mark.parametrize("name", ["constant", "batching with linger", "queue bound with 429", "language model"])
def test_known_parameters_are_found_again(name: str, tmp_path: Path) -> None:
    kind = replace(KINDS[name], plan=SHORT)
    # A coefficient of variation needs more requests than these.
    kind = replace(kind, truth={key: value for key, value in kind.truth.items() if not key.endswith("cv")})
    assert misses(kind, fit(calibrated(kind, 3, tmp_path), 1e-6)) == {}
