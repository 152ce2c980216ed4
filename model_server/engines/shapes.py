"""Shapes of real architectures for random weights: costs are realistic, answers are meaningless. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of one architecture, from its published configuration."""

    family: str  # bert, roberta, llama, qwen2
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int  # rows of the embedding; the tokenizer uses fewer
    tokens_max: int
    key_value_heads: int = 0  # 0: as many as heads
    labels: tuple[str, ...] = ("contradiction", "entailment", "neutral")


SHAPES = {
    "minilm-l6": Shape("bert", 384, 6, 12, 1536, 30522, 512),  # sentence-transformers/all-MiniLM-L6-v2
    "minilm-l6-nli": Shape("roberta", 768, 6, 12, 3072, 50265, 512),  # cross-encoder/nli-MiniLM2-L6-H768
    "bert-base": Shape("bert", 768, 12, 12, 3072, 30522, 512),
    "roberta-base": Shape("roberta", 768, 12, 12, 3072, 50265, 512),
    "llama-30m": Shape("llama", 512, 7, 8, 1376, 16384, 2048),
    "qwen2-0.5b": Shape("qwen2", 896, 24, 14, 4864, 151936, 32768, key_value_heads=2),
    "tiny-bert": Shape("bert", 32, 2, 2, 64, 2048, 128),
    "tiny-roberta": Shape("roberta", 32, 2, 2, 64, 2048, 128),
    "tiny-llama": Shape("llama", 32, 2, 2, 64, 2048, 256),
    "tiny-qwen2": Shape("qwen2", 32, 2, 4, 64, 2048, 256, key_value_heads=2),
}
