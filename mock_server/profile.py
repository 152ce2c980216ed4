"""The settings of a simulated server, with types and bounds. `mock_server.profiles` loads them.

Type, range, default and meaning of every key are declared only here: the checks, the error messages and the reference
in docs/servers.md are made from these classes. Names end in their unit; `speed` relies on that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.base import units
from mock_server.growth import Growth, NoGrowth, Table
from mock_server.jitter import Constant, Jitter

Seconds = Annotated[float, Meta(ge=0.0, le=86400.0)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
PositiveCount = Annotated[int, Meta(ge=1, le=1_000_000)]
SPEED_MAX = 10_000.0
Speed = Annotated[float, Meta(gt=0.0, le=SPEED_MAX)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; unknown keys are errors."""


class Service(Section, frozen=True):
    """Service time of a batch: (base + per item + per padded token + per square) x growth x jitter."""

    base_s: Annotated[Seconds, Meta(description="for every batch")] = 0.0
    per_item_s: Annotated[Seconds, Meta(description="for each item of the batch")] = 0.0
    per_token_s: Annotated[Seconds, Meta(description="for each padded token: items x longest item")] = 0.0
    per_square_s: Annotated[Seconds, Meta(description="for each item, times its padded length squared")] = 0.0
    jitter: Annotated[Jitter, Meta(description="jitter of the service time")] = Constant()
    growth: Annotated[Growth, Meta(description="by the calls in flight when the oldest item arrived")] = NoGrowth()
    growth_by: Annotated[
        Literal["arrival", "running"],
        Meta(description="arrival: fixed when the oldest item arrives; running: follows the number of running batches"),
    ] = "arrival"

    def __post_init__(self) -> None:
        if self.growth_by == "running" and isinstance(self.growth, Table) and self.growth.unit == "seconds":
            raise ValueError("growth_by = 'running': needs a growth factor (for a table: unit = 'factor')")


class Network(Section, frozen=True):
    """Time of a request outside queue and workers: network, parsing, and the client's own part."""

    overhead_s: Annotated[Seconds, Meta(description="of every request, before it is in the server")] = 0.0
    own_s: Annotated[
        Seconds, Meta(description="part of it that a mock process takes anyway; only virtual time waits for it")
    ] = 0.0
    jitter: Annotated[Jitter, Meta(description="jitter of the overhead; a mock process has its own")] = Constant()


class Capacity(Section, frozen=True):
    """Workers, queue and batches."""

    workers: Annotated[Count, Meta(description="concurrent batches; 0: no bound, no queue")] = 0
    queue_max: Annotated[Count, Meta(description="items that may wait; more are refused with 503")] = 4096
    queue_max_tokens: Annotated[Count, Meta(description="tokens that may wait; 0: no bound")] = 0
    queue_wait_max_s: Annotated[
        Seconds, Meta(description="longest predicted wait; above it requests are refused; 0: no bound")
    ] = 0.0
    batch_max_items: Annotated[PositiveCount, Meta(description="items in a batch")] = 1
    batch_max_tokens: Annotated[Count, Meta(description="padded tokens in a batch; 0: no bound")] = 0
    pad_multiple: Annotated[int, Meta(ge=1, le=4096, description="lengths are padded to a multiple of this")] = 16
    batch_linger_s: Annotated[Seconds, Meta(description="time to wait for a batch to fill")] = 0.0
    batch_overhead_tokens: Annotated[
        float, Meta(ge=0.0, le=1e9, description="fixed cost of a batch, in padded tokens; 0: unknown, fill every batch")
    ] = 0.0


class Tokens(Section, frozen=True):
    """How many tokens the words and punctuation marks of an item are: special + per word x words, rounded."""

    per_word: Annotated[float, Meta(gt=0.0, le=1000.0, description="tokens for each word or punctuation mark")] = 1.0
    special: Annotated[
        float, Meta(ge=0.0, le=10_000.0, description="further tokens of each item, such as [CLS] and [SEP]")
    ] = 2.0


class Limits(Section, frozen=True):
    """The server's limits for its callers. 0 switches a limit off."""

    in_flight: Annotated[Count, Meta(description="in-flight requests")] = 0
    rate_per_s: Annotated[float, Meta(ge=0.0, le=1e6, description="token bucket: requests per second")] = 0.0
    burst: Annotated[PositiveCount, Meta(description="token bucket: most requests at the same time after a pause")] = 1
    action: Annotated[Literal["refuse", "ignore"], Meta(description="refuse, or never answer")] = "refuse"
    status: Annotated[Literal[429, 503], Meta(description="status of a refusal")] = 429
    delay_s: Annotated[Seconds, Meta(description="wait before refusing")] = 0.0
    retry_after_s: Annotated[
        Seconds | None, Meta(description="Retry-After of a refusal; left out: the computed wait")
    ] = None
    tell_wait: Annotated[bool, Meta(description="send Retry-After with a refusal")] = True


class Generation(Section, frozen=True):
    """Times of generated tokens: of the first one and of each following one."""

    ttft_base_s: Annotated[Seconds, Meta(description="time to first token")] = 0.0
    ttft_per_prompt_token_s: Annotated[Seconds, Meta(description="for each token of the prompt")] = 0.0
    ttft_per_running_s: Annotated[Seconds, Meta(description="for each other running sequence")] = 0.0
    ttft_per_square_s: Annotated[Seconds, Meta(description="for the length of the prompt squared")] = 0.0
    itl_base_s: Annotated[Seconds, Meta(description="time between two tokens")] = 0.0
    itl_per_running_s: Annotated[Seconds, Meta(description="for each other running sequence")] = 0.0
    itl_per_context_token_s: Annotated[
        Seconds, Meta(description="for each token, of prompts and answers, of all running sequences")
    ] = 0.0
    ttft_jitter: Annotated[Jitter, Meta(description="jitter of the time to first token")] = Constant()
    itl_jitter: Annotated[Jitter, Meta(description="jitter of the time between tokens")] = Constant()
    answer_tokens_mean: Annotated[
        float, Meta(ge=0, le=1e6, description="mean tokens after which an answer ends by itself; 0: at max_tokens only")
    ] = 0.0
    prefix_cache_tokens: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="tokens of prompts that are kept and need no time again; 0: none")
    ] = 0
    prefix_block_tokens: Annotated[
        PositiveCount, Meta(description="tokens of a kept block; only whole blocks are found again")
    ] = 16
    running_max: Annotated[Count, Meta(description="concurrent sequences; 0: no bound")] = 0
    queue_max: Annotated[Count, Meta(description="sequences that may wait; more are refused with 503")] = 4096


class Change(Section, frozen=True):
    """Other values from `at_s` on; keys that are left out do not change."""

    at_s: Annotated[Seconds, Meta(description="time of the change, since the first request")]
    workers: Annotated[Count | None, Meta(description="concurrent batches; 0: no bound")] = None
    speed: Annotated[Speed | None, Meta(description="service and token times are divided by this; 1: as set")] = None


class Pause(Section, frozen=True, kw_only=True):
    """All work stops from `start_s` to `end_s` after the first request, and again every `period_s` if set."""

    start_s: Annotated[Seconds, Meta(description="work stops")] = 0.0
    end_s: Annotated[Seconds, Meta(description="work continues")]
    period_s: Annotated[Seconds | None, Meta(description="period of the pause; left out: it happens once")] = None

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(f"end_s = {self.end_s:g}: must be > start_s = {self.start_s:g}")
        if self.period_s is not None and self.period_s <= self.end_s - self.start_s:
            raise ValueError(f"period_s = {self.period_s:g}: must be > end_s - start_s, or the server never works")


class Profile(Section, frozen=True):
    """The whole file; the loader has already resolved `extends`."""

    # The loader sets the name (of the file) and the summary (the file's first comment line).
    name: str = ""
    summary: str = ""
    speed: Annotated[Speed, Meta(description="divides every time in the file, multiplies every rate")] = 1.0
    seed: Annotated[int, Meta(ge=0, description="seed of all random numbers")] = 0
    model: Annotated[str, Meta(description="model name in /info and /v1/models")] = "simulated"
    input_tokens_max: Annotated[PositiveCount, Meta(description="longest input; longer ones are refused")] = 8192
    network: Network = Network()
    service: Service = Service()
    capacity: Capacity = Capacity()
    tokens: Tokens = Tokens()
    limits: Limits = Limits()
    generation: Generation = Generation()
    changes: Annotated[tuple[Change, ...], Meta(description="changes over time, in any order")] = ()
    pauses: Annotated[tuple[Pause, ...], Meta(description="pauses of the whole server")] = ()
    proof: Annotated[
        dict[str, Any], Meta(description="measured errors of a fitted profile; `paceline fit` and `verify` write it")
    ] = {}
    faults: Annotated[tuple[dict[str, Any], ...], Meta(description="injected faults; each has a `kind`")] = ()

    def __post_init__(self) -> None:
        busy = sum((pause.end_s - pause.start_s) / pause.period_s for pause in self.pauses if pause.period_s)
        if busy >= 1:
            raise ValueError(f"pauses: together they take {units.share(busy)} of the time; must be under 100 %")


def scaled(value: Any, speed: float) -> Any:
    """The same settings with every time divided by `speed` and every rate multiplied; names give the units."""
    if isinstance(value, Table):
        return value.scaled(speed)
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


def in_real_time(profile: Profile, speed: float = 1.0) -> Profile:
    """The profile for a mock that is a process, `speed` times as fast: its own part of the overhead comes by itself."""
    network = profile.network
    left_s = max(0.0, network.overhead_s - network.own_s * profile.speed * speed)
    return msgspec.structs.replace(profile, network=Network(overhead_s=left_s))
