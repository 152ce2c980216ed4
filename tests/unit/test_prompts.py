"""Made-up prompts in tokens: calibration, full length of answers, and what a simulated run makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.base import units
from harness.client.errors import UsageError
from harness.client.prompt_settings import PromptSettings
from harness.client.tasks.annotate import Annotate
from harness.client.tasks.chat import Chat
from harness.client.tasks.http import Http
from harness.client.types import Item, Outcome, Request, Response
from harness.experiment.prompts import PAUSE_S, built, calibrated, fitted
from harness.load.tokenizer import one_token_words, words_of
from harness.load.workloads.synthetic import WORDS
from harness.measure.judge.prompt_words import together
from harness.measure.prompt_result import PromptPlan, TokenLengths, TokenSums
from harness.measure.reduce.prompts import figures_of, warnings
from harness.measure.result import RunResult
from reports.formats._facts import prompts as prompt_rows
from reports.formats.markdown import render as markdown
from tests.unit.test_cli import run
from tests.unit.test_prompt_mistakes import OWN
from tests.virtual_time import virtually

Count = Callable[[str], int]
OFF = (
    "answers had 40 tokens in the mean by the server's count, where 50 were asked for (-20.0 %); "
    "ignore_eos was not sent"
)
SETTINGS = PromptSettings(input_tokens="normal:mean=600,stdev=200,min=50", output_tokens="40")


def words_count(text: str) -> int:
    """A token a word, and a template of 11 tokens."""
    return 11 + len(text.split())


def pieces_count(text: str) -> int:
    """A tokenizer that cuts words after five letters, and a template of 30 tokens."""
    return 30 + sum(-(-len(word) // 5) for word in text.split())


class FakeServer:
    """Answers chats with its own count of their tokens, after some failures."""

    def __init__(self, count: Count, *, fails: int = 0, refuses: str = "", counts: bool = True) -> None:
        self.count = count
        self.bodies: list[dict[str, Any]] = []
        self._fails = fails
        self._refuses = refuses
        self._counts = counts

    async def __call__(self, request: Request, /) -> Response:
        body = json.loads(request.body)
        self.bodies.append(body)
        if len(self.bodies) <= self._fails:
            return Response(Outcome.rejected, 429, error="HTTP 429: slow down")
        if self._refuses in body:
            return Response(Outcome.client_error, 400, error=f"HTTP 400: unknown field {self._refuses}")
        tokens = self.count(body["messages"][0]["content"])
        usage = {"usage": {"prompt_tokens": tokens, "completion_tokens": body["max_tokens"]}} if self._counts else {}
        choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "length"}
        answers = request.task.answer(request, msgspec.json.encode({"choices": [choice], **usage}))
        return Response(Outcome.ok, 200, answers)


def calibrate(server: FakeServer, plan: PromptPlan | None = None) -> PromptPlan:
    """The plan after a calibration in virtual time."""
    return virtually(calibrated(plan or PromptPlan(SETTINGS), Chat(), server))


@pytest.mark.parametrize(("count", "per_word"), [(words_count, 1.0), (pieces_count, 1.25)])
def test_lengths_by_the_servers_own_count_are_within_two_per_cent(count: Count, per_word: float) -> None:
    """In the mean, and the calibration says its error."""
    plan = calibrate(FakeServer(count))
    assert plan.calibration is not None
    assert plan.calibration.per_word == pytest.approx(per_word, rel=0.1)
    assert plan.calibration.error == pytest.approx(0.0, abs=0.02)
    prompts = built(plan)
    asked = sum(prompts.lengths(n, 1)[0] for n in range(300))
    counted = sum(count(prompts.row(n, 1)["prompt"]) for n in range(300))
    assert counted / asked == pytest.approx(1.0, abs=0.02)


def test_the_calibration_is_six_short_requests_with_texts_of_their_own() -> None:
    """Its texts are not in the server's cache when the load comes."""
    server = FakeServer(words_count)
    plan = calibrate(server)
    assert plan.calibration is not None
    assert plan.calibration.probes == len(server.bodies) == 6
    assert all(body["max_tokens"] == 1 for body in server.bodies)
    prompts = built(plan)
    texts = {body["messages"][0]["content"][:30] for body in server.bodies}
    assert texts.isdisjoint(prompts.row(n, 1)["prompt"][:30] for n in range(100))


def test_a_server_that_takes_ignore_eos_gets_it() -> None:
    """With the length of each answer."""
    plan = calibrate(FakeServer(words_count))
    row = built(plan).row(3, 1)
    assert (row["max_tokens"], row["min_tokens"], row["ignore_eos"]) == (40, 40, True)


@pytest.mark.parametrize("field", ["ignore_eos", "min_tokens"])
def test_a_server_that_refuses_it_does_not_get_it(field: str) -> None:
    """One request finds out, and the result says why."""
    plan = calibrate(FakeServer(words_count, refuses=field))
    assert plan.calibration is not None
    assert plan.calibration.note == f"the server refused it: HTTP 400: unknown field {field}"
    assert built(plan).row(3, 1).keys() == {"prompt", "text", "max_tokens"}


def test_ignore_eos_can_be_demanded_or_left_out() -> None:
    """Demanded, a refusal is an error; left out, it is never sent."""
    yes = PromptSettings(input_tokens="9", output_tokens="9", ignore_eos="yes")
    with pytest.raises(UsageError, match=r"with ignore_eos and min_tokens.*HTTP 400"):
        calibrate(FakeServer(words_count, refuses="ignore_eos"), PromptPlan(yes))
    no = FakeServer(words_count)
    calibrate(no, PromptPlan(PromptSettings(input_tokens="9", output_tokens="9", ignore_eos="no")))
    assert not any("ignore_eos" in body for body in no.bodies)


def test_parameters_are_in_every_request_and_in_those_of_the_calibration() -> None:
    """A parameter may change how a server counts, such as one of the chat template."""
    server, parameters = FakeServer(words_count), {"temperature": 0, "max_tokens": 500}
    plan = virtually(calibrated(PromptPlan(SETTINGS), Chat(), server, parameters))
    assert [body["temperature"] for body in server.bodies] == [0] * len(server.bodies)
    assert {body["max_tokens"] for body in server.bodies} == {1}
    made = built(plan, parameters={"temperature": 0})
    body = json.loads(Chat().request((Item(0, made.data(Chat(), 0, 1), Chat()),)).body)
    assert (body["temperature"], body["max_tokens"]) == (0, 40)


def test_an_overloaded_server_is_asked_again() -> None:
    """After a pause that grows; a server that stays so ends the run."""
    server = FakeServer(words_count, fails=3)
    assert calibrate(server).calibration is not None
    with pytest.raises(UsageError, match="failed: HTTP 429: slow down"):
        calibrate(FakeServer(words_count, fails=100))
    assert PAUSE_S < 1


def test_a_server_without_counts_needs_a_tokenizer() -> None:
    """Then a word is a token, and the template is unknown."""
    with pytest.raises(UsageError, match=r"no usage\.prompt_tokens to calibrate by; give --tokenizer FILE"):
        calibrate(FakeServer(words_count, counts=False))
    plan = calibrate(FakeServer(words_count, counts=False), PromptPlan(SETTINGS, words=list(WORDS)))
    assert plan.calibration is not None
    assert (plan.calibration.source, plan.calibration.fixed, plan.calibration.error) == ("tokenizer", 0.0, None)


def test_a_count_that_does_not_grow_is_refused() -> None:
    """Some gateways report a constant."""
    with pytest.raises(UsageError, match="does not grow with the prompt"):
        calibrate(FakeServer(lambda text: 7))
    assert fitted([(8, 11), (16, 19), (32, 35)]).fixed == 3.0


def test_with_a_tokenizer_lengths_are_exact(tmp_path: Path) -> None:
    """Every prompt, by the count of the tokenizer and the server's template."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=600, show_progress=False)
    made.train_from_iterator([" ".join(WORDS[n:] + WORDS[:n]) for n in range(len(WORDS))], trainer)
    made.save(str(tmp_path / "tokenizer.json"))
    words = words_of(str(tmp_path))
    plan = calibrate(FakeServer(lambda text: 21 + len(made.encode(text).ids)), PromptPlan(SETTINGS, words=list(words)))
    assert plan.calibration is not None
    assert (plan.calibration.source, plan.calibration.fixed, plan.calibration.error) == ("tokenizer", 21.0, 0.0)
    prompts = built(plan)
    for index in range(60):
        row = prompts.row(index, 1)
        assert 21 + len(made.encode(row["prompt"]).ids) == prompts.lengths(index, 1)[0]


@pytest.mark.parametrize("fields", ["", 'ignore_eos = "{{ ignore_eos:boolean = false }}"'])
def test_an_http_task_gets_the_fields_that_it_has(fields: str) -> None:
    """Its template says which; ignore_eos is sent only if it is one of them."""
    text = OWN.replace("[usage]", f"{fields}\n[usage]")
    plan = PromptPlan(PromptSettings(input_tokens="50", output_tokens="uniform:min=3,max=9"))
    plan = virtually(calibrated(plan, Http(text=text), CompletionServer()))
    assert plan.calibration is not None
    assert (plan.calibration.fixed, plan.calibration.full_length) == (2.0, bool(fields))
    task = Http(text=text)
    body = json.loads(task.request((Item(0, built(plan).data(task, 0, 1), task),)).body)
    assert len(body["prompt"].split()) == 48
    assert 3 <= body["max_tokens"] <= 9


def test_the_length_of_an_answer_has_the_name_that_the_api_has_for_it() -> None:
    """OpenAI's Responses API calls it max_output_tokens."""
    task = Http(text=OWN.replace("{{ max_tokens:integer }}", "{{ max_output_tokens:integer }}"))
    prompts = built(PromptPlan(PromptSettings(input_tokens="9", output_tokens="5")))
    body = json.loads(task.request((Item(0, prompts.data(task, 0, 1), task),)).body)
    assert body["max_tokens"] == 5


class CompletionServer:
    """Answers text completions; two tokens more than words."""

    async def __call__(self, request: Request, /) -> Response:
        body = json.loads(request.body)
        usage = {"prompt_tokens": 2 + len(body["prompt"].split()), "completion_tokens": body["max_tokens"]}
        answer = msgspec.json.encode({"choices": [{"text": "a"}], "usage": usage})
        return Response(Outcome.ok, 200, request.task.answer(request, answer))


def test_words_whose_tokens_depend_on_their_neighbours_are_refused() -> None:
    """Lengths would not be exact."""

    def merging(text: str) -> int:
        return len(text.replace("a this", "athis").split())

    with pytest.raises(UsageError, match="lengths would not be exact"):
        one_token_words(merging, WORDS)
    with pytest.raises(UsageError, match="only 0 of its words are one token each; needs 8"):
        one_token_words(len, WORDS)


def test_prefixes_are_shared_by_share_and_pool() -> None:
    """Half of the prompts begin with one of four prefixes; the rest have nothing in common."""
    settings = PromptSettings(input_tokens="200", prefix_tokens=100, prefix_pool=4, prefix_share=0.5)
    prompts = built(PromptPlan(settings))
    beginnings: dict[str, int] = {}
    for index in range(2_000):
        words = prompts.row(index, 1)["prompt"].split()
        assert len(words) == 200
        beginnings[" ".join(words[:100])] = beginnings.get(" ".join(words[:100]), 0) + 1
    shared = sorted(n for n in beginnings.values() if n > 1)
    assert len(shared) == 4
    assert sum(shared) == pytest.approx(1_000, abs=90)
    assert min(shared) > 200


def test_strategies_get_equal_lengths_and_other_words() -> None:
    """A server with a cache of prefixes must not answer the second strategy from the prompts of the first."""
    one, two = built(PromptPlan(SETTINGS), "sync"), built(PromptPlan(SETTINGS), "adaptive")
    for index in range(50):
        assert one.lengths(index, 1) == two.lengths(index, 1)
        assert one.row(index, 1)["prompt"][:40] != two.row(index, 1)["prompt"][:40]


def test_a_task_without_such_parameters_is_not_sent_them() -> None:
    """/annotate of this project takes max_tokens only."""
    prompts = built(PromptPlan(PromptSettings(input_tokens="9", output_tokens="5")))
    assert prompts.data(Annotate(), 0, 1).parameters == {"max_tokens": 5}


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        (TokenSums(10, 1000, 1019, 10, 500, 495), []),
        (
            TokenSums(10, 1000, 1030, 10, 500, 400),
            [
                "prompts had 103 tokens in the mean by the server's count, where 100 were asked for (+3.0 %)",
                OFF,
            ],
        ),
        (TokenSums(), ["the server counted no tokens of prompts, so their lengths could not be checked"]),
        (None, ["the server counted no tokens of prompts, so their lengths could not be checked"]),
    ],
)
def test_lengths_that_are_off_by_more_than_two_per_cent_are_a_warning(sums: TokenSums | None, said: list[str]) -> None:
    """Below that they are a fact."""
    plan = calibrate(FakeServer(words_count, refuses="ignore_eos"))
    assert warnings(figures_of(plan, [sums])) == said


@pytest.mark.parametrize("network", ["none", "memory"])
def test_a_simulated_run_says_what_was_asked_for_and_counted(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calibrated in virtual time, by the mock's own usage; the same lengths for both strategies."""
    asked = ["--input-tokens", "normal:mean=300,stdev=50,min=40", "--output-tokens", "uniform:min=5,max=30"]
    line = ["simulate", "compare", "--task", "chat:stream=true", "-s", "queue-stream:concurrency=8", "-s", "adaptive"]
    code, _, err = run(
        capsys, *line, *asked, "--items", "60", "--network", network, "--no-report", "--out", str(tmp_path / "r")
    )
    assert code == 0, err
    result = msgspec.json.decode((tmp_path / "r" / "result.json").read_bytes(), type=RunResult)
    first, second = (case.prompts for case in result.cases)
    assert first == second
    assert first is not None
    assert first.input is not None
    assert first.output is not None
    assert (first.input.n, first.input.error, first.output.error) == (60, 0.0, 0.0)
    assert first.input.asked_mean == pytest.approx(300, abs=25)
    assert first.calibration.source == "usage"
    assert first.calibration.full_length


@pytest.mark.parametrize("task", ["complete", "responses:stream=true"])
def test_other_tasks_of_language_models_take_prompts_too(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its own name for the length of an answer."""
    line = ["simulate", "compare", "--task", task, "-s", "unbounded", "--items", "40", "--no-report"]
    code, _, err = run(capsys, *line, "--input-tokens", "70", "--output-tokens", "9", "--out", str(tmp_path / "r"))
    assert code == 0, err
    (case,) = msgspec.json.decode((tmp_path / "r" / "result.json").read_bytes(), type=RunResult).cases
    assert case.prompts is not None
    assert case.prompts.input == TokenLengths(40, 70.0, 70.0, 0.0)
    assert case.prompts.output == TokenLengths(40, 9.0, 9.0, 0.0)


def test_prompts_of_embeddings_are_counted_by_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several texts share a request, and the server counts them together."""
    line = ["simulate", "compare", "--task", "embed", "-s", "batches:size=8", "--items", "48", "--no-report"]
    code, _, err = run(capsys, *line, "--input-tokens", "uniform:min=20,max=90", "--out", str(tmp_path / "r"))
    assert code == 0, err
    (case,) = msgspec.json.decode((tmp_path / "r" / "result.json").read_bytes(), type=RunResult).cases
    assert case.prompts is not None
    assert case.prompts.input is not None
    assert (case.prompts.input.n, case.prompts.input.error, case.prompts.output) == (48, 0.0, None)
    assert case.tokens is not None
    assert list(case.tokens.absent) == ["output"]


def test_the_levels_of_a_sweep_are_shown_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At the terminal and in the report: one fact for all of them."""
    line = ["simulate", "sweep", "--task", "chat", "--concurrency", "1,2", "--duration", "3", "--input-tokens", "90"]
    code, out, err = run(capsys, *line, "--out", str(tmp_path / "r"), "--no-report")
    assert code == 0, err
    assert "prompts: 90 tokens asked for, 90 counted (0 %); calibrated by the server's count, 1 token per word" in out
    result = msgspec.json.decode((tmp_path / "r" / "result.json").read_bytes(), type=RunResult)
    assert len(result.cases) == 2
    whole = together([case.prompts for case in result.cases])
    assert whole is not None
    assert whole.input is not None
    assert whole.input.n == sum(case.counts.ok for case in result.cases)
    ((name, _, requests, *_),) = prompt_rows(result)
    assert (name, requests) == ("all loads", units.count(whole.input.n))
    assert "| all loads | prompts |" in markdown(result)


@pytest.mark.parametrize(("choice", "full"), [("auto", True), ("no", False)])
def test_answers_that_would_end_by_themselves_have_their_length_with_ignore_eos(
    choice: str, full: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it they are shorter, and a warning says so."""
    (tmp_path / "own.toml").write_text("[generation]\nanswer_tokens_mean = 15\n")
    line = ["simulate", "compare", "--task", "chat", "-s", "unbounded", "--server", str(tmp_path / "own.toml")]
    asked = ["--input-tokens", "50", "--output-tokens", "40", "--ignore-eos", choice, "--items", "100", "--no-report"]
    code, out, err = run(capsys, *line, *asked, "--out", str(tmp_path / "r"))
    assert code == 0, err
    (case,) = msgspec.json.decode((tmp_path / "r" / "result.json").read_bytes(), type=RunResult).cases
    assert case.prompts is not None
    assert case.prompts.output is not None
    assert (case.prompts.output.error == 0) == full
    assert ("ignore_eos was not sent" in out) != full


def test_runs_with_other_lengths_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Longer prompts are another load; another tokenizer or calibration is not."""
    for name, tokens in (("short", "50"), ("long", "90"), ("same", "90")):
        line = ["simulate", "compare", "--task", "chat", "-s", "unbounded", "--items", "30", "--no-report"]
        assert run(capsys, *line, "--input-tokens", tokens, "--out", str(tmp_path / name))[0] == 0
    code, out, err = run(capsys, "diff", str(tmp_path / "short"), str(tmp_path / "long"))
    assert code == 2, out + err
    assert "prompts.input_tokens" in out + err
    assert "prompts" not in "".join(run(capsys, "diff", str(tmp_path / "same"), str(tmp_path / "long"))[1:])
