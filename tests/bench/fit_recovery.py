"""Recovery of known parameters: `python -m tests.bench.fit_recovery [--seeds 20] [--first 1] [--kind NAME] [--whole]`.

Each of ten servers is calibrated in virtual time, as `paceline fit` calibrates a real one, and its parameters are
estimated from what the client saw. With `--whole` the fit goes on as a real one does, to simulated candidates and a
profile, whose file is read. A parameter is recovered if it is within 3 % of the truth, a whole number if it is equal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from harness.fitting.bench import Virtual, bench
from harness.fitting.calibration import Calibrating, Calibration, CalibrationPlan
from harness.fitting.estimates import fit
from harness.fitting.fitted_parameters import Fit
from harness.fitting.fitter import FitSettings, fit_server
from harness.fitting.profile_file import write
from harness.fitting.written_parameters import parameters
from mock_server.profile import Profile
from mock_server.profiles import load

WITHIN = 0.03


@dataclass(frozen=True)
class Kind:
    """A server with known parameters."""

    toml: str
    truth: dict[str, float]
    task: str = "similarity"
    plan: CalibrationPlan = field(default_factory=CalibrationPlan)


KINDS = {
    "constant": Kind("[service]\nbase_s = 0.008\n[capacity]\nworkers = 1\n", {"base_s": 0.008, "workers": 1, "cv": 0}),
    "lognormal": Kind(
        '[service]\nbase_s = 0.010\n[service.jitter]\nkind = "lognormal"\ncv = 0.3\n[capacity]\nworkers = 1\n',
        {"base_s": 0.010, "cv": 0.3, "workers": 1},
    ),
    "batching with linger": Kind(
        "[service]\nbase_s = 0.006\nper_item_s = 0.0015\n[capacity]\nworkers = 1\nbatch_max_items = 8\n"
        "batch_linger_s = 0.004\n",
        {"base_s": 0.006, "per_item_s": 0.0015, "linger_s": 0.004, "batch_max_items": 8, "workers": 1},
    ),
    "two workers": Kind(
        '[service]\nbase_s = 0.012\n[service.jitter]\nkind = "lognormal"\ncv = 0.2\n[capacity]\nworkers = 2\n',
        {"base_s": 0.012, "cv": 0.2, "workers": 2},
    ),
    "queue bound with 429": Kind(
        '[service]\nbase_s = 0.010\n[service.jitter]\nkind = "lognormal"\ncv = 0.2\n[capacity]\nworkers = 2\n'
        "[limits]\nin_flight = 64\nstatus = 429\n",
        {"base_s": 0.010, "cv": 0.2, "workers": 2, "in_flight": 64},
    ),
    "batches behind a queue": Kind(
        "[service]\nbase_s = 0.010\nper_item_s = 0.002\n[capacity]\nworkers = 1\nbatch_max_items = 8\nqueue_max = 32\n",
        {"base_s": 0.010, "per_item_s": 0.002, "batch_max_items": 8, "workers": 1, "queue_max": 32},
    ),
    "large batches": Kind(
        "[service]\nbase_s = 0.020\nper_item_s = 0.001\n[capacity]\nworkers = 1\nbatch_max_items = 256\n",
        {"base_s": 0.020, "per_item_s": 0.001, "batch_max_items": 256, "workers": 1},
    ),
    "rate limit": Kind(
        "[service]\nbase_s = 0.060\n[limits]\nrate_per_s = 50\nburst = 10\nretry_after_s = 2\n",
        {"base_s": 0.060, "rate_per_s": 50, "burst": 10, "retry_after_s": 2},
    ),
    "padded lengths": Kind(
        '[service]\nbase_s = 0.003\nper_token_s = 0.0001\n[service.jitter]\nkind = "lognormal"\ncv = 0.1\n'
        "[capacity]\nworkers = 1\nbatch_max_items = 8\npad_multiple = 16\n",
        {"base_s": 0.003, "per_token_s": 0.0001, "cv": 0.1, "batch_max_items": 8, "workers": 1, "pad_multiple": 16},
    ),
    "language model": Kind(
        "[generation]\nttft_base_s = 0.030\nttft_per_prompt_token_s = 0.0004\nitl_base_s = 0.008\n"
        "itl_per_running_s = 0.0005\nrunning_max = 16\nqueue_max = 1024\n"
        '[generation.ttft_jitter]\nkind = "lognormal"\ncv = 0.1\n[generation.itl_jitter]\nkind = "gamma"\ncv = 0.1\n',
        {
            "ttft_base_s": 0.030, "ttft_per_prompt_token_s": 0.0004, "itl_base_s": 0.008, "itl_per_running_s": 0.0005,
            "running_max": 16, "ttft_cv": 0.1, "itl_cv": 0.1,
        },
        "annotate:stream=true,max_tokens=24",
    ),
}  # fmt: skip


def calibrated(kind: Kind, seed: int, folder: Path) -> Calibration:
    """Calibrate a server in virtual time."""
    (folder / "truth.toml").write_text(kind.toml)
    settings = RunSettings(
        strategies=("unbounded",), server=str(folder / "truth.toml"), task=kind.task, items=1, simulated=True,
        out=folder / "run", calibrate=False, seed=seed,
    )  # fmt: skip
    run = prepare(settings, kind="fit")
    with bench(run, Virtual(run), lambda event, facts: None) as server:
        return Calibrating(server, CalibrationPlan(**{**kind.plan.__dict__, "seed": seed}), lambda text: None).run()


def misses(kind: Kind, found: Fit) -> dict[str, float | None]:
    """Parameters that were not recovered, with what was found; None: not determined."""
    known = {one.name: one for one in found.estimates}
    wrong: dict[str, float | None] = {}
    for name, true in kind.truth.items():
        one = known.get(name)
        if one is None or not one.determined:
            wrong[name] = None
        elif not _recovered(one.value, true):
            wrong[name] = one.value
    return wrong


def written(kind: Kind, seed: int, folder: Path) -> Profile | None:
    """The profile that `paceline fit` writes, as a mock reads it; None if the server is refused."""
    (folder / "truth.toml").write_text(kind.toml)
    wanted = FitSettings(
        out=folder / "fitted.toml", server=str(folder / "truth.toml"), task=kind.task, seed=seed, records=folder / "run"
    )
    found = fit_server(wanted, lambda text: None, simulated=True)
    if found.refused:
        return None
    write(found.profile, wanted.out)
    return load(wanted.out)


def written_misses(kind: Kind, found: Profile | None) -> dict[str, float | None]:
    """Parameters of the truth that a written profile does not have, with what it has; None: it was refused."""
    if found is None:
        return dict.fromkeys(kind.truth)
    known = parameters(found, streams="stream=true" in kind.task)
    return {name: known.get(name) for name, true in kind.truth.items() if not _recovered(known.get(name), true)}


def _recovered(value: float | None, true: float) -> bool:
    return value is not None and abs(value - true) <= (WITHIN * true if true else 0.003)


def main() -> None:
    """Print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--kind", action="append")
    parser.add_argument("--whole", action="store_true", help="compare the written profile with the truth")
    asked = parser.parse_args()
    for name in asked.kind or KINDS:
        kind, began = KINDS[name], time.perf_counter()
        wrong: dict[str, list[float | None]] = {}
        for seed in range(asked.first, asked.first + asked.seeds):
            with tempfile.TemporaryDirectory() as folder:
                where = Path(folder)
                if asked.whole:
                    missed = written_misses(kind, written(kind, seed, where))
                else:
                    missed = misses(kind, fit(calibrated(kind, seed, where), 1e-6))
            for parameter, value in missed.items():
                wrong.setdefault(parameter, []).append(value)
        counts = ", ".join(f"{key} {asked.seeds - len(wrong.get(key, []))}/{asked.seeds}" for key in kind.truth)
        took = (time.perf_counter() - began) / asked.seeds
        print(f"{name:22} {counts}   ({took:.1f} s each)" + (f"   misses: {wrong}" if wrong else ""), flush=True)


if __name__ == "__main__":
    main()
