"""Plug-ins by file name, their settings from text, and answers to every mistake."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import plugins
from harness.client.errors import UsageError
from harness.strategies.queue_stream import QueueStream
from harness.strategies.sync import Sync


@pytest.mark.parametrize("kind", sorted(plugins.KINDS))
def test_every_plugin_is_listed_and_has_a_line(kind: str) -> None:
    """Drop a file in and it is there: each name has a docstring line that a person can read."""
    names = plugins.names(kind)
    assert names
    for name in names:
        assert len(plugins.summary(kind, name)) > 10, name


@pytest.mark.parametrize("kind", ["strategy", "task", "limit", "load"])
def test_every_plugin_with_settings_builds_and_tells_them(kind: str, tmp_path: Path) -> None:
    """What is listed can be built from its name; its settings survive JSON."""
    (tmp_path / "t.toml").write_text('answer = ""\nbody = { a = "{{ a }}" }\n')
    needed = {"replay": ":path=trace.txt", "http": f":file={tmp_path / 't.toml'}"}
    for name in plugins.names(kind):
        plugin = plugins.make(kind, name + needed.get(name, ""))
        assert plugins.name_of(type(plugin)) == name
        assert plugins.build(kind, name, plugins.settings_of(plugin)) == plugin or kind == "limit"


def test_settings_are_read_by_the_fields_types() -> None:
    """Numbers, booleans and dashes in names."""
    made = plugins.make("strategy", "queue-stream:concurrency=7,ordered=yes,queue-size=3")
    assert made == QueueStream(concurrency=7, ordered=True, queue_size=3)
    assert plugins.make("load", "steps:factors=1|2.5").factors == (1.0, 2.5)


def test_a_class_of_ones_own_is_accepted() -> None:
    """`package.module:Class`, with settings."""
    made = plugins.make("strategy", "harness.strategies.queue_stream:QueueStream:concurrency=3")
    assert made == QueueStream(concurrency=3)
    assert plugins.load("strategy", "harness.strategies.sync:Sync") is Sync
    assert plugins.name_of(type("Own", (), {})) == "tests.unit.test_plugins:Own"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("syn", "unknown strategy 'syn': did you mean sync? known are adaptive"),
        ("zzz", "unknown strategy 'zzz': known are"),
        ("queue-stream:concurency=3", "unknown setting 'concurency': did you mean concurrency?"),
        ("queue-stream:concurrency=x", "concurrency='x' is not a whole number"),
        ("queue-stream:ordered=perhaps", "ordered='perhaps' is not true or false"),
        ("queue-stream:concurrency=0", "concurrency=0 must be between 1 and 100000"),
        ("queue-stream:concurrency", "is not key=value"),
        ("no.such.module:Class", "cannot be imported"),
        ("sync:x=1", "known are none"),
        ("asyncio:Queue", "strategy 'asyncio:Queue' is not a strategy: the class has no stream and no blocking"),
        ("tests.unit.test_plugins:Plain", "it is no dataclass whose fields are its settings"),
        ("tests.unit.test_plugins:Odd", "strategy tests.unit.test_plugins:Odd: KeyError: 'x'"),
        ("os.path:sep", "strategy 'os.path:sep' is not a class"),
        ("queue-stream.x:Y", "No module named 'queue-stream' (searched: installed packages, then "),
        ("no_such_module:Class:x=1", "strategy 'no_such_module:Class' cannot be imported"),
    ],
)
def test_mistakes_name_what_is_wrong_and_what_is_allowed(text: str, says: str) -> None:
    """One line for each."""
    with pytest.raises(UsageError) as caught:
        plugins.make("strategy", text)
    assert says in str(caught.value)


class Plain:
    """A strategy whose settings cannot be known."""

    blocking = False

    def stream(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Odd(Plain):
    """A strategy that fails when it is made."""

    def __post_init__(self) -> None:
        raise KeyError("x")


def test_conversion_of_optional_literal_and_tuple_settings() -> None:
    """None, one of several words, and lists."""
    assert plugins.convert("x", "none", float | None) is None
    assert plugins.convert("x", "2", int | None) == 2
    with pytest.raises(UsageError, match="one of constant, uniform, lognormal"):
        plugins.convert("x", "odd", __import__("typing").Literal["constant", "uniform", "lognormal"])
    with pytest.raises(UsageError, match=r"values separated by \|, each a number"):
        plugins.convert("x", "1|b", tuple[float, ...])
    assert plugins.convert("x", "text", str) == "text"


@pytest.mark.parametrize("value", [2.5, float("inf"), float("nan"), True, None, [1], {}, "2.5", ""])
def test_what_is_no_whole_number_is_refused_not_cut_off(value: object) -> None:
    """From the command line, JSON or TOML."""
    with pytest.raises(UsageError, match=r"^x=.* is not a whole number$"):
        plugins.convert("x", value, int)


@pytest.mark.parametrize(
    ("value", "hint", "says"),
    [
        (3, tuple[float, ...], r"not values separated by \|"),
        (None, bool, "not true or false"),
        (True, float, "not a number"),
        (3, str, "not a text"),
        ("x", float | None, "x='x' is not a number"),
    ],
)
def test_values_of_other_types_are_refused_in_words(value: object, hint: object, says: str) -> None:
    """Never a traceback."""
    with pytest.raises(UsageError, match=says):
        plugins.convert("x", value, hint)


def test_values_that_mean_the_same_are_accepted() -> None:
    """As JSON, TOML and the command line spell them."""
    assert (plugins.convert("x", 2.0, int), plugins.convert("x", 3, float)) == (2, 3.0)
    assert [plugins.convert("x", word, bool) for word in ("on", "No", True, "1")] == [True, False, True, True]
    assert plugins.convert("x", [1, 2.5], tuple[float, ...]) == (1.0, 2.5)
    assert plugins.convert("x", None, int | None) is None


def test_what_a_plugin_needs_is_named() -> None:
    """Settings without a default."""
    with pytest.raises(UsageError, match=r"^here: needs name$"):
        plugins.fill(Needy, "here", {})
    assert plugins.fill(Needy, "here", {"name": "x"}) == Needy("x")


@dataclasses.dataclass(frozen=True)
class Needy:
    """Has a setting that nobody can guess."""

    name: str
    size: int = 1


def test_a_kind_whose_package_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when only the client is installed."""
    monkeypatch.setitem(plugins.KINDS, "chart", "not_there.charts")
    with pytest.raises(UsageError, match=r"the package not_there.charts is not installed"):
        plugins.names("chart")


def test_a_package_is_a_plugin_if_it_defines_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other packages beside plug-ins are machinery, and not listed."""
    for name, text in (("two_parts", '"""One."""\n\n\nclass TwoParts:\n    """Two."""\n'), ("machinery", "X = 1\n")):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(text)
    monkeypatch.setattr(plugins, "folder", lambda kind: tmp_path / "packages")
    assert plugins.names("task") == ["two-parts"]
    assert plugins.summary("task", "two-parts") == "Two."
