"""docs/recipes.md: each recipe is played in an empty directory, with its own files and commands.

The commands run in this process. Those that measure the mock are played in virtual time; three recipes measure for
real, with a shorter load. `python -m tests.docs.test_recipes NUMBER` prints what the commands of a recipe say.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest

from harness.cli.main import main
from tests.docs.test_commands import reasons
from tests.http.foreign import KEY, served_beside
from tests.processes import BUSY, ROOT, mock

PAGE = ROOT / "docs" / "recipes.md"
MEASURED = ("In-house", "A pipeline of transformers", "In CI")
"""Recipes whose comparisons are measured for real; all others have the mock's routes, as virtual time has."""
FOREIGN = ("https://models.internal", "http://127.0.0.1:9000")
OURS = ("https://api.openai.com", *(f"http://127.0.0.1:{port}" for port in (8000, 8080, 8081, 11434)))
SHORTER = [
    (r"--items \d+", "--items 30"),
    (r"--duration \d+", "--duration 4"),
    (r"seq 0 99999", "seq 0 299"),
    (r"% 80000", "% 240"),
]
KEYS = {"SCORE_KEY": KEY, "PACELINE_TARGET_KEY": "sk-recipes-0123456789"}
MEASURES = re.compile(r"^paceline (compare|run) ")


@dataclass
class Step:
    """Commands, and the excerpt of what they print."""

    commands: list[str]
    shown: list[str] = field(default_factory=list)


@dataclass
class Recipe:
    """A section of the page."""

    title: str
    files: dict[str, str]
    steps: list[Step]


def recipes() -> list[Recipe]:
    """All of them."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [_recipe(section) for section in sections]


def _recipe(section: str) -> Recipe:
    made = Recipe(section.splitlines()[0], {}, [])
    for before, language, block in re.findall(r"^([^\n]*)\n```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
        named = re.match(r"`([\w./-]+)`.*:$", before)
        if named is not None and language not in {"bash", "text"}:
            made.files[named[1]] = block
        elif language == "bash":
            made.steps.append(Step([line.split("   #")[0].strip() for line in block.splitlines() if line.strip()]))
        elif language == "text":
            made.steps[-1].shown += block.splitlines()
    return made


@dataclass
class Kitchen:
    """The servers, and a way to run a line as a reader would."""

    foreign: str
    ours: str

    def run(self, line: str, title: str, environment: dict[str, str]) -> str:
        """What a line prints; it must end well."""
        if exported := re.fullmatch(r"export (\w+)=(\S+)", line):
            environment[exported[1]] = KEYS.get(exported[1], exported[2])
            return ""
        for urls, url in ((FOREIGN, self.foreign), (OURS, self.ours)):
            for one in urls:
                line = line.replace(one, url)
        for pattern, shorter in SHORTER if title.startswith(MEASURED) or not MEASURES.match(line) else ():
            line = re.sub(pattern, shorter, line)
        if not line.startswith("paceline "):
            return self._shell(line, environment)
        return self._paceline(line, title, environment)

    def _shell(self, line: str, environment: dict[str, str]) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            env={**os.environ, **environment, "PATH": path, "GITHUB_STEP_SUMMARY": "summary.md"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _paceline(self, line: str, title: str, environment: dict[str, str]) -> str:
        arguments = shlex.split(os.path.expandvars(line) if "$(" in line else line)[1:]
        if MEASURES.match(line):
            arguments += ["--no-report"]
            if title.startswith(MEASURED):
                arguments += ["--no-calibrate"]
            else:
                arguments = simulated(arguments)
        said = StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            for name in KEYS:
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        busy = ended.value.code == 4 and reasons(Path.cwd()) <= BUSY
        assert ended.value.code == 0 or busy, f"{line}\n{said.getvalue()}"
        return said.getvalue()


def simulated(arguments: list[str]) -> list[str]:
    """The same in virtual time: `simulate` has no scenarios, and no target."""
    if arguments[0] == "run":
        arguments = ["compare", *arguments[2:]]
    at = arguments.index("--target")
    return ["simulate", *arguments[:at], *arguments[at + 2 :], "--server", "llm-annotation"]


@pytest.fixture(scope="module")
def kitchen() -> Iterator[Kitchen]:
    """The servers of all recipes."""
    with servers() as made:
        yield made


@contextmanager
def servers() -> Iterator[Kitchen]:
    """A foreign one, and a mock that generates texts."""
    with ExitStack() as stack:
        yield Kitchen(stack.enter_context(served_beside()), stack.enter_context(mock("llm-annotation", speed=50.0)).url)


def played(recipe: Recipe, kitchen: Kitchen, folder: Path) -> list[tuple[Step, dict[str, str]]]:
    """Each step with what each of its commands prints."""
    for name, text in recipe.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace('duration = "10s"', 'duration = "4s"'), encoding="utf-8")
    environment: dict[str, str] = {}
    return [
        (step, {line: kitchen.run(line, recipe.title, environment) for line in step.commands}) for step in recipe.steps
    ]


def form(line: str) -> str:
    """A line without its figures, times and blanks: those differ between runs."""
    line = re.sub(r"https?://[\w.:-]+", "URL", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*( (ms|s|µs)\b)?", "N", line)).strip()


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.title.replace(" ", "-"))
def test_a_recipe_works_from_nothing(
    recipe: Recipe, kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files and commands do what it shows: every line of its excerpts is printed, but for figures."""
    monkeypatch.chdir(tmp_path)
    for step, said in played(recipe, kitchen, tmp_path):
        printed = {form(line) for output in said.values() for line in output.splitlines()}
        # What is measured for real differs in more than figures, so its cases and headings are compared.
        real = recipe.title.startswith(MEASURED)
        measured = [output for command, output in said.items() if real and MEASURES.match(command)]
        names = {form(line).partition(" ")[0] for output in measured for line in output.splitlines()}
        for line in filter(None, map(form, step.shown)):
            assert line == "..." or line in printed or line.partition(" ")[0] in names, f"{line}\n{said}"


def test_there_are_twelve_recipes_of_one_form() -> None:
    """What you have, commands, what to look at, and mistakes."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(sections) == 12
    for section in sections:
        parts = ("**You have**", "\npaceline ", "```text\n", "**Look at**", "**Mistakes.**")
        assert [part for part in parts if part not in section] == [], section.splitlines()[0]
        assert len(section.splitlines()) <= 75, section.splitlines()[0]


def test_the_in_house_api_takes_a_short_file_and_no_python() -> None:
    """One TOML file of at most twelve lines."""
    (recipe,) = [recipe for recipe in recipes() if recipe.title.startswith("In-house")]
    assert sorted(recipe.files) == ["questions.csv", "score.toml"]
    assert len(recipe.files["score.toml"].splitlines()) <= 12


if __name__ == "__main__":
    import tempfile

    chosen = recipes()[int(sys.argv[1]) - 1]
    with servers() as kitchen_of_all, tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for _, outputs in played(chosen, kitchen_of_all, Path(place)):
            for command, output in outputs.items():
                print(f"$ {command}\n{output}")
