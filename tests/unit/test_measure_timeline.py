"""The slices of a run that charts are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.reduce.timeline import P99_LEAST, _quantiles


@pytest.mark.parametrize(("size", "value"), [(4, None), (P99_LEAST - 1, None), (P99_LEAST, 99.0)])
def test_a_slice_of_few_values_has_no_p99(size: int, value: float | None) -> None:
    """The p99 of four values would be the largest of them."""
    values = np.arange(1, size + 1) * 1_000_000_000
    found = _quantiles("latency", values, np.zeros(size, dtype=np.int64), 1)
    assert found["latency_p99_s"] == [value]
