"""What the native, TEI and pipeline routes answer: shapes and relations that hold for any model."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.contract.servers import Caller

TEXT = "the sport season begins with music"
LABELS = ["music", "sport", "food"]


def good(call: Caller, path: str, body: Any) -> Any:
    answer = call.post(path, body)
    assert answer.status == 200, answer.body[:300]
    assert answer.headers["content-type"] == "application/json"
    return answer.json


def test_similarity_of_a_pair_and_in_teis_form_agree(call: Caller) -> None:
    pairs = [good(call, "/similarity", {"text1": "a small cat", "text2": text}) for text in ("a small cat", "a dog")]
    assert [set(pair) for pair in pairs] == [{"similarity_score"}] * 2
    scores = [pair["similarity_score"] for pair in pairs]
    assert scores[0] > scores[1]
    inputs = {"source_sentence": "a small cat", "sentences": ["a small cat", "a dog"]}
    assert good(call, "/similarity", {"inputs": inputs}) == pytest.approx(scores, abs=0.02)


def test_similarity_does_not_depend_on_who_is_named_first(call: Caller) -> None:
    left = good(call, "/similarity", {"text1": "a small cat", "text2": "some dog"})["similarity_score"]
    right = good(call, "/similarity", {"text1": "some dog", "text2": "a small cat"})["similarity_score"]
    assert left == pytest.approx(right, abs=0.02)


def test_fill_mask_gives_the_pipelines_shape_for_one_mask_several_and_several_texts(call: Caller) -> None:
    single = good(call, "/fill-mask", {"text": "paris is the [MASK] of france"})
    assert len(single) == 5
    assert [entry["score"] for entry in single] == sorted([entry["score"] for entry in single], reverse=True)
    for entry in single:
        assert set(entry) == {"score", "token", "token_str", "sequence"}
        assert isinstance(entry["token"], int)
        assert 0 <= entry["score"] <= 1
    assert good(call, "/fill-mask", {"inputs": "paris is the [MASK] of france"}) == single
    both = good(call, "/fill-mask", {"text": "the [MASK] of [MASK]", "top_k": 2})
    assert [len(mask) for mask in both] == [2, 2]
    body = {"inputs": ["paris is the [MASK] of france", "a [MASK]"], "parameters": {"top_k": 3}}
    several = good(call, "/fill-mask", body)
    assert [len(text) for text in several] == [3, 3]
    assert [entry["token_str"] for entry in several[0]] == [entry["token_str"] for entry in single[:3]]


@pytest.mark.parametrize("multi_label", [False, True])
def test_zero_shot_ranks_any_labels_in_both_forms(call: Caller, multi_label: bool) -> None:
    native = good(call, "/zero-shot", {"text": TEXT, "labels": LABELS, "multi_label": multi_label})
    assert native["sequence"] == TEXT
    assert sorted(native["labels"]) == sorted(LABELS)
    assert native["scores"] == sorted(native["scores"], reverse=True)
    assert all(0 <= score <= 1 for score in native["scores"])
    assert multi_label or sum(native["scores"]) == pytest.approx(1.0)
    parameters = {"candidate_labels": ", ".join(LABELS), "multi_label": multi_label}
    pipeline = good(call, "/zero-shot", {"inputs": TEXT, "parameters": parameters})
    assert {entry["label"]: entry["score"] for entry in pipeline} == pytest.approx(
        dict(zip(native["labels"], native["scores"], strict=True)), abs=0.02
    )
    parameters["candidate_labels"] = LABELS  # type: ignore[assignment] # a text or a list
    several = good(call, "/zero-shot", {"inputs": [TEXT, "food"], "parameters": parameters})
    assert [{entry["label"] for entry in answer} for answer in several] == [set(LABELS)] * 2


def test_one_label_alone_is_certain_unless_several_may_be_true(call: Caller) -> None:
    assert good(call, "/zero-shot", {"text": TEXT, "labels": ["sport"]})["scores"] == [1.0]
    (score,) = good(call, "/zero-shot", {"text": TEXT, "labels": ["sport"], "multi_label": True})["scores"]
    assert 0 < score < 1


def test_annotate_plain_and_streamed_are_the_same_text(call: Caller) -> None:
    whole = good(call, "/annotate", {"text": "tell me", "max_tokens": 7})
    assert set(whole) == {"text", "tokens", "prompt_tokens", "finish_reason"}
    assert 1 <= whole["tokens"] <= 7
    *pieces, end = call.post("/annotate", {"text": "tell me", "max_tokens": 7, "stream": True}).events
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    assert end == {"done": True, "tokens": whole["tokens"], "finish_reason": whole["finish_reason"]}


def test_tei_embed_gives_unit_vectors_in_order(call: Caller) -> None:
    vectors = good(call, "/embed", {"inputs": ["a small cat", "a dog", "a small cat"]})
    assert len(vectors) == 3
    assert vectors[0] == pytest.approx(vectors[2], abs=0.01)
    for vector in vectors:
        assert sum(value * value for value in vector) == pytest.approx(1.0, rel=1e-2)
    (single,) = good(call, "/embed", {"inputs": "a dog"})
    assert single == pytest.approx(vectors[1], abs=0.02)
    assert [len(vector) for vector in good(call, "/embed", {"inputs": "a", "dimensions": 4})] == [4]


def test_tei_rerank_sorts_by_score_and_keeps_track_of_the_places(call: Caller) -> None:
    texts = ["a blue bird", "red fox", "nothing of the kind"]
    ranked = good(call, "/rerank", {"query": "red fox", "texts": texts, "return_text": True})
    assert sorted(entry["index"] for entry in ranked) == [0, 1, 2]
    assert all(entry["text"] == texts[entry["index"]] for entry in ranked)
    scores = [entry["score"] for entry in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    raw = good(call, "/rerank", {"query": "red fox", "texts": texts, "raw_scores": True})
    assert [entry["index"] for entry in raw] == [entry["index"] for entry in ranked]
    assert all(set(entry) == {"index", "score"} for entry in raw)


def test_tei_predict_of_a_text_a_pair_and_a_batch(call: Caller) -> None:
    single = good(call, "/predict", {"inputs": "fine"})
    pair = good(call, "/predict", {"inputs": ["fine", "really"]})
    for prediction in (single, pair):
        assert all(set(entry) == {"score", "label"} for entry in prediction)
        assert sum(entry["score"] for entry in prediction) == pytest.approx(1.0, abs=0.01)
    batch = good(call, "/predict", {"inputs": [["fine"], ["fine", "really"]]})
    for left, right in zip(batch, [single, pair], strict=True):
        assert {entry["label"]: entry["score"] for entry in left} == pytest.approx(
            {entry["label"]: entry["score"] for entry in right}, abs=0.02
        )


def test_raw_scores_of_predict_are_those_before_softmax(call: Caller) -> None:
    scores = {entry["label"]: entry["score"] for entry in good(call, "/predict", {"inputs": "fine"})}
    raw = {entry["label"]: entry["score"] for entry in good(call, "/predict", {"inputs": "fine", "raw_scores": True})}
    total = math.fsum(math.exp(score) for score in raw.values())
    assert {label: math.exp(score) / total for label, score in raw.items()} == pytest.approx(scores, abs=0.01)
    assert raw != pytest.approx(scores, abs=0.01)


def test_tei_cuts_what_is_too_long_where_it_was_asked_to_and_says_so(call: Caller) -> None:
    body = {"inputs": ["word " * 3000, "a dog"], "truncate": True}
    answer = call.post("/embed", body)
    assert (answer.status, answer.headers["x-truncated-inputs"]) == (200, "1")
    assert len(answer.json) == 2
    assert "x-truncated-inputs" not in call.post("/embed", {"inputs": "a dog", "truncate": True}).headers
    assert call.post("/predict", {"inputs": "word " * 3000, "truncate": True}).status == 200
    assert call.post("/rerank", {"query": "a", "texts": ["word " * 3000], "truncate": True}).status == 200


def test_every_answer_says_that_it_is_not_real(call: Caller) -> None:
    note = call.get("/info").json["note"]
    assert call.post("/embed", {"inputs": "a"}).headers["x-model-note"] == note
    assert call.post("/annotate", {"text": "a", "max_tokens": 2, "stream": True}).headers["x-model-note"] == note
    assert call.post("/embed", {}).headers["x-model-note"] == note


def test_info_tells_the_bounds_and_that_the_answers_are_not_real(call: Caller) -> None:
    info = call.get("/info").json
    assert info["max_client_batch_size"] == 64
    assert "meaningless" in info["note"] or "simulated" in info["note"]
    assert {"similarity", "embed", "fill-mask", "nli", "rerank", "classify", "generate"} <= set(info["tasks"])


def test_the_batches_of_a_request_are_logged(call: Caller) -> None:
    good(call, "/embed", {"inputs": ["a", "b", "c", "d", "e"]})
    log = call.get("/debug/batches").json
    last = log["batches"][-1]
    assert last["kind"] == "embed"
    assert 1 <= last["items"] <= 5
    assert last["started"] <= log["now"]
    assert last["length"] * last["items"] >= last["tokens"]


def test_every_exchange_is_in_the_counts(call: Caller) -> None:
    before = call.get("/debug/counts").json["total"]
    good(call, "/similarity", {"text1": "a", "text2": "b"})
    assert call.post("/similarity", {}).status == 400
    after = call.get("/debug/counts").json["total"]
    assert [after[name] - before[name] for name in ("seen", "finished", "failed")] == [2, 1, 1]
    assert after["seen"] == sum(after.values()) - after["seen"]
