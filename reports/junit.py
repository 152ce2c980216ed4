"""JUnit XML, as CI servers read it: suites of test cases that passed, failed, could not be judged, or were skipped."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reports import labels

Status = Literal["passed", "failure", "error", "skipped"]


@dataclass(frozen=True)
class Check:
    """One test case: a condition, a gate, or a measurement."""

    name: str
    status: Status
    message: str = ""  # value, interval and bound, or the reason
    code: str = ""  # for programs
    time_s: float | None = None


@dataclass(frozen=True)
class Suite:
    """Checks of one subject, with the facts of its measurement."""

    name: str
    checks: Sequence[Check]
    properties: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    time_s: float | None = None


def document(suites: Sequence[Suite], timestamp: str) -> str:
    """The whole file. Texts from outside lose their control characters and are escaped."""
    root = ET.Element("testsuites", {"name": "paceline", **_counts([c for suite in suites for c in suite.checks])})
    del root.attrib["skipped"]
    for suite in suites:
        _suite(root, suite, timestamp)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, suite: Suite, timestamp: str) -> None:
    attributes = {"name": plain(suite.name), **_counts(suite.checks), "timestamp": plain(timestamp)}
    node = ET.SubElement(root, "testsuite", {**attributes, **_time(suite.time_s)})
    if suite.properties:
        properties = ET.SubElement(node, "properties")
        for name, value in suite.properties.items():
            ET.SubElement(properties, "property", {"name": plain(name), "value": plain(value)})
    for check in suite.checks:
        _check(node, f"paceline.{plain(suite.name)}", check)
    if suite.output:
        ET.SubElement(node, "system-out").text = "\n".join(plain(line) for line in suite.output.splitlines())


def _check(node: ET.Element, classname: str, check: Check) -> None:
    found = ET.SubElement(node, "testcase", {"classname": classname, "name": plain(check.name), **_time(check.time_s)})
    if check.status != "passed":
        more = {"type": plain(check.code)} if check.code else {}
        ET.SubElement(found, check.status, {"message": plain(check.message), **more}).text = plain(check.message)
    elif check.message:
        ET.SubElement(found, "system-out").text = plain(check.message)


def _counts(checks: Sequence[Check]) -> dict[str, str]:
    def number(status: Status) -> str:
        return str(sum(check.status == status for check in checks))

    return {
        "tests": str(len(checks)),
        "failures": number("failure"),
        "errors": number("error"),
        "skipped": number("skipped"),
    }


def _time(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"time": f"{seconds:.3f}"}


def plain(text: str) -> str:
    """One line with the characters that XML allows."""
    return "".join(sign for sign in labels.printable(text) if unicodedata.category(sign) != "Cn")
