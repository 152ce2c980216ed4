"""Models from folders: what fits is loaded as it is, what does not is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_server.engines.build import build
from model_server.engines.device import device_of, dtype_of
from model_server.engines.loading import load
from model_server.engines.served import Served
from model_server.engines.settings import EngineError, EngineSettings, Source
from model_server.work import Work
from tests.model.conftest import random_model, torch


def cpu() -> Any:
    return torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One saved model of each head."""
    root = tmp_path_factory.mktemp("models")
    for task, shape in (("embed", "tiny-bert"), ("fill-mask", "tiny-roberta"), ("zero-shot", "tiny-roberta"),
                        ("rerank", "tiny-bert"), ("annotate", "tiny-llama")):  # fmt: skip
        loaded = random_model(task, shape)
        loaded.model.save_pretrained(root / task)
        loaded.tokenizer.save_pretrained(root / task)
    return {path.name: path for path in root.iterdir()}


def output(kind: str, loaded: Any, inputs: tuple[Any, ...]) -> Any:
    served = Served(kind, loaded)
    work = Work(kind, inputs)
    with torch.inference_mode():
        served.compute([work], 16)
    return work.output


@pytest.mark.parametrize(
    ("task", "kind", "inputs"),
    [
        ("embed", "embed", ("a small cat",)),
        ("fill-mask", "fill-mask", ("a [MASK] cat", 3)),
        ("zero-shot", "nli", ("a", "b")),
        ("rerank", "similarity", ("a", "b")),
    ],
)
def test_a_saved_model_answers_as_it_did_before(
    folders: dict[str, Path], task: str, kind: str, inputs: tuple[Any, ...]
) -> None:
    shape = "tiny-roberta" if task in ("fill-mask", "zero-shot") else "tiny-bert"
    before = output(kind, random_model(task, shape), inputs)
    source = Source("similarity" if kind == "similarity" else task, str(folders[task]))
    loaded = load(source, torch.float32, cpu())
    assert loaded.random is False
    assert loaded.tokens_max == 128
    assert_alike(output(kind, loaded, inputs), before)


def assert_alike(found: Any, expected: Any) -> None:
    """Equal, numbers within what 32 bits keep: another processor adds in another order."""
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    else:
        assert found == expected


def test_a_causal_model_is_loaded_with_its_chat_template(folders: dict[str, Path]) -> None:
    engine = build(EngineSettings((Source("chat", str(folders["annotate"])),), dtype="float32"))
    assert engine.prompt("hello").startswith("<|im_start|>user\nhello")
    assert engine.info.note is None
    assert engine.info.tokens_max("generate") == 256


@pytest.mark.parametrize(
    ("task", "model", "message"),
    [
        ("fill-mask", "embed", "does not fit task fill-mask: it is BertModel, not a model for MaskedLM"),
        ("zero-shot", "fill-mask", "does not fit task zero-shot: it is RobertaForMaskedLM"),
        ("annotate", "embed", "does not fit task annotate"),
        ("embed", "annotate", "does not fit task embed: it is LlamaForCausalLM, not an encoder"),
        ("similarity", "annotate", "does not fit task similarity"),
        ("zero-shot", "rerank", "has no labels entailment and contradiction; it has LABEL_0"),
        ("rerank", "zero-shot", "needs one or two classes"),
    ],
)
def test_a_model_that_does_not_fit_its_task_is_refused(
    folders: dict[str, Path], task: str, model: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        build(EngineSettings((Source(task, str(folders[model])),), dtype="float32"))


def test_what_sentence_transformers_says_of_pooling_and_length_is_kept(folders: dict[str, Path]) -> None:
    folder = folders["embed"]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    loaded = load(Source("embed", str(folder)), torch.float32, cpu())
    assert (loaded.pooling, loaded.tokens_max) == ("cls", 48)


def test_places_that_hold_no_model_are_reported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{not json")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("./nowhere", "no such folder"),
        (str(tmp_path / "empty"), "the folder has no config.json"),
        (str(tmp_path), "cannot be loaded"),
        ("a:b", "neither a folder nor a name of the hub"),
    ):
        with pytest.raises(EngineError, match=message) as caught:
            load(Source("embed", name), torch.float32, cpu())
        assert "\n" not in str(caught.value)


def test_a_hub_out_of_reach_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(EngineError, match=r"cannot be reached .* give a local folder as --model, or --random-weights"):
        load(Source("embed", "nobody/no-such-model"), torch.float32, cpu())


def test_device_and_dtype_follow_the_machine_and_the_impossible_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(EngineError, match="device = 'abacus': cannot be used"):
        device_of("abacus")
    for has, dtype in (({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert dtype_of("auto", cpu()) == dtype
    assert dtype_of("float32", cpu()) == torch.float32
