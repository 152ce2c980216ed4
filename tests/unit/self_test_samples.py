"""Made-up self-tests."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.measure.judge.self_test import judged
from harness.measure.self_test_result import Ceiling, Compared, SelfTest


def law(
    name: str = "constant", p50_s: float = 0.02, p99_s: float | None = 0.02, *measured: float, **more: Any
) -> Compared:
    """A law with its measured p50 and p99, if there are any."""
    values = dict(zip(("measured_p50_s", "measured_p99_s"), measured, strict=False))
    return Compared(
        name=name, injected_p50_s=p50_s, injected_p99_s=p99_s, n=300 if measured else 0, **{**values, **more}
    )


def found(**more: Any) -> SelfTest:
    """A quiet machine, with other figures if you like."""
    sound = SelfTest(
        version="1.0",
        machine={"cpu_model": "a"},
        measured_unix_s=1_700_000_000.0,
        took_s=20.0,
        load_average_1m=0.1,
        ceilings={
            "asyncio": Ceiling(4000.0, 240.0, 100.0),
            "lean": Ceiling(9000.0, 90.0, 100.0),
            "blocking": Ceiling(3000.0, 300.0, 100.0),
        },
        mock_ceiling_per_s=12_000.0,
        plain_client_cpu_us=12.0,
        laws=[law("constant", 0.02, 0.02, 0.0203, 0.0206)],
        sleep_late_p50_s=0.0001,
        sleep_late_p99_s=0.0003,
        run_queue_share=0.01,
        mock_wait_share=0.002,
    )
    return judged(msgspec.structs.replace(sound, **more))
