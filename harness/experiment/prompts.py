"""Made-up prompts of a run: the options are checked before it, and lengths are calibrated with the server it meets.

Rules of this file
  1. The calibration is a few requests before the load. Their texts are not those of the load.
  2. It counts tokens as the server's answers do (`usage`), so lengths hold for any tokenizer and chat template.
  3. Its error is measured on texts that the rule was not made from.
  4. Whether the server takes `ignore_eos` is found by asking: a request with it is refused or answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.client.redaction import excerpt, redact
from harness.client.types import Item, Outcome, Request, Response, Send, Task
from harness.experiment.settings import RunSettings
from harness.load.chat_rows import parameters_of
from harness.load.token_text import TokenText, WordRule
from harness.load.tokenizer import words_of
from harness.load.workloads.prompts import LENGTH_NAMES, Prompts, length_name, named, prompts
from harness.measure.prompt_result import PromptCalibration, PromptPlan
from harness.measure.record.token_tally import usage_in

TRIES = 5
PAUSE_S = 0.2
_PLAIN = WordRule()
_TRANSIENT = {Outcome.rejected, Outcome.timed_out, Outcome.server_error, Outcome.connection_error}
SHORT = {"max_tokens": 1}
FULL = {"ignore_eos": True, "min_tokens": 1}
_SMALL = 8
_LENGTH_PARAMETERS = {*LENGTH_NAMES, "max_completion_tokens", "min_tokens", "ignore_eos"}


def built(plan: PromptPlan, salt: str = "", parameters: Mapping[str, Any] | None = None) -> Prompts:
    """The workload of a plan; before its calibration a word is a token."""
    return prompts(plan.settings, texts_of(plan), is_full(plan), salt, parameters)


def texts_of(plan: PromptPlan) -> TokenText:
    """What makes the texts of a plan; before its calibration a word is a token."""
    found = plan.calibration
    rule = _PLAIN if found is None else WordRule(found.fixed, found.per_word)
    return TokenText(rule, plan.words) if plan.words else TokenText(rule)


def is_full(plan: PromptPlan) -> bool:
    """Whether answers are asked to have their whole length."""
    return plan.calibration is not None and plan.calibration.full_length


# Before the run.


def planned(settings: RunSettings, tasks: Sequence[Task]) -> PromptPlan | None:
    """The prompts that the options describe; None without --input-tokens. Raises UsageError."""
    wanted = settings.prompts
    if wanted.input_tokens is None:
        wanted.check_alone()
        return None
    if settings.input is not None:
        raise UsageError("--input and --input-tokens exclude each other: the file has the prompts")
    if settings.synthetic is not None:
        raise UsageError("--synthetic and --input-tokens exclude each other: one counts words, the other tokens")
    if len(tasks) > 1:
        raise UsageError("--input-tokens is for one task, and this scenario mixes several; choose one with --task")
    _check_reading(settings, tasks[0])
    plan = PromptPlan(wanted, words=[] if wanted.tokenizer is None else list(words_of(wanted.tokenizer)))
    _check(built(plan, parameters=parameters_of(settings.reading.parameters)), tasks[0])
    return plan


def _check_reading(settings: RunSettings, task: Task) -> None:
    """Refuse options of a file; parameters of the API are for made-up prompts, too."""
    if settings.columns:
        raise UsageError("--map needs --input: made-up prompts (--input-tokens) have no columns")
    if flag := replace(settings.reading, parameters=()).first_flag:
        raise UsageError(f"{flag} needs --input: prompts are made up by their lengths (--input-tokens)")
    settings.reading.check_tasks([task])
    if settings.prompts.output_tokens is not None:
        check_no_length(settings.reading, "--output-tokens")


def check_no_length(reading: InputSettings, option: str) -> None:
    """Refuse a parameter for the length of answers, which `option` sets. Raises UsageError."""
    own = {text.partition("=")[0] for text in reading.parameters} & _LENGTH_PARAMETERS
    if own:
        raise UsageError(f"--param {min(own)} and {option} exclude each other: both set the length of answers")


def _check(made: Prompts, task: Task) -> None:
    """Refuse a task that takes no prompt, or no length of the answer."""
    if made.prefix_tokens > made.input.mean:
        text = f"--prefix-tokens {made.prefix_tokens}: a prompt has {made.input.mean:g} tokens in the mean"
        raise UsageError(f"{text} (--input-tokens), and its prefix is a part of it")
    try:
        made.data(task, 0, 1)
    except ItemError as error:
        if made.output is None and str(error).startswith("max_tokens"):
            text = f"--input-tokens: the task {task.name} needs max_tokens, too; add --output-tokens"
        else:
            text = f"--input-tokens: the task {task.name} takes no prompt ({error}); such as --task chat"
        raise UsageError(text) from error
    if made.output is not None and not _takes(task, {"max_tokens": 7}):
        raise UsageError(f"--output-tokens: the task {task.name} sends no max_tokens; such as --task chat")


def _takes(task: Task, parameters: Mapping[str, Any]) -> bool:
    """Whether parameters of a row become part of the request."""
    # The request of a described API may need it.
    plain = {"max_tokens": _SMALL}
    return _request(task, "a", {**plain, **parameters}).body != _request(task, "a", plain).body


def _request(task: Task, text: str, parameters: Mapping[str, Any]) -> Request:
    row = named({"prompt": text, "text": text, **parameters}, length_name(task))
    return task.request((Item(0, task.parse(row), task),))


# With the server.


async def calibrated(
    plan: PromptPlan, task: Task, send: Send, parameters: Mapping[str, Any] | None = None
) -> PromptPlan:
    """The plan with the rule that holds for this server. Raises UsageError if it does not answer or count.

    `parameters` are those of every request of the load: a server may count other tokens with them.
    """
    texts = TokenText(words=plan.words) if plan.words else TokenText()
    prober = Prober(task, send, texts, plan.option, parameters)
    full, note = await _full_length(plan, prober)
    if plan.words:
        found = await _with_tokenizer(prober, round(built(plan).input.mean))
    else:
        found = await _by_usage(prober, round(built(plan).input.mean))
    found = msgspec.structs.replace(found, full_length=full, note=note, probes=prober.sent)
    return msgspec.structs.replace(plan, calibration=found)


async def _full_length(plan: PromptPlan, prober: Prober) -> tuple[bool, str | None]:
    """Whether `ignore_eos` and `min_tokens` are sent, and why not."""
    wanted = plan.settings.ignore_eos or "auto"
    if plan.settings.output_tokens is None:
        return False, None
    if wanted == "no":
        return False, "--ignore-eos no"
    if not _takes(prober.task, FULL):
        if wanted == "yes":
            raise UsageError(f"--ignore-eos: the task {prober.task.name} sends no such parameter; such as --task chat")
        return False, f"the task {prober.task.name} sends no such parameter"
    response = await prober.response(_SMALL, FULL)
    if response.outcome is Outcome.ok:
        return True, None
    if response.outcome is Outcome.client_error and wanted == "auto":
        return False, f"the server refused it: {excerpt(redact(response.error or ''), 200)}"
    raise UsageError(_failed(response, "with ignore_eos and min_tokens", prober.option))


async def _by_usage(prober: Prober, mean: int) -> PromptCalibration:
    """A line through the server's counts of short, middle and mean texts; checked with two others."""
    sizes = sorted({_SMALL, max(_SMALL * 2, mean // 2), max(_SMALL * 4, mean)})
    counts = [(words, await prober.tokens(words)) for words in sizes]
    if None in [tokens for _, tokens in counts] and prober.option == "--trace":
        # Arrivals and lengths of answers are of use without exact prompts.
        return PromptCalibration("none")
    if None in [tokens for _, tokens in counts]:
        text = f"{prober.option}: the answers of the task {prober.task.name} have no usage.prompt_tokens"
        raise UsageError(f"{text} to calibrate by; give --tokenizer FILE")
    rule = fitted([(words, tokens) for words, tokens in counts if tokens is not None], prober.option)
    error = await _error(prober, rule, (max(_SMALL * 3, mean), max(_SMALL * 2, mean // 3)))
    return PromptCalibration("usage", rule.fixed, rule.per_word, error=error)


async def _with_tokenizer(prober: Prober, mean: int) -> PromptCalibration:
    """A word is a token; what the server counts beyond that is its chat template."""
    counted = await prober.tokens(_SMALL * 4)
    if counted is None:
        return PromptCalibration("tokenizer")
    rule = WordRule(max(0.0, counted - _SMALL * 4), 1.0)
    return PromptCalibration("tokenizer", rule.fixed, error=await _error(prober, rule, (max(_SMALL, mean),)))


async def _error(prober: Prober, rule: WordRule, sizes: Sequence[int]) -> float | None:
    """The largest error of the rule on new texts, as a share."""
    counts = [(words, await prober.tokens(words)) for words in sizes]
    return max((abs(rule.tokens(words) - counted) / counted for words, counted in counts if counted), default=None)


def fitted(counts: Sequence[tuple[int, int]], option: str = "--input-tokens") -> WordRule:
    """The rule through pairs of words and tokens (least squares). Raises UsageError if it is no plausible one."""
    mean_words = sum(words for words, _ in counts) / len(counts)
    mean_tokens = sum(tokens for _, tokens in counts) / len(counts)
    spread = sum((words - mean_words) ** 2 for words, _ in counts)
    per_word = sum((words - mean_words) * (tokens - mean_tokens) for words, tokens in counts) / spread
    fixed = max(0.0, mean_tokens - per_word * mean_words)
    if not 0.1 <= per_word <= 20:
        shown = ", ".join(f"{words} words {tokens} tokens" for words, tokens in counts)
        text = f"{option}: the server's usage.prompt_tokens does not grow with the prompt ({shown})"
        raise UsageError(f"{text}; give --tokenizer FILE")
    return WordRule(round(fixed, 3), round(per_word, 5))


class Prober:
    """Sends requests with prompts of a number of words, one after another."""

    def __init__(
        self,
        task: Task,
        send: Send,
        texts: TokenText,
        option: str = "--input-tokens",
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.task = task
        # Whose prompts they are, for errors.
        self.option = option
        self.sent = 0
        self._send = send
        self._texts = texts
        self._parameters = {name: value for name, value in (parameters or {}).items() if name not in _LENGTH_PARAMETERS}

    async def tokens(self, words: int) -> int | None:
        """The server's count of a prompt; None if it does not count. Raises UsageError if it does not answer."""
        response = await self.response(words, {})
        if response.outcome is not Outcome.ok:
            raise UsageError(_failed(response, f"of {words} words", self.option))
        usage = usage_in(response.answers)
        return None if usage is None else usage.prompt_tokens

    async def response(self, words: int, parameters: Mapping[str, Any]) -> Response:
        """The response to a new prompt; an overloaded server is asked again."""
        text = self._texts.text(words, f"probe/{self.sent}")
        for number in range(TRIES):
            self.sent += 1
            response = await self._send(_request(self.task, text, {**self._parameters, **SHORT, **parameters}))
            if response.outcome not in _TRANSIENT:
                break
            await asyncio.sleep(PAUSE_S * 2**number)
        return response


def _failed(response: Response, what: str, option: str) -> str:
    why = response.error or f"HTTP {response.status}"
    return f"{option}: a prompt {what}, to calibrate lengths before the load, failed: {why}"
