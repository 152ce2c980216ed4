"""`paceline check`: one item through the whole way to a server, and its faults.

Rules of this file
  1. One request is sent, once: no retry, no load, no file. To an API of lists a second one goes, with two items: lists
     of one hide a wrong order, and a number of items that is fixed.
  2. The output has no secret: values of headers with a secret's name, and all that redaction knows, are replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import msgspec

from harness import plugins
from harness.base.options import REQUIRED, option
from harness.base.quantity import duration_s
from harness.client.errors import BadResponse, UsageError
from harness.client.input_settings import InputSettings, columns_option, http_option
from harness.client.prompt_settings import PromptSettings
from harness.client.protocols import BatchedTask, provides
from harness.client.redaction import excerpt, redact
from harness.client.tasks.http import Http
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.connection_settings import ConnectionSettings
from harness.client.transport.endpoint import Access
from harness.client.transport.outcomes import outcome_of_status
from harness.client.transport.server import check_url
from harness.client.types import Item, Outcome, Request, Response, Task
from harness.experiment.check_hints import hints
from harness.experiment.check_shown import (
    BODY_SHOWN,
    Keeper,
    Shown,
    decoded,
    encode,
    folded,
    places_of,
    sample_of,
    shown_answer,
    shown_request,
)
from harness.experiment.prompts import built, planned
from harness.experiment.settings import RunSettings
from harness.load.chat_rows import parameters_of
from harness.load.lengths import INPUT_NAMES, drawn, parse
from harness.load.mapped_fields import columns_of
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.prompts import Prompts
from harness.load.workloads.synthetic import Synthetic
from harness.measure.record.plan import DEFAULT_SEED
from harness.measure.record.token_tally import usage_in

_EVERY_STATUS = frozenset(range(200, 600))


@dataclass(frozen=True)
class CheckSettings:
    """The request and its address."""

    target: str = option(REQUIRED, "Server to ask.", metavar="URL")
    task: str | None = option(None, "Task of the item [default: similarity].", metavar="NAME[:...]", names="task")
    http: str | None = http_option()
    input: str | None = option(
        None, "File with items (docs/data.md); the first one is sent [default: a made-up one].", metavar="FILE"
    )
    columns: tuple[str, ...] = columns_option()
    row: int = option(1, "Which good row of --input is sent, from 1.", least=1, most=10**9)
    timeout_s: float = option(60.0, "Seconds that the exchange may take.", kind=duration_s, least=0.001)
    reading: InputSettings = field(default_factory=InputSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)


class Checked(msgspec.Struct, frozen=True):
    """What came of it."""

    ok: bool
    request: Shown
    answer: Shown | None
    outcome: str
    error: str | None
    times_s: dict[str, float]
    places: list[tuple[str, str, str]]
    """Places of the answer's body: JSON Pointer, type, example."""
    value: str | None
    """The answer as the task reads it, as JSON."""
    hints: list[str]
    together: int | None = None
    """Items of a second request that was good as well, for an API that takes several."""
    prompt: str | None = None
    """The length of a prompt of --input-tokens, and what the server counted."""


def check(settings: CheckSettings) -> Checked:
    """Send one item and judge the answer. Raises UsageError for a mistake in the settings, the task or the input."""
    to = settings.connection.access(settings.target)
    url = check_url(to.url)
    task = _task(settings)
    items = _items(settings, task)
    transport = BlockingTransport(
        url,
        timeout_s=settings.timeout_s,
        authorization=to.authorization,
        headers=to.headers,
        tls=to.tls,
        proxy=to.proxy,
    )
    with closing(transport):
        one, answers = _exchanged(task, items[:1], to, transport)
        if settings.prompts.input_tokens is not None and one.ok:
            one = msgspec.structs.replace(one, prompt=_lengths(settings, answers))
        if not one.ok or _items_max(task) == 1:
            return one
        two, both = _exchanged(task, items, to, transport)
    if two.ok and both[1] == answers[0] != both[0]:
        said = "the answers of two items come in another order than the items"
        index = "Name the place of each item's position: [batch] index."
        return msgspec.structs.replace(two, ok=False, outcome=Outcome.bad_response.name, error=said, hints=[index])
    if not two.ok:
        return msgspec.structs.replace(two, hints=[_TOGETHER, *two.hints])
    return msgspec.structs.replace(one, together=len(items))


def _items_max(task: Task) -> int:
    return task.items_max if provides(task, BatchedTask) else 1


_TOGETHER = "One item in a request is read well, and two are not: look at [batch], or at the server's bound on lists."


def _exchanged(
    task: Task, items: Sequence[Item], to: Access, transport: BlockingTransport
) -> tuple[Checked, tuple[Any, ...]]:
    """One request, judged, and its answers."""
    request = task.request(items)
    keeper = Keeper()
    # A refusal of a stream is no stream: the transport keeps its beginning.
    answered = request.answered if request.stream else _EVERY_STATUS
    asked: Any = msgspec.structs.replace(request, task=keeper, answered=answered)
    response = transport.exchange(asked)
    return _checked(task, request, to, keeper, response)


def _task(settings: CheckSettings) -> Task:
    if settings.http is not None and settings.task is not None:
        raise UsageError("--http and --task exclude each other: the file describes the task")
    if settings.http is not None:
        return Http(settings.http)
    made: Task = plugins.make("task", settings.task or "similarity")
    return made


def _items(settings: CheckSettings, task: Task) -> list[Item]:
    """The item that was asked for, and the next one; the same again where there is none."""
    if (made := _prompts(settings, task)) is not None:
        return [Item(index, made.data(task, index, DEFAULT_SEED), task) for index in range(2)]
    if settings.input is None:
        if settings.columns:
            raise UsageError("--map needs --input: it names columns of that file")
        settings.reading.check_unused()
        return [Item(index, Synthetic().data(task, index, 1), task) for index in range(2)]
    settings.reading.check_tasks([task])
    rows = Jsonl(settings.input, columns=columns_of(settings.columns), reading=settings.reading)
    first = settings.row - 1
    data = [data for _, data, _ in islice(rows.rows(task), first, first + 2)]
    if not data:
        raise UsageError(f"--row {settings.row}: {settings.input} has fewer good rows")
    return [Item(index, each, task) for index, each in enumerate([*data, data[0]][:2])]


def _prompts(settings: CheckSettings, task: Task) -> Prompts | None:
    """The prompts of --input-tokens. They are not calibrated: that takes a run's requests before its load."""
    asked = RunSettings(
        input=settings.input, columns=settings.columns, reading=settings.reading, prompts=settings.prompts
    )
    plan = planned(asked, [task])
    if plan is None:
        return None
    made = built(plan, parameters=parameters_of(settings.reading.parameters))
    return replace(made, full=settings.prompts.ignore_eos == "yes")


def _lengths(settings: CheckSettings, answers: tuple[Any, ...]) -> str:
    made = parse(settings.prompts.input_tokens or "", "--input-tokens", INPUT_NAMES)
    asked, usage = drawn(made, "input", DEFAULT_SEED, 0), usage_in(answers)
    counted = "counts no tokens" if usage is None or usage.prompt_tokens is None else f"counts {usage.prompt_tokens}"
    how = "by the tokenizer" if settings.prompts.tokenizer is not None else "with a word for a token"
    return f"a prompt of {asked} tokens, made {how}: the server {counted}; a run calibrates lengths before its load"


def _checked(
    task: Task, request: Request, to: Access, keeper: Keeper, response: Response
) -> tuple[Checked, tuple[Any, ...]]:
    judged = _judged(task, request, keeper, response)
    outcome, error = judged.outcome, judged.error
    document = None if keeper.events is not None else decoded(keeper.body)
    answered = response.status > 0
    checked = Checked(
        ok=outcome is Outcome.ok,
        request=shown_request(request, to),
        answer=shown_answer(response, keeper) if answered else None,
        outcome=outcome.name,
        error=None if error is None else redact(error),
        times_s=_times(response),
        places=places_of(keeper, document),
        value=judged.value,
        hints=[]
        if outcome is Outcome.ok
        else hints(task, request, to, response, outcome, error or "", sample_of(keeper, document)),
    )
    return checked, judged.answers


class _Judged(msgspec.Struct, frozen=True):
    """Outcome, reason and answers, as in a run."""

    outcome: Outcome
    error: str | None = None
    answers: tuple[Any, ...] = ()
    value: str | None = None  # the first answer, as JSON


def _judged(task: Task, request: Request, keeper: Keeper, response: Response) -> _Judged:
    if response.outcome is not Outcome.ok:
        return _Judged(response.outcome, response.error)
    if response.status not in request.answered:
        outcome = outcome_of_status(response.status)
        text = f"HTTP {response.status}: {excerpt(keeper.body, 200)}"
        return _Judged(Outcome.client_error if outcome is Outcome.ok else outcome, text)
    try:
        if keeper.events is not None:
            answers = task.answer_stream(request, keeper.events)
        else:
            answers = task.answer(request, keeper.body)
        value = encode(folded(msgspec.to_builtins(answers[0]))).decode()
        return _Judged(Outcome.ok, None, answers, excerpt(value, BODY_SHOWN))
    except BadResponse as error:
        return _Judged(error.outcome, str(error))
    # A task of the user's own may raise anything.
    except Exception as error:
        said = f"task {task.name} cannot read the answer: {type(error).__name__}: {error}"
        return _Judged(Outcome.bad_response, said)


def _times(response: Response) -> dict[str, float]:
    times = {"first byte": response.first_byte - response.sent, "whole answer": response.done - response.sent}
    return {name: seconds for name, seconds in times.items() if not math.isnan(seconds)}
