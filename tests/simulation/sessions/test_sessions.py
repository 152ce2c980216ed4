"""Sessions in virtual time: what turns carry, when they are due, and that each has exactly one outcome."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from harness.base.turn_index import index_of, session_of, turn_of
from harness.client.errors import UsageError
from harness.client.task_calls import request_for, result_of
from harness.client.types import Item, Layers, Outcome, Result, Send, no_layers
from harness.experiment.cases import cases
from harness.load.sessions.session_plan import SessionPlan
from harness.measure.judge.verdict import verdict
from harness.measure.record.rows_file import FLAG_SKIPPED, FLAG_STOPPED
from harness.measure.reduce.counting import Evidence
from scenarios.sessions import Sessions
from tests.simulation.sessions.playing import SERVER, Play, played, settings

STRATEGIES = (
    *(
        "sync",
        "threads:workers=3",
        "unbounded",
        "queue-stream:concurrency=2",
        "queue-stream:concurrency=4,ordered=true",
    ),
    *("adaptive", "adaptive-batch", "priority:concurrency=3", "batches:size=1"),
)
ERRORS = SERVER + '[[faults]]\nkind = "status"\nstatus = 500\nprobability = 0.1\n'
MIXED = {"turns": "geometric:mean=3", "think": "lognormal:mean=2", "new_sessions": 0.5}


def plan_of(play: Play) -> SessionPlan:
    sessions = play.spec.build_sessions()
    assert sessions is not None
    return sessions.plan


def planned(plan: SessionPlan) -> set[int]:
    """The indices of all turns of a plan."""
    lengths = [(session, plan.length(session)) for session in range(plan.count or 0)]
    return {index_of(s, turn) for s, one in lengths for turn in range(one.earlier + 1, one.earlier + one.turns + 1)}


def by_session(play: Play) -> dict[int, np.ndarray[Any, Any]]:
    """The rows of each session in order of its turns."""
    rows = play.run.rows[np.argsort(play.run.rows["index"])]
    return {int(number): rows[session_of(rows["index"]) == number] for number in np.unique(session_of(rows["index"]))}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_plays_the_same_turns(strategy: str, tmp_path: Path) -> None:
    """Each planned turn once, and each due exactly when the answer before it came, plus its think time."""
    play = played(tmp_path, strategy, users=5, sessions=12, **MIXED)
    plan = plan_of(play)
    assert sorted(play.run.rows["index"].tolist()) == sorted(planned(plan))
    assert len(play.run.rows) == play.spec.scheduled == play.case.counts.scheduled == play.case.counts.ok
    for session, rows in by_session(play).items():
        thinks = np.array(list(islice(plan.thinks_s(session), len(rows))))
        assert (np.abs(np.diff(rows["due"]) - (rows["done"] - rows["due"])[:-1] - thinks[:-1] * 1e9) <= 2).all()
        following = play.run.rows[play.run.rows["index"] == index_of(session + 5, plan.length(session + 5).earlier + 1)]
        if len(following):
            assert abs(following["due"][0] - rows["done"][-1] - thinks[-1] * 1e9) <= 2


def test_a_turn_carries_the_earlier_ones_with_the_real_answers(tmp_path: Path) -> None:
    """Its own words last; nothing is left out and nothing made up in a new session."""
    sent = played(tmp_path, users=4, turns="4", think="1").sent()
    for index, (messages, response) in sent.items():
        before = sent.get(index - 1)
        assert [message["role"] for message in messages] == ["user", "assistant"] * (turn_of(index) - 1) + ["user"]
        if turn_of(index) > 1:
            assert before is not None
            assert messages[:-1] == [*before[0], {"role": "assistant", "content": before[1].answers[0].text}]
        assert response.outcome is Outcome.ok


@pytest.mark.no_cover
def test_sessions_arrive_whatever_the_answers(tmp_path: Path) -> None:
    """The first turn of each is due when the load says, even if one strategy cannot keep up; the plan has one hash."""
    plays = []
    for number, strategy in enumerate(("sync", "unbounded")):
        (tmp_path / str(number)).mkdir()
        plays.append(played(tmp_path / str(number), strategy, session_rate=1.0, duration=20.0, turns="3", think="0.5"))
    for play in plays:
        offsets = plan_of(play).offsets
        firsts = play.run.rows[turn_of(play.run.rows["index"]) == 1]
        assert offsets is not None
        assert np.allclose(np.sort(firsts["due"]) / 1e9, offsets, atol=1e-8)
        assert play.case.load.settings["arrivals"] == {"name": "poisson", "settings": {"rate_per_s": 1.0}}
    assert plays[0].spec.schedule_sha256 == plays[1].spec.schedule_sha256
    assert plays[0].case.makespan_s > 1.2 * plays[1].case.makespan_s  # type: ignore[operator] # both have one


@pytest.mark.parametrize("network", ["none", "memory"])
def test_a_share_of_streams_is_cancelled_in_the_middle(network: Literal["none", "memory"], tmp_path: Path) -> None:
    """The server sees it, the session goes on with the partial answer, and the run stays valid."""
    play = played(tmp_path, network=network, users=15, turns="8", think="0.5", cancel=0.25)
    rows, sent = play.run.rows, play.sent()
    stopped = rows[(rows["flags"] & FLAG_STOPPED) > 0]
    assert 0.18 * len(rows) < len(stopped) < 0.32 * len(rows)
    assert set(stopped["outcome"]) == {Outcome.cancelled}
    assert len(stopped) + play.case.counts.ok == len(rows) == play.spec.scheduled
    assert play.server.app.counts.total()["disconnected"] == len(stopped)
    assert play.server.seen == len(rows)
    assert (play.case.counts.stopped, play.case.counts.failed, play.case.failures) == (len(stopped), 0, [])
    for index in stopped["index"].tolist():
        messages, response = sent[index]
        assert len(response.chunks) == len(response.answers[0].text.split()) < 64
        if (following := sent.get(index + 1)) is not None:
            assert following[0][len(messages)] == {"role": "assistant", "content": response.answers[0].text}
    sound = Evidence(play.case.name, rows=len(rows), recorded=len(rows), on_wire=len(rows), answered=len(rows))
    assert verdict([play.case], [sound]).status == "valid"


def test_the_rest_of_a_session_is_not_sent_after_a_turn_that_failed(tmp_path: Path) -> None:
    """Every planned turn has one outcome, with a reason; the user begins the next session."""
    play = played(tmp_path, users=6, sessions=40, turns="5", think="0.5", profile=ERRORS)
    counts, rows = play.case.counts, play.run.rows
    assert counts.scheduled == 200 == len(rows) == counts.ok + counts.server_error + counts.not_sent
    assert counts.not_sent == counts.skipped == int(((rows["flags"] & FLAG_SKIPPED) > 0).sum()) > 0
    for turns in by_session(play).values():
        first = int(np.argmax(turns["outcome"] != Outcome.ok)) if (turns["outcome"] != Outcome.ok).any() else 5
        assert set(turns["outcome"][first + 1 :]) <= {Outcome.not_sent}
    assert "of its session was server_error" in play.case.failure_samples["not_sent"].text
    assert play.case.sessions is not None
    assert play.case.sessions.sessions == 40
    assert play.case.sessions.failed == counts.server_error


def test_a_time_ends_the_sessions_of_users(tmp_path: Path) -> None:
    """No turn is due after it; those given out before are finished, and nothing counts as left over."""
    play = played(tmp_path, users=5, duration=30.0, **MIXED)
    assert play.case.counts.scheduled == play.case.counts.ok == len(play.run.rows) > 30
    assert play.run.rows["fired"].max() <= 30e9
    assert play.case.load.duration_s == 30.0
    assert play.spec.scheduled is None


@pytest.mark.no_cover
def test_continued_sessions_begin_with_a_history(tmp_path: Path) -> None:
    """The turn counts from the conversation's beginning; the earlier words are the same in every run."""
    play = played(tmp_path, users=20, turns="uniform:2..4", new_sessions=0.4)
    plan, sent = plan_of(play), play.sent()
    earlier = [plan.length(session).earlier for session in range(20)]
    assert 5 < sum(length > 0 for length in earlier) < 18
    for session, length in enumerate(earlier):
        messages, _ = sent[index_of(session, length + 1)]
        assert len(messages) == 2 * length + 1
    assert play.case.sessions is not None
    assert [one.turn for one in play.case.sessions.by_turn] == list(range(1, len(play.case.sessions.by_turn) + 1))
    (tmp_path / "again").mkdir()
    assert played(tmp_path / "again", users=20, turns="uniform:2..4", new_sessions=0.4).sent() == sent


SHAREGPT = [
    {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            *({"from": ("human", "gpt")[n % 2], "value": f"{('asked', 'said')[n % 2]} {n // 2}"} for n in range(10)),
        ]
    },
    {"conversations": [{"from": "gpt", "value": "Welcome."}, {"from": "human", "value": "Hello."}]},
    {"conversations": [{"from": "system", "value": "Nobody asks."}]},
]


def users_words(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages if message["role"] == "user"]


@pytest.fixture
def conversations(tmp_path: Path) -> str:
    (tmp_path / "sharegpt.json").write_text(json.dumps(SHAREGPT))
    return str(tmp_path / "sharegpt.json")


def test_the_users_turns_of_a_file_are_played_in_order(tmp_path: Path, conversations: str) -> None:
    """With the server's answers in place of the file's; a conversation without a user's message is left out."""
    play = played(tmp_path, users=3, input=conversations)
    sent = play.sent()
    assert {index: turn_of(index) for index in sent} == {
        **{index_of(session, turn): turn for session in (0, 2) for turn in range(1, 6)},
        index_of(1, 1): 1,
    }
    last, _ = sent[index_of(0, 5)]
    assert last[0] == {"role": "system", "content": "Be brief."}
    assert users_words(last) == [f"asked {n}" for n in range(5)]
    assert not any("said" in message["content"] for message in last)
    assert [message["content"] for message in sent[index_of(1, 1)][0]] == ["Welcome.", "Hello."]


def test_a_continued_conversation_of_a_file_has_the_files_answers(tmp_path: Path, conversations: str) -> None:
    """And --turns bounds how many more are played."""
    play = played(tmp_path, users=1, input=conversations, new_sessions=0.0, turns="1")
    ((index, (messages, _)),) = play.sent().items()
    earlier = turn_of(index) - 1
    assert 1 <= earlier <= 4
    assert [message["content"] for message in messages[1:]] == [
        *(f"{word} {n}" for n in range(earlier) for word in ("asked", "said")),
        f"asked {earlier}",
    ]


def test_a_long_history_loses_its_oldest_exchanges(tmp_path: Path, conversations: str) -> None:
    """The system's message stays, and the result says how often that happened."""
    play = played(tmp_path, users=1, input=conversations, new_sessions=0.0, history=60, task="chat:max_tokens=4")
    messages, _ = play.sent()[max(play.sent())]
    assert messages[0]["content"] == "Be brief."
    assert users_words(messages)[-1] == "asked 4"
    assert 1 < len(users_words(messages)) < 5
    assert play.case.sessions is not None
    assert play.case.sessions.histories_cut > 0
    assert any("was longer than --history" in warning for warning in play.case.warnings)
    (tmp_path / "none").mkdir()
    alone = played(tmp_path / "none", users=2, turns="3", history=0).sent()
    assert {len(messages) for messages, _ in alone.values()} == {1}


@dataclass(frozen=True)
class Collecting:
    """Sends pairs of items; it does not say that it collects them."""

    blocking: ClassVar[bool] = False

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        call, pair = layers(send), list[Item]()
        async for item in items:
            pair.append(item)
            while len(pair) == 2:
                yield result_of(pair[0], await call(request_for(pair.pop(0))))


def test_a_strategy_that_waits_for_more_turns_is_named(tmp_path: Path) -> None:
    """It would wait for ever: no further turn comes without an answer."""
    with pytest.raises(UsageError, match="holds 1 turns, sends none of them and waits for more"):
        played(tmp_path, Collecting(), users=1, turns="3")


def test_a_strategy_that_collects_is_refused_before_anything_is_played() -> None:
    with pytest.raises(UsageError, match="strategy batches: collects items"):
        cases(settings("batches:size=2", users=4), Sessions)


@pytest.mark.no_cover
def test_figures_by_turn_add_up(tmp_path: Path) -> None:
    """To the requests of the case; late turns have figures together; TTFT grows with the history."""
    grows = SERVER + "ttft_per_prompt_token_s = 0.001\n"
    play = played(tmp_path, users=12, turns="24", cancel=0.1, profile=grows)
    found = play.case.sessions
    assert found is not None
    assert (found.sessions, found.failed, found.turns) == (12, 0, 288)
    assert [one.turn for one in found.by_turn] == list(range(1, 22))
    assert (found.by_turn[-1].and_later, found.by_turn[-1].requests) == (True, 48)
    assert sum(one.requests for one in found.by_turn) == play.case.counts.scheduled
    assert sum(one.stopped for one in found.by_turn) == play.case.counts.stopped
    prompts = [one.prompt_tokens or 0.0 for one in found.by_turn]
    assert prompts == sorted(prompts)
    assert prompts[-1] > 10 * prompts[0] > 0
    first, last = found.by_turn[0].ttft_s, found.by_turn[-1].ttft_s
    assert first is not None
    assert last is not None
    assert (last.p50 or 0) > 3 * (first.p50 or 0) > 0
    assert found.duration_s is not None


def test_client_applications_share_the_sessions_that_arrive(tmp_path: Path) -> None:
    """Each session belongs to one of them."""
    play = played(tmp_path, users=3, session_rate=2.0, duration=10.0, turns="2")
    rows = play.run.rows
    assert play.spec.users == 3
    assert (rows["user"] == session_of(rows["index"]) % 3).all()
    assert sorted(rows["index"].tolist()) == sorted(planned(plan_of(play)))
