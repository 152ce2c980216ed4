"""`paceline demo`: the same clients on two embedded mock servers, one of which refuses requests that it cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.command import Command, WholeNumber

if TYPE_CHECKING:
    from harness.experiment.backend import Progress
    from harness.measure.result import RunResult

TITLE = "paceline demo: six client strategies on two servers"
STRATEGIES = ("sync", "threads:workers=40", "unbounded", "batches:size=50", "queue-stream:concurrency=50", "adaptive")
SLO = "errors<1%"


@dataclass(frozen=True)
class Scene:
    """One act of the demo: a profile of the mock, and its description for a newcomer."""

    profile: str
    title: str
    about: str


SCENES = (
    Scene(
        "demo",
        "Act 1: a server that accepts everything",
        "Every request is accepted, and each one in the server makes all of them slower. Nothing fails, so the price "
        "of many requests in flight is only a long service time.",
    ),
    Scene(
        "demo-bounded",
        "Act 2: a server with bounds",
        "The same clients, with the same settings. This server holds at most 36 requests (4 in work, 32 waiting) and "
        "refuses the rest with 503; above 500 requests/s it answers 429. No client sends a request again. A fixed "
        "number in flight below 36 would also hold, but one has to know it.",
    ),
)


@click.command("demo", cls=Command)
@click.option("--items", type=WholeNumber(50, 100_000), default=1000, show_default=True, help="Items of each act.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Directory of the reports.",
)
@click.option("--overwrite", is_flag=True, help="Replace a demo that is in the directory already.")
@click.option("--simulate", "simulated", is_flag=True, help="Play it in virtual time, in seconds.")
def command(items: int, out: Path, overwrite: bool, simulated: bool) -> int:
    """Show the purpose of the strategies: the same clients on two embedded mock servers.

    The first server accepts everything. The second one has a queue bound and a rate limit and refuses the rest, with
    503 and 429. Both acts have the SLO errors<1%. That a strategy fails it is the point of the demo, so the exit code
    is 0 if both measurements are valid.

    \b
    paceline demo --simulate
    """
    from harness.cli.progress import ProgressDisplay
    from harness.cli.show import show_act, show_overview
    from reports import overview, page

    acts = []
    for scene in SCENES:
        with ProgressDisplay() as progress:
            result, interrupted = _play(scene, items, out / scene.profile, overwrite, simulated, progress)
        page.write(result, out / scene.profile)
        acts.append(overview.Act(scene.profile, scene.title, scene.about, result))
        show_act(result, f"{scene.title} (SLO: {SLO})")
        if interrupted:
            break
    written = overview.write(acts, TITLE, out)
    show_overview([(act.name, act.result) for act in acts], written)
    return _exit_code([act.result for act in acts])


def _play(
    scene: Scene, items: int, directory: Path, overwrite: bool, simulated: bool, progress: Progress
) -> tuple[RunResult, bool]:
    from harness.experiment.prepare import prepare
    from harness.experiment.run import execute
    from harness.experiment.settings import RunSettings
    from harness.experiment.simulate.compare import VirtualTime
    from harness.experiment.simulate.terms import Terms

    settings = RunSettings(
        strategies=STRATEGIES,
        server=scene.profile,
        items=items,
        slo=SLO,
        out=directory,
        overwrite=overwrite,
        simulated=simulated,
        calibrate=not simulated,
        command=f"paceline demo --items {items} --out {directory.parent}" + (" --simulate" if simulated else ""),
    )
    run = prepare(settings)
    backend: Any = VirtualTime(run, Terms()) if simulated else None
    return execute(run, progress, backend)


def _exit_code(results: list[RunResult]) -> int:
    """The worst verdict; a failed SLO is no fault of the demo."""
    found = {result.verdict.status for result in results}
    return 4 if "invalid" in found else 5 if "inconclusive" in found else 0
