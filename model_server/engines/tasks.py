"""The tasks a model server can be asked for: the kind of work behind each, and which models can do it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task."""

    kind: str  # of work (model_server.work), or "generate"
    shape: str  # what `--random-weights` builds for it
    families: tuple[str, ...] = ("bert", "roberta")  # of shapes that can do it


_LANGUAGE = ("llama", "qwen2")

TASKS = {
    "similarity": Task("similarity", "minilm-l6"),
    "embed": Task("embed", "minilm-l6"),
    "fill-mask": Task("fill-mask", "bert-base"),
    "zero-shot": Task("nli", "minilm-l6-nli"),
    "rerank": Task("rerank", "minilm-l6"),
    "classify": Task("classify", "minilm-l6"),
    "annotate": Task("generate", "llama-30m", _LANGUAGE),
    "chat": Task("generate", "llama-30m", _LANGUAGE),
}
