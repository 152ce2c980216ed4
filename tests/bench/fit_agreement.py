"""Answers on a server and on its fitted mock: `python -m tests.bench.fit_agreement`.

Two servers are fitted in virtual time. Then a sweep, a search of the capacity and four client strategies are simulated
on each server and on its fitted profile: the knee must be within one level, the capacity within 10 %, and strategies
that are apart on the server must rank alike by makespan.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness.experiment.simulate import simulate
from harness.fitting.fitter import FitSettings, fit_server
from harness.fitting.profile_file import write

SERVERS = {
    "two workers": '[service]\nbase_s = 0.010\nper_token_s = 0.00005\n[service.jitter]\nkind = "lognormal"\ncv = 0.2\n'
    "[capacity]\nworkers = 2\npad_multiple = 1\n",
    "batches of 8": '[service]\nbase_s = 0.006\nper_item_s = 0.0015\n[service.jitter]\nkind = "lognormal"\ncv = 0.2\n'
    "[capacity]\nworkers = 1\nbatch_max_items = 8\n",
}
STRATEGIES = ("sync", "queue-stream:concurrency=4", "queue-stream:concurrency=32", "adaptive")
APART = 0.05
"""Strategies whose figures differ by less are alike."""


def command(arguments: str, server: Path, folder: Path) -> dict[str, Any]:
    """The result of a simulated command."""
    line = [sys.executable, "-m", "harness", "simulate", *arguments.split(), "--server", str(server), "--json"]
    done = subprocess.run([*line, "--no-report", "--out", str(folder)], capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(server: Path, folder: Path) -> dict[str, Any]:
    """Knee, capacity, and makespan of each strategy."""
    swept = command("sweep --concurrency 1:64:x2 --duration 5s", server, folder / "sweep")
    searched = command("capacity --by rate --slo p99<150ms,errors<1%", server, folder / "capacity")
    spans = {name: simulate(name, server, items=2000, seed=3).virtual_s for name in STRATEGIES}
    bounds = next(one for one in searched["capacity"]["answers"] if one["by"] == "rate")
    return {"knee": swept["sweep"]["knee"], "capacity": bounds, "makespan_s": spans}


def ranks_alike(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether no pair that is apart on one is the other way round on the other."""
    names = list(one)
    for first in names:
        for second in names:
            if one[first] < one[second] * (1 - APART) and other[first] > other[second] * (1 + APART):
                return False
    return True


def main() -> None:
    """Print the answers of each pair."""
    for name, text in SERVERS.items():
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            real, mock = folder / "server.toml", folder / "fitted.toml"
            real.write_text(text)
            wanted = FitSettings(out=mock, server=str(real), records=folder / "fit")
            write(fit_server(wanted, lambda text: None, simulated=True).profile, mock)
            on_real, on_mock = answers(real, folder / "real"), answers(mock, folder / "mock")
        print(name)
        print("  knee      ", on_real["knee"], on_mock["knee"], _steps(on_real["knee"], on_mock["knee"]))
        print("  capacity  ", on_real["capacity"], on_mock["capacity"])
        print("  makespans ", _rounded(on_real["makespan_s"]), _rounded(on_mock["makespan_s"]))
        print("  ranked alike:", ranks_alike(on_real["makespan_s"], on_mock["makespan_s"]), flush=True)


def _steps(one: float, other: float) -> str:
    return f"{abs(np.log2(one / other)):.0f} levels apart"


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


if __name__ == "__main__":
    main()
