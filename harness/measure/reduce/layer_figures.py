"""What layers counted in a case, of all processes and repeats together."""

from __future__ import annotations

from collections.abc import Iterable

from harness.client.figures import LayerCounts, summed
from harness.measure.result import LayerFigures


def figures(parts: Iterable[LayerCounts]) -> list[LayerFigures]:
    """Counts are added up; ratios are of the sums."""
    return [
        LayerFigures(
            layer.name,
            layer.figures,
            {ratio.name: ratio.value(layer.figures) for ratio in layer.ratios},
            layer.faults,
        )
        for layer in summed(parts)
    ]
