"""Checks by their words whether two questions may share an answer; pure, for English and Chinese.

Embeddings place "turn it on" next to "turn it off", 5 next to 50 and Bonn next to Berlin, closer than true paraphrases,
so no threshold separates them. The guard normalizes both texts: numbers become digits, contractions are expanded,
politeness and question forms are removed, and some synonyms are merged. Two texts pass only if number, negation, name,
tense, person and content words are equal, in the same order ("A pays B" is not "B pays A"). Unknown differences are
refused: that costs a hit, never a wrong answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import msgspec

from harness.client.cache.semantic import _chinese
from harness.client.cache.semantic import _words_en as english

_TOKEN = re.compile(
    r"[a-z]+(?:[-.&][a-z0-9]+)*[0-9]*(?:[-.][0-9]+)*"  # words, and names such as gpt-4 or u.s
    r"|[0-9]+(?:[.:/-][0-9]+)*(?:st|nd|rd|th)?|[%$€£¥+°#*=<>^]|'s|[\u2e80-\u2fff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_UNIT_GLUED = re.compile(r"(?<=\d)(?=(?:[a-z]{1,4}|°)\b)(?!(?:st|nd|rd|th)\b)", re.IGNORECASE)
_DIGIT = re.compile("[0-9]")
_NUMBER = re.compile(r"[0-9].*")
_ORDINAL = re.compile(r"([0-9]+)(?:st|nd|rd|th)")
_ACRONYM = re.compile(r"\b[A-Z]{2,}s?\b")
_LETTER = re.compile(r"(?<=[a-z0-9] )A\b(?! [a-z])")
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"'})
_PHRASES = [(key, re.compile(pattern).sub, by) for key, pattern, by in [*english.CONTRACTIONS, *english.PHRASES]]
_PERSONS = {**english.PERSONS, **_chinese.PERSONS}
_EMPTY = english.EMPTY | _chinese.EMPTY
_ARTICLES = frozenset({"the", "a", "an"})
_ENDS = english.EMPTY | frozenset({"how", "when", "why", "who", "from", "with", "on", "by", "or", "than"})
_DO = frozenset({"do", "does", "doing"})


class Meaning(msgspec.Struct, frozen=True):
    """The normalized content of a text: its words in order, the time words, and the persons."""

    words: tuple[str, ...]
    times: tuple[str, ...]  # such as today and now: their position does not matter
    persons: tuple[str, ...]


def meaning(text: str) -> Meaning:
    """The normalized text."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    if _DIGIT.search(text):
        text = _UNIT_GLUED.sub(" ", _THOUSANDS.sub("", text))
    shouting = text.isupper()
    if not shouting:  # US is not us, and vitamin A is not a vitamin
        text = _LETTER.sub("letter-a", _ACRONYM.sub(lambda match: f"{match[0][0]}.{match[0][1:]}", text))
    text = text.lower()
    for key, replace, by in _PHRASES:
        if key in text:
            text = replace(by, text)
    if "," in text and (moved := english.MOVED.match(text)):
        text = f"{moved[2]} {moved[1]}"
    text, zh_times = (text, ()) if text.isascii() else _chinese.simplify(text)
    tokens = _genitives(_numbers([token.lower() for token in _TOKEN.findall(text)]))
    words: list[str] = []
    times, persons = list(zh_times), list[str]()
    before = ""
    for token in tokens:
        if token in english.TIMES:
            times.append(token)
        elif (person := _PERSONS.get(token)) is not None:
            persons.append(person)
        elif token not in _EMPTY or (token in _DO and before and before not in english.ASKING):
            words.append(_one_form(token))
        before = token
    return Meaning(tuple(_settled(words)), tuple(times), tuple(persons))


def differs(one: Meaning, other: Meaning) -> str | None:
    """Why two texts must not share an answer: number, negation, words, order, time or person; None if they may."""
    if not one.words or not other.words:
        return "words"
    if one.words != other.words and not _same_words(one.words, other.words):
        return _why(one.words, other.words)
    if one.times != other.times:
        return "time"
    if one.persons != other.persons and not _same_persons(one.persons, other.persons):
        return "person"
    return None


def _why(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    left, right = Counter(one), Counter(other)
    apart = (left - right) + (right - left)
    if not apart:
        return "order"
    if any(_NUMBER.fullmatch(word) for word in apart):
        return "number"
    return "negation" if any(word in english.NEGATIONS or word in _chinese.NEGATIONS for word in apart) else "words"


def _same_words(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return len(one) == len(other) and all(map(_same_word, one, other))


def _same_word(a: str, b: str) -> bool:
    """Whether two words are equal, or one is the -ing form of the other."""
    if a == b:
        return True
    if len(a) > len(b):
        a, b = b, a
    stem = b.removesuffix("ing")
    return len(a) > 2 and stem != b and stem in {a, a.removesuffix("e"), a + a[-1]}


def _same_persons(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the persons agree: "how do I pay" equals "how to pay", but not "how does she pay"."""
    return not (set(one) | set(other)) - {"i"}


def _one_form(word: str) -> str:
    """The word without the s of plural and third person, replaced by the representative of its synonyms."""
    if word in english.SAME:
        return english.SAME[word]
    if word == "does":
        return "do"
    if len(word) > 3 and word.endswith("s") and word.isalpha() and not word.endswith(("ss", "us", "is")):
        if word.endswith("ies") and len(word) > 4:
            word = word[:-3] + "y"
        elif word.endswith(("ches", "shes", "sses", "xes", "zes")):
            word = word[:-2]
        else:
            word = word[:-1]
    return english.SAME.get(word, word)


def _settled(words: list[str]) -> list[str]:
    """Remove "can" from questions with "how", "where" and "when"; merge "were" and "was", "shall" and "will"."""
    asked = [{"were": "was", "shall": "will"}.get(word, word) for word in words]
    if asked and asked[0] in {"how", "where", "when", "怎"}:
        asked = [asked[0], *(word for word in asked[1:] if word not in {"can", "能"})]
    return asked


def _genitives(tokens: list[str]) -> list[str]:
    """Rewrite "the capital of France" as "France's capital": the words after `of` move to the front."""
    tokens = [word for word in tokens if word != "'s"]
    while "of" in tokens:
        at = len(tokens) - 1 - tokens[::-1].index("of")
        first = at
        while first > 0 and tokens[first - 1] not in _ENDS:
            first -= 1
        if first == 0 or tokens[first - 1] not in _ARTICLES:  # without an article, only the last word is moved
            first = max(0, at - 1)
        end = at + 2 if tokens[at + 1 : at + 2] and tokens[at + 1] in _ARTICLES else at + 1
        while end < len(tokens) and tokens[end] not in _ENDS:
            end += 1
        tokens = [*tokens[:first], *tokens[at + 1 : end], *tokens[first:at], *tokens[end:]]
    return tokens


def _numbers(tokens: list[str]) -> list[str]:
    """Number words as digits ("twenty-five" is 25), ordinals as digits with a mark."""
    if _IN_WORDS.isdisjoint(tokens) and not any("-" in token for token in tokens):
        return [_ordinal(token) for token in tokens]
    out: list[str] = []
    spoken: _Spoken | None = None
    parts = [part for token in tokens for part in (token.split("-") if _is_compound(token) else [token])]
    for position, part in enumerate(parts):
        if spoken is None and part in english.SCALES and out and out[-1].replace(".", "", 1).isdigit():
            spoken = _Spoken(float(out.pop()))  # 3 million
        if spoken is not None and spoken.takes(part):
            continue
        if spoken is not None and part == "and" and parts[position + 1 : position + 2] in _NUMBER_WORDS:
            continue
        if spoken is not None:
            out.append(spoken.digits())
            spoken = None
        if part in english.SMALL or part in english.TENS:
            spoken = _Spoken(float(english.SMALL.get(part, english.TENS.get(part, 0))))
        else:
            out.append(_ordinal(part))
    return [*out, spoken.digits()] if spoken is not None else out


_IN_WORDS = frozenset({*english.SMALL, *english.TENS, *english.SCALES})
_NUMBER_WORDS = [[word] for word in (*english.SMALL, *english.TENS)]


class _Spoken:
    """Parses a number written in words."""

    def __init__(self, value: float) -> None:
        self._value = value
        self._whole = 0.0

    def takes(self, word: str) -> bool:
        """Add a word; False if it does not continue the number: "five" continues "twenty", but not "two"."""
        value = self._value
        if word in english.SCALES:
            self._value = value * english.SCALES[word]
            if english.SCALES[word] >= 1_000:
                self._whole, self._value = self._whole + self._value, 0.0
            return True
        open_tens = value % 100 >= 20 and value % 10 == 0 and 0 < english.SMALL.get(word, 0) < 10
        open_hundreds = value % 100 == 0 and (value or self._whole) and (word in english.SMALL or word in english.TENS)
        if not (open_tens or open_hundreds):
            return False
        self._value = value + english.SMALL.get(word, english.TENS.get(word, 0))
        return True

    def digits(self) -> str:
        """The number in digits."""
        return f"{self._whole + self._value:.15g}"


def _is_compound(token: str) -> bool:
    first, dash, last = token.partition("-")
    return bool(dash) and first in english.TENS and last in english.SMALL


def _ordinal(word: str) -> str:
    if not word[0].isdigit():
        return f"{english.ORDINALS[word]}#" if word in english.ORDINALS else word
    if match := _ORDINAL.fullmatch(word):
        return f"{match[1]}#"
    return word.lstrip("0") or "0" if word.isdigit() else word
