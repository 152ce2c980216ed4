"""Tasks stream where the SLO asks for it: only a streamed answer has a first token before its last one."""

from __future__ import annotations

from typing import Any

from harness import plugins
from harness.client.errors import UsageError
from harness.measure.judge.slo import of_streams, parse


def streamed(task: Any, spec: str, slo: str | None) -> Any:
    """The task of this spec, with `stream` switched on if the SLO has a condition on times of streams.

    A task without that setting stays as it is. Raises UsageError if the spec switches it off.
    """
    conditions = of_streams(parse(slo)) if slo else []
    settings = plugins.settings_of(task) if conditions else {}
    if settings.get("stream") is not False:
        return task
    name, given = plugins.split_spec(spec)
    if "stream" in given:
        raise UsageError(
            f"--slo {conditions[0].text!r}: only a streamed answer has it, and --task {spec!r} has stream=false"
        )
    return plugins.build("task", name, {**given, "stream": True})
