"""`paceline simulate compare`: a prepared run, played in virtual time in this process.

The plan, the records, the result and the report are those of a real run, marked as simulated. What a simulation cannot
know (CPU, memory, the machine) is left out instead of being made up. Two runs of one seed differ in nothing but their
directory's name and `started_at`.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import UsageError
from harness.client.types import Outcome
from harness.experiment.prepare import Run
from harness.experiment.run import Progress, summarized
from harness.experiment.simulate.case import play
from harness.experiment.simulate.loop import DeadlockError, NotSimulated
from harness.experiment.simulate.played import SimulatedRun
from harness.experiment.simulate.server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.spec import CaseSpec
from harness.measure.environment import git_sha, libraries
from harness.measure.plan import CaseFacts, Plan, write_facts, write_plan
from harness.measure.result import RunResult, Target

URL = "simulated:"
MATTER = ("paceline", "aiohttp", "msgspec", "numpy")
"""Libraries that a simulated figure may depend on."""


def execute(run: Run, progress: Progress, terms: Terms | None = None) -> tuple[RunResult, bool]:
    """Simulate every case and repeat; returns the result (also in result.json) and whether it was interrupted."""
    return summarized(run, lambda: _play_all(run, progress, terms or Terms()))


def _play_all(run: Run, progress: Progress, terms: Terms) -> bool:
    settings = run.settings
    if settings.target is not None:
        raise UsageError("--target: a simulation has its server in the process; describe it with --server FILE.toml")
    server = SimulatedServer(settings.server, settings.seed, settings.speed)
    run.records.mkdir(parents=True, exist_ok=True)
    run.plan = _plan(run, server, terms)
    write_plan(run.plan, run.directory)
    progress("target", {"url": URL, "profile": server.profile.name, "note": run.plan.cases[0].target.note})
    digests: dict[str, str | None] = {}
    interrupted = False
    try:
        for repeat in range(settings.repeats):
            for spec in run.specs:
                turn = msgspec.structs.replace(spec, repeat=repeat, target=URL)
                digests[f"{spec.name}/{repeat}"] = _one(run, turn, progress, terms)
    except KeyboardInterrupt:
        interrupted = True
        run.plan = msgspec.structs.replace(run.plan, interrupted="stopped by the user")
    environment = run.plan.environment | {"records_sha256": digests}
    run.plan = msgspec.structs.replace(run.plan, environment=environment)
    write_plan(run.plan, run.directory)
    return interrupted


def _one(run: Run, spec: CaseSpec, progress: Progress, terms: Terms) -> str | None:
    """Play it; the digest of its records, or None if it came to no end (which the verdict then tells)."""
    settings = run.settings
    progress("case", {"name": spec.name, "repeat": spec.repeat, "repeats": settings.repeats, "items": spec.items})
    server = SimulatedServer(settings.server, settings.seed, settings.speed, spec.repeat)
    played = None
    try:
        played = play(spec, server, terms, lambda status: progress("status", status))
    except (DeadlockError, NotSimulated) as error:
        progress("status", {"done": 0, "t_s": 0.0, "in_flight": 0, "ok": 0, "failed": 0, "error": str(error)})
    else:
        progress("status", _status(played))
    facts = CaseFacts(spec.name, spec.repeat, exit_code=0 if played else 1, server_seen=server.seen)
    write_facts(facts, run.directory)
    progress("case_done", {"name": spec.name, "log": str(run.records), "exit_code": 0 if played else 1})
    return played.sha256 if played else None


def _status(played: SimulatedRun) -> dict[str, Any]:
    ok, done = played.count(Outcome.ok), len(played.rows)
    return {"ok": ok, "done": done, "failed": done - ok, "in_flight": 0, "t_s": played.virtual_s, "limit": None}


def _plan(run: Run, server: SimulatedServer, terms: Terms) -> Plan:
    """The run's plan, told as a simulation's."""
    profile = server.profile
    target = Target(URL, server=profile.name, note="simulated in virtual time" + _note(run, profile.speed, terms))
    cases = [
        msgspec.structs.replace(case, target=target, transport="simulated", processes=1) for case in run.plan.cases
    ]
    known = libraries()
    environment = {
        "simulated": "in virtual time: no machine, no network and no client CPU were measured",
        "python": platform.python_version(),
        "libraries": {name: known[name] for name in MATTER if name in known},
        "git_sha": git_sha(Path.cwd()),
    }
    return msgspec.structs.replace(run.plan, cases=cases, environment=environment, ceilings={}, simulated=True)


def _note(run: Run, profile: float, terms: Terms) -> str:
    speed = profile * (run.settings.speed or 1.0)
    told = "" if terms.network == "none" else f"; HTTP over a network in memory, {terms.delay_s * 1e3:g} ms each way"
    return told + ("" if speed == 1 else f"; times divided by {speed:g}")
