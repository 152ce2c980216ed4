"""Docs that tests keep true: links lead somewhere, commands parse, examples run, every dependency has its line."""

from __future__ import annotations

import asyncio
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from harness import plugins
from harness.cli.main import COMMANDS
from harness.client import stack
from model_server.engines.settings import sources
from tests.processes import ROOT, mock

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str = "") -> list[str]:
    """Fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    """Within the repository."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def commands() -> list[str]:
    """Every line in a code block that calls paceline."""
    lines = [line for page in PAGES for block in blocks(page, "[a-z]*") for line in block.splitlines()]
    found = [re.sub(r"^(- run: |\$ )", "", line.strip()).split("   #")[0] for line in lines]
    return sorted({line for line in found if line.startswith("paceline ") and line.split()[1:2] != ["DIR"]})


def write_own_files(folder: Path) -> None:
    """The files of docs/extending.md, for the commands that name them."""
    for name, text in examples().items():
        if "/" not in name:
            (folder / name).write_text(text, encoding="utf-8")


def examples() -> dict[str, str]:
    """The complete files of docs/extending.md by name: the first line of each Python block is its path."""
    page = ROOT / "docs" / "extending.md"
    found = {block.splitlines()[0].removeprefix("# "): block for block in blocks(page, "python")}
    [profile] = blocks(page, "toml")
    return {**found, "bad_minute.toml": profile}


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_docs_is_one(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subcommand and options exist and take these values; plug-ins named in it are there."""
    monkeypatch.chdir(tmp_path)
    write_own_files(tmp_path)
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    command: click.Command = importlib.import_module(f"harness.cli.{words[0].replace('-', '_')}").command
    if isinstance(command, click.Group):
        command, words = command.commands[words[1]], words[1:]
    context = command.make_context(words[0], words[1:], resilient_parsing=False)
    if command.name == "model":  # its tasks are the server's, several at once
        options = context.params
        assert sources(options["task"].split(","), list(options["model"]), options["random_weights"])
        return
    for kind in ("strategy", "task", "load"):
        given = context.params.get(kind) or ()
        for text in (given,) if isinstance(given, str) else given:
            plugins.make(kind, stack.split(text)[0])


def test_the_example_of_a_client_runs_as_it_stands() -> None:
    """Ten lines against a real server, answers in input order."""
    names: dict[str, object] = {}
    exec(blocks(ROOT / "docs" / "strategies.md", "python")[0], names)  # noqa: S102 - the docs' own code
    rows = [{"text1": "a b c", "text2": "a b c"}, {"text1": "a b c", "text2": "x y z"}] * 20
    with mock() as server:
        answers = asyncio.run(names["main"](server.url, rows))  # type: ignore[operator] # a coroutine function
    assert len(answers) == 40
    assert answers[0] == pytest.approx(1.0)
    assert answers[1] < answers[0]


def test_the_application_of_the_client_page_runs_as_it_stands() -> None:
    """Bad rows are skipped, answers keep the positions of their rows."""
    names: dict[str, object] = {}
    exec(blocks(ROOT / "docs" / "client.md", "python")[0], names)  # noqa: S102 - the docs' own code
    rows = [{"text1": "a b c", "text2": "a b c"}, {"text1": "no second text"}] * 20
    with mock() as server:
        found = asyncio.run(names["main"](server.url, rows, {"X-Tenant": "a"}))  # type: ignore[operator] # a coroutine function
    scores, failures, skipped = found
    assert (sorted(scores), failures, skipped) == (list(range(0, 40, 2)), {}, 20)
    assert scores[0] == pytest.approx(1.0)


def test_every_public_name_of_the_client_is_on_its_page() -> None:
    """docs/client.md names them, but for the functions for authors of strategies and layers."""
    from harness import client

    page = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    helpers = {"chunks", "no_layers", "request_for", "result_of"}
    assert {name for name in client.__all__ if f"`{name}" not in page} <= helpers


def test_the_example_of_layers_runs_as_it_stands() -> None:
    """Ten lines against a real server; equal texts cost one exchange."""
    names: dict[str, object] = {}
    exec(blocks(ROOT / "docs" / "layers.md", "python")[0], names)  # noqa: S102 - the docs' own code
    texts = [f"text {number % 5}" for number in range(40)]
    with mock("llm-annotation", speed=100.0) as server:
        before = server.seen() or 0
        answers = asyncio.run(names["main"](server.url, texts))  # type: ignore[operator] # a coroutine function
        seen = (server.seen() or 0) - before
    assert set(answers) == set(texts)
    assert all(answers.values())
    assert seen <= 10


def test_every_layer_is_in_its_table() -> None:
    """docs/layers.md names them all."""
    page = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in stack.names())


def test_the_figures_of_every_layer_are_in_the_docs() -> None:
    """By name, with the ratios; what holds the reason of a guard is said in words."""
    page = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    table = page.split("## Figures")[1].split("## The order")[0]
    for name in stack.names():
        row = re.search(rf"^\| {name} \| (.+) \|$", table, re.MULTILINE)
        assert row is not None, name
        for ratio in getattr(plugins.load("layer", name), "ratios", ()):
            assert f"`{ratio.name}`" in row[1]
            for figure in (ratio.part, *ratio.of):
                assert f"`{figure}`" in row[1], (name, figure)


NAMED_PATH = re.compile(r"(?<![\w/.-])(?:harness|model_server|mock_server|scenarios|reports|tests)/[\w./*-]*\w")
"""A path of this repository; a placeholder in capitals (`NAME.png`) ends before its name."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_paths_and_modules_exist(page: Path) -> None:
    """Each path and each module of ours that a page names is in the tree; files of examples are not."""
    text = page.read_text(encoding="utf-8")
    made_by_examples = examples()
    for path in sorted(set(NAMED_PATH.findall(text))):
        assert path in made_by_examples or any(ROOT.glob(path)), path
    for name in sorted(set(re.findall(r"`((?:harness|model_server|mock_server|scenarios|reports)\.[\w.]*\w)", text))):
        assert is_name_of_ours(name), name


def is_name_of_ours(dotted: str) -> bool:
    """A module, or a name within one. A class in a module that needs an extra is not looked up."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        stem = ROOT.joinpath(*parts[:end])
        if stem.is_dir() or stem.with_suffix(".py").exists():
            value = importlib.import_module(".".join(parts[:end]))
            for part in parts[end:]:
                if not hasattr(value, part):
                    return False
                value = getattr(value, part)
            return True
    return False


def test_every_room_is_on_the_page_of_the_architecture() -> None:
    """Every package of ours down to the third level, but for folders of data or of one plug-in kind within a room."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    within = {"harness/load/pacers", "harness/load/workloads"}
    patterns = ("harness/*/__init__.py", "harness/*/*/__init__.py", "model_server/*/__init__.py")
    rooms = {str(path.parent.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)} - within
    assert {room for room in rooms if f"`{room}`" not in page} <= {"harness/measure"}  # its parts are on it


def test_every_dependency_has_its_line() -> None:
    """Of docs/dependencies.md, for users and for developers."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        assert re.split(r"[>=<;\[ ]", line)[0] in text, line


def test_every_chart_and_strategy_is_in_its_table() -> None:
    """docs/reports.md and docs/strategies.md name them all."""
    reports = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in reports for name in plugins.names("chart"))
    strategies = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert all(f"`{name}" in strategies for name in plugins.names("strategy"))
