"""The native routes /similarity, /fill-mask and /annotate; /zero-shot has its own file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from model_server.api import _checks as check
from model_server.api import zero_shot
from model_server.api._asked import Asked
from model_server.api._generation import DONE, begin, collect, events_of, failed_event
from model_server.api._texts import SOME, Filled, FilledTexts
from model_server.errors import ApiError, invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply
from model_server.http.routes import Route
from model_server.masks import check_mask
from model_server.work import Sequence, Work

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode


class Pair(msgspec.Struct):
    """A sentence pair."""

    text1: str
    text2: str


class SourceSentences(msgspec.Struct):
    """One sentence compared with several, in TEI's format."""

    source_sentence: Filled
    sentences: FilledTexts


class TeiSimilarity(msgspec.Struct):
    """TEI's request body for /similarity."""

    inputs: SourceSentences


class SimilarityBody(msgspec.Struct):
    """A body in one of two formats: `text1` and `text2`, or `inputs`."""

    text1: str | msgspec.UnsetType = msgspec.UNSET
    text2: str | msgspec.UnsetType = msgspec.UNSET
    inputs: SourceSentences | msgspec.UnsetType = msgspec.UNSET


class SimilarityAnswer(msgspec.Struct):
    """The similarity: 0 for nothing in common, 1 for equal texts."""

    similarity_score: float


TopK = Annotated[int, msgspec.Meta(ge=1, le=100)]
Masked = Annotated[str, msgspec.Meta(pattern=r"\[MASK\]")]


class FillMaskParameters(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters in the format of the transformers pipelines."""

    top_k: TopK | None = None


class FillMaskBody(msgspec.Struct):
    """One or more texts with at least one [MASK] each; `inputs` is another name for `text`."""

    text: str | list[str] | None = None
    inputs: str | list[str] | None = None
    top_k: TopK = 5
    parameters: FillMaskParameters | None = None


class FillMaskText(msgspec.Struct):
    """The native format."""

    text: Masked | Annotated[list[Masked], SOME]
    top_k: TopK = 5


class FillMaskInputs(msgspec.Struct):
    """The format of the transformers pipelines."""

    inputs: Masked | Annotated[list[Masked], SOME]
    parameters: FillMaskParameters | None = None


class MaskCandidate(msgspec.Struct):
    """A candidate word for a mask."""

    score: float
    token: int
    token_str: str
    sequence: str


class AnnotateBody(Asked, kw_only=True):
    """A prompt and the number of tokens to generate (default 128); with `stream`, as server-sent events."""

    text: Filled


class AnnotateEvent(msgspec.Struct, omit_defaults=True):
    """One token, or the end: `done` with the number of tokens and the finish reason."""

    text: str | None = None
    done: bool | None = None
    tokens: int | None = None
    finish_reason: str | None = None


class AnnotateAnswer(msgspec.Struct):
    """The generated text, its number of tokens and the finish reason."""

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
    top_k = (body.parameters and body.parameters.top_k) or body.top_k
    texts = [given] if isinstance(given, str) else given
    check.count(app, len(texts), "text")
    for text in texts:
        check_mask(check.text(app, text, "text"))
    works = await app.run(exchange, [Work("fill-mask", (text, top_k)) for text in texts])
    answers = [_mask_answer(work.output) for work in works]
    return Reply(_encode(answers[0] if isinstance(given, str) else answers))


def _mask_answer(masks: list[list[tuple[float, int, str, str]]]) -> list[Any]:
    """The pipelines' format: a list of candidates, or one list per mask if there are several masks."""
    lists = [
        [
            {"score": score, "token": token, "token_str": word, "sequence": sequence}
            for score, token, word, sequence in mask
        ]
        for mask in masks
    ]
    return lists[0] if len(lists) == 1 else lists


async def annotate(app: App, exchange: Exchange, body: AnnotateBody) -> Reply:
    check.served(app, "generate")
    check.unsupported(body)
    prompt = app.engine.prompt(check.text(app, body.text, "text", empty=False))
    (sequence,) = await begin(app, exchange, [prompt], body, body.max_tokens, 128)
    if body.stream:
        return StreamReply(events_of(app, exchange, [sequence], _AnnotateShape()))
    (text,) = await collect(app, exchange, [sequence])
    return Reply(_encode(AnnotateAnswer(text, sequence.tokens, sequence.prompt_tokens, sequence.finish_reason)))


class _AnnotateShape:
    """Event format of the native stream."""

    def piece(self, index: int, text: str) -> bytes:
        return b"data: " + _encode({"text": text}) + b"\n\n"

    def end(self, index: int, sequence: Sequence) -> bytes:
        end = {"done": True, "tokens": sequence.tokens, "finish_reason": sequence.finish_reason}
        return b"data: " + _encode(end) + b"\n\n"

    def close(self, sequences: list[Sequence]) -> bytes:
        return DONE

    def failed(self, error: ApiError) -> bytes:
        return failed_event(error)


ROUTES = [
    Route(
        "POST",
        "/similarity",
        similarity,
        "Similarity of a sentence pair, or of one sentence with several (TEI)",
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
        (list[MaskCandidate], list[list[MaskCandidate]], list[list[list[MaskCandidate]]]),
        (FillMaskText, FillMaskInputs),
    ),
    *zero_shot.ROUTES,
    Route(
        "POST",
        "/annotate",
        annotate,
        "Text generated from a text",
        "native",
        AnnotateBody,
        AnnotateAnswer,
        streams=True,
        event=AnnotateEvent,
    ),
]
