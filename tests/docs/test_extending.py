"""The examples of docs/extending.md: one complete file for each extension point, run as it stands."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.cli.list import PLURALS
from harness.client import HttpTransport, Similarity, items
from harness.client.errors import BadResponse, ItemError, SettingError
from harness.client.figures import counts_of
from harness.client.types import Outcome, Request, Response, Sample
from harness.experiment.cases import describe
from harness.experiment.simulate import simulate
from harness.measure.reduce.layer_figures import figures
from mock_server import faults, profiles
from mock_server.toml_settings import convert
from reports.drawing.draw import draw
from tests import report_samples
from tests.docs.test_docs import blocks, examples, write_own_files
from tests.processes import ROOT, mock
from tests.unit.layer_helpers import Server, ask, virtually

PAGE = ROOT / "docs" / "extending.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the files of the page; what is imported from it is forgotten afterwards."""
    write_own_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in examples():
        sys.modules.pop(name.removesuffix(".py"), None)


def module(name: str, path: Path) -> types.ModuleType:
    """An example as a module, as if it lay at its path."""
    file = path / Path(name).name
    file.write_text(examples()[name], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py").replace("/", "."), file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def sample(outcome: Outcome) -> Sample:
    """Of an attempt that took a tenth of a second."""
    return Sample(outcome, sent=0.0, done=0.1, in_flight=1, limit=1, generation=0)


def test_every_extension_point_has_an_example() -> None:
    """A section for each kind of `paceline list`."""
    page = PAGE.read_text(encoding="utf-8")
    assert [kind for kind in PLURALS.values() if f"\n## {kind.capitalize()}\n" not in page] == []
    assert len(examples()) == len(blocks(PAGE, "python")) + 1


def test_task_works_against_a_server(tmp_path: Path) -> None:
    """It ranks, refuses bad rows and bad answers, and makes rows of its own."""
    rerank = module("ranking.py", tmp_path).Rerank()
    row = {"query": "a parcel that is late", "texts": ["weather", "the parcel that is late", "cats"]}

    async def main(url: str) -> list[Any]:
        async with HttpTransport(url) as send:
            strategy = module("mine.py", tmp_path).Pairs()
            return [result.answer async for result in strategy.stream(items(rerank, [row, row]), send)]

    with mock() as server:
        answers = asyncio.run(main(server.url))
    assert [answer[0] for answer in answers] == [1, 1]
    with pytest.raises(ItemError, match="texts"):
        rerank.parse({"query": "a"})
    [item] = list(_items(rerank, [row]))
    for body in (b"{}", b'[{"index": 0, "score": 1}]'):
        with pytest.raises(BadResponse):
            rerank.answer(rerank.request([item]), body)
    assert len(rerank.synthetic(lambda number: "word " * number, 5).texts) == 3


def _items(task: Any, rows: list[Any]) -> list[Any]:
    async def main() -> list[Any]:
        return [item async for item in items(task, rows)]

    return asyncio.run(main())


def test_task_can_be_named_on_the_command_line(folder: Path) -> None:
    """With made-up rows, against the simulated server."""
    run = simulate("queue-stream:concurrency=4", "demo", items=20, task="ranking:Rerank")
    assert len(run.rows) == 20
    assert {Outcome(code) for code in run.rows["outcome"]} == {Outcome.ok}


def test_strategy_and_layer_work(tmp_path: Path) -> None:
    """Both keep their protocols; the layer counts each request."""
    mine = module("mine.py", tmp_path)

    async def send(request: Request, /) -> Response:
        return Response(Outcome.ok, answers=(1.0,))

    async def main() -> list[float]:
        layer = mine.Tag(send)
        rows = [{"text1": "a", "text2": "b"}] * 3
        answers = [result.answer async for result in mine.Pairs().stream(items(Similarity(), rows), layer)]
        assert layer.passed == len(rows)
        return answers

    assert asyncio.run(main()) == [1.0, 1.0, 1.0]


def test_layer_with_figures_counts(tmp_path: Path) -> None:
    """One of three bodies is longer than 100 bytes."""
    layer = module("lengths.py", tmp_path).Length(Server(), limit=100)

    async def main() -> None:
        for text in ("a", "b", "c" * 200):
            await layer(ask(text))

    virtually(main())
    [counted] = figures(counts_of([("length", layer)]))
    assert counted.figures == {"seen": 3, "long": 1}
    assert counted.ratios == {"long_share": pytest.approx(1 / 3)}
    assert counted.faults == []


def test_limit_learns(tmp_path: Path) -> None:
    """It doubles each round trip, halves at an overload, and ignores what is not the server's fault."""
    limit = module("halving.py", tmp_path).Halving(maximum=16)
    for _ in range(40):
        limit.update(sample(Outcome.ok))
    assert limit.value == 16
    limit.update(sample(Outcome.client_error))
    assert limit.value == 16
    limit.update(sample(Outcome.rejected))
    assert limit.value == 8
    for _ in range(9):
        limit.update(sample(Outcome.ok))
    assert limit.value == 9


def test_limit_can_be_named_on_the_command_line(folder: Path) -> None:
    """The adaptive strategy uses it."""
    run = simulate("adaptive:limit=halving:Halving,maximum=8", "demo", items=100)
    assert len(run.rows) == 100
    assert max(run.ticks["in_flight"]) <= 8


def test_load_yields_ascending_due_times(tmp_path: Path) -> None:
    """Three bursts in three seconds; a jitter beyond the period is refused."""
    bursts = module("bursts.py", tmp_path).Bursts
    offsets = list(bursts(size=5).arrivals(3.0, Random(1)))
    assert len(offsets) == 15
    assert offsets == sorted(offsets)
    assert offsets == list(bursts(size=5).arrivals(3.0, Random(1)))
    with pytest.raises(SettingError, match="jitter_s"):
        bursts(jitter_s=2.0)


def test_scenario_is_a_description(folder: Path) -> None:
    """`paceline run` reads it before any process is started."""
    scenario = describe("mine:Morning")
    assert scenario.duration_s == 10.0
    assert scenario.load.rate_per_s == 10.0


def test_profile_is_one_and_can_be_simulated(folder: Path) -> None:
    """Its first comment line is its summary."""
    profile = profiles.load("bad_minute.toml")
    assert profile.summary.startswith("A server that loses three")
    assert len(profile.changes) == 2
    assert len(simulate("adaptive", "bad_minute.toml", items=100).rows) == 100


def test_fault_holds_an_answer_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer of a simulated server comes half a second later."""
    fault = module("mock_server/faults/slow_answer.py", folder).FAULT
    assert convert({"delay_s": 0.5}, fault, "faults[0]").delay_s == 0.5
    monkeypatch.setattr(faults, "kinds", lambda: {"slow-answer": fault})
    (folder / "slow.toml").write_text('extends = "demo"\n[[faults]]\nkind = "slow-answer"\ndelay_s = 0.5\n')
    rows = simulate("sync", "slow.toml", items=5).rows
    assert min(rows["done"] - rows["sent"]) >= 0.5


def test_chart_is_drawn(tmp_path: Path) -> None:
    """Where something failed, with its figures in words."""
    chart = module("reports/charts/failures.py", tmp_path)
    failed = report_samples.failures()
    assert chart.applies(failed)
    assert not chart.applies(report_samples.empty())
    drawing = draw("failures", chart, failed)  # type: ignore[arg-type] # a module keeps the protocol
    assert drawing.svg.startswith("<svg")
    assert drawing.png
    assert "%" in drawing.words


def test_format_is_rendered(tmp_path: Path) -> None:
    """A line for each case below the head."""
    result = report_samples.article()
    made = module("reports/formats/tsv.py", tmp_path)
    rows = list(csv.DictReader(made.render(result).splitlines(), delimiter="\t"))
    assert [row["case"] for row in rows] == [case.name for case in result.cases]
    assert [int(row["ok"]) for row in rows] == [case.counts.ok for case in result.cases]
