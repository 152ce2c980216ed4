"""Causes of changes of a limit: codes with a text and a family; recorded in `*.decisions.jsonl` and in result.json."""

from __future__ import annotations

import enum


class Family(enum.StrEnum):
    """Groups of causes, for charts."""

    more = "more"
    fewer = "fewer"
    probe = "probe"
    refused = "refused or paced"


class Cause(enum.StrEnum):
    """Why a limit changed. The value is the code that records hold; never rename one."""

    family: Family
    text: str

    def __new__(cls, code: str, family: Family, text: str) -> Cause:
        made = str.__new__(cls, code)
        made._value_ = code
        made.family, made.text = family, text
        return made

    start = "start", Family.more, "start"
    raised = "raised", Family.more, "raised"
    lowered = "lowered", Family.fewer, "lowered"
    refused = "refused", Family.refused, "refused"
    failed = "failed", Family.refused, "failed"
    # What an earlier run learnt.
    forgotten = "forgotten", Family.fewer, "what an earlier run learnt is no longer true"
    # The start of `knee`.
    doubling = "doubling", Family.more, "doubling adds throughput"
    doubling_ended = "doubling_ended", Family.fewer, "doubling adds no more throughput"
    # Changes of latency that `knee` sees at rest.
    slower = "slower", Family.fewer, "latency rose"
    # What the server reports to `knee`.
    queue_reported = "queue_reported", Family.fewer, "the server reports a queue"
    no_queue_reported = "no_queue_reported", Family.more, "the server reports no queue"
    # Probes of `knee`: at fewer and at more attempts in flight.
    probe_fewer = "probe_fewer", Family.probe, "probe: are fewer enough?"
    fewer_suffice = "fewer_suffice", Family.fewer, "fewer are enough"
    probe_ended = "probe_ended", Family.probe, "the probe ended"
    probe_more = "probe_more", Family.probe, "probe: do more add throughput?"
    more_pays = "more_pays", Family.more, "more add throughput"
    more_ended = "more_ended", Family.fewer, "more add no throughput"
    # A server that limits the rate.
    paced = "paced", Family.refused, "paced: the server limits the rate"
    pace_changed = "pace_changed", Family.refused, "the pace changed"
    pace_ended = "pace_ended", Family.refused, "the pace no longer limits"
    # A server that accepts nothing.
    outage = "outage", Family.refused, "the server accepts nothing: probes only"
    outage_ended = "outage_ended", Family.more, "the server accepts again"


def family_of(code: str) -> Family | None:
    """The family of a recorded cause; None for a text of a user-defined limit."""
    cause = _BY_CODE.get(code)
    return None if cause is None else cause.family


def text_of(code: str) -> str:
    """The text of a recorded cause; a text of a user-defined limit is returned unchanged."""
    cause = _BY_CODE.get(code)
    return code if cause is None else cause.text


_BY_CODE = {cause.value: cause for cause in Cause}
