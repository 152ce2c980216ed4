"""The prompts of recorded traces, and what a result says about a trace."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness import plugins
from harness.client.input_settings import InputSettings
from harness.client.prompt_settings import PromptSettings
from harness.client.trace_settings import TraceSettings
from harness.experiment import replayed
from harness.experiment.cases import cases, describe
from harness.experiment.ceiling import probe
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec
from harness.load.token_text import TokenText, WordRule
from harness.load.traces.played_trace import Changes, played
from harness.load.traces.reading import read
from harness.load.traces.trace_prompts import TracePrompts, befores
from mock_server.answers import count_tokens
from tests.unit.test_traces import DATA, MADE, case_of, rows_at

CHAT = plugins.make("task", "chat")
TEXTS = TokenText(WordRule(3.0, 1.0))
"""The mock counts two special tokens and the role."""


def prompts_of(of: CaseSpec) -> list[str]:
    """All prompts of a case."""
    made = of.build_prompts()
    assert isinstance(made, TracePrompts)
    return [made.data(CHAT, position, 1)[0].content for position in range(len(made.played))]


def common(one: str, other: str) -> int:
    """How many words two texts have in common at their beginning."""
    pairs = zip(one.split(), other.split(), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.split()), len(other.split())))


# Prompts.


@pytest.mark.parametrize("name", MADE)
def test_prompts_have_the_recorded_tokens_and_answers_their_bound(name: str) -> None:
    """By the mock's own count."""
    rows = read(str(DATA / name))
    made = TracePrompts(rows, played(rows, Changes(), Random(1), name), TEXTS, 512)
    for position in range(len(rows)):
        data = made.data(CHAT, position, 1)
        assert count_tokens((f"user: {data[0].content}",)) == rows.inputs[position]
        assert data.parameters == {"max_tokens": rows.outputs[position]}


def test_prompts_share_the_blocks_that_their_ids_share() -> None:
    """As many words, and no others."""
    rows = read(str(DATA / "mooncake.jsonl"))
    made = TracePrompts(rows, played(rows, Changes(), Random(1), "m"), TokenText(), 512)
    texts = [made.data(CHAT, position, 1)[0].content for position in range(30)]
    for one in range(30):
        for other in range(one):
            ids, others = rows.blocks(one), rows.blocks(other)
            blocks = next((n for n, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), 0)
            assert blocks * 512 <= common(texts[one], texts[other]) < blocks * 512 + 8


def test_a_second_copy_shares_with_its_own_copy_only() -> None:
    """Sharing within a repeat is as recorded; a server's cache of the first one is of no use for the second."""
    texts = prompts_of(case_of(DATA / "mooncake.jsonl", trace_repeat=2))
    first, second = texts[:60], texts[60:]
    assert [len(text.split()) for text in first] == [len(text.split()) for text in second]
    shared = [common(first[0], text) for text in first]
    assert [common(second[0], text) // 8 for text in second] == [number // 8 for number in shared]
    assert max(common(one, other) for one in first for other in second) < 8


def test_cases_and_repeats_have_words_of_their_own() -> None:
    """Else the server's cache of the case before would answer."""
    case = case_of(DATA / "mooncake.jsonl")
    trials = [case.trial("", Path("r"), repeat) for repeat in range(2)]
    texts = [prompts_of(trial)[0] for trial in trials]
    assert len(texts[0].split()) == len(texts[1].split())
    assert common(*texts) < 8


def test_a_turn_begins_with_the_prompt_before_it_in_its_session() -> None:
    """If it is not shorter; --trace-history none makes them strangers."""
    rows = rows_at(0, 1, 2, 3, inputs=[50, 70, 90, 40], sessions=[0, 1, 0, 0])
    shown = played(rows, Changes(), Random(1), "t")
    assert list(befores(rows, shown)) == [-1, -1, 0, 2]
    kept, alone = (TracePrompts(rows, shown, TokenText(), 512, keeps) for keeps in (True, False))
    texts = [kept.data(CHAT, position, 1)[0].content for position in range(4)]
    assert texts[2].startswith(texts[0])
    assert max(common(texts[0], texts[1]), common(texts[2], texts[3])) < 8
    assert common(*(alone.data(CHAT, position, 1)[0].content for position in (0, 2))) < 8


def test_a_prompt_goes_to_any_task_that_takes_one() -> None:
    rows = read(str(DATA / "azure.csv"))
    made = TracePrompts(rows, played(rows, Changes(), Random(1), "a"), TokenText(), 512)
    for name in ("chat", "embed", "annotate"):
        assert made.data(plugins.make("task", name), 0, 1)


def test_a_parameter_is_part_of_every_request() -> None:
    """Of the task chat."""
    settings = RunSettings(
        strategies=("unbounded",),
        scenario="replay",
        reading=InputSettings(parameters=("temperature=0",)),
        trace=TraceSettings(trace=str(DATA / "azure.csv")),
    )
    made = cases(settings, describe("replay"))[0].build_prompts()
    assert made is not None
    assert made.data(CHAT, 3, 1).parameters == {"max_tokens": made.lengths(3, 1)[1], "temperature": 0}


# The facts in the result.


def test_the_result_says_what_the_trace_holds_and_what_was_changed() -> None:
    of = case_of(
        DATA / "burstgpt.csv", trace_speed=4.0, trace_from_s=2.0, trace_until_s=9.0, trace_bootstrap_s=30.0
    ).trace
    assert of is not None
    assert (of.file, of.form, of.rows, of.left_out) == ("burstgpt.csv", "burstgpt", 78, 2)
    assert of.changes == [
        "2 rows without tokens left out",
        "its first 2 s left out",
        "cut 9 s after its first arrival",
        "30 s made of blocks of 350 ms that were drawn from it",
        "played 4 times as fast",
        "a turn begins with the prompt before it in its session, which the trace does not record",
    ]


def test_the_shared_part_of_the_prompts_is_counted() -> None:
    """As a server with a cache without bounds would find it."""
    rows = read(str(DATA / "mooncake.jsonl"))
    seen: set[int] = set()
    shared = 0
    for row in range(len(rows)):
        ids = list(rows.blocks(row))
        known = next((n for n, one in enumerate(ids) if one not in seen), len(ids))
        shared += min(known * 512, rows.inputs[row])
        seen.update(ids)
    found = case_of(DATA / "mooncake.jsonl").trace
    assert found is not None
    assert found.shared_share == pytest.approx(shared / sum(rows.inputs))
    assert found.changes == []


def test_only_settings_that_were_given_are_in_the_result() -> None:
    assert case_of(DATA / "azure.csv").load.settings == {"path": str(DATA / "azure.csv"), "format": "auto"}
    given = case_of(DATA / "azure.csv", trace_speed=2.0, trace_until_s=3.0)
    assert given.load.settings == {
        "path": str(DATA / "azure.csv"),
        "format": "auto",
        "speed": 2.0,
        "until_s": 3.0,
    }
    assert replayed.changed_settings(given._replay()) == given.load.settings


@pytest.mark.parametrize(
    "settings", [{"trace": TraceSettings(str(DATA / "mooncake.jsonl"))}, {"prompts": PromptSettings("700", "16")}]
)
def test_the_clients_ceiling_is_found_with_prompts_of_the_same_mean_length(settings: dict[str, Any]) -> None:
    """A backlog has no trace."""
    wanted = RunSettings(strategies=("unbounded",), scenario="steady", task="chat", **settings)
    of = probe(cases(wanted, describe("steady"))[0], "asyncio")
    assert of.is_backlog
    assert of.build_turns() is None
    made = of.build_prompts()
    assert made is not None
    assert len(made.data(CHAT, 0, 1)[0].content.split()) > 500
