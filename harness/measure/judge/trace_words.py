"""Sentences about a replayed trace. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.base import units
from harness.measure.result import Case
from harness.measure.trace_result import TraceFacts

WITHIN_SHARE_MIN = 0.99
"""With fewer requests at their instants, a warning says so."""


def trace_words(trace: TraceFacts) -> str:
    """The replayed trace and its changes."""
    tokens_in, tokens_out = units.significant(trace.input_tokens_mean), units.significant(trace.output_tokens_mean)
    of = f"{trace.file} ({trace.form}): {units.count(trace.played)} requests"
    said = [f"{of} with {tokens_in} input and {tokens_out} output tokens in the mean"]
    if trace.shared_share is not None:
        said.append(f"{units.share(trace.shared_share)} of the input tokens repeat the beginning of an earlier prompt")
    if trace.sessions:
        kind = "closed" if trace.closed else "open"
        said.append(
            f"{units.count(trace.sessions)} session{'' if trace.sessions == 1 else 's'} of several turns ({kind})"
        )
    return "; ".join([*said, *(trace.changes or ["nothing was changed"])])


def instants_words(trace: TraceFacts) -> str:
    """How far the requests were from the instants of the trace; empty if none was sent."""
    if (of := trace.instants) is None:
        return ""
    late = f"p50 {units.seconds(of.p50_s)}, p99 {units.seconds(of.p99_s)}, at most {units.seconds(of.max_s)} late"
    return f"{units.share(of.within_share)} of the requests were sent within 1 ms of their instant ({late})"


def kept_words(case: Case) -> str:
    """The share of the input tokens that the server had kept from earlier prompts; empty if it does not say it."""
    tokens = case.tokens
    if tokens is None or tokens.cached is None or tokens.prompt is None or not tokens.prompt.total:
        return ""
    share = units.share(tokens.cached.total / tokens.prompt.total)
    return f"{share} of the input tokens were cached by the server's count"


def trace_lines(case: Case) -> list[str]:
    """Sentences about a replayed trace; none without one."""
    if case.trace is None:
        return []
    return [words for words in (trace_words(case.trace), kept_words(case), instants_words(case.trace)) if words]


def off_instants(case: Case) -> Iterator[tuple[str, str]]:
    """The reason of a verdict if the requests were not sent at the instants of the trace."""
    if (trace := case.trace) is None or trace.instants is None or trace.instants.within_share >= WITHIN_SHARE_MIN:
        return
    parts = ((case.lag_s, "they were released"), (case.queue_wait_s, "and then sent"))
    why = ", ".join(f"{what} up to {units.seconds(part.max)} late" for part, what in parts if part.n)
    text = f"Only {instants_words(trace)}{f': {why}' if why else ''}. Latencies count from the instants all the same. "
    # A sweep and a capacity search set the speed by the rate of each case, and have no --speed.
    slower = "lower rates" if "mean_rate_per_s" in case.load.settings else "a lower --speed"
    other = "" if case.strategy.name == "unbounded" else ", or the strategy unbounded, which never makes a request wait"
    yield "instants", f"{text}Use a quieter machine{' or' if not other else ','} {slower}{other}."
