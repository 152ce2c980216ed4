"""Mistakes in a task's file, in --map, in headers and certificates: one clear line each, exit code 2, nothing sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_cli import run

GOOD = 'answer = "/x"\nbody = { a = "{{ a }}" }\n'
BODY = 'body = { a = "{{ a }}" }\n'

FILES: list[tuple[str, str]] = [
    ("answer = ", "t.toml: not valid TOML: "),
    (BODY, "t.toml: answer: is missing: where the answer is"),
    (GOOD + 'anser = "/y"', "t.toml: anser: unknown key; did you mean answer"),
    (GOOD + "path = 3", "t.toml: path = 3: is a whole number, not a text"),
    (GOOD + 'path = "score"', "t.toml: path = 'score': expected a path that begins with /"),
    (GOOD + 'path = "https://h/score"', "the server is given with --target"),
    (GOOD + 'path = "/a?b=1"', "parameters of the query belong under [query]"),
    (GOOD + 'path = "/a/{{ b? }}"', "a part of a path cannot be left out"),
    (GOOD + 'method = "PSOT"', "did you mean 'POST'? expected one of POST, GET, PUT, PATCH, DELETE"),
    (GOOD + 'method = "GET"', "t.toml: body: a GET request has no body; use [query]"),
    (GOOD + 'form = { b = "c" }', "t.toml: form: excludes body"),
    ('answer = "/x"\nbody = { a = "b" }', "no template has a {{ field }}: every request would be the same"),
    ('answer = "/x"\nbody = { a = "{{ a" }', "body.a: {{ without }} in '{{ a'"),
    ('answer = "/x"\nbody = { a = "{{ a:nummer }}" }', "unknown type 'nummer'; known are text, number, integer"),
    ('answer = "/x"\nbody = { a = "{{ a = five }}" }', "the default 'five' is not JSON"),
    ('answer = "/x"\nbody = { a = "{{ a:integer = 1.5 }}" }', "the default: a: 1.5 is not a whole number"),
    ('answer = "/x"\nbody = { a = "{{ }}" }', "{{ }} is no field"),
    ('answer = "/x"\nbody = { a = "{{ a | trim }}" }', "body.a: {{ a | trim }}: is an expression of jinja2, and only"),
    ('answer = "/x"\npath = "/{{ a|upper }}"', "path: {{ a|upper }}: is an expression of jinja2, and only fields are"),
    (
        'answer = "/x"\nbody = \'{"a": "{{ a | default(1) }}"}\'',
        "is an expression of jinja2, and only fields are allowed",
    ),
    ('answer = "/x"\nbody = { a = \'{{ a | default("x") }}\' }', "--template FIELD=FILE makes a field from others"),
    ('answer = "/x"\nbody = { a = "{{ a if b else c }}" }', "is an expression of jinja2, and only fields are allowed"),
    ('answer = "/x"\nbody = { a = "{% if a %}{{ a }}{% endif %}" }', "begins a statement of jinja2, and only fields"),
    ('answer = "/x"\nbody = \'{"a": {{ a }}}\'', "body: is a text, but not JSON"),
    ('answer = "/x"\nbody = { a = "{{ a }}", b = nan }', "body.b = nan: JSON has no number for it"),
    ('answer = "x.y"\n' + BODY, "answer = 'x.y': a JSON Pointer begins with /: '/x/y'"),
    ('answer = { at = "/x", type = "float" }\n' + BODY, "expected one of any, text, number"),
    ('answer = { at = "/x", min = 2, max = 1 }\n' + BODY, "min = 2: must be at most max = 1"),
    ('answer = { at = "/x", typ = "number" }\n' + BODY, "answer: typ: unknown key; did you mean type?"),
    ('answer = "/a~2"\n' + BODY, "in a JSON Pointer ~ is written ~0"),
    ('answer = { at = "/x", type = "text", min = 2 }\n' + BODY, "min = 2: bounds numbers, and the type is 'text'"),
    ('answer = { at = "/x", each = "/y", max = 2 }\n' + BODY, "max = 2: bounds numbers, and the type is 'list'"),
    (GOOD + 'success = { otherwise = "rejected" }', "is the outcome of an answer that fails a condition"),
    (GOOD + 'headers = { X = "${HOME" }', "[headers] X: a ${ without its }; expected ${NAME}"),
    ('answer = "/x"\nbody = ' + "[" * 3000 + '"{{ a }}"' + "]" * 3000, "t.toml: lists or tables are nested too deeply"),
    (GOOD + "success = { status = 99 }", "[success] status = 99: 99 is not a status of HTTP from 200 to 599"),
    (GOOD + "success = { status = [] }", "is an empty list: no answer could be a success"),
    (GOOD + 'success = { when = { at = "/c" } }', "has no test; expected one of exists, equals, not_equals, one_of"),
    (GOOD + 'success = { when = { at = "/c", equals = 1, exists = true } }', "has exists and equals; expected one of"),
    (GOOD + 'success = { otherwise = "ok" }', "expected one of bad_response, rejected"),
    (GOOD + 'stream = { format = "json" }', "did you mean 'json-lines'? expected one of sse, json-lines"),
    (GOOD + 'stream = { format = "json-lines" }', "[stream] text: is missing"),
    (GOOD + "stream = { end = 3 }", 'expected "close", a payload such as "[DONE]"'),
    (GOOD + 'multipart = { b = "c" }', "t.toml: multipart: excludes body: a request has one body"),
    ('answer = "/x"\nbody = { a = "{{ a:file }}" }', "body.a: {{ a:file }}: a part of [multipart] alone may be a file"),
    ('answer = "/x"\nmultipart = { a = "x {{ a:file }}" }', "[multipart].a: {{ a:file }}: a part of [multipart] alone"),
    ('answer = "/x"\nmultipart = {}', "[multipart]: has no part"),
    ('answer = "/x"\nmultipart = { a = "{{ a }}", api_key = "sk-123456789" }', "api_key: has a secret's name"),
    (
        'answer = "/x"\nmultipart = { a = "{{ a }}" }\nheaders = { content-type = "a/b" }',
        "[headers] content-type: [multipart] sets it, with the boundary of the parts",
    ),
    (GOOD + 'batch = { over = "/b" }', "[batch] over = '/b': t.toml: body has no 'b'"),
    (
        'path = "/{{ m }}"\nanswer = "/x"\nbody = { a = ["{{ a }}"] }\nbatch = { over = "/a" }',
        "all items of a request, and {{ m }} stands in them: set it with --http t.toml:m=VALUE, or give it a default",
    ),
    (
        'answer = "/x"\nbody = { a = ["{{ a }}"], m = "{{ m }}" }\nbatch = { over = "/a" }',
        "body.m: {{ m }} stands outside of the lists of [batch] over: one request has several items; give it a default",
    ),
    (
        'answer = "/x"\nbody = { a = ["{{ a }}"], n = [true] }\nbatch = { over = "/a", count = "/n/0" }',
        "body.n.0: is a boolean; [batch] count needs the number of items, which is 1",
    ),
    (
        'answer = "/x"\nbody = { a = ["{{ a }}"] }\nbatch = { over = "/a", count = "/a" }',
        "one of its places lies in another, or in one of count",
    ),
    (
        'answer = "/x"\nbody = { a = ["{{ a }}"] }\nbatch = { over = "/a", index = "/i", flat = true }',
        "[batch] flat = true: excludes index",
    ),
    (GOOD + 'batch = { over = "/a" }', "body.a: is a text; [batch] over needs a list of one element"),
    (GOOD + 'batch = { over = "/a", max = 0 }', "[batch] max = 0: must be between 1 and 100000"),
    (GOOD + 'usage = { tokens = "/u" }', "[usage] tokens: unknown key; did you mean prompt_tokens"),
    (GOOD + 'cache_key = "same"', "has no field of the item; all items would have the same answer"),
    (GOOD + 'text = "b"', "is not a field of the templates that is a text; fields: a"),
    (GOOD + 'example = { b = "x" }', "[example]: a: is missing"),
    (GOOD + 'headers = { X-Team = "${NOT_SET_ANYWHERE}" }', "the environment variable NOT_SET_ANYWHERE is not set"),
    (GOOD + 'headers = { X-Team = "${a-b}" }', "${a-b} is not the name of a variable of the environment"),
    (GOOD + 'headers = { X-Api-Key = "sk-123456789" }', "has a secret's name and a value in the file; write ${NAME}"),
    (GOOD + 'query = { api_key = "sk-123456789" }', "[query] api_key: has a secret's name and a value in the file"),
    (GOOD + 'headers = { "X Team" = "a" }', "[headers]: 'X Team' is not the name of a header"),
    (GOOD + "headers = { X-Team = 3 }", "[headers] X-Team = 3: is a whole number, not a text"),
    (GOOD + 'headers = { Connection = "close" }', "Connection is set by the transport itself"),
    (GOOD + "idempotent = 1", "idempotent = 1: is a whole number, not true or false"),
    (GOOD + 'name = "a/b"', "expected up to 60 letters"),
    ("answer_format = 'text'\n" + GOOD, "answer: a text has no places; leave it out"),
]

OPTIONS: list[tuple[list[str], str]] = [
    (["--http", "nowhere.toml"], "nowhere.toml: No such file or directory"),
    (["--http", "olama-chat"], "olama-chat: No such file or directory; did you mean ollama-chat or"),
    (["--http", "ollama-chat:modle=x"], "ollama-chat: has no field modle to set; did you mean model?"),
    (["--http", "good.toml:a"], "good.toml:a: 'a' is not field=value"),
    (["--http", "good.toml:a=1,a=2"], "good.toml:a=1,a=2: a is given twice"),
    (["--http", "ollama-chat:max_tokens=few"], "num_predict: max_tokens=few: max_tokens: 'few' is not a number"),
    (["--http", "kserve-text:model=.."], "model: '..' cannot be a part of a path"),
    (
        ["--http", "ollama-embed", "--input", "q.csv", "--map", "text=q", "--param", "model=m"],
        "model is the same for all rows; set it with --http ollama-embed:model=VALUE",
    ),
    (["--http", "good.toml", "--task", "similarity"], "--http and --task exclude each other"),
    (["--http", "good.toml", "--map", "a=q"], "--map needs --input"),
    (["--http", "good.toml", "--input", "q.csv", "--map", "a"], "--map a: 'a' is not FIELD=COLUMN"),
    (["--http", "good.toml", "--input", "q.csv", "--map", "a=q,a=r"], "a is given twice"),
    (
        ["--http", "good.toml", "--input", "q.csv", "--map", "a=question"],
        "--map a=question: q.csv has no such column; it has id, q",
    ),
    (["--http", "good.toml", "--input", "q.csv"], "no line is an item of this task; line 2: a: is missing"),
    (["--http", "good.toml", "--input", "q.jsonl", "--map", "a=nope"], "a: is missing (--map a=nope; the row has q)"),
    (["--http", "good.toml", "--input", "empty.csv"], "empty.csv: is empty; the first line must hold the names"),
    (["--http", "good.toml", "--input", "twice.csv"], "the column 'a' is there twice"),
    (["--http", "number.toml"], "{{ n:number }} is no text, so no items can be made up; give --input FILE"),
    (["--target", "http://h", "--header", "X-Team"], "--header 'X-Team': expected \"NAME: VALUE\""),
    (["--target", "http://h", "--header", "X-Team:"], "--header X-Team: has no value"),
    (["--target", "http://h", "--header", "X: a", "--header", "x: b"], "--header x: is given twice"),
    (["--target", "http://h", "--header", "X-Key: ${NOT_SET_ANYWHERE}"], "variable NOT_SET_ANYWHERE is not set"),
    (["--target", "http://h", "--header", "Content-Length: 3"], "Content-Length is set by the transport itself"),
    (
        ["--target", "http://u:pass-word@h", "--header", "Authorization: Bearer other-key-77"],
        "--header Authorization: is given twice",
    ),
    (["--header", "X-Team: a"], "need --target: the mock takes none"),
    (["--target", "https://h", "--ca", "nowhere.pem"], "--ca nowhere.pem: there is no such file"),
    (["--target", "https://h", "--ca", "q.csv"], "--ca q.csv: is not in PEM format"),
    (["--target", "https://h", "--ca", "bad.pem"], "--ca bad.pem: holds no certificate"),
    (["--target", "https://h", "--ca", "bad.pem", "--insecure"], "--insecure and --ca exclude each other"),
    (["--target", "https://h", "--key", "bad.pem"], "--key needs --cert"),
    (["--target", "https://h", "--cert", "bad.pem"], "--cert bad.pem: holds no private key; add --key FILE"),
    (["--target", "http://h", "--proxy", "socks5://p:1"], "proxies over socks5 are not supported"),
    (["--target", "http://h", "--proxy", "http://p"], "--proxy http://p: expected http://[USER:PASSWORD@]HOST:PORT"),
    (["--target", "unix:/x.sock", "--proxy", "http://p:1"], "a Unix socket is reached without a proxy"),
    (["--target", "unix:/nowhere.sock", "--items", "1"], "target unix:/nowhere.sock: No such file or directory"),
    (["--target", "unix:/x.sock:v1"], "expected unix:/PATH/OF/SOCKET[:/PATH/ON/SERVER]"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with files that have a mistake each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PACELINE_TARGET_KEY", raising=False)
    files = {
        "good.toml": GOOD,
        "number.toml": 'answer = "/x"\nbody = { n = "{{ n:number }}" }\n',
        "q.csv": "id,q\n1,x\n",
        "q.jsonl": '{"q": 1}\n',
        "empty.csv": "",
        "twice.csv": "a,a\n1,2\n",
        "bad.pem": "-----BEGIN CERTIFICATE-----\nnope\n-----END CERTIFICATE-----\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refusal."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, ""), err
    assert err.startswith("paceline: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(("text", "expected"), FILES, ids=lambda value: value.strip()[-40:])
def test_a_mistake_in_the_file_is_one_line(
    text: str, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file, the key, the value and what is allowed; no secret is repeated."""
    (folder / "t.toml").write_text(text + "\n")
    line = said(capsys, "compare", "--http", "t.toml", "-s", "sync", "--target", "http://127.0.0.1:1", "--items", "1")
    assert expected in line
    assert "t.toml: " in line
    assert "sk-123456789" not in line
    assert not list(folder.glob("runs/*"))


@pytest.mark.parametrize(("arguments", "expected"), OPTIONS, ids=lambda value: " ".join(value)[-40:])
def test_a_mistake_in_the_options_is_one_line(
    arguments: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is sent, and without a run directory."""
    line = said(capsys, "compare", "-s", "sync", *arguments)
    assert expected in line
    assert not list(folder.glob("runs/*"))


def test_process_and_check_refuse_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The options are the same ones."""
    to = ["--target", "http://127.0.0.1:1"]
    assert 'expected "NAME' in said(capsys, "process", "q.jsonl", "--output", "o", *to, "--header", "X")
    assert "No such file" in said(capsys, "process", "q.jsonl", "--output", "o", *to, "--http", "nowhere.toml")
    assert "no such column" in said(capsys, "process", "q.csv", "--output", "o", *to, "--task", "embed", "--map", "a=b")
    assert "no such column" in said(capsys, "check", *to, "--http", "good.toml", "--input", "q.csv", "--map", "a=b")
    assert "exclude each other" in said(capsys, "check", *to, "--http", "good.toml", "--task", "embed")
    assert "--row 5: q.csv has fewer good rows" in said(
        capsys, "check", *to, "--http", "good.toml", "--input", "q.csv", "--map", "a=q", "--row", "5"
    )


def test_a_simulation_refuses_a_route_that_the_mock_has_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Virtual time has no other server."""
    (folder / "t.toml").write_text('path = "/score"\n' + GOOD)
    line = said(capsys, "simulate", "compare", "--http", "t.toml", "-s", "sync", "--items", "5")
    assert "has only the routes of the mock, and the mock has no route /score" in line
    (folder / "t.toml").write_text('path = "/v1/models"\n' + GOOD)
    assert "takes GET, not POST" in said(capsys, "simulate", "compare", "--http", "t.toml", "-s", "sync")
