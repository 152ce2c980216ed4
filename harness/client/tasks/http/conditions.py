"""Conditions on a body: `200 {"error": ...}` is a failure, with the server's own message."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.client.errors import BadResponse
from harness.client.outcome import Outcome
from harness.client.redaction import excerpt
from harness.client.tasks.http.pointer import MISSING, Tokens, found, pointer


class Condition(msgspec.Struct, frozen=True):
    """A condition on the body."""

    tokens: Tokens
    test: str  # exists, equals, not_equals, one_of
    value: Any

    def holds(self, body: Any) -> bool:
        """Whether the body meets it; null counts as missing for `exists`."""
        value = found(body, self.tokens)
        if self.test == "exists":
            return (value is not MISSING and value is not None) is self.value
        if self.test == "equals":
            return _same(value, self.value)
        if self.test == "not_equals":
            return not _same(value, self.value)
        return any(_same(value, each) for each in self.value)

    def fault(self, body: Any) -> str:
        """Why it does not hold."""
        value = found(body, self.tokens)
        name = pointer(self.tokens) or "the answer"
        if self.test == "exists":
            return f"{name} is missing" if self.value else f"{name} is there: {shown(value)}"
        wanted = {"equals": "", "not_equals": "anything but ", "one_of": "one of "}[self.test] + shown(self.value)
        return f"{name} is {'missing' if value is MISSING else shown(value)}, expected {wanted}"


def _same(value: Any, other: Any) -> bool:
    return value is not MISSING and isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def shown(value: Any) -> str:
    """A value in an error message."""
    return excerpt(msgspec.json.encode(value).decode(), 160)


class Success(msgspec.Struct, frozen=True):
    """What counts as a success beside the status, and the outcome of anything else."""

    conditions: tuple[Condition, ...] = ()
    message: Tokens | None = None
    otherwise: Outcome = Outcome.bad_response

    def check(self, body: Any) -> None:
        """Raise BadResponse unless every condition holds."""
        for condition in self.conditions:
            if not condition.holds(body):
                said = "" if self.message is None else found(body, self.message)
                text = f": {excerpt(said if isinstance(said, str) else shown(said), 200)}" if said else ""
                text = "" if said is MISSING else text
                raise BadResponse(f"not a success: {condition.fault(body)}{text}", self.otherwise)
