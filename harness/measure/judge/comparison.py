"""Compares two series of repeats: effect, exact interval, and a decision between better, worse and neither. Pure.

Rules of this file
  1. The repeat is the sampling unit, never the request.
  2. Repeats with one number are a pair if they were played next to each other: drift of the machine cancels out in
     their ratio. Repeats of two separate runs are no pairs, and drift between the runs is not excluded.
  3. Several figures that are judged together are corrected by Holm. Where even the clearest difference could not pass
     this correction, the answer is "not enough repeats" and not "no difference".
  4. No difference is never stated alone: `detectable` is the smallest effect that 9 of 10 such experiments find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, median

import msgspec

from harness.measure.comparison_result import Comparison, Control, Decision, FigureComparison
from harness.measure.judge.compared_figures import BACKLOG, FIGURES, Figure, chosen
from harness.measure.judge.rank_tests import LEVEL, Shifts, holm, least_pairs, least_repeats, mann_whitney, signed_rank
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import Case

TINY = 1e-9
"""Stands for 0 in a ratio, so that a repeat without any success is the worst of all and is not left out."""
FOUND = 0.9
"""Share of experiments that find an effect of the detectable size."""
DECIDED = 0.8
"""Share of experiments that decide with the number of repeats that is advised."""
PAIRS_MIN = least_pairs(LEVEL)


def compare(
    reference: Case,
    other: Case,
    figures: Sequence[Figure] | None = None,
    paired: bool = True,
    limit: float = 0.0,
) -> Comparison:
    """All figures of a case against the reference, judged together.

    Args:
        reference: The case that the other one is held against.
        other: The case in question.
        figures: The figures to judge; None for those that fit the two cases.
        paired: Whether repeats with the same number were played next to each other.
        limit: Effects up to this size do not count: 0.05 for 5 %.
    """
    figures = chosen([reference, other]) if figures is None else figures
    found = [measure(figure, reference.by_repeat, other.by_repeat, paired, limit) for figure in figures]
    return Comparison(other.name, reference.name, paired, decide(found, paired))


def ranked(cases: Sequence[Case], reference: str | None = None) -> list[Comparison]:
    """Each case against the reference (the first one without a name), the best first; empty without repeats."""
    base = next((case for case in cases if reference in (None, case.name)), None)
    if base is None or max(len(case.by_repeat) for case in cases) < 2:
        return []
    found = [compare(base, case) for case in cases if case is not base]
    return sorted(found, key=lambda one: _rank(one, base.load.kind == BACKLOG))


def controlled(cases: Sequence[Case], reference: str | None, control: str | None) -> Control | None:
    """The control against the case that it repeats; None if one of them was not played."""
    base = next((case for case in cases if reference in (None, case.name)), None)
    twin = next((case for case in cases if case.name == control), None)
    if base is None or twin is None or twin is base:
        return None
    compared = compare(base, twin)
    floors = {
        figure.figure: floor
        for figure in compared.figures
        if figure.scale == "ratio" and (floor := noise_floor(_ratios(FIGURES[figure.figure], base, twin))) is not None
    }
    return Control(twin.name, base.name, floors, compared)


def _ratios(figure: Figure, base: Case, twin: Case) -> list[float]:
    """Of the pairs that both have the figure."""
    first, second = _values(figure, base.by_repeat), _values(figure, twin.by_repeat)
    return [second[number] / first[number] for number in first.keys() & second.keys() if first[number] > 0]


def _rank(comparison: Comparison, backlog: bool) -> tuple[bool, float]:
    """A batch job is ranked by throughput, arrivals by the highest percentile; a case without this figure is last."""
    names = ("completed",) if backlog else ("p99", "p95", "p50")
    effects = {figure.figure: figure.effect for figure in comparison.figures}
    effect = next((effects[name] for name in names if effects.get(name) is not None), None)
    return effect is None, (-1 if backlog else 1) * (effect or 0.0)


def measure(
    figure: Figure,
    reference: Sequence[RepeatFigures],
    other: Sequence[RepeatFigures],
    paired: bool = True,
    limit: float = 0.0,
    level: float = LEVEL,
) -> FigureComparison:
    """One figure: effect, interval and p. Its decision is made by `decide`, together with the other figures.

    The interval misses the truth in a share of `level` of the experiments.
    """
    base, mine = _values(figure, reference), _values(figure, other)
    numbers = {repeat.repeat for repeat in reference} | {repeat.repeat for repeat in other}
    both = sorted(base.keys() & mine.keys())
    if paired:
        missing, first, second = len(numbers) - len(both), [base[n] for n in both], [mine[n] for n in both]
    else:
        missing = len(reference) + len(other) - len(base) - len(mine)
        first, second = list(base.values()), list(mine.values())
    blank = FigureComparison(
        figure.name,
        figure.better,
        figure.scale,
        reference=median(first) if first else None,
        value=median(second) if second else None,
        limit=limit,
        n=len(second),
        n_reference=len(first),
        missing=missing,
    )
    return _tested(blank, figure, first, second, paired, level) if first and second else blank


def decide(figures: Sequence[FigureComparison], paired: bool, level: float = LEVEL) -> list[FigureComparison]:
    """The figures with Holm's correction and a decision each. They are the family for which the level holds."""
    family = max(1, len(figures))
    least = least_pairs(level / family) if paired else least_repeats(level / family)
    adjusted = holm([1.0 if figure.p is None else figure.p for figure in figures])
    return [
        _decided(figure, p, _least_p(figure, paired) <= level / family, least, level, family)
        for figure, p in zip(figures, adjusted, strict=True)
    ]


def within_limit(figure: FigureComparison) -> bool | None:
    """Whether the whole interval lies on the harmless side of the limit; None without an interval."""
    if figure.low is None or figure.high is None:
        return None
    worst = _scaled(figure.high if figure.better == "lower" else figure.low, figure)
    return _sign(figure) * worst <= _bound(figure)


def beyond_limit(figure: FigureComparison) -> bool:
    """Whether the estimate is worse by more than the limit."""
    return figure.effect is not None and _sign(figure) * _scaled(figure.effect, figure) > _bound(figure)


def repeats_to_decide(figure: FigureComparison, level: float) -> int | None:
    """The number of pairs or repeats after which 8 of 10 intervals lie on one side of the limit.

    None without an interval, or if the effect is the limit.
    """
    if figure.low is None or figure.high is None or figure.effect is None:
        return None
    half = (_scaled(figure.high, figure) - _scaled(figure.low, figure)) / 2
    distance = abs(_sign(figure) * _scaled(figure.effect, figure) - _bound(figure))
    normal = NormalDist()
    factor = 1 + normal.inv_cdf(DECIDED) / normal.inv_cdf(1 - level / 2)
    return math.ceil(figure.n * (factor * half / distance) ** 2) if distance > TINY else None


def noise_floor(ratios: Sequence[float]) -> float | None:
    """The effect that equal versions show against each other, as a share; None without a ratio.

    It is the far end of the exact interval of A/A ratios. Below 6 ratios it is the largest deviation of one of them,
    which the interval of 6 is too.
    """
    logs = [math.log(ratio) for ratio in ratios if ratio > 0]
    if not logs:
        return None
    interval = signed_rank(logs).interval()
    return math.expm1(max(abs(end) for end in interval or (min(logs), max(logs))))


def _values(figure: Figure, repeats: Sequence[RepeatFigures]) -> dict[int, float]:
    found = {repeat.repeat: figure.of(repeat) for repeat in repeats}
    return {number: value for number, value in found.items() if value is not None and math.isfinite(value)}


def _tested(
    blank: FigureComparison,
    figure: Figure,
    first: Sequence[float],
    second: Sequence[float],
    paired: bool,
    level: float,
) -> FigureComparison:
    if figure.scale == "ratio":
        first, second = ([math.log(max(value, TINY)) for value in values] for values in (first, second))
    differences = [b - a for a, b in zip(first, second, strict=paired)]
    shifts = signed_rank(differences) if paired else mann_whitney(first, second)
    low, high = shifts.interval(level) or (None, None)
    return msgspec.structs.replace(
        blank,
        effect=_shown(shifts.estimate, blank),
        low=None if low is None else _shown(low, blank),
        high=None if high is None else _shown(high, blank),
        p=_p(shifts, blank),
    )


def _p(shifts: Shifts, figure: FigureComparison) -> float:
    """For the hypothesis that the figure differs by no more than the limit, in whichever direction it went."""
    bound = _bound(figure)
    return min(shifts.p_above(bound), shifts.p_below(-bound))


def _decided(
    figure: FigureComparison, p_adjusted: float, can_be_found: bool, needed: int, level: float, family: int
) -> FigureComparison:
    decision: Decision = "no difference found"
    if not can_be_found:
        decision = "not enough repeats"
    elif p_adjusted <= level and figure.effect is not None:
        decision = "worse" if _sign(figure) * _scaled(figure.effect, figure) > 0 else "better"
    return msgspec.structs.replace(
        figure,
        decision=decision,
        p_adjusted=None if figure.p is None else p_adjusted,
        needed=needed,
        detectable=_detectable(figure, level, family),
    )


def _detectable(figure: FigureComparison, level: float, family: int) -> float | None:
    """From the half width of the interval, which is 1.96 standard errors.

    An effect as large as the half width would be found in half of the experiments only, so the power is added, and the
    correction for the number of figures.
    """
    if figure.low is None or figure.high is None:
        return None
    half = (_scaled(figure.high, figure) - _scaled(figure.low, figure)) / 2
    normal = NormalDist()
    factor = (normal.inv_cdf(1 - level / family / 2) + normal.inv_cdf(FOUND)) / normal.inv_cdf(1 - level / 2)
    size = half * factor + _bound(figure)
    return math.expm1(min(size, 700.0)) if figure.scale == "ratio" else size


def _least_p(figure: FigureComparison, paired: bool) -> float:
    if paired:
        return 2.0 ** (1 - figure.n) if figure.n else 1.0
    n, m = figure.n, figure.n_reference
    return min(1.0, 2 / math.comb(n + m, n)) if n and m else 1.0


def _bound(figure: FigureComparison) -> float:
    """The limit on the scale of the test: a rise by the limit where lower is better, else a fall by it."""
    if figure.scale == "difference":
        return figure.limit
    return math.log1p(figure.limit) if figure.better == "lower" else -math.log1p(-min(figure.limit, 1 - TINY))


def _sign(figure: FigureComparison) -> int:
    """Of a change for the worse."""
    return 1 if figure.better == "lower" else -1


def _scaled(effect: float, figure: FigureComparison) -> float:
    return math.log(max(effect, TINY)) if figure.scale == "ratio" else effect


def _shown(shift: float, figure: FigureComparison) -> float:
    return math.exp(shift) if figure.scale == "ratio" else shift
