"""Loads models and their tokenizers from a folder or the hub; `random_weights` makes random models.

The task and the architecture in the model's configuration decide on the class. A model that does not fit is refused,
because transformers would silently give it a head with random weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_server.engines.settings import EngineError, Source
from model_server.engines.tasks import TASKS

CLASSIFIER, MASKED, CAUSAL, ENCODER = "SequenceClassification", "MaskedLM", "CausalLM", ""
HEADS = {"fill-mask": MASKED, "nli": CLASSIFIER, "rerank": CLASSIFIER, "classify": CLASSIFIER, "generate": CAUSAL}
"""Kind of work -> the head that it needs. Embed and similarity are not listed: a bare encoder is enough for them."""


@dataclass
class Loaded:
    """One loaded model."""

    name: str
    head: str  # one of the four above
    model: Any
    tokenizer: Any
    tokens_max: int
    random: bool = False
    pooling: str = "mean"  # or "cls"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Any:
        return self.model.config


def load(source: Source, dtype: Any, device: Any) -> Loaded:
    """Load a model from a folder or the hub; raises `EngineError` in one line."""
    import transformers

    place, local = _place(source.name)
    config = _read(lambda: transformers.AutoConfig.from_pretrained(place, local_files_only=local), source)
    head = _fitting_head(source, config)
    auto = {CLASSIFIER: "AutoModelForSequenceClassification", MASKED: "AutoModelForMaskedLM"}
    auto |= {CAUSAL: "AutoModelForCausalLM", ENCODER: "AutoModel"}
    tokenizer = _read(lambda: transformers.AutoTokenizer.from_pretrained(place, local_files_only=local), source)
    if not tokenizer.is_fast:
        raise EngineError(f"model {source.name}: has no fast tokenizer (tokenizer.json)")
    model = _read(
        lambda: getattr(transformers, auto[head]).from_pretrained(place, local_files_only=local, dtype=dtype), source
    )
    loaded = Loaded(source.name, head, model.to(device).eval(), tokenizer, _tokens_max(config, tokenizer, place, local))
    loaded.pooling = _pooling(place, local)
    return loaded


def _place(name: str) -> tuple[str, bool]:
    """The folder or hub id, and True for a folder."""
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise EngineError(f"model {name}: the folder has no config.json")
        return str(path), True
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EngineError(f"model {name}: no such folder")
    return name, _only_cached(name)


def _only_cached(name: str) -> bool:
    """True if the hub cannot be reached and the model is in its cache; raises `EngineError` if it is not there."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    advice = "give a local folder as --model, or --random-weights for load without a hub"
    try:
        HfApi().model_info(name, timeout=10)
    except HFValidationError:
        raise EngineError(f"model {name}: neither a folder nor a name of the hub (ORGANIZATION/NAME)") from None
    except RepositoryNotFoundError:
        raise EngineError(f"model {name}: the Hugging Face hub has no such model, or access is restricted") from None
    except Exception as error:
        # The exceptions depend on the HTTP library of the hub client's version.
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return True
        raise EngineError(f"model {name}: the Hugging Face hub cannot be reached ({error}); {advice}") from error
    return False


def _read(read: Any, source: Source) -> Any:
    try:
        return read()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"model {source.name} cannot be loaded: {reason}") from error


def _fitting_head(source: Source, config: Any) -> str:
    """The head to load for the task; raises `EngineError` if the model was not trained with a fitting head."""
    kind = TASKS[source.task].kind
    names = list(getattr(config, "architectures", None) or [])
    has = ENCODER
    for head, endings in (
        (CLASSIFIER, ("ForSequenceClassification",)),
        (MASKED, ("ForMaskedLM", "ForPreTraining")),
        (CAUSAL, ("ForCausalLM", "LMHeadModel")),
    ):
        if any(name.endswith(endings) for name in names):
            has = head
    needed = HEADS.get(kind)
    if (needed is not None and has != needed) or (
        needed is None and (has == CAUSAL or (kind == "embed" and has == CLASSIFIER))
    ):
        wanted = f"a model for {needed}" if needed else "an encoder"
        raise EngineError(
            f"model {source.name} does not fit task {source.task}: it is {', '.join(names) or 'unnamed'}, not {wanted}"
        )
    return has if needed or has == CLASSIFIER else ENCODER


def _tokens_max(config: Any, tokenizer: Any, place: str, local: bool) -> int:
    """The longest input: the minimum of the bounds of positions, tokenizer and the file of sentence-transformers."""
    bounds = [getattr(config, "max_position_embeddings", None) or 1 << 20, tokenizer.model_max_length]
    if getattr(config, "pad_token_id", None) and "roberta" in config.model_type:
        # RoBERTa counts positions from the padding token's id.
        bounds[0] -= config.pad_token_id + 1
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True):
        bounds.append(window)
    bounds.append(_extra(place, local, "sentence_bert_config.json").get("max_seq_length") or 1 << 20)
    return int(min(bounds))


def _pooling(place: str, local: bool) -> str:
    return "cls" if _extra(place, local, "1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"


def _extra(place: str, local: bool, name: str) -> dict[str, Any]:
    """The content of a file of sentence-transformers; empty if the model has no such file."""
    path: str | None = str(Path(place) / name)
    if not local:
        from transformers.utils import cached_file

        path = cached_file(place, name, _raise_exceptions_for_missing_entries=False)
    if path is None or not Path(path).is_file():
        return {}
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
