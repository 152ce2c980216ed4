"""Every command of README and docs, run as it is written, but with a shorter load.

What a page cannot know is put in place for the reader: the files it names lie in the working directory, and the port
8000 is a free one, with a server behind it where the command needs a server.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.load.workloads.synthetic import WORDS
from tests.docs.test_docs import PAGES, blocks, write_own_files
from tests.http.foreign import KEY, PIXEL, served_beside
from tests.processes import BUSY, ROOT, free_port, mock

pytestmark = pytest.mark.slow

NOT_RUN = {
    r"^pytest test_service": "tests/unit/test_pytest_plugin.py runs it",
    r"^paceline diff runs/aiohttp": "compares the two runs of the lines before it; other runs are compared",
    r"^git ": "needs the address of the repository",
    r"^paceline compare .*--repeats 8": "plays sixteen repeats, for a minute; the simulated command beside it is run",
    r"^(paceline (run|compare)|locust) .*--trace (mooncake|azure)": "tests/http/test_trace_run.py plays such traces",
    r"^make demo": "CI runs it from a fresh clone; it installs a virtual environment",
    r"^paceline demo --simulate": "tests/simulation/test_demo.py plays it",
    r"^make bench": "measures for minutes",
    r"^locust .*--(master|worker) ": "needs several machines; tests/http/test_conservation.py has them",
    r"^make test": "it is what runs this test",
    r"^python -m tests\.": "measures for minutes",
    r"^paceline run steady .*sharegpt": "plays for a minute; tests/http/test_token_command.py plays a short one",
    r"^paceline sweep .*(--target|--rate|--repeats)": "measures for minutes; a short one and simulated ones are run",
    r"^paceline capacity ": "measures for minutes; the search in virtual time is run",
    r"serve model .*--model (sentence-transformers|\./)": "needs weights",
    r"^paceline self-test": "measures for forty seconds, with --full for minutes; tests/http has a short one",
    r"^paceline (fit|verify) ": "measures for minutes; tests/simulation/test_fitting.py fits in virtual time",
    r"^paceline process .*--engine ray": "needs a cluster; tests/bulk/fleet/test_ray_engine.py runs one",
    r"^paceline process status ": "reads the files of a run; tests/bulk/fleet/test_status.py has some",
    r"^paceline gate ": "takes two to three minutes; tests/http/test_gate.py plays a short one",
    r"^paceline run sessions .*--turns geometric": "lasts for minutes; shorter ones and the simulated one are run",
    r"--broker redis://": "needs a Redis of one's own; tests/jobs starts one",
}
"""Commands that are not run here, each with its reason."""
LIMIT_S = 150.0
SHORTER = {
    r"--duration 10m --rate 5000\b": "--duration 2 --rate 500",
    r"--rate 8000\b": "--rate 200",
    r"--think lognormal:mean=3 --users": "--think 100ms --users",
    r"--duration (?:[5-9]|\d\d)\b": "--duration 4",
    r"--duration [36]00\b": "--duration 60",
    r"--items \d{5,}\b": "--items 4000",
    r"-t \d\ds\b": "-t 4s",
}
"""A reader measures for longer. Commands with an SLO keep their length: a percentile needs its requests. Simulated time
costs little."""


def commands() -> list[str]:
    """Every line of a code block that is a command, without its comment."""
    found: list[str] = []
    for page in PAGES:
        # Recipes have a test of their own.
        if "decisions" in page.parts or page.name == "recipes.md":
            continue
        lines = shell_lines(page.read_text(encoding="utf-8"))
        found += [re.sub(r"^\s*(- run: |\$ )", "", line).split("  #")[0].strip() for line in lines]
    starts = ("paceline ", "locust ", "zcat ", "python -m ", "make ", "git ", "pip ", "pytest ")
    return sorted({line for line in found if line.startswith(starts) and not line.startswith("paceline DIR")})


def shell_lines(page: str) -> list[str]:
    """The lines within fenced blocks that hold shell commands, or a workflow's steps."""
    found: list[str] = []
    language: str | None = None
    for line in page.splitlines():
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
        elif language in {"", "bash", "sh", "console", "yaml"}:
            found.append(line)
    return found


def reason(line: str) -> str | None:
    """Why a command is not run."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), None)


def test_every_reason_is_needed() -> None:
    """No pattern outlives the command it was written for."""
    lines = commands()
    assert [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)] == []


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """A mock of each kind that the examples talk to: base URLs by name."""
    with mock("demo", speed=20.0) as pairs, mock("llm-annotation", speed=100.0) as texts, served_beside() as foreign:
        yield {"pairs": pairs.url, "texts": texts.url, "foreign": foreign}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that `paceline diff` is shown with."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("yesterday", "today"):
        run(f"paceline simulate compare -s sync --server demo --items 300 --repeats 8 --out runs/{name}", folder)
    return folder / "runs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the files that the examples name."""
    pairs = (ROOT / "scenarios" / "data" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    texts = [f'{{"id": "t{number}", "text": "The parcel {number} came late."}}' for number in range(60)]
    row = '"row": {"id": "x", "text": "A text."}'
    dead = f'{{"dead_letter": 1, "line": 7, "id": "x", "class": "rejected", "attempts": 4, {row}}}'
    mixed = [f'{{"task": "annotate", "text": "Text {n}."}}' for n in range(9)]
    mixed += [f'{{"task": "similarity", "text1": "a {n}", "text2": "b"}}' for n in range(9)]
    files = {"pairs.jsonl": pairs, "in.jsonl": texts, "dead.jsonl": [dead], "mixed.jsonl": mixed}
    files["mine.toml"] = ["[service]", "base_s = 0.01"]
    # Slow, so that a sweep up to 256 in flight has few answers to simulate.
    files["my-server.toml"] = ["[service]", "base_s = 0.1"]
    files["questions.csv"] = ["id,question1,question2", *(f'{n},"What, is {n}?",What is it?' for n in range(400))]
    files["score.toml"] = blocks(ROOT / "docs" / "http-tasks.md", "toml")[0].splitlines()
    files["lengths.csv"] = ["input_tokens,output_tokens", *(f"{50 + n},{5 + n % 20}" for n in range(100))]
    files["trace.txt"] = [f"{number / 20:.2f}" for number in range(100)]
    files["gateway.csv"] = ["ts,user,prompt_tokens,gen_tokens", *(f"{40 * n},u{n % 7},{90 + n},5" for n in range(50))]
    files["prompt.j2"] = ["Which product is this ticket about? {{ body | trim }}"]
    files["photos.csv"] = blocks(ROOT / "docs" / "tasks.md", "text")[0].splitlines()
    (tmp_path / "cat.png").write_bytes(PIXEL)
    chat = '"url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "Hello."}]}'
    files["batch.jsonl"] = [f'{{"custom_id": "request-{n}", "method": "POST", {chat}}}' for n in range(9)]
    talk = [{"from": ("human", "gpt")[n % 2], "value": f"word {n}"} for n in range(6)]
    files["sharegpt.json"] = [json.dumps([{"id": f"c{n}", "conversations": talk} for n in range(9)])]
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("mooncake.jsonl", "burstgpt.csv", "azure.csv"):
        shutil.copy(ROOT / "scenarios" / "data" / name, tmp_path / name)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(("\n".join(pairs) + "\n").encode()))
    legacy = "id;text\n" + "".join(f'{n};"Grüße;\nNr. {n}"\n' for n in range(20))
    (tmp_path / "legacy.csv.gz").write_bytes(gzip.compress(legacy.encode("latin-1")))
    write_table(tmp_path / "tickets.parquet")
    write_tokenizer(tmp_path / "tokenizer.json")
    write_own_files(tmp_path)
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    return tmp_path


def write_table(path: Path) -> None:
    """Tickets in a Parquet file, where pyarrow is installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    rows = [{"id": f"t{n}", "body": f"Ticket {n}\nis late.", "language": "en" if n % 2 else "de"} for n in range(40)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_tokenizer(path: Path) -> None:
    """A tokenizer with a token for each of our words, where the library is installed."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers
    except ImportError:
        return
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate([*WORDS, "?"])}, unk_token="?"))  # noqa: S106
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(path))


def environment(folder: Path) -> dict[str, str]:
    """With this virtual environment's commands first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "SCORE_KEY": KEY, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}


@pytest.mark.parametrize("line", [line for line in commands() if reason(line) is None])
def test_a_command_of_the_docs_does_what_it_says(
    line: str, folder: Path, servers: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """It ends with exit code 0; a server is ready, answers and ends cleanly."""
    if " serve " in line or line.startswith("python -m model_server") or " worker " in line:
        if "model_server" in line or "serve model" in line:
            pytest.importorskip("torch", reason="serve model needs the model extra")
        serves(line, folder)
        return
    if ".parquet" in line:
        pytest.importorskip("pyarrow", reason="needs the parquet extra")
    if "--tokenizer" in line:
        pytest.importorskip("tokenizers", reason="needs the tokens extra")
    if line.startswith("paceline diff"):
        shutil.copytree(request.getfixturevalue("two_runs"), folder / "runs")
    if line.startswith("paceline runs"):
        for place in ("runs", "runs/nightly"):
            shutil.copytree(request.getfixturevalue("two_runs"), folder / place)
    if line.startswith("paceline export") and "csv" not in line:
        pytest.importorskip("pyarrow", reason="needs the parquet extra")
    if line.startswith(("paceline report", "paceline export")):
        directory = line.split()[2]
        prepare = f"paceline simulate compare -s sync --server demo --items 50 --out {directory}"
        run(prepare, folder)
    if line.startswith("paceline process bad.jsonl"):
        (folder / "dead.jsonl").rename(folder / "bad.jsonl")
    target = servers["texts" if re.search("annotate|--task chat|batch", line) else "pairs"]
    done = run(
        line.replace("http://127.0.0.1:8000", target).replace("https://models.internal", servers["foreign"]), folder
    )
    if done.returncode == 4 and reasons(folder) <= BUSY:
        return
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def reasons(folder: Path) -> set[str]:
    """The codes of the verdict of the run that is in this directory; `no result` where there is none."""
    found = sorted(folder.glob("runs/*/result.json"))
    if not found:
        return {"no result"}
    return {reason["code"] for reason in json.loads(found[-1].read_text())["verdict"]["reasons"]}


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a shell, as a reader would."""
    for pattern, shorter in SHORTER.items() if "--slo" not in line else ():
        line = re.sub(pattern, shorter, line)
    # Another test may have the port.
    line = re.sub(r"--live \S+", "--live 0", line)
    # The ceiling and the pages have tests of their own, and `demo` writes pages.
    line = re.sub(r"^(paceline (?:compare|run) .*?)(?: --no-calibrate)?$", r"\1 --no-calibrate --no-report", line)
    line = re.sub(r"^(paceline (?:sweep|simulate \w+) .*)$", r"\1 --no-report", line)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def serves(line: str, folder: Path) -> None:
    """Start it on a free port, wait until it is ready, ask for its health, end it."""
    port = free_port()
    if line.endswith("--task fill-mask,similarity --random-weights"):
        # Others load weights of the usual size.
        line += " fill-mask=tiny-bert,similarity=tiny-bert"
    line = re.sub(r"--port \d+", f"--port {port}", line)
    if "--port" not in line:
        line += f" --port {port}"
    if "--random-weights" in line:
        line += " --warm-up 0.5s"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=folder,
        env={**environment(folder), "HOME": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert ready(port, process), process.communicate(timeout=10)[0]
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said[-3000:]


def ready(port: int, process: subprocess.Popen[str]) -> bool:
    """It answers `/ready` with 200 before the limit, and has not ended by itself."""
    for _ in range(int(LIMIT_S * 5)):
        if process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.2)
    process.kill()
    return False
