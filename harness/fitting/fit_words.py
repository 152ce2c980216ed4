"""A fit in words: its parameters, the undetermined ones, and its errors on the loads of the calibration."""

from __future__ import annotations

from typing import Any

from harness.base import units
from harness.fitting.calibration import AGREE, WARM_WINDOWS_MAX
from harness.fitting.fitted_parameters import Estimate
from harness.fitting.fitter import Fitted
from harness.fitting.load_figures import Figures, relative

COLUMNS = (
    ("rate", "rate"),
    ("p50", "p50"),
    ("p95", "p95"),
    ("ttft_p50", "TTFT"),
    ("itl_p50", "ITL"),
    ("refused", "refused"),
)

UNSETTLED = (
    f"the median latencies of three windows in succession differed by more than {units.share(AGREE)}, "
    f"in {WARM_WINDOWS_MAX} windows; the server may still change"
)


def table(found: Fitted) -> str:
    """The whole report."""
    lines = [f"structure: {found.fit.structure.text}" if found.fit.streams is None else "structure: a language model"]
    lines += [_line(one) for one in found.fit.estimates]
    which = "the fitted profile" if found.searched else "the first estimate, which was not improved,"
    lines += ["", f"error of {which} on the loads of the calibration (played over measured, minus 1):"]
    shown = [(name, title) for name, title in COLUMNS if any(_error(pair, name) is not None for pair in found.pairs)]
    lines.append(f"{'load':28}" + "".join(f"{title:>9}" for _, title in shown))
    for pair in found.pairs:
        cells = "".join(f"{_percent(_error(pair, name)):>9}" for name, _ in shown)
        lines.append(f"{pair[0]:28}{cells}")
    lines.append(
        f"loss {units.share(found.loss)} (root mean square of these errors; below 2 % is good), "
        f"drift of the server {units.change(found.calibration.drift)}"
    )
    if not found.calibration.settled:
        lines.append(f"the warm-up did not settle: {UNSETTLED}")
    if found.stops.text and not found.refused:
        lines.append(f"not played by the profile: {found.stops.text}")
    lines += [f"invalid: {one.case}: {one.text}" for one in found.calibration.problems]
    return "\n".join(lines)


def _line(one: Estimate) -> str:
    seconds = one.name.endswith("_s") and one.name != "rate_per_s"
    words = units.seconds if seconds else units.significant
    error = "" if one.error is None else f" ±{words(one.error)}"
    return f"  {one.name:26} {words(one.value)}{error}" + (f"   NOT DETERMINED: {one.note}" if one.note else "")


def _error(pair: tuple[str, Figures, Figures], name: str) -> float | None:
    return relative(pair[1], pair[2], name)


def _percent(value: float | None) -> str:
    return "" if value is None else units.change(value)


def as_data(found: Fitted) -> dict[str, Any]:
    """The same for programs."""
    return {
        "structure": found.fit.structure.text,
        "parameters": [
            {"name": one.name, "value": one.value, "error": one.error, "determined": one.determined, "note": one.note}
            for one in found.fit.estimates
        ],
        "loads": [
            {"name": name, "errors": {key: relative(one, other, key) for key, _ in COLUMNS}}
            for name, one, other in found.pairs
        ],
        "loss": found.loss,
        "warm_up_settled": found.calibration.settled,
        "drift": found.calibration.drift,
        "stops_share": found.stops.share,
        "refused": list(found.refused),
        "proof": found.profile.proof,
    }
