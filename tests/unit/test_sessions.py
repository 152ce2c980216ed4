"""Sessions: distributions, mistakes on the command line, the plan and the index of a turn."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from random import Random

import pytest

from harness.base.turn_index import PLACES, TURNS_MAX, index_of, session_of, turn_of
from harness.client.conversation import Exchange, History
from harness.client.tasks.chat import Chat
from harness.load.sessions.distributions import think_of, turns_of
from harness.load.sessions.session_plan import SessionLoad, SessionPlan
from tests.unit.test_cli import run

RUN = ["simulate", "run", "sessions"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--turns", "0"], "--turns 0: turns=0 must be between 1 and 500"),
        (["--turns", "501"], "turns=501 must be between 1 and 500"),
        (["--turns", "2.5"], "--turns 2.5: is not a whole number, uniform:LOW..HIGH or geometric:mean=N"),
        (["--turns", "uniform:8..2"], "--turns uniform: max=2 must be at least min=8"),
        (
            ["--turns", "uniform:2-8"],
            "--turns 'uniform:2-8': '2-8' is not key=value; it is a whole number, uniform:LOW..HIGH",
        ),
        (["--turns", "geometric:4"], "'4' is not key=value"),
        (["--turns", "geometric:mean=0.5"], "--turns geometric: mean=0.5 must be between 1 and 100"),
        (["--turns", "poisson:mean=4"], "unknown distribution 'poisson': known are constant, uniform, geometric"),
        (["--think", "lognormal:mean=0"], "--think lognormal: mean=0.0 must be between 1e-06 and 3600"),
        (["--think", "lognormal:mean=3,sigma=9"], "sigma=9.0 must be between 0 and 5"),
        (["--think", "lognormal:sigma=1"], "--think lognormal: needs mean"),
        (["--think", "exponential:mean=3,sigma=1"], "unknown setting 'sigma'"),
        (["--think", "uniform:5..1"], "--think uniform: max=1 must be at least min=5"),
        (["--think", "-1"], "--think -1: time=-1.0 must be between 0 and 86400"),
        (["--think", "soon"], "--think soon: is not none, a time, uniform:LOW..HIGH"),
        (["--think", "exponential:mean=inf"], "mean=inf must be between 1e-06 and 3600"),
        (["--new-sessions", "1.5"], "'1.5' is not a share such as 5% or 0.05"),
        (
            ["--cancel", "0.1", "--task", "chat"],
            "is cancelled in the middle; use --task chat:stream=true",
        ),
        (["--cancel", "120%"], "is not a share"),
        (["--session-rate", "0"], "--session-rate 0: must be between 0.001 and 100000"),
        (["--sessions", "0"], "--sessions 0: must be between 1 and 1000000"),
        (["--history", "-1"], "--history -1: must be between 0 and 10000000"),
        (["--items", "10"], "--items: sessions are counted by --sessions"),
        (["--rate", "10"], "--rate: turns follow answers; --session-rate sets"),
        (["--trace", "trace.txt"], "--trace: its sessions are its own; use `paceline run replay`"),
        (["--task", "similarity"], "task similarity: has no conversations"),
        (["-s", "batches"], "strategy batches: collects items before it sends them"),
        (["--load", "replay:path=trace.txt", "--session-rate", "2"], "replay takes its rate from the trace"),
        (["--load", "backlog", "--session-rate", "2"], "a backlog of sessions has no rate"),
        (["--input", "nobody.json"], "nobody.json: no conversation has a message of the user"),
        (["--sessions", "1000000", "--turns", "100"], "turns, more than 20,000,000"),
    ],
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It names the option, the value and what is allowed; exit code 2, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    silent = {"messages": [{"role": "system", "content": "x"}]}
    (tmp_path / "nobody.json").write_text(json.dumps([silent]))
    (tmp_path / "trace.txt").write_text("0\n1\n")
    code, out, error = run(capsys, *RUN, *arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_the_options_belong_to_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """Another scenario names the first of them."""
    code, _, error = run(capsys, "simulate", "run", "steady", "--think", "3")
    assert (code, error) == (2, "paceline: --think: belongs to the scenario sessions (paceline run sessions)\n")


@pytest.mark.parametrize(
    ("text", "mean", "low", "high"),
    [
        ("5", 5, 5, 5),
        ("constant:3", 3, 3, 3),
        ("uniform:2..8", 5, 2, 8),
        ("uniform:min=2,max=8", 5, 2, 8),
        ("constant:turns=3", 3, 3, 3),
        ("geometric:mean=4", 4, 1, 500),
        ("geometric:mean=1", 1, 1, 1),
    ],
)
def test_numbers_of_turns(text: str, mean: float, low: int, high: int) -> None:
    """The mean that was asked for, within the bounds."""
    rng, law = Random(1), turns_of(text)
    drawn = [law.draw(rng) for _ in range(8_000)]
    assert abs(statistics.fmean(drawn) - mean) < 0.04 * mean
    assert low <= min(drawn) <= max(drawn) <= high
    assert text.startswith("geometric") or (min(drawn), max(drawn)) == (low, high)


@pytest.mark.parametrize(
    ("text", "mean_s"),
    [
        ("none", 0.0),
        ("3", 3.0),
        ("500ms", 0.5),
        ("constant:2s", 2.0),
        ("uniform:1..5", 3.0),
        ("uniform:500ms..1.5s", 1.0),
        ("uniform:min=500ms,max=1.5s", 1.0),
        ("exponential:mean=3", 3.0),
        ("lognormal:mean=3", 3.0),
        ("lognormal:mean=3,sigma=0.5", 3.0),
    ],
)
def test_think_times(text: str, mean_s: float) -> None:
    """The mean that was asked for; of a lognormal it is the mean itself, not that of the logarithm."""
    rng, law = Random(1), think_of(text)
    drawn = [law.draw(rng) for _ in range(10_000)]
    assert abs(statistics.fmean(drawn) - mean_s) <= 0.06 * mean_s
    assert min(drawn) >= 0


def test_another_think_time_leaves_the_turns_as_they_are() -> None:
    """Each quantity has a generator of its own; another seed gives other sessions."""
    plans = [
        SessionPlan(SessionLoad("geometric:mean=4", think, 0.5, 0.1, users=9, sessions=50), 60.0, seed)
        for think, seed in (("none", 1), ("lognormal:mean=3", 1), ("none", 2))
    ]
    lengths = [[plan.length(session) for session in range(50)] for plan in plans]
    cancelled = [[plan.cancel_after(1, turn, 64) for turn in range(400)] for plan in plans]
    assert lengths[0] == lengths[1] != lengths[2]
    assert cancelled[0] == cancelled[1] != cancelled[2]
    assert len({plan.schedule().sha256 for plan in plans}) == 3
    assert 20 < sum(after is not None for after in cancelled[0]) < 65
    assert all(after is None or 1 <= after <= 32 for after in cancelled[0])


def test_the_shares_of_a_plan_add_up() -> None:
    """Of users and of arrivals, whatever the number of parts."""
    by_users = SessionPlan(SessionLoad("uniform:1..9", users=7, sessions=40), 60.0, 1)
    arriving = SessionPlan(SessionLoad("uniform:1..9", arrivals={"name": "poisson", "settings": {}}), 9.0, 1)
    for plan in (by_users, arriving):
        for parts in (1, 2, 5, 11):
            assert sum(plan.share(part, parts) for part in range(parts)) == plan.total


def test_an_index_is_a_session_and_a_turn() -> None:
    """Both can be read from it; a session with the longest history and as many turns fits."""
    assert (session_of(index_of(7, 3)), turn_of(index_of(7, 3))) == (7, 3)
    assert 2 * TURNS_MAX <= PLACES
    assert session_of(index_of(7, 2 * TURNS_MAX)) == 7


def test_a_conversation_is_cut_before_each_message_of_the_user() -> None:
    """Tools and several messages in a row stay where they belong."""
    roles = ["system", "user", "user", "assistant", "tool", "assistant", "user"]
    chat = Chat()
    call = {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    rows = [
        {"role": role, "content": str(n), **(call if n == 3 else {}), **({"tool_call_id": "1"} if n == 4 else {})}
        for n, role in enumerate(roles)
    ]
    data = chat.parse({"messages": rows, "temperature": 0.5})
    script = chat.script_of(data)
    said = [[[message.content for message in part] for part in exchange] for exchange in script.exchanges]
    assert [message.content for message in script.preamble] == ["0"]
    assert said == [[["1", "2"], ["3", "4", "5"]], [["6"], []]]
    assert chat.turn(script, script.exchanges[:1], script.exchanges[1].asked) == data
    assert script.parameters == {"temperature": 0.5}


def test_a_history_is_bounded_from_its_end() -> None:
    """The latest exchanges that fit; none if the last one alone is too long."""
    history = History(Exchange((f"word {n} " * 10,), ("answer",)) for n in range(5))
    assert len(history.within(1_000)) == len(history) == 5
    assert [exchange.asked[0][:6] for exchange in history.within(60)] == ["word 3", "word 4"]
    assert list(history.within(10)) == []
