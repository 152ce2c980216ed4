"""What each kind of work computes: the same as transformers by itself, whatever the neighbours in the batch."""

from __future__ import annotations

import math
from typing import Any

import pytest

from model_server.engines.served import Served
from model_server.engines.settings import EngineError
from model_server.work import Work
from tests.model.conftest import random_model, torch

TEXTS = ("the small cat sat", "a much longer sentence about the old city and its river, with some 中文 in it", "x")


def outputs(served: Served, inputs: list[tuple[Any, ...]]) -> list[Any]:
    with torch.inference_mode():
        works = [Work(served.kind, entry) for entry in inputs]
        longest = max(served.tokens(entry) for entry in inputs)
        served.compute(works, -(-longest // 16) * 16)
    return [work.output for work in works]


@pytest.mark.parametrize("shape", ["tiny-bert", "tiny-roberta"])
def test_embeddings_are_the_masked_mean_of_length_one_with_and_without_neighbours(shape: str) -> None:
    loaded = random_model("embed", shape)
    together = outputs(Served("embed", loaded), [(text,) for text in TEXTS])
    for text, vector in zip(TEXTS, together, strict=True):
        with torch.inference_mode():
            hidden = loaded.model(**loaded.tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        assert vector == pytest.approx((hidden / hidden.norm()).tolist(), abs=1e-5)
        assert math.hypot(*vector) == pytest.approx(1)


def test_the_first_tokens_vector_is_taken_where_the_model_pools_so() -> None:
    loaded = random_model("embed", "tiny-bert")
    loaded.pooling = "cls"
    (vector,) = outputs(Served("embed", loaded), [(TEXTS[0],)])
    with torch.inference_mode():
        hidden = loaded.model(**loaded.tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[0, 0]
    assert vector == pytest.approx((hidden / hidden.norm()).tolist(), abs=1e-5)


def test_similarity_of_a_bi_encoder_is_the_cosine_of_its_embeddings() -> None:
    loaded = random_model("similarity", "tiny-bert")
    left, right = outputs(Served("embed", loaded), [(TEXTS[0],), (TEXTS[1],)])
    cosine, same = outputs(Served("similarity", loaded), [(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[2])])
    assert cosine == pytest.approx(sum(a * b for a, b in zip(left, right, strict=True)), abs=1e-5)
    assert same == pytest.approx(1)


def test_similarity_of_a_cross_encoder_is_the_sigmoid_of_its_logit() -> None:
    loaded = random_model("rerank", "tiny-bert")
    pairs = [(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[0])]
    logits = outputs(Served("rerank", loaded), pairs)
    for pair, logit, score in zip(pairs, logits, outputs(Served("similarity", loaded), pairs), strict=True):
        with torch.inference_mode():
            expected = loaded.model(**loaded.tokenizer(*pair, return_tensors="pt")).logits.item()
        assert logit == pytest.approx(expected, abs=1e-5)
        assert score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)


@pytest.mark.parametrize("shape", ["tiny-bert", "tiny-roberta"])
def test_masks_are_filled_as_the_pipeline_of_transformers_does(shape: str) -> None:
    from transformers import FillMaskPipeline

    loaded = random_model("fill-mask", shape)
    texts = ["the [MASK] cat sat", "one [MASK] and another [MASK] here"]
    found = outputs(Served("fill-mask", loaded), [(texts[0], 3), (texts[1], 2)])
    pipeline: Any = FillMaskPipeline(model=loaded.model, tokenizer=loaded.tokenizer, top_k=3)
    known = len(loaded.tokenizer)
    for text, masks in zip(texts, found, strict=True):
        expected = pipeline(text.replace("[MASK]", loaded.tokenizer.mask_token), targets=None)
        expected = expected if isinstance(expected[0], list) else [expected]
        assert len(masks) == text.count("[MASK]")
        for mine, theirs in zip(masks, expected, strict=True):
            ranked = [entry["token"] for entry in theirs if entry["token"] < known]
            assert [token for _, token, _, _ in mine][: len(ranked)] == ranked[: len(mine)]
            assert all(token < known and 0 < score < 1 for score, token, _, _ in mine)
    assert [len(mask) for mask in found[1]] == [2, 2]
    assert found[1][0][0][3].endswith("and another [MASK] here")


def test_the_labels_of_an_nli_model_are_found_by_name_not_by_place() -> None:
    loaded = random_model("zero-shot", "tiny-roberta")
    pair = [(TEXTS[0], "This example is news.")]
    ((contradiction, entailment),) = outputs(Served("nli", loaded), pair)
    loaded.config.id2label = {0: "ENTAILMENT", 1: "Contradiction", 2: "neutral"}
    ((swapped_contradiction, swapped_entailment),) = outputs(Served("nli", loaded), pair)
    assert (swapped_entailment, swapped_contradiction) == pytest.approx((contradiction, entailment), abs=1e-5)
    loaded.config.id2label = {0: "entailment", 1: "not_entailment", 2: "other"}
    assert outputs(Served("nli", loaded), pair)[0] == pytest.approx((entailment, contradiction), abs=1e-5)


def test_a_model_without_the_labels_of_nli_is_refused() -> None:
    loaded = random_model("zero-shot", "tiny-roberta")
    loaded.config.id2label = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    with pytest.raises(EngineError, match=r"no labels entailment and contradiction; it has LABEL_0, LABEL_1, LABEL_2"):
        Served("nli", loaded)


def test_classes_come_best_first_and_add_up_to_one() -> None:
    served = Served("classify", random_model("classify", "tiny-bert"))
    for answer in outputs(served, [(TEXTS[0],), (TEXTS[0], TEXTS[1])]):
        scores = [score for _, score in answer]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)
        assert {label for label, _ in answer} == {"contradiction", "entailment", "neutral"}


def test_a_model_with_many_classes_scores_no_pairs() -> None:
    with pytest.raises(EngineError, match="a score of pairs needs one or two classes"):
        Served("rerank", random_model("classify", "tiny-bert"))


def test_what_may_be_cut_is_cut_to_the_models_bound_and_keeps_its_last_token() -> None:
    served = Served("embed", random_model("embed", "tiny-bert"))
    work = Work("embed", ("word " * 500,))
    assert served.tokens(work.inputs) == 502
    work.truncate = True
    with torch.inference_mode():
        served.compute([work], 128)
    assert len(work.output) == 32
    cut = served.encoder(served.head.rows(work.inputs)[0], clip=True)
    assert len(cut.ids) == 128
    assert cut.ids[-1] == served.loaded.tokenizer.sep_token_id


def test_equal_seeds_give_equal_weights() -> None:
    first, second = (outputs(Served("embed", random_model("embed", "tiny-bert")), [(TEXTS[0],)]) for _ in range(2))
    assert first == second
