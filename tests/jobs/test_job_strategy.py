"""The client's side of jobs: the strategy on a real server, lost answers, refusals, a job found again by its id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.client import HttpTransport
from harness.client.jobs import JobClient, JobError, JobSend, JobState, Polling
from harness.client.task_calls import request_for
from harness.client.tasks.fill_mask import FillMask
from harness.client.types import Item, Outcome, Request, Response, Send
from harness.strategies.jobs import Jobs
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import JobSettings
from tests.jobs.servers import server, slow_profile
from tests.processes import paceline, result_of, went_well

pytestmark = pytest.mark.timeout(120)
TASK = FillMask()
QUICK = Polling(0.005, 0.02)


def item(index: int) -> Item:
    return Item(index, f"number {index} of the [MASK]", TASK)


async def items(count: int) -> AsyncIterator[Item]:
    for index in range(count):
        yield item(index)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with server(EmbeddedJobs(None, JobSettings())) as client:
        yield str(client.session._base_url)


async def test_each_item_gets_its_own_answer(url: str) -> None:
    """Whatever job it travelled in; the last, smaller group goes too."""
    seen: dict[int, Any] = {}
    async with HttpTransport(url) as send, aclosing(Jobs(size=20, jobs=3).stream(items(130), send)) as results:
        async for result in results:
            assert result.ok, result.response.error
            seen[result.item.index] = result.answer
    assert set(seen) == set(range(130))
    assert all(f"number {index} of the" in answer[0][0].sequence for index, answer in seen.items())


async def test_a_lost_answer_to_a_submission_makes_no_second_job(url: str) -> None:
    """The submission is repeated with its key; so is every other question that got no answer."""
    async with HttpTransport(url) as send:
        lost = 0

        async def lossy(request: Request, /) -> Response:
            nonlocal lost
            response = await send(request)
            if lost < 3:
                lost += 1
                return Response(Outcome.connection_error, sent=response.sent, done=response.done)
            return response

        client = JobClient(lossy, QUICK)
        state = await client.submit([request_for(item(0))])
        assert lost == 3
        assert (await client.wait(state.id)).request_counts.total == 1
        page = await send(Request((), Everything(), "/v1/jobs", b"", method="GET"))  # type: ignore[arg-type] # decodes
        assert len(page.answers[0]["data"]) == 1


class Everything:
    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        return (msgspec.json.decode(body),)


async def test_another_process_comes_back_for_a_job_by_its_id(url: str) -> None:
    requests = [request_for(item(index)) for index in range(30)]
    async with HttpTransport(url) as send:
        state = await JobClient(send).submit(requests, key="nightly")
    states: list[JobState] = []
    async with HttpTransport(url) as send:
        client = JobClient(send, QUICK)
        assert (await client.submit(requests, key="nightly")).id == state.id
        assert (await client.wait(state.id, states.append)).status == "completed"
        answers = [response.answers[0] async for _, response in client.responses(state.id, requests)]
    assert states[-1].progress == 1
    assert len(answers) == 30


async def test_a_refusal_is_the_items_outcome_and_nothing_was_sent(url: str) -> None:
    """So the retry layer deals with it, and no exchange is counted that the server did not count."""
    bad = msgspec.structs.replace(request_for(item(0)), path="/nothing")
    async with HttpTransport(url) as send:
        carried = JobSend(send, size=10, jobs=1, polling=QUICK)
        response = await carried(bad)
        await carried.aclose()
    assert (response.outcome, response.status, response.attempts) == (Outcome.client_error, 400, 0)


async def test_what_is_given_up_is_cancelled_at_the_server(tmp_path: Path) -> None:
    async with server(EmbeddedJobs(None, JobSettings(concurrency=2)), slow_profile(tmp_path)) as client:
        async with (
            HttpTransport(str(client.session._base_url)) as send,
            aclosing(Jobs(size=200, jobs=1, poll_s=0.01).stream(items(400), send)) as results,
        ):
            waiting = asyncio.ensure_future(anext(results))
            while not (await client("GET", "/v1/jobs"))[1]["data"]:
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        _, page = await client("GET", "/v1/jobs")
        assert (await client.over(page["data"][0]["id"]))["status"] == "cancelled"


async def test_a_server_that_is_away_is_asked_so_often_and_no_more() -> None:
    calls = 0

    async def away(request: Request, /) -> Response:
        nonlocal calls
        calls += 1
        return Response(Outcome.connection_error, sent=0.0, done=0.0, error="refused")

    send: Send = away
    with pytest.raises(JobError, match="refused"):
        await JobClient(send, Polling(0.001, 0.001, tries=3)).state("x")
    assert calls == 3


async def test_a_job_is_of_one_path() -> None:
    other = msgspec.structs.replace(request_for(item(0)), path="/other")
    with pytest.raises(ValueError, match="one path"):
        await JobClient(HttpTransport("http://127.0.0.1:1")).submit([request_for(item(0)), other])


@pytest.mark.slow
def test_jobs_beside_others_in_a_comparison(tmp_path: Path) -> None:
    """Every item counted once by client and server; the verdict is valid."""
    line = ["compare", "--server", "fill-mask", "--server-speed", "4", "--task", "fill-mask", "--items", "120"]
    line += ["-s", "sync", "-s", "jobs:size=30,jobs=2"]
    done = paceline(*line, "--out", str(tmp_path / "run"), "--quiet", cwd=tmp_path)
    went_well(done, tmp_path / "run")
    jobs = result_of(tmp_path / "run")["cases"][1]
    assert jobs["counts"]["ok"] == jobs["counts"]["server_seen"] == jobs["counts"]["attempts"] == 120


async def test_a_transport_that_raises_leaves_nobody_waiting() -> None:
    """Every item of the job is a bad response that says what was raised."""

    async def broken(request: Request, /) -> Response:
        raise RuntimeError("a fault of the transport")

    send = JobSend(broken, size=3, jobs=1)
    responses = await asyncio.wait_for(asyncio.gather(*(send(request_for(item(n))) for n in range(3))), 30)
    assert [response.outcome for response in responses] == [Outcome.bad_response] * 3
    assert all("a fault of the transport" in (response.error or "") for response in responses)
