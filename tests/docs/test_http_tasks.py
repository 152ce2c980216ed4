"""docs/http-tasks.md: every TOML block is a task, and the table has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.client.errors import SettingError
from harness.client.tasks.http import Http
from harness.client.tasks.http.answers import READERS
from harness.client.tasks.http.fields import KINDS
from harness.client.types import Item
from tests.docs.test_docs import ROOT, blocks
from tests.http.foreign import KEY, served_beside

PAGE = ROOT / "docs" / "http-tasks.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(len(blocks(PAGE, "toml"))))
def test_every_example_is_a_task(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It compiles, and a made-up row of texts and numbers becomes a request."""
    for name in ("SCORE_KEY", "SEARCH_KEY"):
        monkeypatch.setenv(name, "a-secret-value")
    task = Http(text=blocks(PAGE, "toml")[number])
    values = {"list": "[1]", "file": str(PAGE)}
    row = {field.source: values.get(field.kind, "1") for field in task.made.fields.all}
    assert task.request((Item(0, task.parse(row), task),)).path


def known(text: str) -> set[str]:
    """The keys that the code knows where this file has a wrong one."""
    with pytest.raises(SettingError) as error:
        Http(text=text)
    return set(re.search(r"known are (.*)$", str(error.value))[1].split(", "))  # type: ignore[index]


def test_the_table_has_every_key() -> None:
    """No key more, none less; and the parts of tables are named."""
    section = TEXT.partition("## Keys")[2].partition("## Secrets")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))
    good = 'answer = "/x"\nbody = { a = "{{ a }}" }\n'
    assert set(rows) == known(good + "wrong = 1")
    for table in ("success", "stream", "usage"):
        assert known(good + f"{table} = {{ wrong = 1, text = '/x' }}") <= set(re.findall(r"`(\w+)`", rows[table]))
    assert known(good + "batch = { wrong = 1, over = '/a' }") <= set(re.findall(r"`(\w+)`", rows["batch"]))


def test_every_type_is_named() -> None:
    """Those of fields, and those of answers."""
    named = set(re.findall(r"`([\w-]+)`", TEXT))
    assert set(KINDS) - {"any"} <= named
    assert set(READERS) - {"any"} <= named


def test_the_example_of_ones_own_code_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the foreign server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORE_KEY", KEY)
    (tmp_path / "score.toml").write_text(blocks(PAGE, "toml")[0])
    (code,) = blocks(PAGE, "python")
    with served_beside() as url:
        exec(code.replace("https://models.internal", url), {"__name__": "__main__"})  # noqa: S102 - the docs' own code
    assert float(capsys.readouterr().out) > 0
