"""The simulated answers: functions of the input, and a little sense."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server import answers


def test_equal_texts_are_fully_similar_and_different_ones_not_at_all() -> None:
    assert answers.similarity("The cat sat.", "The cat sat.") == 1.0
    assert answers.similarity("", " ") == 1.0
    assert answers.similarity("cat", "dog") == 0.0
    assert answers.similarity("如何学习编程", "怎样学习编程") == pytest.approx(2 * 4 / 12)


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_symmetric_and_in_range(left: str, right: str) -> None:
    assert answers.similarity(left, right) == answers.similarity(right, left)
    assert 0 <= answers.similarity(left, right) <= 1


@given(st.text(max_size=40))
def test_an_embedding_has_length_one_and_depends_on_the_text_alone(text: str) -> None:
    vector = answers.embed(text)
    assert sum(value * value for value in vector) == pytest.approx(1.0, abs=1e-5)
    assert vector == answers.embed(text)


def test_tokens_are_words_and_single_chinese_characters() -> None:
    assert answers.tokens_of("Wie geht's, 你好 world2") == ["wie", "geht", "'", "s", ",", "你", "好", "world2"]
    assert answers.count_tokens(("a b", "你好")) == 6
    assert answers.count_tokens(("a [MASK]", 5)) == 4


def test_a_label_that_occurs_in_the_text_is_entailed_more() -> None:
    text = "the sport season begins"
    assert answers.nli(text, "This is about sport")[1] > answers.nli(text, "This is about music")[1]


def test_rerank_prefers_the_text_that_shares_words() -> None:
    assert answers.rerank("red fox", "a red fox") > answers.rerank("red fox", "a blue whale")


def test_class_scores_add_up_to_one_best_first() -> None:
    ranked = answers.classify("fine", "really")
    assert sum(score for _, score in ranked) == pytest.approx(1.0)
    assert ranked == sorted(ranked, key=lambda pair: -pair[1])


def test_each_mask_is_filled_with_different_words_best_first() -> None:
    masks = answers.fill_mask("a [MASK] and [MASK].", 100)
    assert len(masks) == 2
    assert masks[0] != masks[1]
    for mask in masks:
        assert len({word for _, _, word, _ in mask}) == len(mask)
        assert [score for score, *_ in mask] == sorted((score for score, *_ in mask), reverse=True)
    assert masks[1][0][3].startswith("a [MASK] and ")


def test_generated_text_depends_on_the_prompt_alone() -> None:
    first = list(itertools.islice(answers.pieces("hello"), 20))
    assert first == list(itertools.islice(answers.pieces("hello"), 20))
    assert first != list(itertools.islice(answers.pieces("other"), 20))


def test_every_kind_of_work_has_an_answer() -> None:
    inputs = {"similarity": ("a", "b"), "nli": ("a", "b"), "rerank": ("a", "b"), "fill-mask": ("[MASK]", 1)}
    for kind in answers.KINDS - {"generate"}:
        assert answers.answer(kind, inputs.get(kind, ("a",))) is not None


def test_answers_to_short_texts_are_remembered_and_long_texts_are_not_held() -> None:
    kept = (answers._kept_words, answers._kept_dice)

    def held() -> list[int]:
        answers.count_tokens((text, "b"))
        answers.similarity(text, "b")
        return [cache.cache_info().currsize for cache in kept]

    for cache in kept:
        cache.cache_clear()
    text = "short"
    assert held() == [1, 1]
    text = "long " * 1000
    assert held() == [1, 1]
    assert answers.count_tokens((text, "b")) == 1003
