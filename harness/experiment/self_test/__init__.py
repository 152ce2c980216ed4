"""What this machine and this client can do, and how true its times are: measured against servers of known times.

Rules of this package
  1. Each law is injected by the mock; its quantiles are computed from the law and not measured (`laws`).
  2. The timing error is measured minus injected. It contains the client's, the loopback's and the mock's own time.
  3. Every law is measured over both transports of asyncio, because a run may use either.
  4. Steps run one after another, each in processes of its own, as a run does.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from harness.base.options import option
from harness.experiment import target as targets
from harness.experiment.ceiling import PROBES
from harness.experiment.self_test import error_table
from harness.experiment.self_test.laws import Injected, injected
from harness.experiment.self_test.machine import ceiling, loop_lag_s, mock_ceiling, sleep_precision_s
from harness.experiment.self_test.plain_client import PlainRate
from harness.experiment.self_test.playing import compared, embedded, play_once, spec_of, work_s
from harness.measure.judge.self_test import judged
from harness.measure.record.environment import environment
from harness.measure.record.plan import Transport, transport_name
from harness.measure.record.self_test_file import machine_of, version_of
from harness.measure.self_test_result import Ceiling, Compared, SelfTest

TRANSPORTS: tuple[Transport, ...] = ("lean", "asyncio")
"""Those that the laws are measured over."""

Progress = Callable[[int, int, str], None]
"""Gets the number of the step that begins, the number of all steps, and its name."""


@dataclass(frozen=True)
class SelfTestSettings:
    """The parts of a self-test."""

    full: bool = option(
        False, "Measure every strategy at 1, 10, 100 and 500 in flight too, for about four minutes; prints a table."
    )


def self_test(progress: Progress, settings: SelfTestSettings) -> SelfTest:
    """Run every measurement; raises UsageError if the mock does not start."""
    known, load = environment(), _load()
    began_unix_s, began_s = time.time(), time.monotonic()
    laws = list(product(injected(), TRANSPORTS))
    planned = error_table.cells() if settings.full else []
    steps = _Steps(progress, 3 + len(laws) + len(planned))
    with tempfile.TemporaryDirectory(prefix="paceline-self-test-") as name:
        folder = Path(name)
        steps.next("sleep precision and event-loop lag")
        sleep_late_s, lag_s = sleep_precision_s(), loop_lag_s()
        ceilings, alone = _ceilings(steps, folder / "null")
        of_laws = [
            one
            for number, (law, transport) in enumerate(laws)
            for one in _law(steps, law, transport, ceilings, folder / f"law-{number}")
        ]
        table = []
        for number, cell in enumerate(planned):
            steps.next(f"{cell.name}, {cell.level.in_flight} in flight")
            table.append(error_table.measure(cell, number, ceilings, folder / f"cell-{number}"))
    return judged(
        SelfTest(
            version=version_of(known),
            machine=machine_of(known),
            measured_unix_s=began_unix_s,
            took_s=time.monotonic() - began_s,
            load_average_1m=load,
            ceilings=ceilings,
            mock_ceiling_per_s=None if alone is None else alone.rate_per_s,
            plain_client_cpu_us=None if alone is None else alone.client_cpu_us,
            laws=of_laws,
            table=table,
            sleep_late_p50_s=sleep_late_s[0],
            sleep_late_p99_s=sleep_late_s[1],
            loop_lag_p50_s=lag_s[0],
            loop_lag_p99_s=lag_s[1],
            run_queue_share=_most(law.client_wait_share for law in of_laws),
            mock_wait_share=_most(law.mock_wait_share for law in of_laws),
        )
    )


class _Steps:
    """Counts the steps for the progress."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress = progress
        self._steps = steps
        self._begun = 0

    def next(self, name: str) -> None:
        """A step begins."""
        self._begun += 1
        self._progress(self._begun, self._steps, name)


def _ceilings(steps: _Steps, folder: Path) -> tuple[dict[str, Ceiling], PlainRate | None]:
    """The generator's ceilings and the mock's own, against a server that answers at once."""
    folder.mkdir()
    found = dict[str, Ceiling]()
    with targets.embedded("null", log=folder / "mock.log") as target:
        steps.next("ceiling of the mock")
        alone = mock_ceiling(target)
        steps.next("ceiling of the generator")
        for transport in PROBES:
            reached = ceiling(target, transport, folder / transport)
            if reached is not None:
                found[transport] = reached
    return found, alone


def _law(
    steps: _Steps, law: Injected, transport: Transport, ceilings: dict[str, Ceiling], folder: Path
) -> list[Compared]:
    steps.next(f"timing error over {transport_name(transport)}: {', '.join(one.name for one in law.laws)}")
    with embedded(law, folder) as target:
        spec = spec_of("law", law, transport)
        played = play_once(spec, target, folder, work_s(ceilings, spec.transport))
    return [compared(one, played, transport=transport) for one in law.laws]


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
