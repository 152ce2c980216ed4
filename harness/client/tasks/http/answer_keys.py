"""The keys of a task's file that read an answer: success, places of the answer, usage, stream."""

from __future__ import annotations

from typing import Any

from harness.client.answers import Usage
from harness.client.errors import SettingError
from harness.client.outcome import Outcome
from harness.client.tasks.http.answers import (
    BOUNDED,
    READERS,
    AnswerPlaces,
    OnePlace,
    Place,
    SeveralPlaces,
    UsagePlaces,
)
from harness.client.tasks.http.conditions import Condition, Success
from harness.client.tasks.http.events import StreamForm
from harness.client.tasks.http.one_for import ONE_FOR, OneFor
from harness.client.tasks.http.pointer import tokens_of
from harness.client.tasks.http.table import Table, type_word
from harness.client.tasks.http.template import Fields
from harness.client.transport.event_stream import DONE
from harness.client.types import ANSWERED

OUTCOMES = ("bad_response", "rejected", "server_error", "client_error", "timed_out")
_TESTS = ("exists", "equals", "not_equals", "one_of")


def success_of(table: Table) -> tuple[Success, frozenset[int]]:
    """What counts as a success, and the statuses of an answer."""
    inner = table.table("success")
    if inner is None:
        return Success(), ANSWERED
    answered = _statuses(inner)
    when = inner.value("when", [])
    conditions = tuple(_condition(inner, "when", one) for one in (when if isinstance(when, list) else [when]))
    message = inner.text("message")
    otherwise = inner.text("otherwise", "bad_response", OUTCOMES)
    if inner.has("otherwise") and not conditions:
        raise inner.error("otherwise", "is the outcome of an answer that fails a condition, and `when` has none")
    made = Success(
        conditions, None if message is None else tokens_of(message, inner.where("message")), Outcome[otherwise]
    )
    inner.end()
    return made, answered


def _statuses(inner: Table) -> frozenset[int]:
    value = inner.value("status")
    if value is None:
        return ANSWERED
    statuses = value if isinstance(value, list) else [value]
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise inner.error("status", f"{status!r} is not a status of HTTP from 200 to 599")
    if not statuses:
        raise inner.error("status", "is an empty list: no answer could be a success")
    return frozenset(statuses)


def _condition(inner: Table, key: str, value: Any) -> Condition:
    if not isinstance(value, dict):
        raise inner.error(key, f'is {type_word(value)}; expected {{ at = "/code", equals = 0 }}')
    table = Table(inner.where(key), value)
    at = tokens_of(table.value("at", ""), table.where("at"))
    tests = [test for test in _TESTS if table.has(test)]
    if len(tests) != 1:
        found = f"has {' and '.join(tests)}" if tests else "has no test"
        raise SettingError(f"{inner.where(key)}: {found}; expected one of {', '.join(_TESTS)}")
    test = tests[0]
    wanted = table.boolean(test, True) if test == "exists" else table.value(test)
    if test == "one_of" and (not isinstance(wanted, list) or not wanted):
        raise table.error(test, f"is {type_word(wanted)}; expected a list of values")
    for other in _TESTS:
        table.value(other)
    table.end()
    return Condition(at, test, wanted)


def answer_of(table: Table) -> AnswerPlaces | None:
    """Where the answer is; None if the file does not say."""
    value = table.value("answer")
    if value is None:
        return None
    return _places({key: one for key, one in value.items() if key not in ONE_FOR} if _is_place(value) else value, table)


def _is_place(value: Any) -> bool:
    return isinstance(value, dict) and "at" in value


def _places(value: Any, table: Table, key: str = "answer") -> AnswerPlaces:
    """One place, or a table of names and places."""
    where = table.where(key)
    if isinstance(value, str) or _is_place(value):
        return OnePlace(_place(value, where))
    if not isinstance(value, dict) or not value:
        raise table.error(key, f"is {type_word(value)}; expected a JSON Pointer, or a table of names and pointers")
    return SeveralPlaces({name: _place(one, f"{where}.{name}") for name, one in value.items()})


def one_for_of(table: Table, fields: Fields) -> OneFor | None:
    """The field whose elements the answer's list is about, or none."""
    value = table.value("answer")
    if not _is_place(value) or not ONE_FOR.intersection(value):
        return None
    inner = Table(table.where("answer"), value)
    at = tokens_of(inner.text("at"), inner.where("at"))
    source, index, most = inner.text("one_for"), inner.text("index"), inner.text("most")
    if source is None:
        raise SettingError(
            f"{inner.where('one_for')}: is missing: the field of the item that `index` or `most` is about"
        )
    return OneFor(
        at,
        _field_at(inner, "one_for", source, fields),
        None if index is None else tokens_of(index, inner.where("index")),
        None if most is None else _field_at(inner, "most", most, fields),
        source,
    )


def _field_at(inner: Table, key: str, source: str, fields: Fields) -> int:
    place = next((n for n, field in enumerate(fields.all) if field.source == source), None)
    if place is None:
        known = ", ".join(sorted({field.source for field in fields.all})) or "none"
        raise inner.error(key, f"is not a field of the templates; fields: {known}")
    return place


def _place(value: Any, where: str) -> Place:
    if isinstance(value, str):
        return Place(tokens_of(value, where))
    if not isinstance(value, dict):
        raise SettingError(
            f"{where}: is {type_word(value)}; expected a JSON Pointer, or {{ at = POINTER, type = ... }}"
        )
    table = Table(where, value)
    tokens = tokens_of(table.value("at", ""), table.where("at"))
    kind = table.text("type", "any", tuple(READERS))
    each = _places(table.value("each"), table, "each") if table.has("each") else None
    if each is not None and kind not in ("any", "list"):
        raise table.error("type", "excludes `each`, which reads a list")
    place = Place(
        tokens,
        "list" if each is not None else kind,
        table.boolean("optional", False),
        table.number("min"),
        table.number("max"),
        each,
        _join(table, each),
    )
    table.end()
    bound = "min" if place.low is not None else "max"
    if (place.low is not None or place.high is not None) and place.kind not in BOUNDED:
        raise table.error(bound, f"bounds numbers, and the type is {place.kind!r}")
    if place.low is not None and place.high is not None and place.low > place.high:
        raise table.error("min", f"must be at most max = {place.high:g}")
    return place


def _join(table: Table, each: AnswerPlaces | None) -> str | None:
    """What stands between the texts of a list that are one text; None for a list."""
    if not table.has("join"):
        return None
    if not isinstance(each, OnePlace):
        raise table.error("join", "joins the texts of `each`, which must be one place")
    return str(table.text("join"))


def usage_of(table: Table) -> UsagePlaces | None:
    """Where the server's token counts are, or none."""
    inner = table.table("usage")
    if inner is None:
        return None
    places = {
        name: tuple(tokens_of(one, inner.where(name)) for one in (at if isinstance(at, list) else [at]))
        for name in Usage.__struct_fields__
        if (at := inner.value(name)) is not None
    }
    inner.end()
    if not places:
        raise SettingError(f"{table.where('[usage]')}: is empty; known are {', '.join(Usage.__struct_fields__)}")
    return UsagePlaces(places)


def stream_of(table: Table, usage: UsagePlaces | None) -> StreamForm | None:
    """The form of a stream, or none."""
    inner = table.table("stream")
    if inner is None:
        return None
    lines = inner.text("format", "sse", ("sse", "json-lines")) == "json-lines"
    text = inner.value("text")
    if text is None and lines:
        raise SettingError(f"{inner.where('text')}: is missing: the place of the text in each line, such as '/delta'")
    end: Any = inner.value("end", "close" if lines else "[DONE]")
    end_name = _end_name(inner, end, lines)
    if end_name is not None:
        end = DONE
    elif isinstance(end, dict):
        end = _condition(inner, "end", end)
    elif not isinstance(end, str) or not end:
        raise inner.error(
            "end", 'expected "close", a payload such as "[DONE]", { event = "end" }, or { at = "/done", equals = true }'
        )
    elif end != "close":
        end = end.encode()
    error = inner.value("error", "/error")
    reasoning = inner.value("reasoning")
    if reasoning is not None and text is None:
        raise inner.error("reasoning", "stands beside `text`, which is missing")
    form = StreamForm(
        lines,
        None if text is None else tokens_of(text, inner.where("text")),
        end,
        tokens_of(error, inner.where("error")),
        usage,
        end_name,
        None if reasoning is None else tokens_of(reasoning, inner.where("reasoning")),
    )
    inner.end()
    return form


def _end_name(inner: Table, end: Any, lines: bool) -> bytes | None:
    """The name of the event that ends the stream, as in `event: end`; None if it ends in another way."""
    if not isinstance(end, dict) or "event" not in end:
        return None
    table = Table(inner.where("end"), end)
    name = table.text("event")
    table.end()
    if not name.strip() or lines:
        raise table.error("event", "JSON lines have no names" if lines else "is blank; expected the name of an event")
    return str(name).strip().lower().encode()
