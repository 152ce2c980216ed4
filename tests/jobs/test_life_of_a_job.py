"""The life of a job over HTTP, the same on both backends: a real Redis and real Celery workers, and SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from model_server.jobs.celery_backend import CeleryJobs
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import JobBackend, JobSettings
from model_server.jobs.redis_server import RedisServer
from tests.jobs.servers import MASKED, Client, server, worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SETTINGS = JobSettings(items_max=500, waiting_max=1000, retry_delay_s=0.1)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis with one worker."""
    with RedisServer() as redis, worker(redis.url, "null", SETTINGS, "life"):
        yield redis.url


@pytest.fixture(params=["embedded", "celery"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    backend: JobBackend
    if request.param == "embedded":
        backend = EmbeddedJobs(None, SETTINGS)
    else:
        backend = CeleryJobs(request.getfixturevalue("redis_url"), SETTINGS)
    async with server(backend) as client:
        yield client


async def test_a_job_is_accepted_worked_through_and_read_page_by_page(client: Client) -> None:
    """Where it is, when to ask, its counts, and each item's answer at its index as the route gives it."""
    texts = [{"text1": "a b", "text2": "a b" if index % 2 else "c d"} for index in range(70)]
    job = await client.submit(texts, "similarity")
    assert client.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert int(client.headers["Retry-After"]) >= 1
    assert job["request_counts"]["total"] == 70
    over = await client.over(job["id"])
    assert over["status"] == "completed"
    assert over["request_counts"] == {"total": 70, "completed": 70, "failed": 0}
    assert over["progress"] == 1
    assert over["created_at"] <= over["started_at"] <= over["completed_at"] < over["expires_at"]
    assert "Retry-After" not in client.headers
    results = await client.results(job["id"], limit=32)
    assert [item["index"] for item in results] == list(range(70))
    assert [item["body"]["similarity_score"] for item in results] == [float(index % 2) for index in range(70)]
    status, page = await client("GET", "/v1/jobs?limit=1")
    assert status == 200
    assert page["data"][0]["id"] == job["id"]


async def test_texts_and_their_task_status(client: Client) -> None:
    """The shapes of the fill-mask API: an id and a message at once, then a state with a status or the result."""
    status, accepted = await client("POST", "/submit_batch", {"texts": [MASKED["text"]] * 20})
    assert status == 200
    assert set(accepted) == {"task_id", "message"}
    await client.over(accepted["task_id"])
    _, task = await client("GET", f"/task_status/{accepted['task_id']}")
    assert set(task) == {"state", "result"}
    assert task["state"] == "SUCCESS"
    assert len(task["result"]) == 20
    assert set(task["result"][0][0]) == {"score", "token", "token_str", "sequence"}


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/submit_batch", {"texts": ["fine [MASK]", "a [mask] spelled so"]}, "mask_misspelled", "inputs[1].text"),
        ("/submit_batch", {"texts": ["none at all"]}, "mask_missing", "inputs[0].text"),
        ("/submit_batch", {"texts": []}, "empty", "texts"),
        ("/v1/jobs", {"endpoint": "nothing", "inputs": [{}]}, "invalid_value", "endpoint"),
        ("/v1/jobs", {"endpoint": "/v1/jobs", "inputs": [{}]}, "invalid_value", "endpoint"),
        ("/v1/jobs", {"endpoint": "similarity", "inputs": [{"text1": 3}]}, "invalid_value", "inputs[0].text1"),
        ("/v1/jobs", {"endpoint": "annotate", "inputs": [{"text": "a", "stream": True}]}, "invalid_value", None),
        ("/v1/jobs", {"endpoint": "fill-mask", "inputs": [MASKED] * 501}, "too_many_items", "inputs"),
    ],
)
async def test_mistakes_are_reported_at_the_submission(
    client: Client, path: str, body: dict[str, object], code: str, param: str | None
) -> None:
    """With the item it is about; nothing is accepted."""
    status, answer = await client("POST", path, body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert param is None or answer["error"]["param"] == param
    assert (await client("GET", "/debug/counts"))[1]["total"]["seen"] == 0


async def test_the_same_key_is_the_same_job(client: Client) -> None:
    """A repeated submission gets the first one's job; other inputs under the key are a conflict."""
    key = f"key-{id(client)}"
    job = await client.submit([MASKED] * 3, **{"Idempotency-Key": key})
    again = await client.submit([MASKED] * 3, **{"Idempotency-Key": key})
    assert again["id"] == job["id"]
    status, answer = await client(
        "POST", "/v1/jobs", {"endpoint": "fill-mask", "inputs": [MASKED]}, **{"Idempotency-Key": key}
    )
    assert (status, answer["error"]["code"]) == (409, "idempotency_conflict")
    assert (await client("GET", "/debug/counts"))[1]["total"]["seen"] == 3


async def test_a_failing_item_fails_alone(client: Client) -> None:
    """Its result is the error that its route answers; a job of failures only has failed."""
    ok, bad = {"text": "a", "labels": ["x", "y"]}, {"text": "a", "labels": ["x", "x"]}
    job = await client.submit([ok, bad, ok], "zero-shot")
    over = await client.over(job["id"])
    assert (over["status"], over["request_counts"]) == ("completed", {"total": 3, "completed": 2, "failed": 1})
    results = await client.results(job["id"])
    assert [item["status"] for item in results] == [200, 400, 200]
    assert "error" in results[1]["body"]
    failed = await client.over((await client.submit([bad], "zero-shot"))["id"])
    assert failed["status"] == "failed"
    assert (await client("GET", f"/task_status/{failed['id']}"))[1]["state"] == "FAILURE"


async def test_unknown_jobs_and_bad_pages(client: Client) -> None:
    for path in ("/v1/jobs/none", "/v1/jobs/none/results", "/task_status/none"):
        status, answer = await client("GET", path)
        assert (status, answer["error"]["code"]) == (404, "job_not_found")
    job = await client.submit([MASKED])
    await client.over(job["id"])
    for odd in (f"{job['id']}:results", f"{job['id']}:inputs", "a%20b", "%ff", "x" * 65, "%F0%9F%92%A9", "a%00"):
        for path in (f"/v1/jobs/{odd}", f"/v1/jobs/{odd}/results", f"/task_status/{odd}"):
            status, answer = await client("GET", path)
            assert (status, answer["error"]["code"]) == (404, "job_not_found"), path
        assert (await client("DELETE", f"/v1/jobs/{odd}"))[0] == 404
        status, answer = await client("GET", f"/v1/jobs?after={odd}")
        assert (status, answer["error"]["param"]) == (400, "after")
    for query in ("limit=0", "limit=1001", "limit=ten", "limit=-1", "limit="):
        status, answer = await client("GET", f"/v1/jobs?{query}")
        assert (status, answer["error"]["param"]) == (400, "limit")


async def test_a_server_without_jobs_says_so() -> None:
    async with server(None) as client:
        status, answer = await client("GET", "/v1/jobs")
        assert (status, answer["error"]["code"]) == (404, "no_jobs")
