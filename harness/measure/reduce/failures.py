"""Failures of a case: how many by outcome and HTTP status, and one text for each outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.client.redaction import one_line
from harness.client.types import Outcome, Response
from harness.measure.record.rows_file import FLAG_STOPPED
from harness.measure.reduce.columns import Repeat
from harness.measure.result import OUTCOME_NAMES, FailureCount, FailureSample


def keep_sample(samples: dict[str, FailureSample], response: Response) -> None:
    """Keep the text of this failure if it is the first one with a text for its outcome."""
    name = response.outcome.name
    if name in samples or not response.error:
        return
    text = one_line(response.error.removeprefix(f"HTTP {response.status}:").strip())
    if text:
        samples[name] = FailureSample(response.status or None, text)


def failure_counts(repeats: Sequence[Repeat]) -> list[FailureCount]:
    """Requests that failed by outcome and HTTP status, the most frequent first."""
    found: Counter[tuple[int, int]] = Counter()
    for repeat in repeats:
        on_purpose = (repeat.rows["flags"] & FLAG_STOPPED) > 0
        bad = repeat.rows[(repeat.rows["outcome"] != Outcome.ok) & ~on_purpose]
        pairs, numbers = np.unique(np.stack([bad["outcome"], bad["status"]], axis=1), axis=0, return_counts=True)
        for (outcome, status), number in zip(pairs.tolist(), numbers.tolist(), strict=True):
            found[outcome, status] += number
    return [FailureCount(Outcome(outcome).name, status or None, n) for (outcome, status), n in found.most_common()]


def failure_samples(repeats: Sequence[Repeat]) -> dict[str, FailureSample]:
    """One failure for each outcome, from the first process that has one, in the order of the outcomes."""
    kept = [process.failure_samples for repeat in repeats for process in repeat.processes]
    firsts = {name: next((found[name] for found in kept if name in found), None) for name in OUTCOME_NAMES}
    return {name: sample for name, sample in firsts.items() if sample is not None}
