"""Sequences that share steps: each gets what it would get alone, whichever others join, leave or are cancelled."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from model_server.engines.choosing import Draw, drawn
from model_server.engines.decoding import Decoder, Event
from model_server.engines.detokenizing import TextOf
from model_server.engines.settings import EngineError
from model_server.sampling import Sampling
from model_server.work import Sequence
from tests.model.conftest import random_model, torch

PROMPTS = ["hello", "the old city and its river", "a b c d e f g " * 6, "今天天气", "one two three", "x"]


@pytest.fixture(scope="module")
def loaded() -> Any:
    return sharp("tiny-llama")


def sharp(shape: str) -> Any:
    """A model that chooses clearly, and of whose tokens none is forbidden."""
    made = random_model("annotate", shape)
    made.random = False  # nothing is forbidden: so that transformers' own generate says the same
    made.model.generation_config.eos_token_id = -1
    torch.manual_seed(3)
    for parameter in made.model.parameters():  # sharp enough that rounding decides nothing
        if parameter.dim() > 1:
            parameter.data = torch.randn_like(parameter) * 0.3
    return made


def alone(loaded: Any, prompt: str, tokens: int) -> str:
    """What transformers generates."""
    ids = loaded.tokenizer(prompt, return_tensors="pt")
    with torch.inference_mode():
        made = loaded.model.generate(**ids, max_new_tokens=tokens, do_sample=False, pad_token_id=0, eos_token_id=None)
    return str(loaded.tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))


def run(decoder: Decoder, until: int = 10_000) -> list[Event]:
    events: list[Event] = []
    with torch.inference_mode():
        while decoder.busy and until:
            events += decoder.step()
            until -= 1
    return events


def texts(events: list[Event]) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in events:
        found[event.sequence.prompt] = found.get(event.sequence.prompt, "") + (event.piece or "")
    return found


@pytest.mark.parametrize("shape", ["tiny-llama", "tiny-qwen2"])
def test_sequences_that_share_steps_get_what_each_would_get_alone(shape: str) -> None:
    loaded = sharp(shape)
    decoder = Decoder(loaded, 3)
    rng = Random(2)
    wanted = {prompt: rng.randint(3, 25) for prompt in PROMPTS}
    events: list[Event] = []
    for prompt, tokens in wanted.items():
        decoder.add(Sequence(prompt, 0, tokens, 0.0))
        events += run(decoder, until=rng.randint(0, 5))  # they join in the middle of others
    events += run(decoder)
    assert texts(events) == {prompt: alone(loaded, prompt, tokens) for prompt, tokens in wanted.items()}
    assert {e.sequence.prompt: e.reason for e in events if e.reason} == dict.fromkeys(PROMPTS, "length")


def test_the_buffer_grows_and_moves_without_a_change_of_the_answers(loaded: Any) -> None:
    decoder = Decoder(loaded, 4)
    first, second = "the cat " * 50, "a b " * 90
    decoder.add(Sequence(first, 0, 50, 0.0))
    events = run(decoder, until=40)
    decoder.add(Sequence(second, 0, 20, 0.0))  # longer than all that is there: the others move to the right
    events += run(decoder)
    assert texts(events) == {first: alone(loaded, first, 50), second: alone(loaded, second, 20)}


def test_one_event_a_token_and_no_more_run_at_once_than_allowed(loaded: Any) -> None:
    decoder = Decoder(loaded, 2)
    for prompt in PROMPTS:
        decoder.add(Sequence(prompt, 0, 5, 0.0))
    with torch.inference_mode():
        while decoder.busy:
            assert len(decoder.step()) <= 2 * 2  # a first token for each newcomer, a step for each that runs
    for prompt in PROMPTS:
        decoder.add(Sequence(prompt, 0, 5, 0.0))
    events = run(decoder)
    assert len(events) == 5 * len(PROMPTS)
    assert all(event.piece is not None for event in events)


def test_who_is_cancelled_leaves_before_the_next_step_and_disturbs_nobody(loaded: Any) -> None:
    decoder = Decoder(loaded, 3)
    sequences = [Sequence(prompt, 0, 20, 0.0) for prompt in PROMPTS[:4]]
    for sequence in sequences:
        decoder.add(sequence)
    events = run(decoder, until=10)
    sequences[0].cancelled = sequences[3].cancelled = True  # one runs, one still waits for a place
    events += run(decoder)
    reasons = {event.sequence.prompt: event.reason for event in events if event.reason}
    assert [reasons[prompt] for prompt in PROMPTS[:4]] == ["cancelled", "length", "length", "cancelled"]
    assert PROMPTS[3] not in [event.sequence.prompt for event in events if event.piece]
    found = texts(events)
    assert [found[prompt] for prompt in PROMPTS[1:3]] == [alone(loaded, prompt, 20) for prompt in PROMPTS[1:3]]


def test_the_end_token_ends_a_text_and_is_not_sent(loaded: Any) -> None:
    decoder = Decoder(loaded, 1)
    decoder.add(Sequence("hello", 0, 8, 0.0))
    whole = run(decoder)
    ids = loaded.tokenizer("hello", return_tensors="pt")
    with torch.inference_mode():
        made = loaded.model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=None)
    new = made[0, ids["input_ids"].shape[1] :].tolist()
    end = new[4]
    loaded.model.generation_config.eos_token_id = [end]
    try:
        decoder = Decoder(loaded, 1)
        decoder.add(Sequence("hello", 0, 8, 0.0))
        events = run(decoder)
    finally:
        loaded.model.generation_config.eos_token_id = -1
    assert len(events) == new.index(end) + 1
    assert events[-1].reason == "stop"
    assert events[-1].piece is None
    assert [event.piece for event in events[:-1]] == [event.piece for event in whole[: new.index(end)]]


def test_random_weights_never_end_early_and_never_repeat_a_token() -> None:
    made = random_model("annotate", "tiny-llama")
    decoder = Decoder(made, 4)
    for prompt in PROMPTS:
        decoder.add(Sequence(prompt, 0, 40, 0.0))
    events = run(decoder)
    assert len(events) == 40 * len(PROMPTS)
    assert {event.reason for event in events} == {None, "length"}


def test_a_step_that_breaks_ends_all_with_an_error_and_the_next_ones_are_served(
    loaded: Any,
) -> None:
    decoder = Decoder(loaded, 2)
    for prompt in PROMPTS[:3]:
        decoder.add(Sequence(prompt, 0, 10, 0.0))
    run(decoder, until=2)
    assert sorted(event.sequence.prompt for event in decoder.fail()) == sorted(PROMPTS[:3])
    assert not decoder.busy
    decoder.add(Sequence(PROMPTS[1], 0, 10, 0.0))
    assert texts(run(decoder)) == {PROMPTS[1]: alone(loaded, PROMPTS[1], 10)}


def test_layers_that_keep_no_keys_and_values_are_refused(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded.config, "layer_types", ["linear_attention", "full_attention"], raising=False)
    with pytest.raises(EngineError, match="layers of type full_attention, linear_attention are not supported"):
        Decoder(loaded, 1)


@pytest.mark.parametrize("text", ["the cats, 中文字 and émigré 🙂!", " two  spaces\n\nand lines", "汉字汉字🙂🙂"])
def test_pieces_join_to_the_text_and_hold_no_half_character(text: str) -> None:
    tokenizer = random_model("annotate", "tiny-llama").tokenizer
    ids = tokenizer(text)["input_ids"]
    grown = TextOf(tokenizer.backend_tokenizer)
    pieces = [grown.push(token, last=place == len(ids) - 1) for place, token in enumerate(ids)]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


def test_bytes_that_never_become_a_character_are_let_go() -> None:
    tokenizer = random_model("annotate", "tiny-llama").tokenizer
    byte = tokenizer("字")["input_ids"][0]
    grown = TextOf(tokenizer.backend_tokenizer)
    pieces = [grown.push(byte) for _ in range(40)]
    assert len(grown._ids) <= 8
    assert any(pieces)


def drawing(prompt: str, seed: int | None, tokens: int = 12, **settings: Any) -> Sequence:
    sequence = Sequence(prompt, 0, tokens, 0.0)
    sequence.sampling = Sampling(**{"temperature": 1.2, "seed": seed, **settings})
    return sequence


def test_drawn_tokens_depend_on_the_seed_and_not_on_neighbours(loaded: Any) -> None:
    together = Decoder(loaded, 4)
    for prompt in PROMPTS:
        together.add(drawing(prompt, 7))
    found = texts(run(together))
    for prompt in PROMPTS:
        single = Decoder(loaded, 1)
        single.add(drawing(prompt, 7))
        assert texts(run(single)) == {prompt: found[prompt]}
    other = Decoder(loaded, 4)
    other.add(drawing(PROMPTS[0], 8))
    assert texts(run(other))[PROMPTS[0]] != found[PROMPTS[0]]


def test_the_smallest_share_and_a_temperature_near_zero_are_greedy(loaded: Any) -> None:
    for settings in ({"top_p": 1e-9}, {"top_p": 1e-300}, {"temperature": 1e-4}, {"temperature": 1e-300}):
        decoder = Decoder(loaded, 1)
        decoder.add(drawing(PROMPTS[1], 3, **settings))
        assert texts(run(decoder)) == {PROMPTS[1]: alone(loaded, PROMPTS[1], 12)}


def test_tokens_are_drawn_as_often_as_the_model_says() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(4000, 4)
    counts = torch.bincount(torch.tensor(drawn(logits, [Draw(Sampling(1.0, seed=n)) for n in range(4000)])))
    assert (counts / 4000).tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    kept = drawn(logits, [Draw(Sampling(1.0, top_p=0.6, seed=n)) for n in range(4000)])
    counts = torch.bincount(torch.tensor(kept), minlength=4)
    assert (counts / 4000).tolist() == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)


def test_the_end_token_is_not_taken_before_its_time(loaded: Any) -> None:
    decoder = Decoder(loaded, 2)
    decoder.add(Sequence(PROMPTS[0], 0, 1, 0.0))
    run(decoder)
    first = int(loaded.model(**loaded.tokenizer(PROMPTS[0], return_tensors="pt")).logits[0, -1].argmax())
    decoder._ends = frozenset({first})
    for settings, expected in (({}, 0), ({"tokens_min": 3}, 3), ({"ignore_end": True}, 8)):
        sequence = drawing(PROMPTS[0], None, 8, temperature=0.0, **settings)
        decoder.add(sequence)
        events = run(decoder)
        made = sum(event.piece is not None for event in events)
        assert made == expected if expected in (0, 8) else made >= expected
        assert events[-1].reason == ("length" if made == 8 else "stop")
