"""The native routes: /similarity, /fill-mask, /zero-shot, /annotate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from model_server.api import _checks as check
from model_server.api._generation import DONE, begin, collect, pieces_of
from model_server.errors import invalid
from model_server.exchange import Exchange
from model_server.reply import Reply, StreamReply
from model_server.routes import Route
from model_server.work import Sequence, Work

if TYPE_CHECKING:
    from model_server.app import App

MASK = "[MASK]"
_MISSPELLED = re.compile(r"[\[<({]\s*mask\s*[\]>)}]", re.IGNORECASE)
_encode = msgspec.json.Encoder().encode


class Pair(msgspec.Struct):
    """A sentence pair."""

    text1: str
    text2: str


class SourceSentences(msgspec.Struct):
    """One sentence against several, as TEI has it."""

    source_sentence: str
    sentences: list[str]


class TeiSimilarity(msgspec.Struct):
    """TEI's body for /similarity."""

    inputs: SourceSentences


class SimilarityBody(msgspec.Struct):
    """Either of the two: `text1` and `text2`, or `inputs`."""

    text1: str | msgspec.UnsetType = msgspec.UNSET
    text2: str | msgspec.UnsetType = msgspec.UNSET
    inputs: SourceSentences | msgspec.UnsetType = msgspec.UNSET


class SimilarityAnswer(msgspec.Struct):
    """0 for nothing in common, 1 for the same."""

    similarity_score: float


class FillMaskBody(msgspec.Struct):
    """A text (or several) with at least one [MASK]; `inputs` is another name for `text`."""

    text: str | list[str] | None = None
    inputs: str | list[str] | None = None
    top_k: int = 5


class MaskCandidate(msgspec.Struct):
    """One way to fill a mask."""

    score: float
    token: int
    token_str: str
    sequence: str


class ZeroShotBody(msgspec.Struct):
    """A text and the labels to choose from; `{}` in the template is where the label goes."""

    text: str
    labels: list[str]
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False


class ZeroShotAnswer(msgspec.Struct):
    """Labels with their scores, best first."""

    sequence: str
    labels: list[str]
    scores: list[float]


class AnnotateBody(msgspec.Struct):
    """A prompt and how many tokens to answer; with `stream` as server-sent events."""

    text: str
    max_tokens: int = 128
    stream: bool = False


class AnnotateAnswer(msgspec.Struct):
    """The generated text, its tokens, and why it ended."""

    text: str
    tokens: int
    prompt_tokens: int
    finish_reason: str | None


async def similarity(app: App, exchange: Exchange, body: SimilarityBody) -> Reply:
    check.served(app, "similarity")
    text1, text2 = body.text1, body.text2
    if not isinstance(body.inputs, msgspec.UnsetType):
        return await _tei_similarity(app, exchange, body.inputs)
    if isinstance(text1, msgspec.UnsetType):
        raise invalid("text1: is required", "text1", "missing_field")
    if isinstance(text2, msgspec.UnsetType):
        raise invalid("text2: is required", "text2", "missing_field")
    work = Work("similarity", (check.text(app, text1, "text1"), check.text(app, text2, "text2")))
    await app.run(exchange, [work])
    return Reply(_encode({"similarity_score": work.output}))


async def _tei_similarity(app: App, exchange: Exchange, inputs: SourceSentences) -> Reply:
    exchange.tei = True
    source = check.text(app, inputs.source_sentence, "inputs.source_sentence", empty=False)
    sentences = check.texts(app, inputs.sentences, "inputs.sentences")
    works = await app.run(exchange, [Work("similarity", (source, sentence)) for sentence in sentences])
    return Reply(_encode([work.output for work in works]))


async def fill_mask(app: App, exchange: Exchange, body: FillMaskBody) -> Reply:
    check.served(app, "fill-mask")
    given = body.text if body.text is not None else body.inputs
    if given is None:
        raise invalid("text: is required", "text", "missing_field")
    if not 1 <= body.top_k <= 100:
        raise invalid(f"top_k: {body.top_k} is not in 1..100", "top_k")
    texts = [given] if isinstance(given, str) else given
    check.count(app, len(texts), "text")
    for text in texts:
        check_mask(check.text(app, text, "text"))
    works = await app.run(exchange, [Work("fill-mask", (text, body.top_k)) for text in texts])
    answers = [_mask_answer(work.output) for work in works]
    return Reply(_encode(answers[0] if isinstance(given, str) else answers))


def check_mask(text: str) -> None:
    """There is a [MASK], spelled so."""
    if MASK in text:
        return
    wrong = _MISSPELLED.search(text)
    if wrong:
        raise invalid(f"text: the mask is spelled {MASK}, not {wrong.group()}", "text", "mask_misspelled")
    raise invalid(f"text: has no {MASK}", "text", "mask_missing")


def _mask_answer(masks: list[list[tuple[float, int, str, str]]]) -> list[Any]:
    """Pipeline shape: a list of candidates, or one such list per mask where there are several."""
    lists = [
        [
            {"score": score, "token": token, "token_str": word, "sequence": sequence}
            for score, token, word, sequence in mask
        ]
        for mask in masks
    ]
    return lists[0] if len(lists) == 1 else lists


async def zero_shot(app: App, exchange: Exchange, body: ZeroShotBody) -> Reply:
    check.served(app, "nli")
    text = check.text(app, body.text, "text", empty=False)
    labels = check.texts(app, body.labels, "labels")
    if "{}" not in body.hypothesis_template:
        raise invalid(
            "hypothesis_template: must contain {}, where the label goes", "hypothesis_template", "invalid_template"
        )
    hypotheses = [body.hypothesis_template.replace("{}", label) for label in labels]
    works = await app.run(exchange, [Work("nli", (text, hypothesis)) for hypothesis in hypotheses])
    if body.multi_label:
        scores = [check.softmax(list(work.output))[1] for work in works]
    else:
        scores = check.softmax([work.output[1] for work in works])
    ranked = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
    answer = {
        "sequence": text,
        "labels": [label for _, label in ranked],
        "scores": [score for score, _ in ranked],
    }
    return Reply(_encode(answer))


async def annotate(app: App, exchange: Exchange, body: AnnotateBody) -> Reply:
    check.served(app, "generate")
    prompt = check.text(app, body.text, "text", empty=False)
    sequence = begin(app, exchange, prompt, check.tokens(app, body.max_tokens, "max_tokens"))
    if body.stream:
        return StreamReply(pieces_of(app, exchange, sequence, _annotate_event, _annotate_tail))
    text = await collect(app, exchange, sequence)
    return Reply(_encode(AnnotateAnswer(text, sequence.tokens, sequence.prompt_tokens, sequence.finish_reason)))


def _annotate_event(piece: str) -> bytes:
    return b"data: " + _encode({"text": piece}) + b"\n\n"


def _annotate_tail(sequence: Sequence) -> bytes:
    end = {"done": True, "tokens": sequence.tokens, "finish_reason": sequence.finish_reason}
    return b"data: " + _encode(end) + b"\n\n" + DONE


ROUTES = [
    Route(
        "POST",
        "/similarity",
        similarity,
        "Similarity of a sentence pair, or TEI's one against several",
        "native",
        SimilarityBody,
        (SimilarityAnswer, list[float]),
        (Pair, TeiSimilarity),
        tei_param="inputs",
    ),
    Route(
        "POST",
        "/fill-mask",
        fill_mask,
        "Best words for each [MASK]",
        "native",
        FillMaskBody,
        (list[MaskCandidate], list[list[MaskCandidate]]),
    ),
    Route("POST", "/zero-shot", zero_shot, "Scores of any labels by NLI", "native", ZeroShotBody, ZeroShotAnswer),
    Route(
        "POST",
        "/annotate",
        annotate,
        "Text generated from a text",
        "native",
        AnnotateBody,
        AnnotateAnswer,
        streams=True,
    ),
]
