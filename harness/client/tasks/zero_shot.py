"""POST /zero-shot: {"text", "labels"} -> the labels with their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.errors import BadResponse, ItemError, SettingError
from harness.client.tasks._decode import checked_text, decode, encode, no_stream, one, probability, text_field
from harness.client.types import Item, Request

LABELS_MAX = 1_000
SUM_ERROR_MAX = 0.01  # scores of one distribution add up to 1, within the rounding of servers


class Labelled(msgspec.Struct, frozen=True):
    """A text and the labels to choose from."""

    text: str
    labels: tuple[str, ...]
    template: str | None = None  # none: the settings'
    multi_label: bool | None = None  # none: the settings'


class _Body(msgspec.Struct):
    text: str
    labels: tuple[str, ...]
    hypothesis_template: str
    multi_label: bool


class _Answer(msgspec.Struct):
    labels: list[str]
    scores: list[float]


_answer = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class ZeroShot:
    """How well each label fits a text, by natural-language inference; the answer is a score a label.

    Args:
        labels: Labels for rows without their own. Default ("business", "science", "sport", "travel").
        template: Hypothesis for a label, with {} in its place. Default "This example is {}.".
        multi_label: Whether each label is scored independently, so that scores need not add up to 1. Default
            False.
    """

    labels: tuple[str, ...] = ("business", "science", "sport", "travel")
    template: str = "This example is {}."
    multi_label: bool = False
    row_fields: ClassVar[frozenset[str]] = frozenset({"text", "labels", "hypothesis_template", "multi_label"})

    def __post_init__(self) -> None:
        if "{}" not in self.template:
            raise SettingError(f"template={self.template!r} must contain {{}}, where the label goes")
        try:
            _labels(self.labels)
        except ItemError as error:
            raise SettingError(str(error)) from error

    @property
    def name(self) -> str:
        return "zero-shot"

    def parse(self, row: Mapping[str, Any], /) -> Labelled:
        """{"text", "labels"}, "hypothesis_template" and "multi_label"; the settings apply to missing fields."""
        labels, template, multi_label = (row.get(name) for name in ("labels", "hypothesis_template", "multi_label"))
        if template is not None and "{}" not in checked_text(template, "hypothesis_template"):
            raise ItemError("hypothesis_template: must contain {}, where the label goes")
        if not isinstance(multi_label, bool | None):
            raise ItemError(f"multi_label: is {type(multi_label).__name__}, not a boolean")
        known = self.labels if labels is None else _labels(labels)
        return Labelled(text_field(row, "text"), known, template, multi_label)

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        data: Labelled = item.data
        body = encode(_Body(data.text, data.labels, data.template or self.template, self._multi_label(data)))
        return Request((item,), self, "/zero-shot", body)

    def answer(self, request: Request, body: bytes, /) -> tuple[dict[str, float]]:
        """Label to score, in the server's order: the labels asked for, each once."""
        answer = decode(_answer, body)
        data: Labelled = request.items[0].data
        if len(answer.scores) != len(answer.labels):
            raise BadResponse(f"{len(answer.scores)} scores for {len(answer.labels)} labels")
        if sorted(answer.labels) != sorted(data.labels):
            raise BadResponse(f"labels: {answer.labels[:8]!r} are not those that were asked for")
        for score in answer.scores:
            probability(score, "scores")
        if not self._multi_label(data) and abs(sum(answer.scores) - 1.0) > SUM_ERROR_MAX:
            raise BadResponse(f"scores: add up to {sum(answer.scores):.4f}, not to 1")
        return (dict(zip(answer.labels, answer.scores, strict=True)),)

    def _multi_label(self, data: Labelled) -> bool:
        return self.multi_label if data.multi_label is None else data.multi_label

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def text_of(self, data: Labelled, /) -> str:
        return data.text

    def with_text(self, data: Labelled, text: str, /) -> Labelled:
        return msgspec.structs.replace(data, text=text)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Labelled:
        return Labelled(words(max(1, length)), self.labels)


def _labels(labels: Any) -> tuple[str, ...]:
    """At least one label, not too many, each a text, each once; raises ItemError."""
    if not isinstance(labels, list | tuple) or not 1 <= len(labels) <= LABELS_MAX:
        raise ItemError(f"labels: must be a list of 1 to {LABELS_MAX} texts")
    texts = tuple(checked_text(label, f"labels[{number}]") for number, label in enumerate(labels))
    if not all(label.strip() for label in texts):
        raise ItemError("labels: one of them is blank")
    if len(set(texts)) != len(texts):
        raise ItemError("labels: one of them stands there twice")
    return texts
