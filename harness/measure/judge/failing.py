"""Reasons of a verdict for requests that failed: how many, how, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.base import units
from harness.measure.reduce.counting import Evidence
from harness.measure.result import OUTCOME_NAMES, Case

ERROR_SHARE_MAX = 0.01

_FAILURES = ("rejected", "timed_out", "server_error", "client_error", "connection_error", "bad_response", "cancelled")
_WORDS = {
    "rejected": "rejected (429, 503 or 529)",
    "not_sent": "not sent",
    "unfinished": "without an answer when the run ended",
}
_NOUNS = {"server_error", "client_error", "connection_error", "bad_response"}
_REMEDIES = {
    "rejected": (
        "The server limits its rate or its queue: send less (a lower --rate, fewer requests in flight), or retry "
        "refused requests (--retries)."
    ),
    "timed_out": (
        "The server hangs or is overloaded: look at its log, send less, or allow one request more time (--timeout)."
    ),
    "server_error": "Look at the server's log, or send less.",
    "client_error": "The server does not accept these requests: check --task and the input.",
    "connection_error": "Is the server running, and is --target its address? Look at its log, then run it again.",
    "bad_response": (
        "What answers is not the API that the task {task} expects, or it is faulty: check --target and --task."
    ),
    "cancelled": "The client gave these requests up: allow more time (--deadline).",
    "not_sent": "Most items were never sent: allow more time (--duration, --drain, --deadline).",
    "unfinished": "The server hangs or is overloaded: look at its log, send less, or wait longer (--drain).",
}
_OF_STATUS = {
    401: "The server asks for a valid key: set PACELINE_TARGET_KEY.",
    403: "The server does not allow this: check the key in PACELINE_TARGET_KEY.",
    404: "The server has no such route: check --target and --task.",
    405: "The server has no such route: check --target and --task.",
    413: "The texts are too long for the server: check --input, or put the layer chunk around the strategy.",
}


def mostly_refused(case: Case) -> bool:
    """Whether the server refused more requests than it answered: the client's rate is then that of the refusals."""
    return case.counts.rejected > case.counts.ok > 0


def no_success(case: Case, proof: Evidence) -> str:
    """The text of `no_data`."""
    most = _most_frequent([case])
    said = units.listing([_counted(case, name, getattr(case.counts, name)) for name in most[:3]])
    ended = f" The client ended with exit code {proof.exit_codes[0]}; see its log." if proof.exit_codes else ""
    remedy = _remedy(case, most[0]) if most else "Check the target, the task and the time allowed."
    if proof.errors:
        remedy = "The client itself failed, see below."
    items = f"No success among {case.counts.scheduled} items" + (f": {said}." if said else ".")
    return f"{items}{ended} There is nothing to measure. {remedy}"


def stopped_unanswered(case: Case, proof: Evidence) -> bool:
    """Whether a case without a success has none because it was stopped: nothing failed until then."""
    failed = any(getattr(case.counts, name) for name in _FAILURES if name != "cancelled")
    return bool(proof.interrupted) and not failed and not proof.errors


def before_the_first_answer(case: Case, proof: Evidence) -> str:
    """The text of `interrupted` for such a case; requests that waited may mean that the server hangs."""
    waited = case.counts.unfinished + case.counts.cancelled - case.counts.stopped
    said = f": {waited} requests had no answer after {units.seconds(case.makespan_s)}" if waited else ""
    hangs = "If that is long, the server hangs: look at its log. " if waited else ""
    return f"It was stopped before the first answer ({proof.interrupted[0]}){said}. {hangs}Run it again."


def nothing_succeeded(cases: Sequence[Case]) -> str:
    """The headline of a run without a success: what became of the most items."""
    most = _most_frequent(cases)
    if not most:
        return "No request succeeded: there is nothing to compare."
    items = sum(case.counts.scheduled for case in cases)
    number = sum(getattr(case.counts, most[0]) for case in cases)
    case = max(cases, key=lambda case: getattr(case.counts, most[0]))
    return f"No request succeeded, so there is nothing to compare: {number} of {items} {_words(case, most[0], number)}."


def _most_frequent(cases: Sequence[Case]) -> list[str]:
    """The outcomes that occurred, the most frequent first. Items that were not sent come last: they are no cause."""
    of = {name: sum(getattr(case.counts, name) for case in cases) for name in OUTCOME_NAMES[1:]}
    return sorted((name for name in of if of[name]), key=lambda name: (name == "not_sent", -of[name]))


def too_many_failed(case: Case, proof: Evidence) -> Iterator[tuple[str, str]]:
    """`errors`, if more than 1 % failed."""
    counts = case.counts
    failures = {name: getattr(counts, name) for name in _FAILURES}
    failures["cancelled"] -= counts.stopped
    failed = sum(failures.values())
    tried = failed + counts.ok
    if not counts.ok or failed <= ERROR_SHARE_MAX * tried:
        return
    worst = max(failures, key=lambda name: failures[name])
    of = "all" if failures[worst] == failed else f"{failures[worst]}"
    yield (
        "errors",
        (
            f"{units.share(failed / tried)} of the requests failed ({failed} of {tried}; the limit is "
            f"{units.share(ERROR_SHARE_MAX)}), {of} of them {_words(case, worst, failures[worst])}{_silent(proof)}. "
            f"{_remedy(case, worst)} "
            f'Rates and latencies count the {counts.ok} successes only; --slo "errors<N%" sets another limit.'
        ),
    )


def is_gone(proof: Evidence) -> bool:
    """Whether every connection after some instant was refused or broke."""
    return proof.silence is not None and proof.silence.refused


def server_gone(proof: Evidence) -> Iterator[tuple[str, str]]:
    """`server_gone`, with the time of the last answer."""
    silent = proof.silence
    if silent is not None and is_gone(proof):
        yield (
            "server_gone",
            (
                f"The server was gone after {units.seconds(silent.since_s)}: all {silent.unanswered} later requests "
                "were refused or cut off. Did it crash or restart? Look at its log, start it and run it again."
            ),
        )


def _silent(proof: Evidence) -> str:
    silent = proof.silence
    if silent is None:
        return ""
    return f", and nothing was answered after {units.seconds(silent.since_s)}"


def _counted(case: Case, outcome: str, number: int) -> str:
    return f"{number} {_words(case, outcome, number)}"


def _words(case: Case, outcome: str, number: int) -> str:
    """`rejected (HTTP 429)`, `client errors`; the status is named if there was only one."""
    statuses = {one.status for one in case.failures if one.outcome == outcome}
    status = statuses.pop() if len(statuses) == 1 else None
    said = outcome.replace("_", " ") + ("s" if outcome in _NOUNS and number != 1 else "")
    return _WORDS.get(outcome, said) if status is None else f"{said} (HTTP {status})"


def _remedy(case: Case, outcome: str) -> str:
    """What to do about the most frequent failure."""
    status = next((one.status for one in case.failures if one.outcome == outcome), None)
    remedy = _OF_STATUS.get(status or 0, _REMEDIES[outcome]) if outcome == "client_error" else _REMEDIES[outcome]
    return remedy.format(task=case.task)
