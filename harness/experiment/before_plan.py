"""Steps of a run before its plan is on disk: open the server, and calibrate the prompts with it."""

from __future__ import annotations

import msgspec

from harness.client.transport.server import check_route
from harness.experiment import target as targets
from harness.experiment.backend import Progress, Server
from harness.experiment.file_limit import check as check_open_files
from harness.experiment.prepare import Run
from harness.experiment.prompts import calibrated
from harness.experiment.run_directory import MOCK_LOG
from harness.load.chat_rows import parameters_of


def open_server(run: Run) -> targets.RunningTarget:
    """The server of a run, embedded or not. Raises UsageError."""
    settings = run.settings
    check_open_files(run.cases, settings.target)
    if settings.target is None:
        return targets.embedded(settings.server, settings.speed, settings.seed, run.records / MOCK_LOG)
    found = targets.remote(settings.target, run.access)
    for case in run.cases:
        check_route(found.url, case.build_strategy(), case.strategy.name, run.access)
    return found


def calibrate_prompts(run: Run, server: Server, progress: Progress = lambda event, facts: None) -> None:
    """Find out how this server counts the tokens of made-up prompts, if the run has some. Raises UsageError."""
    case = next((case for case in run.cases if case.prompts is not None), None)
    if case is None or case.prompts is None:
        return
    plan, (task,), parameters = case.prompts, case.build_mix().tasks, parameters_of(case.reading.parameters)
    progress("counting", {})
    run.prompts = server.ask(lambda send: calibrated(plan, task, send, parameters))
    progress("counted", {})
    run.plan = msgspec.structs.replace(run.plan, cases=[run.with_prompts(case) for case in run.plan.cases])
