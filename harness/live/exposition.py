"""Metrics as text in the format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Whole numbers below it are exact as floats.
_EXACT = 1 << 53
Labels = Mapping[str, str]


class Cumulative(NamedTuple):
    """The values of a histogram: how many are at or below each bound, then all; and their sum."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float


class Family(NamedTuple):
    """A metric with its samples."""

    name: str
    kind: str  # counter, gauge or histogram
    help: str
    samples: Sequence[tuple[Labels, float | Cumulative]]


def render(families: Iterable[Family]) -> str:
    """The body of /metrics. A family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
            for labels, value in family.samples:
                lines += _sample(family.name, labels, value)
    return "\n".join([*lines, ""])


def _sample(name: str, labels: Labels, value: float | Cumulative) -> Iterator[str]:
    if not isinstance(value, Cumulative):
        yield f"{name}{_braces(labels)} {_number(value)}"
        return
    for bound, count in zip((*value.bounds, math.inf), value.counts, strict=True):
        yield f"{name}_bucket{_braces({**labels, 'le': _number(bound)})} {count}"
    yield f"{name}_sum{_braces(labels)} {_number(value.sum)}"
    yield f"{name}_count{_braces(labels)} {value.counts[-1]}"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items()) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    """All digits: of a counter that grows, the difference of two readings counts."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value:+}".replace("inf", "Inf")
    return f"{value:.0f}" if value == int(value) and abs(value) < _EXACT else repr(float(value))
