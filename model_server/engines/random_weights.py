"""Models of real architectures with random weights, for load tests without a hub. Seeded, so answers are repeatable."""

from __future__ import annotations

from typing import Any

from model_server.engines.loading import CAUSAL, CLASSIFIER, ENCODER, HEADS, MASKED, Loaded
from model_server.engines.settings import RANDOM_NOTE, Source
from model_server.engines.shapes import SHAPES, Shape
from model_server.engines.tasks import TASKS
from model_server.engines.vocabulary import tokenizer

_CLASSES = {
    ("bert", ENCODER): "BertModel",
    ("bert", CLASSIFIER): "BertForSequenceClassification",
    ("bert", MASKED): "BertForMaskedLM",
    ("roberta", ENCODER): "RobertaModel",
    ("roberta", CLASSIFIER): "RobertaForSequenceClassification",
    ("roberta", MASKED): "RobertaForMaskedLM",
    ("llama", CAUSAL): "LlamaForCausalLM",
    ("qwen2", CAUSAL): "Qwen2ForCausalLM",
}
_CONFIGS = {"bert": "BertConfig", "roberta": "RobertaConfig", "llama": "LlamaConfig", "qwen2": "Qwen2Config"}


def build(source: Source, dtype: Any, device: Any, seed: int) -> Loaded:
    """A model of the source's shape, with the head for its task."""
    import torch
    import transformers

    kind, shape = TASKS[source.task].kind, SHAPES[source.name]
    head = HEADS.get(kind, ENCODER)
    tokens = tokenizer(shape.family, shape.vocabulary, shape.tokens_max)
    config = getattr(transformers, _CONFIGS[shape.family])(**_arguments(shape, tokens), **_labels(kind, shape))
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model = getattr(transformers, _CLASSES[shape.family, head])(config)
    finally:
        torch.random.set_rng_state(state)
    model = model.to(device=device, dtype=dtype).eval()
    return Loaded(f"{source.name} ({RANDOM_NOTE.split(':')[0]})", head, model, tokens, shape.tokens_max, random=True)


def _arguments(shape: Shape, tokens: Any) -> dict[str, Any]:
    arguments = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.tokens_max,
        "pad_token_id": tokens.pad_token_id,
    }
    if shape.family == "roberta":
        arguments |= {
            "max_position_embeddings": shape.tokens_max + tokens.pad_token_id + 1,
            "type_vocab_size": 1,
            "bos_token_id": tokens.bos_token_id,
            "eos_token_id": tokens.eos_token_id,
        }
    if shape.family in ("llama", "qwen2"):
        arguments |= {
            "num_key_value_heads": shape.key_value_heads or shape.heads,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokens.eos_token_id,
        }
    return arguments


def _labels(kind: str, shape: Shape) -> dict[str, Any]:
    if kind in ("nli", "classify"):
        return {"id2label": dict(enumerate(shape.labels)), "label2id": {name: i for i, name in enumerate(shape.labels)}}
    return {"num_labels": 1} if kind == "rerank" else {}
