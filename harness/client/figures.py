"""Figures of layers for the result of a run: sums, ratios of these sums, and faults.

Rules of this file
  1. Figures are counts and sums, so that those of several client applications and processes add up. A share is never
     summed: it is declared as a `Ratio` and computed from the sums, at the end.
  2. A fault is the reason why a layer could not do its work. It holds no number, so that equal faults of several
     processes become one.
  3. A user-defined layer may return or raise anything here; the result of the case is written all the same.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from harness.client.cache.semantic.shadow import upper_bound
from harness.client.redaction import excerpt

FIGURES_MAX = 50
FAULTS_MAX = 10
NAME_MAX = 60
FAULT_MAX = 300
_EXACT = 2**53  # a larger whole number is kept as a float
_LARGEST = 1e300


class Ratio(msgspec.Struct, frozen=True):
    """One figure divided by the sum of others; null where that sum is 0."""

    name: str  # ends in `share` for a share of a whole, in `_s` for seconds
    part: str
    of: tuple[str, ...]
    upper: bool = False  # instead of the share itself: its upper 95 % bound

    def value(self, figures: Mapping[str, float]) -> float | None:
        """From the sums."""
        part, whole = figures.get(self.part, 0), sum(figures.get(name, 0) for name in self.of)
        if whole <= 0:
            return None
        return upper_bound(int(part), int(whole)) if self.upper else part / whole


@runtime_checkable
class CountingLayer(Protocol):
    """A layer whose figures appear in the result of a run.

    Name -> count or sum since the layer was built; a name that ends in `_s` is a time in seconds.
    """

    def figures(self) -> Mapping[str, float]: ...


@runtime_checkable
class RatioLayer(Protocol):
    """A `CountingLayer` that declares shares of its figures, as `Ratio`."""

    @property
    def ratios(self) -> Sequence[Ratio]: ...


@runtime_checkable
class FaultyLayer(Protocol):
    """A `CountingLayer` that says why it could not do its work."""

    def faults(self) -> Sequence[str]: ...


class LayerCounts(msgspec.Struct, frozen=True):
    """The figures of one layer, or of all layers of one name."""

    name: str
    figures: dict[str, int | float] = {}
    ratios: list[Ratio] = []
    faults: list[str] = []


def counts_of(layers: Iterable[tuple[str, object]]) -> list[LayerCounts]:
    """The present figures of these layers, by name; layers without `figures()` are left out.

    A layer has figures if it is a `CountingLayer`; ratios and faults if it is a `RatioLayer` and a `FaultyLayer`.
    """
    return summed(_read(name, layer) for name, layer in layers if isinstance(layer, CountingLayer))


def summed(parts: Iterable[LayerCounts]) -> list[LayerCounts]:
    """Parts of one name added up, in the order in which the names come."""
    of_name: dict[str, list[LayerCounts]] = {}
    for part in parts:
        of_name.setdefault(part.name, []).append(part)
    return [_sum(name, same) for name, same in of_name.items()]


def _sum(name: str, parts: list[LayerCounts]) -> LayerCounts:
    figures: dict[str, int | float] = {}
    for part in parts:
        for key, value in part.figures.items():
            figures[key] = figures.get(key, 0) + value
    ratios = {ratio.name: ratio for part in parts for ratio in part.ratios}
    faults = dict.fromkeys(fault for part in parts for fault in part.faults)
    return LayerCounts(name, figures, list(ratios.values()), list(faults)[:FAULTS_MAX])


def _read(name: str, layer: CountingLayer) -> LayerCounts:
    try:
        figures = {_words(str(key), NAME_MAX): _number(value) for key, value in dict(layer.figures()).items()}
        ratios, faults = _ratios(layer), _faults(layer)
    except Exception as error:  # a user-defined class may raise anything
        return LayerCounts(name, faults=[_words(f"its figures cannot be read: {type(error).__name__}: {error}")])
    known = {key: value for key, value in list(figures.items())[:FIGURES_MAX] if value is not None}
    if odd := [key for key, value in figures.items() if value is None]:
        faults.append(_words(f"its figures hold something other than a number: {', '.join(odd)}"))
    return LayerCounts(name, known, ratios, faults[-FAULTS_MAX:])


def _ratios(layer: object) -> list[Ratio]:
    given = list(layer.ratios)[:FIGURES_MAX] if isinstance(layer, RatioLayer) else []
    return [msgspec.convert(msgspec.to_builtins(ratio), Ratio) for ratio in given]


def _faults(layer: object) -> list[str]:
    given = layer.faults() if isinstance(layer, FaultyLayer) else []
    return [_words(str(fault)) for fault in ([given] if isinstance(given, str) else given)]


def _words(text: str, size: int = FAULT_MAX) -> str:
    """One line without secrets, of characters that can be encoded."""
    return excerpt(" ".join(text.encode(errors="replace").decode().split()), size)


def _number(value: Any) -> int | float | None:
    """A plain number of a size that can be added up; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    if isinstance(value, numbers.Integral) and abs(whole := int(value)) < _EXACT:
        return whole
    number = float(value)
    return number if abs(number) < _LARGEST else None
