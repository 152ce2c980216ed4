"""The corners of the HTTP face that the mock's profiles do not reach, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mock_server.profile import Capacity, Profile, Service
from mock_server.simulated_engine import SimulatedEngine
from model_server.http.app import App, create_app
from model_server.http.openapi import routes_table
from model_server.scheduling.admission import AdmissionLimits
from model_server.scheduling.batching import BatchPolicy
from model_server.work import Batch, Sequence
from tests.server_helpers import PAIR, Answered, call, null_app, virtually


class BrokenEngine(SimulatedEngine):
    """Fails in the way that it is given."""

    def __init__(self, error: Exception | None = None, reason: str = "error", pieces: int = 0) -> None:
        super().__init__(Profile(), 0)
        self.error = error
        self.reason = reason
        self.emitted = pieces

    def start(self, batch: Batch, done: Callable[[Batch], None], /) -> None:
        batch.ended, batch.error = batch.started, self.error
        done(batch)

    def generate(self, sequence: Sequence, /) -> None:
        for _ in range(self.emitted):
            sequence.emit("word ", 0.0)
        sequence.finish(self.reason, 0.0)


def one(app: App, path: str, body: Any, **options: Any) -> Answered:
    return virtually(call(app, path, body, **options))


def test_an_error_of_the_engine_is_500_with_the_one_body_and_counted() -> None:
    app = create_app(BrokenEngine(error=RuntimeError("out of memory")))
    answer = one(app, "/similarity", PAIR)
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert "memory" not in answer.json["error"]["message"]
    assert app.counts.total()["failed"] == 1


def test_a_generation_that_fails_is_500_before_the_first_token_and_an_event_after_it() -> None:
    body = {"text": "x", "stream": True}
    assert one(create_app(BrokenEngine()), "/annotate", body).status == 500
    assert one(create_app(BrokenEngine()), "/annotate", {"text": "x"}).json["error"]["code"] == "generation_failed"
    app = create_app(BrokenEngine(pieces=2))
    answer = one(app, "/annotate", body)
    assert answer.status == 200
    assert answer.body.count(b'"text"') == 2
    assert b'data: {"error":{"message":"generation failed"' in answer.body
    assert b"[DONE]" not in answer.body
    assert app.counts.total()["failed"] == 1


def test_work_that_the_model_does_not_do_is_refused() -> None:
    app = null_app()
    app.engine.info = msgspec.structs.replace(app.engine.info, kinds=frozenset({"embed"}))  # type: ignore[misc] # the mock's
    answer = one(app, "/similarity", PAIR)
    assert (answer.status, answer.json["error"]["code"]) == (404, "task_not_served")
    assert answer.json["error"]["message"] == "this server does not do similarity; it does embed"


def test_a_prompt_with_its_answer_may_not_exceed_the_context() -> None:
    app = null_app()
    app.engine.info = msgspec.structs.replace(app.engine.info, input_tokens_max=100)  # type: ignore[misc] # the mock's
    answer = one(app, "/annotate", {"text": "w " * 50, "max_tokens": 60})
    assert (answer.status, answer.json["error"]["code"]) == (400, "context_length_exceeded")
    answer = one(app, "/embed", {"inputs": ["a", "w " * 200]})
    assert (answer.status, answer.json["error"]["code"]) == (413, "context_length_exceeded")
    assert app.dispatcher.in_flight == app.dispatcher.admission.waiting == 0


def test_the_items_of_one_request_share_batches_and_answer_in_order() -> None:
    profile = Profile(service=Service(base_s=0.1), capacity=Capacity(workers=1, batch_max_items=4))
    app = create_app(SimulatedEngine(profile, 0), policy=BatchPolicy(4))
    texts = [f"text number {index}" for index in range(10)]
    answer = one(app, "/embed", {"inputs": texts})
    assert answer.at == pytest.approx(0.3)
    assert answer.timing["compute"] == pytest.approx(300)
    single = [one(null_app(), "/embed", {"inputs": text}).json[0] for text in texts]
    assert answer.json == single
    log = one(null_app(), "/debug/batches", None, method="GET").json
    assert log["batches"] == []


def test_the_batch_log_says_what_was_in_each_batch() -> None:
    app = null_app()

    async def main() -> Any:
        await call(app, "/similarity", PAIR)
        return (await call(app, "/debug/batches", method="GET")).json

    (entry,) = virtually(main())["batches"]
    assert (entry["kind"], entry["items"], entry["length"], entry["tokens"]) == ("similarity", 1, 16, 10)


def test_a_request_larger_than_the_whole_queue_is_refused_and_leaves_nothing_reserved() -> None:
    engine = SimulatedEngine(Profile(), 0)
    app = create_app(engine, policy=BatchPolicy(2), admission=AdmissionLimits(items_max=3), workers=1)
    answer = one(app, "/embed", {"inputs": ["a"] * 6})
    assert answer.status == 503
    assert app.dispatcher.admission.waiting == 0
    assert one(app, "/embed", {"inputs": ["a"] * 5}).status == 200


def test_a_cancelled_exchange_takes_its_work_along() -> None:
    profile = Profile(service=Service(base_s=10.0))
    app = create_app(SimulatedEngine(profile, 0), workers=1)

    async def main() -> float:
        first = asyncio.create_task(call(app, "/similarity", PAIR))
        second = asyncio.create_task(call(app, "/similarity", PAIR))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await first
        return asyncio.get_running_loop().time()

    assert virtually(main()) == pytest.approx(10.0)
    assert (app.dispatcher.dropped, app.counts.total()["broken"]) == (1, 1)


def test_a_failure_after_the_status_was_sent_goes_to_the_server() -> None:
    app = null_app()

    async def main() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b'{"text1":"","text2":""}'}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                raise OSError("broken")

        scope = {"type": "http", "method": "POST", "path": "/similarity", "headers": []}
        with pytest.raises(OSError, match="broken"):
            await app(scope, receive, send)

    virtually(main())
    assert app.counts.total()["failed"] == 1


def test_the_app_speaks_lifespan_and_refuses_other_protocols() -> None:
    app = null_app()

    async def main() -> list[str]:
        incoming = iter(["lifespan.startup", "lifespan.shutdown"])
        sent: list[str] = []

        async def receive() -> dict[str, str]:
            return {"type": next(incoming)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        with pytest.raises(ValueError, match="websocket"):
            await app({"type": "websocket"}, receive, send)
        return sent

    assert virtually(main()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_app_that_nobody_opened_says_so() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        null_app().clock()


def test_the_table_of_routes_is_markdown() -> None:
    lines = routes_table(null_app().routes).splitlines()
    assert lines[2] == (
        "| `POST /similarity` | native | Similarity of a sentence pair, or of one sentence with several (TEI) "
        "| yes |  |"
    )
    assert len(lines) == 2 + len(null_app().routes)
