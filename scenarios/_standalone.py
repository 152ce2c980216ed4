"""A scenario played by plain Locust: what `paceline run` does around a case, done from inside the first process.

It chooses a run directory, starts the mock if there is no --host, writes the plan, and at the end writes result.json
and says where it is; `paceline report` draws it: charts are left to that command, gevent may have patched this process.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from locust.env import Environment

from harness.client.access import access_to
from harness.client.errors import UsageError
from harness.client.redaction import keep_from_texts, redact
from harness.experiment import target as targets
from harness.experiment.scenario import Description
from harness.measure.environment import environment as machine
from harness.measure.plan import PLAN_VERSION, CaseFacts, Plan, PlanCase, write_facts, write_plan
from harness.measure.result import Load, Target, encode
from harness.measure.summary import summarize_run, with_write_error
from harness.measure.verdict import exit_code
from scenarios import _options


class Standalone:
    """Lives in the only process, or in Locust's master."""

    def __init__(self, environment: Environment, scenario: type[Description]) -> None:
        options = environment.parsed_options
        name = scenario.__name__.lower()
        stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        self.directory = Path(options.out or f"runs/{stamp}-{name}")
        if (self.directory / "plan.json").exists():
            raise UsageError(f"--out {self.directory}: holds a run already; choose another directory")
        self.records = self.directory / "records"
        try:
            self.records.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.directory}: {error.strerror or error}") from error
        spec = _options.spec_from(options, scenario, name, "http://unknown", self.records)
        spec.build_strategy()
        keep_from_texts(sys.argv[1:])
        access_to(environment.host or "", where="--host")
        self.given: str = ""  # the target as it was given, with what proves the client to it; for no file
        self._server = self._find_server(environment, options)
        self.target = self._server.url
        self.given = self.given or self.target
        self._processes = options.processes or 1
        self._spec = msgspec.structs.replace(spec, target=self.target)
        self._scenario = name
        self._environment = environment
        self._finished = False
        self._tests = 0
        self.test_started()
        write_plan(self._plan(options), self.directory)

    def _find_server(self, environment: Environment, options: Any) -> targets.Target:
        if environment.host:
            given, environment.host = environment.host, targets.check_url(environment.host)
            self.given = given
            return targets.remote(given)
        return targets.embedded(options.server, seed=options.seed, log=self.records / "mock_server.log")

    def _plan(self, options: Any) -> Plan:
        spec, server, schedule = self._spec, self._server, self._spec.build_schedule()
        case = PlanCase(
            name=spec.name,
            strategy=spec.strategy,
            load=Load(spec.load.name, spec.load.settings, spec.items, spec.duration_s),
            task=" + ".join(share.task.name for share in spec.tasks),
            target=Target(server.url, server.profile, server.note),
            scenario=self._scenario,
            repeats=1,
            layers=spec.layers.told(),
            users=spec.users,
            processes=self._processes,
            transport="blocking" if spec.build_strategy().blocking else "asyncio",
            schedule_sha256=schedule.sha256,
            scheduled=len(schedule) or None,
            span_s=schedule.span_s,
        )
        return Plan(
            schema_version=PLAN_VERSION,
            id=self.directory.name,
            started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            tool={"name": "paceline", "locust": "plain"},
            environment=machine(),
            seed=spec.seed,
            slo=None,
            cases=[case],
            ceilings={},
            notes=["played by plain Locust: the client's ceiling was not calibrated"],
            command=redact("locust " + " ".join(sys.argv[1:])),
        )

    def test_started(self) -> None:
        """A test begins; the web UI can start several, each is a repeat."""
        self._seen = self._server.seen()
        self._started = time.monotonic()

    def test_stopped(self) -> None:
        """It is over and drained: what the server saw of it."""
        seen = self._server.seen()
        facts = CaseFacts(
            case=self._spec.name,
            repeat=self._tests,
            exit_code=0,
            interrupted=None,
            server_seen=None if seen is None or self._seen is None else seen - self._seen,
            server_cpu_s=None,
            wall_s=time.monotonic() - self._started,
        )
        self._tests += 1
        write_facts(facts, self.directory)

    def finish(self) -> None:
        """Result, server down; says where the result is, and sets the exit code of an invalid or inconclusive run.

        Called when Locust quits; does its work once.
        """
        if self._finished:
            return
        self._finished = True
        self._server.stop()
        result = summarize_run(self.directory)
        try:
            (self.directory / "result.json").write_bytes(encode(result))
        except OSError as error:
            result = with_write_error(result, f"{self.directory}: {error.strerror}")
        if self._environment.process_exit_code is None and (code := exit_code(result)):
            self._environment.process_exit_code = code  # a valid run keeps Locust's own
        print(f"\n{result.headline}\nverdict: {result.verdict.status}", file=sys.stderr)
        for reason in result.verdict.reasons:
            print(f"  {reason.text}", file=sys.stderr)
        print(f"report: paceline report {self.directory}", file=sys.stderr)
