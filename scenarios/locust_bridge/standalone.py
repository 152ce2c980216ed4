"""Plays a scenario under plain Locust: the first process does the work of `paceline run` around a case.

It prepares a run directory, starts the mock if there is no --host, writes the plan, and at the end writes result.json
and prints its path. Charts are left to `paceline report`, because gevent may have patched this process.
"""

from __future__ import annotations

import sys

from locust.env import Environment

from harness.client.redaction import keep_from_texts
from harness.client.transport.endpoint import access_to
from harness.experiment.before_plan import calibrate_prompts, open_server
from harness.experiment.cases import cases
from harness.experiment.prepare import prepare
from harness.experiment.run import ExternalFacts, begin, summarized
from harness.experiment.scenario import Description
from harness.measure.judge.verdict import exit_code
from scenarios.locust_bridge import command_line


class Standalone:
    """Lives in the only process, or in Locust's master. Each test of the web UI is a repeat of the one case."""

    def __init__(self, environment: Environment, scenario: type[Description]) -> None:
        keep_from_texts(sys.argv[1:])
        access_to(environment.host or "", where="--host")
        given, name = environment.host, scenario.__name__.lower()
        self._run = prepare(
            command_line.settings_from(environment.parsed_options, scenario, given),
            scenario,
            planned=lambda settings, described: cases(settings, described, name),
        )
        if given:
            environment.host = self._run.settings.target
        self._server = open_server(self._run)
        calibrate_prompts(self._run, self._server)
        begin(self._run, self._server)
        self._case = self._run.with_prompts(self._run.cases[0])
        # With the original target: it may hold credentials, so it is not written to a file.
        self.trial = self._case.trial(given or self._server.url, self._run.records)
        self._environment = environment
        self._finished = False
        self._tests = 0
        self.test_started()

    def test_started(self) -> None:
        """A test begins."""
        trial = self._case.trial(self._server.url, self._run.records, self._tests)
        self._facts = ExternalFacts(trial, self._run.directory, self._server)

    def test_stopped(self) -> None:
        """A test has ended and drained."""
        self._tests += 1
        self._facts.end(exit_code=0)

    def finish(self) -> None:
        """Stop the server, write the result, print its path, set the exit code of an invalid or inconclusive run.

        Called when Locust quits; does its work once.
        """
        if self._finished:
            return
        self._finished = True
        self._server.stop()
        result, _ = summarized(self._run, lambda: False)
        if self._environment.process_exit_code is None and (code := exit_code(result)):
            self._environment.process_exit_code = code  # a valid run keeps Locust's own
        print(f"\n{result.headline}\nverdict: {result.verdict.status}", file=sys.stderr)
        for reason in result.verdict.reasons:
            print(f"  {reason.text}", file=sys.stderr)
        print(f"report: paceline report {self._run.directory}", file=sys.stderr)
