"""Model heads, one per kind of work: they make the rows of an item and the outputs from the model's results.

They run under `torch.inference_mode` on a padded batch; scores are computed in float32 with any dtype of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from model_server.engines.encoding import Row
from model_server.engines.loading import CLASSIFIER, Loaded
from model_server.engines.settings import EngineError
from model_server.work import Work

MASK = "[MASK]"


class Inputs(NamedTuple):
    """A padded batch of rows x length."""

    ids: Any
    mask: Any
    types: Any  # None if the model has no token types

    def arguments(self) -> dict[str, Any]:
        """The arguments of the model's forward pass."""
        arguments = {"input_ids": self.ids, "attention_mask": self.mask}
        return arguments if self.types is None else {**arguments, "token_type_ids": self.types}


class Head(Protocol):
    """One kind of work on one model."""

    def rows(self, inputs: tuple[Any, ...], /) -> list[Row]:
        """The rows of one item; their number is the same for all items of a head."""
        ...

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        """One output for each item."""
        ...


class BiEncoder:
    """Embeddings of length 1, pooled over the tokens without padding (Sentence-BERT, arXiv:1908.10084)."""

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._pooling = loaded.pooling

    def rows(self, inputs: tuple[Any, ...], /) -> list[Row]:
        return [Row(inputs[0])]

    def vectors(self, inputs: Inputs) -> Any:
        """The embeddings, rows x dimensions."""
        from torch.nn.functional import normalize

        hidden = self._model(**inputs.arguments()).last_hidden_state.float()
        if self._pooling == "cls":
            return normalize(hidden[:, 0])
        weights = inputs.mask.unsqueeze(-1).float()
        return normalize((hidden * weights).sum(1) / weights.sum(1).clamp(min=1))

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        vectors: list[Any] = self.vectors(inputs).tolist()
        return vectors


class PairOfVectors(BiEncoder):
    """Similarity as the cosine of two embeddings."""

    def rows(self, inputs: tuple[Any, ...], /) -> list[Row]:
        return [Row(inputs[0]), Row(inputs[1])]

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        vectors = self.vectors(inputs)
        cosines: list[Any] = (vectors[::2] * vectors[1::2]).sum(-1).clamp(-1, 1).tolist()
        return cosines


class _Classifier:
    """A sequence classification model."""

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        names = loaded.config.id2label
        self.labels = [str(names[place]) for place in sorted(names)]

    def rows(self, inputs: tuple[Any, ...], /) -> list[Row]:
        return [Row(*inputs)]

    def logits(self, inputs: Inputs) -> Any:
        return self._model(**inputs.arguments()).logits.float()


class Reranker(_Classifier):
    """One logit per pair; for a model with two classes, the log odds of the second class."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        if len(self.labels) > 2:
            labels = ", ".join(self.labels)
            raise EngineError(f"model {loaded.name}: a score of pairs needs one or two classes, it has {labels}")

    def scores(self, inputs: Inputs) -> Any:
        logits = self.logits(inputs)
        return logits[:, -1] - logits[:, 0] if len(self.labels) == 2 else logits[:, 0]

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        scores: list[Any] = self.scores(inputs).tolist()
        return scores


class CrossEncoder(Reranker):
    """Similarity as the sigmoid of a pair's logit, as in StructBERT's sentence similarity."""

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        scores: list[Any] = self.scores(inputs).sigmoid().tolist()
        return scores


class Nli(_Classifier):
    """Logits of contradiction and entailment, found by the model's `id2label`."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        names = [label.lower().replace("-", "_").replace(" ", "_") for label in self.labels]
        entailed = [place for place, name in enumerate(names) if name.startswith("entail")]
        against = [place for place, name in enumerate(names) if name.startswith(("contradict", "not_entail"))]
        if len(entailed) != 1 or len(against) != 1:
            labels = ", ".join(self.labels)
            raise EngineError(f"model {loaded.name} has no labels entailment and contradiction; it has {labels}")
        self._places = [against[0], entailed[0]]

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        return [tuple(pair) for pair in self.logits(inputs)[:, self._places].tolist()]


class Classifier(_Classifier):
    """All labels with their probabilities, or their logits for raw scores; best first."""

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        logits = self.logits(inputs)
        scores = logits.sigmoid() if len(self.labels) == 1 else logits.softmax(-1)
        rows = [
            raw if work.raw else score for work, raw, score in zip(works, logits.tolist(), scores.tolist(), strict=True)
        ]
        return [sorted(zip(self.labels, row, strict=True), key=lambda pair: -pair[1]) for row in rows]


class FillMask:
    """The best tokens for each mask. Logits are computed only at the masks."""

    _OUTPUT_LAYERS = ("cls", "lm_head")  # of the BERT and the RoBERTa family

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        if loaded.tokenizer.mask_token is None:
            raise EngineError(f"model {loaded.name}: its tokenizer has no mask token")
        self._known = min(len(loaded.tokenizer), loaded.config.vocab_size)
        layers = [getattr(loaded.model, name, None) for name in self._OUTPUT_LAYERS]
        known = loaded.config.model_type in ("bert", "roberta", "xlm-roberta", "camembert")
        self._layer = next((layer for layer in layers if layer is not None), None) if known else None

    def rows(self, inputs: tuple[Any, ...], /) -> list[Row]:
        return [Row(inputs[0].replace(MASK, self._tokenizer.mask_token))]

    def outputs(self, inputs: Inputs, works: list[Work], /) -> list[Any]:
        masked = inputs.ids == self._tokenizer.mask_token_id
        if self._layer is None:
            logits = self._model(**inputs.arguments()).logits[masked]
        else:
            logits = self._layer(self._model.base_model(**inputs.arguments()).last_hidden_state[masked])
        count = min(self._known, max(work.inputs[1] for work in works))
        best = logits[:, : self._known].float().softmax(-1).topk(count)
        found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        answers = []
        for work, masks in zip(works, masked.sum(-1).tolist(), strict=True):
            # A text that contains the model's own mask token has more masks than [MASK]s.
            mine = [next(found) for _ in range(masks)]
            text, top_k = work.inputs
            answers.append([self._candidates(text, place, *mine[place], top_k) for place in range(text.count(MASK))])
        return answers

    def _candidates(self, text: str, place: int, scores: list[float], tokens: list[int], top_k: int) -> list[Any]:
        parts = text.split(MASK)
        before, after = MASK.join(parts[: place + 1]), MASK.join(parts[place + 1 :])
        candidates = []
        for score, token in list(zip(scores, tokens, strict=True))[:top_k]:
            word = self._tokenizer.decode([token]).strip()
            joined = before.rstrip() + word[2:] if word.startswith("##") else before + word
            candidates.append((score, token, word, joined + after))
        return candidates


def head_of(kind: str, loaded: Loaded) -> Head:
    """The head for this kind of work; raises `EngineError` if the model does not support it."""
    if kind == "similarity":
        return CrossEncoder(loaded) if loaded.head == CLASSIFIER else PairOfVectors(loaded)
    heads: dict[str, Callable[[Loaded], Head]]
    heads = {"embed": BiEncoder, "fill-mask": FillMask, "nli": Nli, "rerank": Reranker, "classify": Classifier}
    return heads[kind](loaded)
