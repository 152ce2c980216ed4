"""What a user may ask of an engine, and what the command says to mistakes; no model is loaded here."""

from __future__ import annotations

import pytest

from model_server.engines.settings import EngineError, EngineSettings, Source, sources
from model_server.engines.shapes import SHAPES
from model_server.engines.tasks import TASKS


def test_one_model_serves_every_task_unless_one_has_its_own() -> None:
    found = sources(["similarity", "embed", "zero-shot"], ["a/b", "zero-shot=./c=d"], None)
    assert found == (Source("similarity", "a/b"), Source("embed", "a/b"), Source("zero-shot", "./c=d"))


def test_random_weights_take_each_tasks_own_shape_unless_named() -> None:
    found = sources(["fill-mask", "annotate"], [], "annotate=tiny-llama")
    assert found == (Source("fill-mask", "bert-base", True), Source("annotate", "tiny-llama", True))
    assert sources(["embed"], [], "tiny-bert") == (Source("embed", "tiny-bert", True),)
    assert [source.name for source in sources(list(TASKS), [], "")] == [task.shape for task in TASKS.values()]
    mixed = sources(["embed", "annotate"], ["embed=a/b"], "")
    assert mixed == (Source("embed", "a/b"), Source("annotate", "llama-30m", True))


def test_every_shape_fits_some_task() -> None:
    for name, shape in SHAPES.items():
        assert any(shape.family in task.families for task in TASKS.values()), name
        assert shape.hidden % shape.heads == 0
        assert shape.tokens_max % 16 == 0


@pytest.mark.parametrize(
    ("tasks", "models", "random", "message"),
    [
        (["translate"], ["a/b"], None, "task 'translate': must be one of similarity"),
        (["embed"], [], None, "task embed has no model: give --model ID or FOLDER, or --random-weights"),
        (["embed"], [], "gpt", "random weights 'gpt': must be one of minilm-l6"),
        (["embed"], [], "llama-30m", "do not fit task embed; minilm-l6, minilm-l6-nli, bert-base"),
        (["embed"], ["annotate=a/b"], None, "task annotate is not served; --task says embed"),
        (["embed"], ["a/b", "c/d"], None, "a second one for every task; write TASK=NAME"),
        (["embed"], ["embed="], None, "the model of task embed: must not be empty"),
    ],
)
def test_mistakes_are_reported_in_words(tasks: list[str], models: list[str], random: str | None, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        sources(tasks, models, random)


def test_settings_name_field_value_and_range() -> None:
    one = (Source("embed", "tiny-bert", True),)
    for values, message in (
        ({"sources": ()}, "must name at least one task"),
        ({"dtype": "int8"}, "dtype = 'int8': must be auto, float32 or bfloat16"),
        ({"threads": 0}, "threads = 0: must be an integer >= 1"),
        ({"warm_s": -1.0}, "warm_s = -1.0: must be a number in 0..3600"),
        (
            {"sources": (Source("annotate", "llama-30m", True), Source("chat", "tiny-llama", True))},
            "task chat: generate has the model llama-30m already",
        ),
    ):
        with pytest.raises(EngineError, match=message):
            EngineSettings(**{"sources": one, **values})  # type: ignore[arg-type] # wrong on purpose
