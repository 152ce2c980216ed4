"""The difference between two finished runs."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.measure import json_files
from harness.measure.comparison_result import Comparison

DIFF_VERSION = 1
DiffStatus = Literal["no worse", "worse", "not enough repeats", "invalid"]


class Changed(msgspec.Struct, frozen=True):
    """A condition of the measurement that differs between the runs."""

    name: str  # environment.cpu_model, strategy.settings.maximum ...
    before: str
    after: str
    case: str | None = None  # the only one that it concerns

    @property
    def label(self) -> str:
        """The name, with the case."""
        return self.name if self.case is None else f"case {self.case}: {self.name}"


class Diff(msgspec.Struct, frozen=True):
    """What changed between two runs, by how much, and whether it is more than noise."""

    schema_version: int
    before: str  # the id of the run
    after: str
    status: DiffStatus
    text: str  # the finding in a sentence or two
    paired: bool
    limit: float
    obstacles: list[Changed]  # reasons against the comparison, overruled by --force
    changed: list[Changed]
    only_before: list[str]  # names of cases
    only_after: list[str]
    comparisons: list[Comparison]


def encode(diff: Diff) -> bytes:
    """Indented JSON that ends with a newline."""
    return json_files.encode(diff)
