"""The mock in virtual time, over plain ASGI: what it answers when, exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mock_server.app import create
from mock_server.profiles import ProfileError, load
from model_server.http.app import App
from tests.server_helpers import PAIR, Answered, app_of, call, virtually


async def closed_loop(app: App, clients: int, each: int) -> float:
    """Seconds that so many clients need for so many requests each."""

    async def client() -> None:
        for _ in range(each):
            assert (await call(app, "/similarity", PAIR)).status == 200

    await asyncio.gather(*[client() for _ in range(clients)])
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("clients", "seconds"), [(1, 0.12), (50, 0.12), (1000, 0.12)])
def test_constant_120ms_takes_exactly_that_however_many_there_are(clients: int, seconds: float) -> None:
    assert virtually(closed_loop(create("constant-120ms"), clients, 1)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.no_cover
def test_the_article_server_gives_the_articles_three_figures() -> None:
    assert virtually(closed_loop(create("structbert-article"), 1, 10)) == pytest.approx(1.2)
    assert virtually(closed_loop(create("structbert-article"), 1000, 1)) == pytest.approx(15.0)
    seconds = virtually(closed_loop(create("structbert-article"), 50, 20))
    assert 1000 / seconds == pytest.approx(40, rel=0.03)


@pytest.mark.no_cover
def test_demo_is_the_same_server_six_times_as_fast() -> None:
    assert virtually(closed_loop(create("demo"), 1000, 1)) == pytest.approx(2.5)
    assert virtually(closed_loop(create("demo", speed=2), 1000, 1)) == pytest.approx(1.25)


def test_workers_set_the_throughput_and_the_wait_is_in_server_timing(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 0.1\n[capacity]\nworkers = 2")

    async def main() -> list[Answered]:
        return await asyncio.gather(*[call(app, "/similarity", PAIR) for _ in range(6)])

    answers = virtually(main())
    assert [round(answer.at, 6) for answer in answers] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert [round(answer.timing["queue"]) for answer in answers] == [0, 0, 100, 100, 200, 200]
    assert all(answer.timing["compute"] == pytest.approx(100) for answer in answers)


def test_batches_form_while_the_worker_is_busy_and_cost_items_times_longest(tmp_path: Path) -> None:
    app = app_of(
        tmp_path,
        "[service]\nbase_s = 0.1\nper_token_s = 0.001\n[capacity]\nworkers = 1\nbatch_max_items = 4\npad_multiple = 8",
    )

    async def main() -> list[Answered]:
        return await asyncio.gather(*[call(app, "/similarity", PAIR) for _ in range(5)])

    answers = virtually(main())
    assert 'desc="n=1;pad=16;tok=10"' in answers[0].headers["server-timing"]
    assert 'desc="n=4;pad=16;tok=40"' in answers[1].headers["server-timing"]
    assert answers[0].at == pytest.approx(0.116)
    assert answers[4].at == pytest.approx(0.116 + 0.1 + 0.064)


def test_a_full_queue_refuses_with_the_time_it_needs_to_empty(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 2.0\n[capacity]\nworkers = 1\nqueue_max = 3")

    async def main() -> list[Answered]:
        await call(app, "/similarity", PAIR)
        return await asyncio.gather(*[call(app, "/similarity", PAIR) for _ in range(5)])

    *accepted, refused = virtually(main())
    assert [answer.status for answer in accepted] == [200] * 4
    assert (refused.status, refused.json["error"]["code"]) == (503, "server_full")
    assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("6", "6000")
    assert app.counts.total()["refused"] == 1


def test_work_past_its_deadline_is_dropped_at_the_queue_and_never_computed(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 1.0\n[capacity]\nworkers = 1")

    async def main() -> list[Answered]:
        impatient = {"X-Request-Timeout-Ms": "500"}
        return await asyncio.gather(
            call(app, "/similarity", PAIR),
            call(app, "/similarity", PAIR, headers=impatient),
            call(app, "/similarity", PAIR),
        )

    first, late, last = virtually(main())
    assert (first.status, late.status, last.status) == (200, 504, 200)
    assert late.json["error"]["code"] == "deadline_exceeded"
    assert last.at == pytest.approx(2.0)
    assert app.dispatcher.batches == 2


def test_a_client_that_hangs_up_leaves_the_queue_and_is_counted(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 1.0\n[capacity]\nworkers = 1")

    async def main() -> Answered:
        waiting = [
            call(app, "/similarity", PAIR),
            call(app, "/similarity", PAIR, gone_after=0.5),
            call(app, "/similarity", PAIR),
        ]
        return (await asyncio.gather(*waiting))[2]

    assert virtually(main()).at == pytest.approx(2.0)
    total = app.counts.total()
    assert (total["seen"], total["finished"], total["disconnected"], total["in_flight"]) == (3, 2, 1, 0)
    assert app.dispatcher.dropped == 1
    assert app.dispatcher.in_flight == 0


def test_capacity_falls_and_returns_as_scheduled_from_the_first_request(tmp_path: Path) -> None:
    app = app_of(
        tmp_path,
        "[service]\nbase_s = 0.1\n[capacity]\nworkers = 4\n"
        "[[changes]]\nat_s = 1\nworkers = 1\n[[changes]]\nat_s = 2\nworkers = 4\nspeed = 2",
    )
    done: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(100)  # the schedule has not begun

        async def client() -> None:
            while loop.time() < 103:
                await call(app, "/similarity", PAIR)
                done.append(loop.time() - 100)

        await asyncio.gather(*[client() for _ in range(8)])

    virtually(main())
    rates = [sum(second < at <= second + 1 for at in done) for second in range(3)]
    assert rates[0] == 40
    assert 9 <= rates[1] <= 14
    assert 76 <= rates[2] <= 84


def test_a_worker_that_joins_late_starts_late(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 1.0\n[capacity]\nworkers = 1\n[[changes]]\nat_s = 0.5\nworkers = 2")

    async def main() -> list[float]:
        return [answer.at for answer in await asyncio.gather(*[call(app, "/similarity", PAIR) for _ in range(3)])]

    assert virtually(main()) == [pytest.approx(1.0), pytest.approx(1.5), pytest.approx(2.0)]


def test_reset_starts_schedules_counts_and_random_numbers_again(tmp_path: Path) -> None:
    app = app_of(
        tmp_path,
        "[service]\nbase_s = 0.1\n[service.jitter]\nkind = 'exponential'\n[capacity]\nworkers = 3\n"
        "[[changes]]\nat_s = 0.2\nworkers = 1\n[[faults]]\nkind = 'status'\nprobability = 0.3",
    )

    async def round_() -> list[tuple[int, float]]:
        begun = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*[call(app, "/similarity", PAIR) for _ in range(30)])
        return [(answer.status, round(answer.at - begun, 6)) for answer in answers]

    async def main() -> tuple[Any, Any, Any]:
        first = await round_()
        assert app.counts.total()["seen"] == 30
        await call(app, "/debug/reset")
        assert app.counts.total()["seen"] == 0
        assert app.dispatcher.workers == 3
        await asyncio.sleep(50)
        return first, await round_(), await round_()

    first, again, without_reset = virtually(main())
    assert first == again
    assert first != without_reset


def test_a_stall_holds_what_is_due_in_it_until_its_end_refusals_and_tokens_too(tmp_path: Path) -> None:
    app = app_of(
        tmp_path,
        "[service]\nbase_s = 0.3\n[generation]\nttft_base_s = 0.3\nitl_base_s = 0.3\n[limits]\nin_flight = 3\n"
        "[[faults]]\nkind = 'stall'\nstart_s = 1\nend_s = 2",
    )

    async def at(when: float, path: str, body: Any) -> Answered:
        await asyncio.sleep(when)
        return await call(app, path, body)

    async def main() -> list[Answered]:
        stream = {"text": "x", "max_tokens": 8, "stream": True}
        return await asyncio.gather(
            at(0.0, "/similarity", PAIR),
            at(0.8, "/similarity", PAIR),
            at(1.1, "/annotate", stream),
            at(1.85, "/similarity", PAIR),
            at(1.15, "/similarity", PAIR),
            at(1.2, "/similarity", PAIR),
        )

    early, due_inside, stream, due_after, inside, refused = virtually(main())
    assert early.at == pytest.approx(0.3)
    assert [due_inside.at, inside.at] == [pytest.approx(2.0)] * 2
    assert (refused.status, refused.at) == (429, pytest.approx(2.0))
    assert due_after.status == 429
    assert stream.body.count(b'"text"') == 8
    assert [round(at, 6) for at, piece in stream.pieces if b"text" in piece][:4] == [2.0, 2.0, 2.3, 2.6]


def test_a_fault_window_repeats_with_its_period(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[[faults]]\nkind = 'status'\nstatus = 502\nstart_s = 1\nend_s = 2\nperiod_s = 10")

    async def main() -> list[int]:
        statuses = []
        for _ in range(24):
            statuses.append((await call(app, "/similarity", PAIR)).status)
            await asyncio.sleep(1.0)
        return statuses

    assert [second for second, status in enumerate(virtually(main())) if status == 502] == [1, 11, 21]


def test_limits_refuse_after_a_delay_or_never_answer(tmp_path: Path) -> None:
    refusing = app_of(tmp_path, "[service]\nbase_s = 1\n[limits]\nin_flight = 1\ndelay_s = 0.2")
    silent = app_of(tmp_path, "[service]\nbase_s = 1\n[limits]\nin_flight = 1\naction = 'ignore'")

    async def two(app: App) -> list[Answered]:
        return await asyncio.gather(call(app, "/similarity", PAIR), call(app, "/similarity", PAIR, gone_after=7.0))

    _, refused = virtually(two(refusing))
    assert (refused.status, refused.at) == (429, pytest.approx(0.2))
    _, ignored = virtually(two(silent))
    assert ignored.status == 0
    assert silent.counts.total()["disconnected"] == 1
    assert silent.in_flight == 0


def test_a_rate_limit_lets_in_burst_plus_rate_and_says_when_to_come_back(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[limits]\nrate_per_s = 10\nburst = 5")

    async def main() -> list[Answered]:
        answers = []
        for _ in range(200):
            answers.append(await call(app, "/similarity", PAIR))
            await asyncio.sleep(0.01)
        return answers

    answers = virtually(main())
    assert sum(answer.status == 200 for answer in answers) == 24
    refused = [answer for answer in answers if answer.status == 429]
    assert all(0 < int(answer.headers["retry-after-ms"]) <= 100 for answer in refused)
    assert refused[0].json["error"]["code"] == "rate_limit_exceeded"


def generation(tmp_path: Path, **more: Any) -> App:
    keys = {
        "ttft_base_s": 0.1,
        "ttft_per_prompt_token_s": 0.01,
        "ttft_per_running_s": 0.05,
        "itl_base_s": 0.02,
        "itl_per_running_s": 0.01,
        **more,
    }
    return app_of(tmp_path, "[generation]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items()))


def test_tokens_come_at_ttft_and_inter_token_times_that_grow_with_the_prompt_and_the_company(tmp_path: Path) -> None:
    app = generation(tmp_path)
    body = {"text": "one two three", "max_tokens": 3, "stream": True}  # 5 tokens with the special ones

    async def main() -> list[Answered]:
        alone = await call(app, "/annotate", body)
        return [alone, *await asyncio.gather(call(app, "/annotate", body), call(app, "/annotate", body))]

    alone, first, second = virtually(main())
    assert [round(at, 6) for at, _ in alone.pieces][:3] == [0.15, 0.17, 0.19]
    assert [round(at - 0.19, 6) for at, _ in first.pieces][:3] == [0.15, 0.18, 0.21]
    assert [round(at - 0.19, 6) for at, _ in second.pieces][:2] == [0.2, 0.23]
    assert alone.timing["compute"] == pytest.approx(150)


def test_sequences_beyond_the_running_bound_queue_and_beyond_the_queue_are_refused(tmp_path: Path) -> None:
    app = generation(tmp_path, running_max=1, queue_max=1, ttft_per_prompt_token_s=0, ttft_per_running_s=0)
    body = {"text": "x", "max_tokens": 6}

    async def main() -> list[Answered]:
        return await asyncio.gather(*[call(app, "/annotate", body) for _ in range(3)])

    first, second, third = virtually(main())
    assert (first.at, second.at) == (pytest.approx(0.2), pytest.approx(0.4))
    assert second.timing["queue"] == pytest.approx(200)
    assert (third.status, third.json["error"]["code"]) == (503, "server_full")


def test_a_queued_sequence_is_dropped_when_its_deadline_passes_or_its_client_leaves(tmp_path: Path) -> None:
    app = generation(tmp_path, running_max=1, ttft_per_prompt_token_s=0, ttft_per_running_s=0)
    body = {"text": "x", "max_tokens": 46}  # one second

    async def main() -> list[Answered]:
        return await asyncio.gather(
            call(app, "/annotate", body),
            call(app, "/annotate", body, headers={"x-request-timeout-ms": "300"}),
            call(app, "/annotate", body, gone_after=0.3),
            call(app, "/annotate", body),
        )

    first, late, gone, last = virtually(main())
    assert (first.status, late.status, gone.status, last.status) == (200, 504, 0, 200)
    assert last.at == pytest.approx(2.0)
    assert app.lane.running == app.lane.waiting == 0


def test_a_client_that_leaves_a_running_stream_ends_it_at_its_next_token(tmp_path: Path) -> None:
    app = generation(tmp_path, running_max=1, ttft_per_prompt_token_s=0, ttft_per_running_s=0)
    body = {"text": "x", "max_tokens": 1000, "stream": True}

    async def main() -> list[Answered]:
        return await asyncio.gather(
            call(app, "/annotate", body, gone_after=0.25), call(app, "/annotate", {"text": "x", "max_tokens": 1})
        )

    _, following = virtually(main())
    assert following.at == pytest.approx(0.26 + 0.1)
    assert app.counts.total()["disconnected"] == 1


def test_a_wrong_speed_is_refused_before_anything_runs() -> None:
    with pytest.raises(ProfileError, match="speed = 0"):
        create(load("null"), speed=0)


@pytest.mark.no_cover
def test_an_answer_with_its_own_end_stops_there_unless_the_caller_wants_it_longer(tmp_path: Path) -> None:
    """The end depends on the prompt; min_tokens moves it, ignore_eos removes it, max_tokens bounds it."""
    app = app_of(tmp_path, "[generation]\nitl_base_s = 0.01\nanswer_tokens_mean = 20")

    async def main() -> None:
        lengths = []
        for number in range(100):
            body = {"messages": [{"role": "user", "content": f"q{number}"}], "max_tokens": 400}
            own = await tokens(app, body)
            lengths.append(own[0])
            assert own == await tokens(app, body)
            assert own[1] == "stop"
            assert await tokens(app, {**body, "min_tokens": 50}) == (max(50, own[0]), "stop")
            assert await tokens(app, {**body, "ignore_eos": True, "max_tokens": 70}) == (70, "length")
            assert await tokens(app, {**body, "max_tokens": 1}) == (1, "length")
        assert sum(lengths) / len(lengths) == pytest.approx(20, rel=0.25)

    virtually(main())


async def tokens(app: App, body: dict[str, Any]) -> tuple[int, str]:
    """Tokens of an answer, and why it ended."""
    answered = (await call(app, "/v1/chat/completions", body)).json
    return answered["usage"]["completion_tokens"], answered["choices"][0]["finish_reason"]
