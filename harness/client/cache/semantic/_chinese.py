"""Normalizes Chinese text for the guard: numerals and question forms; characters are compared, not words."""

from __future__ import annotations

import re

from harness.client.cache.semantic import _words_zh as chinese

EMPTY = chinese.EMPTY
NEGATIONS = chinese.NEGATIONS
PERSONS = chinese.PERSONS
_ANY = re.compile("[\u4e00-\u9fff]")
_NUMERAL = "".join([*chinese.DIGITS, *chinese.UNITS, *chinese.SCALES])
_COUNTED = re.compile(f"(第)?([{_NUMERAL}]+)(?=[{chinese.COUNTED}])|(第)([{_NUMERAL}]+)|([{_NUMERAL}]{{2,}})")
_MIXED = re.compile(r"([0-9]+(?:\.[0-9]+)?)([万亿千百])")
_PHRASES = [(re.compile(pattern), by) for pattern, by in chinese.PHRASES]
_TIMES = re.compile("|".join(chinese.TIMES))
_SPACE = re.compile(r"(?<=[\u4e00-\u9fff])\s+|\s+(?=[\u4e00-\u9fff])")


def simplify(text: str) -> tuple[str, tuple[str, ...]]:
    """The normalized text, and the time words removed from it; a text without Chinese is returned unchanged."""
    if not _ANY.search(text):
        return text, ()
    text = _SPACE.sub("", text)
    for pattern, by in _PHRASES:
        text = pattern.sub(by, text)
    text = _COUNTED.sub(_as_digits, text)
    text = _MIXED.sub(lambda match: f"{float(match[1]) * _worth(match[2]):g}", text)
    times = tuple(_TIMES.findall(text))
    return _TIMES.sub("", text), times


def _worth(unit: str) -> int:
    return chinese.UNITS.get(unit) or chinese.SCALES[unit]


def _as_digits(match: re.Match[str]) -> str:
    numeral = match[2] or match[4] or match[5]
    value = number(numeral)
    return match[0] if value is None else f"{match[1] or match[3] or ''} {value} "


def number(numeral: str) -> int | None:
    """二十五 is 25, 一百零三 is 103, 三万 is 30000, 二〇二四 is 2024; None if it is not a number (一一得一)."""
    if all(character in chinese.DIGITS for character in numeral):
        return int("".join(str(chinese.DIGITS[character]) for character in numeral))
    total, section, digit = 0, 0, 0
    for character in numeral:
        if character in chinese.DIGITS:
            digit = chinese.DIGITS[character]
        elif character in chinese.UNITS:
            section += (digit or 1) * chinese.UNITS[character]
            digit = 0
        elif section or digit:
            total += (section + digit) * chinese.SCALES[character]
            section = digit = 0
        else:
            return None
    return total + section + digit
