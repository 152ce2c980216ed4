"""Counters of a case's layers, summed over all processes and repeats."""

from __future__ import annotations

from collections.abc import Iterable

from harness.client.figures import LayerCounts, summed
from harness.measure.result import LayerFigures


def figures(parts: Iterable[LayerCounts]) -> list[LayerFigures]:
    """Add up counts, and compute ratios from the sums."""
    return [
        LayerFigures(
            layer.name,
            layer.figures,
            {ratio.name: ratio.value(layer.figures) for ratio in layer.ratios},
            layer.faults,
        )
        for layer in summed(parts)
    ]
