"""Distributions of lengths in tokens: one number, normal, lognormal, uniform, or the lengths in a file. Pure draws."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Protocol

import msgspec

from harness.client.checks import TOKENS_MAX, between
from harness.client.errors import ItemError, SettingError, UsageError
from harness.load.distribution_text import built
from harness.load.lines import LongLine
from harness.load.rows import RowReader

ROWS_MAX = 5_000_000
_DRAWS = 100
FORMS = "a number such as 512, or normal:mean=,stdev=, lognormal:mean=,sigma=, uniform:LOW..HIGH, file:FILE"
INPUT_NAMES = ("input_tokens", "prompt_tokens", "input_length", "ContextTokens", "Request tokens", "num_prefill_tokens")
OUTPUT_NAMES = (
    *("output_tokens", "completion_tokens", "output_length", "GeneratedTokens", "Response tokens"),
    "num_decode_tokens",
)
"""Names of columns of published traces, and of our own."""


class Lengths(Protocol):
    """A distribution of lengths."""

    @property
    def mean(self) -> float:
        """About the mean length, for a calibration."""
        ...

    def draw(self, rng: Random) -> int:
        """A length, 1 to a million tokens."""
        ...


@dataclass(frozen=True)
class Constant:
    """Every length is `tokens`."""

    tokens: int

    def __post_init__(self) -> None:
        between(self, 1, TOKENS_MAX, "tokens")

    @property
    def mean(self) -> float:
        return float(self.tokens)

    def draw(self, rng: Random) -> int:
        """The same number always."""
        return self.tokens


@dataclass(frozen=True)
class _Bounded:
    """Lengths within `min` and `max`: a length outside is drawn again."""

    min: int = 1
    max: int = TOKENS_MAX
    most: ClassVar[int] = TOKENS_MAX

    def __post_init__(self) -> None:
        _check_bounds(self)

    def draw(self, rng: Random) -> int:
        """A length within the bounds."""
        for _ in range(_DRAWS):
            if self.min <= (drawn := round(self._draw(rng))) <= self.max:
                return drawn
        return min(self.max, max(self.min, drawn))

    def _draw(self, rng: Random) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Normal(_Bounded):
    """Normally distributed lengths."""

    mean: float = field(kw_only=True)
    stdev: float = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        between(self, 0, TOKENS_MAX, "stdev")
        between(self, self.min, self.max, "mean")

    def _draw(self, rng: Random) -> float:
        return rng.gauss(self.mean, self.stdev)


@dataclass(frozen=True)
class Lognormal(_Bounded):
    """Many short lengths and few long ones. `sigma` is of the logarithm, `mean` of the lengths themselves."""

    mean: float = field(kw_only=True)
    sigma: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        between(self, 0, 5, "sigma")
        between(self, self.min, self.max, "mean")

    def _draw(self, rng: Random) -> float:
        return rng.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)


@dataclass(frozen=True)
class Uniform:
    """Every length from `min` to `max` is as likely as the others."""

    min: int
    max: int
    most: ClassVar[int] = TOKENS_MAX

    def __post_init__(self) -> None:
        _check_bounds(self)

    @property
    def mean(self) -> float:
        return (self.min + self.max) / 2

    def draw(self, rng: Random) -> int:
        """A length from min to max, both included."""
        return rng.randint(self.min, self.max)


def _check_bounds(settings: _Bounded | Uniform) -> None:
    between(settings, 1, settings.most, "min", "max")
    if settings.max < settings.min:
        raise SettingError(f"max={settings.max} must be at least min={settings.min}")


@dataclass(frozen=True)
class FromFile:
    """Lengths drawn with replacement from a column of a file. Raises UsageError when they are read."""

    path: str
    column: str | None = None
    names: tuple[str, ...] = ()
    flag: str = ""

    @property
    def mean(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    def draw(self, rng: Random) -> int:
        """The length of a row. Equal random numbers draw the same row from two columns of a file."""
        return self.lengths[rng.randrange(len(self.lengths))]

    @cached_property
    def lengths(self) -> array[int]:
        """All lengths of the file, read once in a process."""
        state = Path(self.path).stat()
        return _kept(self, (state.st_mtime_ns, state.st_size))

    def read(self) -> array[int]:
        """All lengths of the file."""
        found = array("l")
        reader = RowReader(self.path)
        for number, raw in reader.numbered():
            try:
                if isinstance(raw, LongLine):
                    raise ItemError("is too long")  # noqa: TRY301 - gets its line's number below
                row = reader.row(raw)
                found.append(_length(row, self._column(row)))
            except (ItemError, ValueError, msgspec.MsgspecError) as error:
                raise UsageError(f"{self.flag} file:{self.path}: line {number}: {error}") from error
            if len(found) > ROWS_MAX:
                raise UsageError(f"{self.flag} file:{self.path}: has more than {ROWS_MAX:,} rows; use a part of it")
        if not found:
            raise UsageError(f"{self.flag} file:{self.path}: has no lengths")
        return found

    def _column(self, row: dict[str, Any]) -> str:
        if self.column is not None or len(row) == 1:
            return self.column or next(iter(row))
        if (known := next((name for name in self.names if name in row), None)) is not None:
            return known
        columns = ", ".join(list(row)[:12]) or "none"
        raise ItemError(f"which column has the lengths? add ,column=NAME; there are {columns}")


@lru_cache(maxsize=4)
def _kept(file: FromFile, state: tuple[int, int]) -> array[int]:
    """Each client application of a process draws from the same lengths."""
    return file.read()


def _length(row: dict[str, Any], column: str) -> int:
    if column not in row:
        raise ItemError(f"has no column {column!r}; there are {', '.join(list(row)[:12]) or 'none'}")
    return tokens_in(row, column, 1)


def tokens_in(row: dict[str, Any], column: str, least: int) -> int:
    """A number of tokens in a row; raises ItemError."""
    value = row.get(column)
    if value is None or value == "":
        raise ItemError(f"{column} is missing")
    with suppress(ValueError):
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        if least <= number <= TOKENS_MAX and number == int(number):
            return int(number)
    raise ItemError(f"{column}={value!r:.80} must be a whole number between {least} and {TOKENS_MAX}")


KINDS: dict[str, type[Any]] = {"constant": Constant, "normal": Normal, "lognormal": Lognormal, "uniform": Uniform}


def parse(text: str, flag: str, names: Sequence[str] = INPUT_NAMES) -> Lengths:
    """The distribution that an option describes; raises UsageError that begins with the option.

    Args:
        text: `512`, `NAME:key=value,...`, or `file:FILE[,column=NAME]`.
        flag: The option, for errors.
        names: Columns that are looked for in a file with several.
    """
    name, colon, rest = text.strip().partition(":")
    if name == "file" and colon:
        return _from_file(rest, flag, names)
    made: Lengths = built(text, flag, KINDS, FORMS, others=("file",))
    return made


def _from_file(rest: str, flag: str, names: Sequence[str]) -> Lengths:
    path, comma, column = rest.rpartition(",column=")
    if not comma:
        path, column = rest, ""
    if not path or (comma and not column):
        raise UsageError(f"{flag} file:{rest}: is not file:FILE or file:FILE,column=NAME")
    if not Path(path).is_file():
        raise UsageError(f"{flag} file:{path}: no such file")
    made = FromFile(path, column or None, tuple(names), flag)
    _ = made.lengths
    return made


def drawn(lengths: Lengths, role: str, seed: int, index: int) -> int:
    """The length of an item. Two columns of one file give the lengths of the same row."""
    stream = lengths.path if isinstance(lengths, FromFile) else role
    return lengths.draw(Random(f"{stream}/{seed}/{index}"))
