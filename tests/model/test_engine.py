"""The engine behind the face: ready when warm, off the loop, batches and steps on one thread, honest of its weights."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from model_server.engines.settings import RANDOM_NOTE
from model_server.http.app import App, create_app
from model_server.main import BatchBounds, create
from model_server.scheduling.batching import BatchPolicy
from model_server.work import Batch, Work
from tests.server_helpers import call

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine


async def app_of(engine: TorchEngine) -> App:
    app = create_app(engine, policy=BatchPolicy(8, 1024, 16), running_max=4)
    app.open()
    while not engine.ready:
        await asyncio.sleep(0.01)
    return app


async def test_nothing_is_served_before_it_is_warm_and_the_cost_of_batches_is_known_after() -> None:
    from model_server.engines.build import build
    from model_server.engines.settings import EngineSettings, Source

    engine = build(EngineSettings((Source("embed", "tiny-bert", random=True),), warm_s=0.01))
    warm, may_warm, notified = engine._warm, threading.Event(), asyncio.Event()

    def later() -> None:
        may_warm.wait()
        warm()

    engine._warm = later  # type: ignore[method-assign] # so that the test says when
    app = create(engine, BatchBounds(), notified.set)
    try:
        for path, method in (("/ready", "GET"), ("/embed", "POST")):
            refused = await call(app, path, {"inputs": "x"}, method=method)
            assert refused.status == 503
            assert refused.json["error"]["code"] == "server_starting"
            assert refused.headers["retry-after"] == "1"
        assert (await call(app, "/health", method="GET")).status == 200
        assert app.dispatcher.policy.overhead_tokens == 0
        may_warm.set()
        await notified.wait()
        assert (await call(app, "/ready", method="GET")).status == 200
        assert (await call(app, "/embed", {"inputs": "x"})).status == 200
        assert app.dispatcher.policy.overhead_tokens == engine.overhead_tokens >= 1
        assert create(engine, BatchBounds()).dispatcher.policy.overhead_tokens == engine.overhead_tokens
    finally:
        may_warm.set()
        engine.close()


async def test_every_answer_and_info_say_that_random_weights_mean_nothing(engine: TorchEngine) -> None:
    app = await app_of(engine)
    for path, body in (
        ("/similarity", {"text1": "a", "text2": "b"}),
        ("/annotate", {"text": "a", "max_tokens": 2, "stream": True}),
        ("/similarity", {"text1": "a"}),
    ):
        assert (await call(app, path, body)).headers["x-model-note"] == RANDOM_NOTE
    info = (await call(app, "/info", method="GET")).json
    assert info["note"] == RANDOM_NOTE
    assert info["models"]["nli"]["architecture"] == "RobertaForSequenceClassification"
    assert info["models"]["generate"]["random_weights"] is True
    assert (info["device"], info["threads"], info["model_dtype"]) == ("cpu", 1, "float32")


async def test_the_loop_is_free_while_a_batch_is_computed(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await app_of(engine)
    computing, may_end = threading.Event(), threading.Event()
    original = engine._thread._compute

    def compute(batch: Batch) -> None:
        computing.set()
        may_end.wait()
        original(batch)

    monkeypatch.setattr(engine._thread, "_compute", compute)
    request = asyncio.create_task(call(app, "/embed", {"inputs": "x"}))
    await asyncio.to_thread(computing.wait)
    assert (await call(app, "/health", method="GET")).status == 200  # answered in the middle of the batch
    assert not request.done()
    may_end.set()
    assert (await request).status == 200


async def test_what_waits_together_is_computed_together_and_equals_what_is_computed_alone(engine: TorchEngine) -> None:
    app = await app_of(engine)
    pairs = [{"text1": f"the old city {word}", "text2": "a river"} for word in ("one", "two three", "four")]
    alone = [(await call(app, "/similarity", pair)).json["similarity_score"] for pair in pairs]
    together = await asyncio.gather(*[call(app, "/similarity", pair) for pair in [*pairs, *pairs]])
    assert [answer.json["similarity_score"] for answer in together] == pytest.approx([*alone, *alone], abs=1e-5)
    assert max(entry.items for entry in app.dispatcher.log) > 1


async def test_texts_are_generated_while_batches_are_computed(engine: TorchEngine) -> None:
    app = await app_of(engine)
    texts = [call(app, "/annotate", {"text": f"text {index}", "max_tokens": 20}) for index in range(6)]
    batches = [call(app, "/embed", {"inputs": [f"text {index}", "another"]}) for index in range(10)]
    answers = await asyncio.gather(*texts, *batches)
    assert [answer.status for answer in answers] == [200] * 16
    assert [answer.json["tokens"] for answer in answers[:6]] == [20] * 6
    alone = await call(app, "/annotate", {"text": "text 3", "max_tokens": 20})
    assert alone.json["text"] == answers[3].json["text"]


async def test_a_stream_has_an_event_for_each_token(engine: TorchEngine) -> None:
    app = await app_of(engine)
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "stream": True}
    streamed = await call(app, "/v1/chat/completions", body)
    whole = await call(app, "/v1/chat/completions", {**body, "stream": False})
    assert streamed.body.count(b'"content"') == 12
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    assert whole.json["choices"][0]["finish_reason"] == "length"
    assert whole.json["usage"]["completion_tokens"] == 12
    template = engine.prompt([("user", "hello", {})])
    assert template == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert whole.json["usage"]["prompt_tokens"] == engine.count_tokens("generate", (template,))


async def test_a_client_that_hangs_up_frees_its_place(engine: TorchEngine) -> None:
    app = await app_of(engine)
    body = {"text": "a long answer", "max_tokens": 200, "stream": True}
    await asyncio.gather(*[call(app, "/annotate", body, gone_after=0.02) for _ in range(6)])
    while app.lane.running:
        await asyncio.sleep(0.01)
    assert app.in_flight == app.lane.waiting == 0
    assert app.counts.total()["disconnected"] + app.counts.total()["finished"] == 6


async def test_a_batch_that_breaks_is_an_error_and_the_next_is_served(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = await app_of(engine)
    with monkeypatch.context() as broken:
        broken.setattr(engine.served["embed"].head, "outputs", lambda *_: 1 / 0)
        assert (await call(app, "/v1/embeddings", {"input": "x"})).status == 500
    assert "a batch of 1 embed failed" in caplog.text
    assert (await call(app, "/v1/embeddings", {"input": "x"})).status == 200


async def test_a_step_that_breaks_ends_its_texts_with_an_error(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = await app_of(engine)
    assert engine.decoder is not None
    with monkeypatch.context() as broken:
        broken.setattr(engine.decoder, "_forward", lambda *_: 1 / 0)
        assert (await call(app, "/annotate", {"text": "x", "max_tokens": 3})).status == 500
    assert "a decode step failed" in caplog.text
    assert (await call(app, "/annotate", {"text": "x", "max_tokens": 3})).status == 200


async def test_too_long_a_text_is_refused_or_cut_as_asked_and_long_ones_are_read_off_the_loop(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await app_of(engine)
    threads: list[str] = []
    served = engine.served["embed"]
    prepare = served.prepare

    def watched(inputs: tuple[Any, ...]) -> None:
        threads.append(threading.current_thread().name)
        prepare(inputs)

    monkeypatch.setattr(served, "prepare", watched)
    long = "word " * 1500
    refused = await call(app, "/embed", {"inputs": long})
    assert (refused.status, refused.json["error"]["code"]) == (413, "context_length_exceeded")
    cut = await call(app, "/embed", {"inputs": [long, "short"], "truncate": True})
    assert (cut.status, cut.headers["x-truncated-inputs"]) == (200, "1")
    assert "x-truncated-inputs" not in (await call(app, "/embed", {"inputs": "short", "truncate": True})).headers
    assert threads
    assert all(name != threading.current_thread().name for name in threads)
    assert app.dispatcher.admission.waiting == app.dispatcher.admission.tokens == 0


async def test_a_chat_that_the_template_refuses_is_the_callers_mistake(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await app_of(engine)
    assert engine.decoder is not None
    refusal = "{{ raise_exception('roles must alternate') }}"
    monkeypatch.setattr(engine.decoder.loaded.tokenizer, "chat_template", refusal)
    answer = await call(app, "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
    assert answer.status == 400
    assert "roles must alternate" in answer.json["error"]["message"]


async def test_a_batch_is_stamped_and_filled_before_it_is_reported(engine: TorchEngine) -> None:
    works = [Work("embed", ("a",)), Work("embed", ("b c",))]
    await app_of(engine)
    done: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
    engine.start(Batch(works, 16, 0.0), done.set_result)
    batch = await done
    assert batch.error is None
    assert batch.ended > 0
    assert all(len(work.output) == 32 for work in works)


async def test_the_end_of_the_thread_is_reported_and_nothing_more_is_taken() -> None:
    """The server of the engine is notified, so that the process ends instead of letting its callers wait."""
    from model_server.engines.build import build
    from model_server.engines.settings import EngineSettings, Source

    engine = build(EngineSettings((Source("embed", "tiny-bert", random=True),), warm_s=0.0))
    failures: list[BaseException | None] = []
    app = create(engine, BatchBounds(), lambda: failures.append(engine.failure))
    app.open()
    while not engine.ready:
        await asyncio.sleep(0.01)

    def end() -> bool:
        raise SystemExit("the driver is gone")

    engine._thread._inbox.put(end)
    while len(failures) < 2:
        await asyncio.sleep(0.01)
    answer = await call(app, "/ready", method="GET")
    assert (answer.status, answer.json["error"]["code"]) == (503, "engine_failed")
    assert "the driver is gone" in answer.json["error"]["message"]
    assert (await call(app, "/embed", {"inputs": "x"})).status == 503
    engine.close()
