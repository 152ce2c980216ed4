"""Changed servers are refuted, unchanged ones are not: `python -m tests.bench.verify_changes [--seeds 10]`.

A server is fitted and verified in virtual time, then verified against itself, with one more worker, and 20 % slower.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.fitting.fitter import FitSettings, fit_server
from harness.fitting.profile_file import write
from harness.fitting.verifier import VerifySettings, verify
from harness.measure.verification_result import Verification

SERVER = (
    '[service]\nbase_s = {base}\nper_token_s = {token}\n[service.jitter]\nkind = "lognormal"\ncv = 0.2\n'
    "[capacity]\nworkers = {workers}\npad_multiple = 1\n"
)
SERVERS = {
    "unchanged": SERVER.format(base=0.010, token=0.00005, workers=2),
    "one more worker": SERVER.format(base=0.010, token=0.00005, workers=3),
    "20 % slower": SERVER.format(base=0.012, token=0.00006, workers=2),
}


def verified(seed: int, folder: Path, time_s: float = 150.0, duration_s: float = 10.0) -> dict[str, Verification]:
    """Fit the unchanged server, and verify the profile against each."""
    for name, text in SERVERS.items():
        (folder / f"{name}.toml").write_text(text)
    fitted = folder / "fitted.toml"
    wanted = FitSettings(
        out=fitted, server=str(folder / "unchanged.toml"), seed=seed, records=folder / "fit", time_s=time_s
    )
    write(fit_server(wanted, lambda text: None, simulated=True).profile, fitted)
    found = {}
    for name in SERVERS:
        settings = VerifySettings(
            server=str(fitted), against=str(folder / f"{name}.toml"), seed=seed, out=folder / name,
            duration_s=duration_s, save=False,
        )  # fmt: skip
        found[name] = verify(settings, lambda text: None, simulated=True).result
    return found


def main() -> None:
    """Print the verdicts of each seed, and how many are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    asked = parser.parse_args()
    right = dict.fromkeys(SERVERS, 0)
    for seed in range(asked.first, asked.first + asked.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found = verified(seed, Path(folder))
        for name, one in found.items():
            right[name] += (one.status == "refuted") == (name != "unchanged")
        print(seed, "; ".join(f"{name}: {one.status} ({one.text})" for name, one in found.items()), flush=True)
    print(", ".join(f"{name} {count}/{asked.seeds}" for name, count in right.items()))


if __name__ == "__main__":
    main()
