"""The in-house API of another team, from nothing to a comparison: a TOML file of nine lines and no Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.servers import Host
from tests.http.foreign import IN_HOUSE, KEY, environment_with_key, score_of, served_beside
from tests.processes import ROOT, went_well
from tests.server_helpers import null_app
from tests.unit.test_cli import run

QUESTIONS = "id,question1,question2\n" + "".join(f'{n},"What, is ""{n}""?","line\nbreak {n}"\n' for n in range(40))
MAP = ["--map", "a=question1,b=question2", "--header", "X-Team: search", "--input", "questions.csv"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The foreign server."""
    with served_beside() as found:
        yield found


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    """The mock, in a thread of its own."""
    host = Host()
    yield host.serve("mock", (), null_app).url
    host.stop()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the user has: a file of questions, and the file that describes the API."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREIGN_KEY", KEY)
    monkeypatch.delenv("PACELINE_TARGET_KEY", raising=False)
    (tmp_path / "questions.csv").write_text(QUESTIONS)
    (tmp_path / "score.toml").write_text(IN_HOUSE)
    assert len(IN_HOUSE.splitlines()) <= 12
    return tmp_path


def no_secret_in(folder: Path) -> None:
    """Neither plan, records, results, reports nor logs hold the key."""
    assert [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_two_strategies_are_compared_on_a_foreign_api(url: str, folder: Path) -> None:
    """As a user types it; the definition is in the plan, the key nowhere."""
    line = ["harness", "compare", "--target", url, "--http", "score.toml", *MAP, "-s", "sync", "-s", "adaptive"]
    done = subprocess.run(
        [sys.executable, "-m", *line, "--out", "out", "--no-calibrate"],
        check=False,
        capture_output=True,
        text=True,
        env={**environment_with_key(), "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    went_well(done, folder / "out")
    result = json.loads((folder / "out" / "result.json").read_text())
    assert [case["counts"]["ok"] for case in result["cases"]] == [40, 40]
    assert [case["task"] for case in result["cases"]] == ["score", "score"]
    plan = json.loads((folder / "out" / "plan.json").read_text())
    plan = plan.get("content", plan)
    assert "${FOREIGN_KEY}" in json.dumps(plan)
    no_secret_in(folder)


def test_process_writes_the_answers_of_a_foreign_api(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids are kept; a second call with another definition is refused."""
    line = ["process", "questions.csv", "--output", "out.jsonl", "--target", url, "--http", "score.toml", *MAP[:4]]
    code, _, err = run(capsys, *line)
    assert code == 0, err
    answers = [json.loads(text) for text in (folder / "out.jsonl").read_text().splitlines()]
    assert answers[7] == {"line": 9, "id": "7", "answer": score_of('What, is "7"?', "line\nbreak 7")}
    assert len(answers) == 40
    (folder / "score.toml").write_text(IN_HOUSE.replace("/data/score", "/data"))
    code, _, err = run(capsys, *line, "--resume")
    assert (code, "--resume: tasks was" in err) == (2, True), err
    no_secret_in(folder)


def test_process_continues_within_a_file_of_columns(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More rows at its end: only they are sent."""
    line = ["process", "questions.csv", "--output", "out.jsonl", "--target", url, "--http", "score.toml", *MAP[:4]]
    assert run(capsys, *line)[0] == 0
    with (folder / "questions.csv").open("a") as file:
        file.write('x,"a\nb",c\n')
    code, _, err = run(capsys, *line, "--resume")
    assert code == 0, err
    answers = [json.loads(text) for text in (folder / "out.jsonl").read_text().splitlines()]
    assert len(answers) == 41
    assert answers[-1] == {"line": 42, "id": "x", "answer": 0.0}


@pytest.mark.parametrize("command", ["process", "compare"])
def test_a_job_queue_that_the_server_does_not_have_is_one_line(
    command: str, url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In place of a failure for each item; nothing is written."""
    given = {"process": ["questions.csv", "--output", "out.jsonl", *MAP[:4]], "compare": [*MAP, "--out", "out"]}
    line = [command, *given[command], "--target", url, "--http", "score.toml", "-s", "jobs:size=10"]
    code, _, err = run(capsys, *line)
    assert (code, err.count("\n")) == (2, 1), err
    assert f"-s jobs: needs a server with the route /v1/jobs, and {url} answers 404 there; a strategy that sends" in err
    assert not list(folder.glob("out*"))


def test_check_shows_a_good_item(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Request, answer, its form and the time; no secret."""
    code, out, _ = run(capsys, "check", "--target", url, "--http", "score.toml", *MAP, "--row", "3")
    assert code == 0, out
    assert f"POST {url}/api/v2/score" in out
    assert "Authorization: ***" in out
    assert "X-Team: search" in out
    assert '"a": "What, is \\"2\\"?"' in out
    assert "/data/score  a number      0.0" in out
    assert "ok: the task reads 0.0" in out
    assert KEY not in out


CHECKS = [
    ("X-Team", "X-Tem", "client_error: HTTP 401", "The key that was sent is not accepted"),
    ("/api/v2/score", "/api/v3/score", "client_error: HTTP 404", "look at `path` in score.toml"),
    ("/api/v2/score", "/search", "client_error: HTTP 405", "it takes GET,HEAD: look at `method` in score.toml"),
    ("/api/v2/score", "/xml", "the answer is XML, not JSON", "Compare the request and the answer above"),
    ("/api/v2/score", "/deep", "the answer is not JSON", "Compare the request and the answer above"),
    ("/data/score", "/data/Score", "/data has only score", '"/data/score" (a number, 0.'),
    ("/api/v2/score", "/sse-to", "HTTP 404", "look at `path`"),
]


@pytest.mark.parametrize(("old", "new", "error", "hint"), CHECKS)
def test_check_says_what_to_change(
    old: str, new: str, error: str, hint: str, url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; the reason, and a sentence that helps."""
    (folder / "score.toml").write_text(IN_HOUSE.replace(old, new))
    headers = [] if old == "X-Team" else MAP[2:4]
    code, out, _ = run(capsys, "check", "--target", url, "--http", "score.toml", *headers)
    assert code == 1, out
    assert error in out
    assert hint in out
    assert KEY not in out


def test_check_knows_streams_and_servers_that_are_not_there(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream that is taken for an answer; nothing at the port."""
    (folder / "sse.toml").write_text('path = "/sse"\nanswer = "/x"\nbody = { prompt = "{{ p }}" }\n')
    code, out, _ = run(capsys, "check", "--target", url, "--http", "sse.toml")
    assert (code, "describe it under [stream]" in out) == (1, True), out
    (folder / "sse.toml").write_text(
        'path = "/sse"\nstream = { text = "/tok/word", end = "close" }\nbody = { prompt = "{{ p }}" }\n'
    )
    code, out, _ = run(capsys, "check", "--target", url, "--http", "sse.toml")
    assert code == 1
    assert "without a piece of text at /tok/word; events have tok" in out
    assert "/tok/t" in out, "the form of an event"
    (folder / "sse.toml").write_text('path = "/none"\nstream = { text = "/t" }\nbody = { prompt = "{{ p }}" }\n')
    code, out, _ = run(capsys, "check", "--target", url, "--http", "sse.toml")
    assert (code, "HTTP 404: 404: Not Found" in out, "look at `path` in sse.toml" in out) == (1, True, True), out
    code, out, _ = run(capsys, "check", "--target", "http://127.0.0.1:1", "--json")
    found = json.loads(out)
    assert (code, found["outcome"], found["answer"]) == (1, "connection_error", None)
    assert "is the server running" in found["hints"][0]


def test_check_shows_the_size_of_a_file_in_place_of_its_bytes(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts with texts are shown, and a file that is not there is a bad row."""
    (folder / "t.toml").write_text(
        'path = "/transcribe"\nanswer = ""\nmultipart = { tag = "x", file = "{{ f:file }}" }\n'
    )
    (folder / "a.wav").write_bytes(b"RIFF\0\xff" * 500)
    (folder / "f.csv").write_text("f\na.wav\n")
    code, out, _ = run(capsys, "check", "--target", url, "--http", "t.toml", "--input", "f.csv")
    assert code == 0, out
    assert 'name="file"; filename="a.wav"\n  Content-Type: audio/x-wav\n  \n  (3000 bytes that are no text)\n' in out
    assert '"bytes": 3000' in out
    (folder / "f.csv").write_text("f\nb.wav\n")
    code, _, err = run(capsys, "check", "--target", url, "--http", "t.toml", "--input", "f.csv")
    assert (code, "line 2: f: 'b.wav': No such file or directory" in err) == (2, True), err


BATCH = 'path = "/batch"\nanswer = "/n"\nbody = { rows = [{ t = "{{ text }}" }] }\nbatch = { over = "/rows"%s }\n'


@pytest.mark.parametrize(
    ("keys", "texts", "code", "said"),
    [
        (', answers = "/rows", index = "/i"', "a\nbbb\n", 0, "ok: 2 items in one request are read, too"),
        (', answers = "/rows", index = "/i"', "a\n", 0, "ok: 2 items in one request are read, too"),
        (
            ', answers = "/rows"',
            "a\nbbb\n",
            1,
            "two items come in another order than the items\n  - Name the place of each",
        ),
        (', answers = "/rows"', "a\na\n", 0, "ok: 2 items in one request"),
        (', answers = "/rows", index = "/i", max = 1', "a\nbbb\n", 0, "ok: the task reads 1"),
        (
            ', answers = "/few"',
            "a\nbbb\n",
            1,
            "/few: 1 answers for 2 items\n  - One item in a request is read well, and two",
        ),
    ],
)
def test_check_sends_two_items_to_an_api_of_lists(
    keys: str, texts: str, code: int, said: str, url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists of one hide a wrong order, and answers for one item only."""
    (folder / "batch.toml").write_text(BATCH % keys)
    (folder / "texts.csv").write_text("text\n" + texts)
    found, out, _ = run(capsys, "check", "--target", url, "--http", "batch.toml", "--input", "texts.csv")
    assert (found, said in out) == (code, True), out
    assert ("items in one request are read" in out) is ("max = 1" not in keys and code == 0)


def test_process_finds_the_bad_item_of_a_request(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server refuses the whole request; the other items get their answers."""
    (folder / "batch.toml").write_text(BATCH % ', answers = "/rows", index = "/i"')
    (folder / "texts.csv").write_text('text\na\n""\nbbb\n')
    line = ["--target", url, "--http", "batch.toml", "--errors-max", "1"]
    code, _, err = run(capsys, "process", "texts.csv", "--output", "o.jsonl", *line, "-s", "adaptive-batch")
    assert (code, "o.jsonl.dead.jsonl: 1 dead letter (client_error 1)" in err) == (0, True), err
    assert [json.loads(text)["line"] for text in (folder / "o.jsonl").read_text().splitlines()] == [2, 4]


def test_check_says_where_the_name_of_a_model_is_set(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A server refuses it, or has none of that name."""
    code, out, _ = run(capsys, "check", "--target", url, "--http", "ollama-chat:max_tokens=3")
    assert (code, "model 'llama3.2' not found" in out, "--http ollama-chat:model=NAME sets it" in out) == (
        1,
        True,
        True,
    )
    code, out, _ = run(capsys, "check", "--target", f"{url}/v1", "--task", "chat")
    assert (code, "--task chat:model=NAME sets it; GET /v1/models" in out) == (1, True), out


def test_a_missing_field_says_how_its_column_is_named(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the columns that there are."""
    line = ["--target", url, "--http", "score.toml", "--header", "X-Team: search"]
    code, _, err = run(capsys, "process", "questions.csv", "--output", "out.jsonl", *line)
    said = "a: is missing (--map a=COLUMN takes it from another column; the row has id, question1, question2)"
    assert (code, said in err) == (1, True), err


def test_a_simulation_of_a_described_task_is_that_of_the_built_in_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mock's own route, described by a file: the same arrivals, waits and answers in virtual time."""
    text = (
        'path = "/similarity"\nanswer = "/similarity_score"\nbody = { text1 = "{{ text1 }}", text2 = "{{ text2 }}" }\n'
    )
    (folder / "similarity.toml").write_text(text)
    (folder / "pairs.jsonl").write_text("".join(f'{{"text1": "a {n}", "text2": "b c {n}"}}\n' for n in range(50)))
    common = ["-s", "adaptive", "--input", "pairs.jsonl", "--rate", "40", "--duration", "5", "--no-report", "--quiet"]
    found = []
    for name, task in (("own", ["--http", "similarity.toml"]), ("built-in", ["--task", "similarity"])):
        code, _, err = run(capsys, "simulate", "compare", *common, *task, "--out", name)
        assert code == 0, err
        (case,) = json.loads((folder / name / "result.json").read_text())["cases"]
        found.append((case["counts"], case["makespan_s"], case["latency_s"]))
    assert found[0] == found[1]


def test_check_sends_a_prompt_of_a_length(mock_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Uncalibrated, which it says, beside the count of the server."""
    line = ("check", "--target", mock_url, "--task", "chat", "--output-tokens", "3")
    code, out, _ = run(capsys, *line, "--input-tokens", "30")
    assert code == 0
    assert "a prompt of 30 tokens, made with a word for a token: the server counts 33" in out
    assert '"max_tokens": 3' in out
    code, _, err = run(capsys, *line)
    assert (code, err.count("\n")) == (2, 1)
    assert "--output-tokens needs --input-tokens" in err
