"""/zero-shot: an NLI model scores any labels, one hypothesis per label; native and pipelines' format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from model_server.api import _checks as check
from model_server.api._texts import Filled, FilledTexts
from model_server.errors import invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route
from model_server.work import Work

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode
TEMPLATE = "This example is {}."


class ZeroShotParameters(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters in the format of the transformers pipelines; the labels may be one text with commas."""

    candidate_labels: Filled | FilledTexts
    hypothesis_template: str | None = None
    multi_label: bool | None = None


class ZeroShotBody(msgspec.Struct):
    """A text and the candidate labels, which replace `{}` in the template; or the pipelines' format."""

    text: str | msgspec.UnsetType = msgspec.UNSET
    labels: list[str] | msgspec.UnsetType = msgspec.UNSET
    hypothesis_template: str = TEMPLATE
    multi_label: bool = False
    inputs: str | list[str] | msgspec.UnsetType = msgspec.UNSET
    parameters: ZeroShotParameters | msgspec.UnsetType = msgspec.UNSET


Template = Annotated[str, msgspec.Meta(pattern=r"\{\}")]


class ZeroShotText(msgspec.Struct):
    """The native format: a text and the candidate labels, which replace `{}` in the template."""

    text: Filled
    labels: FilledTexts
    hypothesis_template: Template = TEMPLATE
    multi_label: bool = False


class ZeroShotInputs(msgspec.Struct):
    """The format of the transformers pipelines."""

    inputs: Filled | FilledTexts
    parameters: ZeroShotParameters


class LabelScore(msgspec.Struct):
    """A label and its score, as clients of the pipelines (huggingface_hub) expect it."""

    label: str
    score: float


class ZeroShotAnswer(msgspec.Struct):
    """Labels with their scores, best first."""

    sequence: str
    labels: list[str]
    scores: list[float]


async def zero_shot(app: App, exchange: Exchange, body: ZeroShotBody) -> Reply:
    check.served(app, "nli")
    given, choice = _zero_shot_form(body)
    texts = [given] if isinstance(given, str) else given
    for text in texts:
        check.text(app, text, "text", empty=False)
    labels = choice.candidate_labels
    labels = [label.strip() for label in labels.split(",")] if isinstance(labels, str) else labels
    check_labels(app, labels)
    check.count(app, len(texts), "inputs")
    check.count(app, len(texts) * len(labels), "labels")
    template = TEMPLATE if choice.hypothesis_template is None else choice.hypothesis_template
    if "{}" not in template:
        raise invalid(
            "hypothesis_template: must contain {}, where the label goes", "hypothesis_template", "invalid_template"
        )
    check.text(app, template, "hypothesis_template")
    hypotheses = [template.replace("{}", label) for label in labels]
    works = await app.run(exchange, [Work("nli", (text, hypothesis)) for text in texts for hypothesis in hypotheses])
    count = len(labels)
    answers = [
        _ranked(text, labels, [work.output for work in works[place * count : (place + 1) * count]], choice.multi_label)
        for place, text in enumerate(texts)
    ]
    if not isinstance(body.inputs, msgspec.UnsetType):
        pairs = [list(map(LabelScore, answer.labels, answer.scores)) for answer in answers]
        return Reply(_encode(pairs[0] if isinstance(given, str) else pairs))
    return Reply(_encode(answers[0] if isinstance(given, str) else answers))


def _zero_shot_form(body: ZeroShotBody) -> tuple[str | list[str], ZeroShotParameters]:
    """Texts and parameters of either format."""
    if not isinstance(body.inputs, msgspec.UnsetType):
        if isinstance(body.parameters, msgspec.UnsetType):
            raise invalid("parameters: is required", "parameters", "missing_field")
        return body.inputs, body.parameters
    if isinstance(body.text, msgspec.UnsetType):
        raise invalid("text: is required", "text", "missing_field")
    if isinstance(body.labels, msgspec.UnsetType):
        raise invalid("labels: is required", "labels", "missing_field")
    return body.text, ZeroShotParameters(body.labels, body.hypothesis_template, body.multi_label)


def check_labels(app: App, labels: list[str]) -> None:
    """Check the labels: at least one, none blank, no duplicates, because equal labels have equal scores."""
    check.texts(app, labels, "labels")
    seen: set[str] = set()
    for index, label in enumerate(labels):
        if label in seen:
            raise invalid(f"labels[{index}]: {label!r} is a duplicate", f"labels[{index}]", "duplicate")
        seen.add(label)


def _ranked(
    text: str, labels: list[str], logits: list[tuple[float, float]], multi_label: bool | None
) -> ZeroShotAnswer:
    if multi_label:
        scores = [check.softmax(list(pair))[1] for pair in logits]
    else:
        scores = check.softmax([entailment for _, entailment in logits])
    ranked = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
    return ZeroShotAnswer(text, [label for _, label in ranked], [score for score, _ in ranked])


ROUTES = [
    Route(
        "POST",
        "/zero-shot",
        zero_shot,
        "Scores of any labels by NLI",
        "native",
        ZeroShotBody,
        (ZeroShotAnswer, list[LabelScore], list[list[LabelScore]]),
        (ZeroShotText, ZeroShotInputs),
    ),
]
