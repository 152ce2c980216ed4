"""A shape as a profile of the mock: `python -m tests.simulation.limits.profiles FOLDER` writes one TOML file a shape.

The same server can then be served (`paceline serve mock --server FOLDER/stalls.toml`), simulated
(`paceline simulate compare -s adaptive --server FOLDER/stalls.toml`) and met by a real run. What a shape says of its
clients (how many, when they join, how much they ask for) is no part of a server, and left out. Shapes that the mock
cannot play (`MODEL_ONLY`) have no profile.
"""

from __future__ import annotations

import math
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import msgspec

from mock_server.profile import Profile
from mock_server.toml_settings import convert
from tests.simulation.limits.run import REFUSED_AFTER_S
from tests.simulation.limits.server import Shape, shapes

ENDLESS = 1_000_000  # waiting places
MODEL_ONLY = ("quota", "neighbours", "crash", "silent_share", "network_s")
"""What only the lean model plays."""


def has_profile(shape: Shape) -> bool:
    """Whether the mock can play it."""
    return not any(getattr(shape, name) for name in MODEL_ONLY) and shape.law != "pareto"


def toml(shape: Shape) -> str:
    """The text of its profile; raises ValueError for a shape that the mock cannot play."""
    if not has_profile(shape):
        names = [name for name in MODEL_ONLY if getattr(shape, name)] or [shape.law]
        raise ValueError(f"{shape.name}: the mock has no {', '.join(names)}")
    parts = [f"# {shape.about or shape.name}", *_service(shape), *_capacity(shape), *_limits(shape)]
    for at_s, workers in shape.steps:
        parts += ["", "[[changes]]", f"at_s = {at_s}", f"workers = {workers}"]
    for at_s, factor in shape.slower:
        parts += ["", "[[changes]]", f"at_s = {at_s}", f"speed = {1 / factor!r}"]
    if shape.stall_every_s:
        first, last = shape.stall_every_s, shape.stall_every_s + shape.stall_s
        parts += ["", "[[pauses]]", f"start_s = {first}", f"end_s = {last}", f"period_s = {first}"]
    if shape.error_share:
        parts += ["", "[[faults]]", 'kind = "status"', 'when = "after"', f"probability = {shape.error_share}"]
    return "\n".join([*parts, *_outages(shape)]) + "\n"


def profile(shape: Shape) -> Profile:
    """The same, checked, as the mock takes it."""
    given: Profile = convert(tomllib.loads(toml(shape)), Profile, shape.name)
    return msgspec.structs.replace(given, name=shape.name, summary=shape.about)


def faster(shape: Shape, factor: float) -> Shape:
    """The same game with every time divided by `factor` and every rate multiplied."""

    def less(seconds: float | None) -> float | None:
        return None if seconds is None else seconds / factor

    return replace(
        shape,
        service_s=shape.service_s / factor,
        retry_after_s=less(shape.retry_after_s),
        rate_per_s=None if shape.rate_per_s is None else shape.rate_per_s * factor,
        stall_every_s=less(shape.stall_every_s),
        stall_s=shape.stall_s / factor,
        steps=tuple((at_s / factor, workers) for at_s, workers in shape.steps),
        slower=tuple((at_s / factor, times) for at_s, times in shape.slower),
        stagger_s=shape.stagger_s / factor,
        outages=tuple((begin / factor, end / factor) for begin, end in shape.outages),
        duration_s=shape.duration_s / factor,
    )


def _service(shape: Shape) -> list[str]:
    lines = ["[service]", f"base_s = {shape.service_s}"]
    if shape.law == "exponential":
        lines.append('jitter = {kind = "exponential"}')
    elif shape.law == "lognormal":
        lines.append(f'jitter = {{kind = "lognormal", cv = {math.sqrt(math.expm1(shape.sigma**2))!r}}}')
    elif shape.law == "mixture":
        long = max(1, round(1000 * shape.long_share))
        lines.append(f'jitter = {{kind = "empirical", factors = {[50.0] * long + [1.0] * (1000 - long)}}}')
    elif shape.law == "bimodal":
        lines.append('jitter = {kind = "empirical", factors = [0.2, 0.2, 0.2, 2.2, 2.2]}')
    if shape.crowd:
        last = shape.crowd + 1000
        points = [[shape.crowd, 1.0], [last, 1.0 + 1000 * shape.crowding]]
        lines.append(f'growth = {{kind = "table", unit = "factor", points = {points}}}')
        lines.append('growth_by = "running"')
    elif shape.contention or shape.coherence:
        lines.append(f'growth = {{kind = "usl", sigma = {shape.contention}, kappa = {shape.coherence}}}')
        lines.append('growth_by = "running"')
    return lines


def _capacity(shape: Shape) -> list[str]:
    return ["", "[capacity]", f"workers = {shape.workers}", f"queue_max = {ENDLESS}"]


def _limits(shape: Shape) -> list[str]:
    lines = []
    if shape.queue is not None:
        lines.append(f"in_flight = {shape.workers + shape.queue}")
    if shape.drop_over is not None:
        lines += [f"in_flight = {shape.drop_over}", 'action = "ignore"']
    if shape.rate_per_s is not None:
        lines += [f"rate_per_s = {shape.rate_per_s}", f"burst = {shape.burst}"]
    if not lines:
        return []
    hint = "tell_wait = false" if shape.retry_after_s is None else f"retry_after_s = {shape.retry_after_s}"
    return ["", "[limits]", *lines, f"delay_s = {REFUSED_AFTER_S}", hint]


def _outages(shape: Shape) -> list[str]:
    lines = []
    for begin, end in shape.outages:
        lines += ["", "[[faults]]", f"start_s = {begin}", f"end_s = {end}", f"delay_s = {REFUSED_AFTER_S}"]
        if shape.outage_as == "rejected":
            lines += ['kind = "status"', "status = 503"]
            lines += [] if shape.retry_after_s is None else [f"retry_after_s = {shape.retry_after_s}"]
        else:
            lines.append('kind = "reset"')
    if shape.refused_share:
        lines += ["", "[[faults]]", 'kind = "status"', "status = 503", f"probability = {shape.refused_share}"]
        lines.append(f"delay_s = {REFUSED_AFTER_S}")
    return lines


def main(folder: Path) -> None:
    """Write all that the mock can play."""
    folder.mkdir(parents=True, exist_ok=True)
    for shape in filter(has_profile, shapes()):
        (folder / f"{shape.name}.toml").write_text(toml(shape), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
