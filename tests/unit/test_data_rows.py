"""Rows made from columns: --where, --template, --system, --param, ShareGPT and OpenAI batch files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.client.types import Item
from harness.load.chat_rows import parameters_of
from harness.load.mapped_fields import columns_of
from harness.load.workloads.jsonl import Jsonl

TABLE = "id,lang,body,n\n1,en,Late parcel,3\n2,de,Paket,4\n3,en,No parcel,x\n"


def bodies(path: Path, columns: tuple[str, ...] = (), **more: Any) -> tuple[list[dict[str, Any]], Jsonl]:
    """The bodies of requests of the task chat, and the file that was read."""
    task = plugins.make("task", "chat")
    rows = Jsonl(path, columns=columns_of(columns), reading=InputSettings(**more))
    rows.reading.check_tasks([task])
    return [json.loads(task.request([Item(0, data, task)]).body) for _, data, _ in rows.rows(task)], rows


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three tickets as CSV, with a template and a schema beside them."""
    (tmp_path / "prompt.j2").write_text('Label: {{ body | trim }} [{{ row["lang"] }}]{% if n == "3" %}!{% endif %}\n')
    (tmp_path / "bad_row.j2").write_text("{{ 10 // n|int(0) }}")
    (tmp_path / "broken.j2").write_text("a\n{{ body \n")
    (tmp_path / "other.j2").write_text("{{ subject }}")
    (tmp_path / "schema.json").write_text('{"type": "json_object"}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "escape.j2").write_text("{{ ''.__class__.__mro__ }}")
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path / "t.csv"


def test_a_template_makes_the_prompt_of_each_row_that_is_wanted(table: Path) -> None:
    """With a system message and parameters; texts are not escaped as HTML."""
    found, _ = bodies(
        table,
        where='lang == "en"',
        template=str(table.with_name("prompt.j2")),
        system="You label & sort.",
        parameters=("temperature=0", "stop=END", f"response_format=@{table.with_name('schema.json')}"),
    )
    assert [body["messages"] for body in found] == [
        [{"role": "system", "content": "You label & sort."}, {"role": "user", "content": f"Label: {text}"}]
        for text in ("Late parcel [en]!", "No parcel [en]")
    ]
    assert found[0]["temperature"] == 0
    assert (found[0]["stop"], found[0]["response_format"]) == ("END", {"type": "json_object"})


def test_what_a_row_has_itself_is_kept(tmp_path: Path) -> None:
    """Its own parameters and its own system message."""
    own = [{"role": "system", "content": "own"}, {"role": "user", "content": "a"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": own, "temperature": 1}))
    (body,), _ = bodies(tmp_path / "a.jsonl", system="other", parameters=("temperature=0", "top_p=0.5"))
    assert (body["messages"], body["temperature"], body["top_p"]) == (own, 1, 0.5)


def test_conversations_and_batch_files_are_read(tmp_path: Path) -> None:
    """The last answer of a conversation is what the server is asked for; the body of a batch line is its row."""
    turns = [("system", "s"), ("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", "d")]
    shared = [{"id": "x", "conversations": [{"from": who, "value": text} for who, text in turns]}]
    (tmp_path / "sharegpt.json").write_text(json.dumps(shared))
    (body,), _ = bodies(tmp_path / "sharegpt.json")
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        ("system", "s"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    asked = {"model": "m", "messages": [{"role": "user", "content": "q"}], "max_tokens": 9}
    line = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": asked}
    (tmp_path / "batch.jsonl").write_text(json.dumps(line))
    (body,), _ = bodies(tmp_path / "batch.jsonl")
    assert body == asked


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"template": "bad_row.j2"}, "template DIR/bad_row.j2: integer division or modulo by zero"),
        ({"where": "n|int(0) // (n|int(0)) == 1"}, "--where 'n|int(0) // (n|int(0)) == 1': integer division"),
        ({"template": "escape.j2"}, "access to attribute '__class__' of 'str' object is unsafe"),
    ],
)
def test_a_mistake_in_one_row_is_a_bad_row(more: dict[str, str], said: str, table: Path) -> None:
    """The others are sent; nothing outside of the row can be reached."""
    more = {name: str(table.with_name(value)) if name == "template" else value for name, value in more.items()}
    path = table.with_name("one.csv")
    path.write_text(TABLE)
    reader = Jsonl(path, columns={"text": "body"}, reading=InputSettings(**more))
    try:
        texts = [data for _, data, _ in reader.rows(plugins.make("task", "embed"))]
    except UsageError:
        texts = []
    assert len(texts) == (0 if "escape" in said or "class" in said else 2)
    assert said.replace("DIR", str(table.parent)) in str(reader.first_bad_line)


@pytest.mark.parametrize(
    ("columns", "more", "said"),
    [
        ("prompt=subject", {}, "--map prompt=subject: FILE has no such column; it has id, lang, body, n"),
        ("", {"template": "other.j2"}, "uses the column 'subject', which FILE does not have; it has id, lang, body, n"),
        ("", {"template": "none.j2"}, "none.j2: No such file or directory"),
        ("", {"template": "broken.j2"}, "broken.j2, line 2: unexpected end of template"),
        ("", {"where": "language == 1"}, "--where uses the column 'language', which FILE does not have"),
        ("", {"where": "lang =="}, "--where 'lang ==': "),
        ("prompt=body", {"where": "lang == 'fr'"}, "--where \"lang == 'fr'\" holds for no row"),
        ("", {"parameters": ("temperature",)}, "--param temperature: is not NAME=VALUE or NAME=@FILE.json"),
        ("", {"parameters": ("heat=1",)}, "--param heat=1: heat is no parameter of the task chat; it has"),
        ("", {"parameters": ("n=2",)}, "--param n=2: one answer a row is kept"),
        ("", {"parameters": ("seed=1", "seed=2")}, "--param seed=2: seed is given twice"),
        ("", {"parameters": ("tools=@DIR/none.json",)}, "none.json: No such file or directory"),
        ("", {"parameters": ("tools=@DIR/broken.json",)}, "broken.json is not JSON"),
        (
            "",
            {"template": "prompt.j2", "parameters": ("temperature=9",)},
            "temperature: must be a number between 0 and 2",
        ),
    ],
)
def test_a_mistake_is_one_line(columns: str, more: dict[str, Any], said: str, table: Path) -> None:
    """Before anything is sent."""
    given = dict(more)
    if "template" in given:
        given["template"] = str(table.with_name(given["template"]))
    if "parameters" in given:
        given["parameters"] = tuple(text.replace("DIR", str(table.parent)) for text in given["parameters"])
    with pytest.raises(UsageError) as refused:
        bodies(table, (columns,) if columns else (), **given)
    assert said in str(refused.value).replace(str(table), "FILE")
    assert "\n" not in str(refused.value)


def test_options_of_chat_are_refused_for_other_tasks() -> None:
    """They would be ignored."""
    chat, embed, rerank = (plugins.make("task", text) for text in ("chat", "embed", "http:file=rerank"))
    with pytest.raises(UsageError, match="--system: belongs to the tasks chat and responses; the task is embed"):
        InputSettings(system="a").check_tasks([embed])
    with pytest.raises(UsageError, match="--param seed=1: the task embed has no parameters"):
        InputSettings(parameters=("seed=1",)).check_tasks([chat, embed])
    with pytest.raises(UsageError, match="seed is no parameter of the task rerank; it has documents, model, query"):
        InputSettings(parameters=("seed=1",)).check_tasks([rerank])
    InputSettings(parameters=("model=m", "top_n=3")).check_tasks([rerank])


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {}}, {"properties": {"label": {"enum": ["a"]}}}])
def test_a_plain_json_schema_is_put_into_the_form_of_the_api(tmp_path: Path, schema: dict[str, Any]) -> None:
    """A whole parameter stays as it is."""
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    whole = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert parameters_of([f"response_format=@{file}"])["response_format"] == whole
    file.write_text(json.dumps(whole))
    assert parameters_of([f"response_format=@{file}"])["response_format"] == whole
