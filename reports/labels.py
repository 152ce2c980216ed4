"""Labels of cases, loads and settings in a report. They are printable; the formats escape them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.base import units
from harness.measure.result import Case, Distribution, Load, Named, Quantile

BACKLOG = "backlog"
ARRIVALS = "arrivals"
SESSIONS = "sessions"
GROUP_WORDS = {
    BACKLOG: "backlog: every item due at once",
    ARRIVALS: "arrivals: items due on a schedule (open loop)",
    SESSIONS: "sessions: each turn due after the answer before it and think time",
}
TOO_SMALL = "n too small"
NOT_COMPARABLE = "Backlog and arrivals cases answer different questions: compare only cases of the same group."

OUTCOME_WORDS = {
    "ok": "ok",
    "rejected": "rejected (429, 503)",
    "timed_out": "timed out",
    "server_error": "server error (5xx)",
    "client_error": "client error (4xx)",
    "connection_error": "connection error",
    "bad_response": "bad response",
    "cancelled": "cancelled",
    "not_sent": "not sent",
    "unfinished": "unfinished",
}
"""In the order in which outcomes are counted and drawn."""


def printable(text: str) -> str:
    """One line: control characters, direction overrides and line breaks become a space."""
    clean = "".join(" " if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else sign for sign in text)
    return " ".join(clean.split())


def elide(text: str, size_max: int) -> str:
    """At most `size_max` characters. An ellipsis replaces the middle of a longer text."""
    if len(text) <= size_max:
        return text
    head = (size_max - 1) * 2 // 3
    return f"{text[:head].rstrip()}…{text[len(text) - (size_max - 1 - head) :].lstrip()}"


def _short(names: Sequence[str], size_max: int) -> list[str]:
    """Each name shortened. Names that would become equal keep their differing parts instead of their ends."""
    short = [elide(name, size_max) for name in names]
    for label, often in Counter(short).items():
        alike = [at for at, other in enumerate(short) if other == label]
        full = [names[at] for at in alike]
        if often > 1 and len(set(full)) > 1:
            for at, name in zip(alike, _distinguished(full), strict=True):
                short[at] = name
    return short


def _distinguished(names: Sequence[str]) -> list[str]:
    """Long names, shortened around their differing parts: `adaptive:algor…limit_max=20…`."""
    head = _alike(names)
    tail = min(_alike([name[head:][::-1] for name in names]), min(map(len, names)) - head)
    rest = names[0][len(names[0]) - tail :] if tail else ""
    # Show the differing part up to its end.
    tail -= next((at for at, sign in enumerate(rest) if sign in ",;: )"), tail)
    labels = []
    for name in names:
        end = len(name) - tail
        labels.append(elide(name[:head], 24) + elide(name[head:end], 14) + "…" * (tail > 0))
    return labels


def _alike(names: Sequence[str]) -> int:
    """The length of the common prefix of all names."""
    columns = enumerate(zip(*names, strict=False))
    return next((at for at, signs in columns if len(set(signs)) > 1), min(map(len, names)))


def case_labels(cases: Sequence[Case], size_max: int = 44) -> list[str]:
    """A short, unique label for each case, in order. Partial cases are marked."""
    short = _short([printable(case.name) or "unnamed" for case in cases], size_max)
    often, seen = Counter(short), Counter[str]()
    labels = []
    for label, case in zip(short, cases, strict=True):
        seen[label] += 1
        numbered = f"{label} #{seen[label]}" if often[label] > 1 else label
        labels.append(f"{numbered} (partial)" if case.partial else numbered)
    return labels


def group(case: Case) -> str:
    """`backlog`, `sessions` or `arrivals`. Only cases of the same group are comparable."""
    return case.load.kind if case.load.kind in (BACKLOG, SESSIONS) else ARRIVALS


def grouped(cases: Sequence[Case]) -> dict[str, list[int]]:
    """Positions of the cases of each group that occurs, backlog first, the given order kept."""
    found = {name: [at for at, case in enumerate(cases) if group(case) == name] for name in GROUP_WORDS}
    return {name: places for name, places in found.items() if places}


def is_mixed(cases: Sequence[Case]) -> bool:
    """True if a result has cases of several groups."""
    return len(grouped(cases)) > 1


def value_words(value: Any) -> str:
    """A setting's value on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return units.significant(value, 4)
    if isinstance(value, Mapping):
        return settings_words(value)
    if isinstance(value, list | tuple):
        return ", ".join(value_words(part) for part in value)
    return printable(str(value))


def settings_words(settings: Mapping[str, Any]) -> str:
    """`concurrency=50, queue=100`; empty if there are none."""
    return ", ".join(f"{printable(str(key))}={value_words(value)}" for key, value in settings.items())


def named_words(named: Named) -> str:
    """`queue-stream (concurrency=50)`."""
    settings = settings_words(named.settings)
    return f"{printable(named.name)} ({settings})" if settings else printable(named.name)


def load_words(load: Load) -> str:
    """`backlog, 1,000 items` or `poisson (rate=100), 800 items over 8 s`."""
    parts = [named_words(Named(load.kind, load.settings))]
    if load.items is not None:
        parts.append(f"{units.count(load.items)} items")
    if load.duration_s is not None:
        parts.append(f"over {units.seconds(load.duration_s)}")
    return ", ".join(parts[:2]) + (f" {parts[2]}" if len(parts) > 2 else "")


def failed_share(case: Case) -> float | None:
    """The share of scheduled items that failed, whatever the outcome; null if nothing was scheduled."""
    return case.counts.failed_share


def percentile(spread: Distribution, name: str) -> str:
    """One percentile of a distribution, or `n too small`; `~` marks a rough one."""
    found: Quantile = getattr(spread, name)
    if found.value is not None:
        return ("~" if found.rough else "") + units.seconds(found.value)
    return TOO_SMALL if spread.n else units.NONE


def percentile_within(spread: Distribution, name: str) -> str:
    """`120 ms ±3 %`: a percentile with its interval over repeats, if there is one."""
    found: Quantile = getattr(spread, name)
    return units.plus_minus(percentile(spread, name), found.value, found.low, found.high)


def interval(found: Quantile) -> str:
    """The interval of a percentile as `low to high`, empty if there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"{units.seconds(found.low)} to {units.seconds(found.high)}"
