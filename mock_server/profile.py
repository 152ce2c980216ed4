"""A profile: everything about a simulated server that can be set, typed and bounded. `mock_server.profiles` loads it.

Every key's type, range, default and meaning are here and nowhere else: the checks, the error messages and the
reference in docs/servers.md are made from these classes. Names end in their unit; `speed` relies on that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mock_server.growth import Growth, NoGrowth
from mock_server.jitter import Constant, Jitter

Seconds = Annotated[float, Meta(ge=0.0, le=86400.0)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
PositiveCount = Annotated[int, Meta(ge=1, le=1_000_000)]
Speed = Annotated[float, Meta(gt=0.0, le=10_000.0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; unknown keys are errors."""


class Service(Section, frozen=True):
    """How long a batch takes: (base + per item + per padded token) x growth x jitter."""

    base_s: Annotated[Seconds, Meta(description="every batch")] = 0.0
    per_item_s: Annotated[Seconds, Meta(description="each item of the batch")] = 0.0
    per_token_s: Annotated[Seconds, Meta(description="each padded token: items x longest")] = 0.0
    jitter: Annotated[Jitter, Meta(description="scatter of the service time")] = Constant()
    growth: Annotated[Growth, Meta(description="with the calls in flight when the oldest item arrived")] = NoGrowth()
    growth_by: Annotated[
        Literal["arrival", "running"],
        Meta(description="fixed at arrival as above, or following the batches in service, all of them alike"),
    ] = "arrival"

    def __post_init__(self) -> None:
        if self.growth_by == "running" and getattr(self.growth, "unit", "factor") == "seconds":
            raise ValueError("growth_by = 'running': needs a growth that is a factor (a table: unit = 'factor')")


class Capacity(Section, frozen=True):
    """Workers, queue and batches."""

    workers: Annotated[Count, Meta(description="batches at once; 0: no bound, nothing ever queues")] = 0
    queue_max: Annotated[Count, Meta(description="items that may wait; more are refused with 503")] = 4096
    queue_max_tokens: Annotated[Count, Meta(description="tokens that may wait; 0: no bound")] = 0
    queue_wait_max_s: Annotated[Seconds, Meta(description="predicted wait above which is refused; 0: no bound")] = 0.0
    batch_max_items: Annotated[PositiveCount, Meta(description="items in a batch")] = 1
    batch_max_tokens: Annotated[Count, Meta(description="padded tokens in a batch; 0: no bound")] = 0
    pad_multiple: Annotated[int, Meta(ge=1, le=4096, description="lengths are padded to a multiple of this")] = 16
    batch_linger_s: Annotated[Seconds, Meta(description="a batch that is not full waits so long for company")] = 0.0
    batch_overhead_tokens: Annotated[
        float, Meta(ge=0.0, le=1e9, description="what a batch costs beyond its padded tokens; 0: unknown, fill it up")
    ] = 0.0


class Limits(Section, frozen=True):
    """The server's own limits on its caller. 0 switches a limit off."""

    in_flight: Annotated[Count, Meta(description="exchanges at once")] = 0
    rate_per_s: Annotated[float, Meta(ge=0.0, le=1e6, description="token bucket: requests per second")] = 0.0
    burst: Annotated[PositiveCount, Meta(description="token bucket: how many at once after a pause")] = 1
    action: Annotated[Literal["refuse", "ignore"], Meta(description="refuse, or never answer")] = "refuse"
    status: Annotated[Literal[429, 503], Meta(description="of a refusal")] = 429
    delay_s: Annotated[Seconds, Meta(description="wait before refusing")] = 0.0
    retry_after_s: Annotated[
        Seconds | None, Meta(description="what a refusal tells to wait; left out: what is computed")
    ] = None
    tell_wait: Annotated[bool, Meta(description="a refusal says when to come back; false: no Retry-After")] = True


class Generation(Section, frozen=True):
    """Token by token: when the first one comes, and the following ones."""

    ttft_base_s: Annotated[Seconds, Meta(description="time to first token")] = 0.0
    ttft_per_prompt_token_s: Annotated[Seconds, Meta(description="for each token of the prompt")] = 0.0
    ttft_per_running_s: Annotated[Seconds, Meta(description="for each other running sequence")] = 0.0
    itl_base_s: Annotated[Seconds, Meta(description="between two tokens")] = 0.0
    itl_per_running_s: Annotated[Seconds, Meta(description="for each other running sequence")] = 0.0
    ttft_jitter: Annotated[Jitter, Meta(description="scatter of the time to first token")] = Constant()
    itl_jitter: Annotated[Jitter, Meta(description="scatter of the time between tokens")] = Constant()
    running_max: Annotated[Count, Meta(description="sequences at once; 0: no bound")] = 0
    queue_max: Annotated[Count, Meta(description="sequences that may wait; more are refused with 503")] = 4096


class Change(Section, frozen=True):
    """From `at_s` on, other values; what is left out stays as it is."""

    at_s: Annotated[Seconds, Meta(description="since the first request")]
    workers: Annotated[Count | None, Meta(description="batches at once; 0: no bound")] = None
    speed: Annotated[Speed | None, Meta(description="service and token times are divided by this; 1: as set")] = None


class Pause(Section, frozen=True, kw_only=True):
    """The server stands still from `start_s` to `end_s` after the first request; again every `period_s`, if set."""

    start_s: Annotated[Seconds, Meta(description="nothing is worked at from here")] = 0.0
    end_s: Annotated[Seconds, Meta(description="work goes on from here")]
    period_s: Annotated[Seconds | None, Meta(description="the pause repeats; left out: once")] = None

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(f"end_s = {self.end_s:g}: must be > start_s = {self.start_s:g}")
        if self.period_s is not None and self.period_s <= self.end_s - self.start_s:
            raise ValueError(f"period_s = {self.period_s:g}: must be > end_s - start_s, or nothing is ever done")


class Profile(Section, frozen=True):
    """The whole file. `extends` is resolved by the loader and never seen here."""

    name: str = ""  # the file's, set by the loader
    summary: str = ""  # its first comment line, set by the loader
    speed: Annotated[Speed, Meta(description="divides every time in the file, multiplies every rate")] = 1.0
    seed: Annotated[int, Meta(ge=0, description="of everything random")] = 0
    model: Annotated[str, Meta(description="the model name that /info and /v1/models tell")] = "simulated"
    input_tokens_max: Annotated[PositiveCount, Meta(description="longest input; longer ones are refused")] = 8192
    service: Service = Service()
    capacity: Capacity = Capacity()
    limits: Limits = Limits()
    generation: Generation = Generation()
    changes: Annotated[tuple[Change, ...], Meta(description="over time, in any order")] = ()
    pauses: Annotated[tuple[Pause, ...], Meta(description="when it stands still")] = ()
    faults: Annotated[tuple[dict[str, Any], ...], Meta(description="what goes wrong; each has a `kind`")] = ()

    def __post_init__(self) -> None:
        busy = sum((pause.end_s - pause.start_s) / pause.period_s for pause in self.pauses if pause.period_s)
        if busy >= 1:
            raise ValueError(f"pauses: together they stand still for {busy:.0%} of the time; must be < 100%")


def scaled(value: Any, speed: float) -> Any:
    """The same settings with every time divided by `speed` and every rate multiplied, told by the names' units."""
    own = getattr(value, "scaled", None)
    if own is not None:
        return own(speed)
    if isinstance(value, tuple):
        return tuple(scaled(entry, speed) for entry in value)
    if not isinstance(value, msgspec.Struct):
        return value
    changes: dict[str, Any] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, int | float) and not isinstance(field, bool):
            if name.endswith("_per_s"):
                changes[name] = field * speed
            elif name.endswith("_s"):
                changes[name] = field / speed
        elif isinstance(field, msgspec.Struct | tuple):
            changes[name] = scaled(field, speed)
    return msgspec.structs.replace(value, **changes)
