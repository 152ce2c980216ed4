"""The tasks of a model server, with their kinds of work and fitting families of models. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task."""

    kind: str  # kind of work (model_server.work), or "generate"
    shape: str  # default shape of `--random-weights`
    families: tuple[str, ...] = ("bert", "roberta")  # families of fitting shapes


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
