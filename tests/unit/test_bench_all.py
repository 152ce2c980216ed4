"""The command that runs all benchmarks: its chart, its tables, and what it says of a figure that rose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench import locust_cost
from tests.bench.__main__ import compared, grown
from tests.bench.chart import KINDS, PANELS, TRANSPORTS, draw
from tests.bench.clients import of_fast_http


def client(cpu_us: float) -> dict[str, float]:
    return {"cpu_us": cpu_us, "cpu_s": cpu_us / 1e3, "seconds": 2.0, "per_s": 1e4, "rss_mb": 50.0}


def figures(bare_us: float, lean_us: float, record_us: float) -> dict[str, Any]:
    """Those of a run."""
    transports = {
        f"{kind}: {name}": {"cpu_us": bare_us * (1 + at)} for kind in KINDS for at, name in enumerate(TRANSPORTS)
    }
    return {
        "clients": {"bare Protocol loop": client(bare_us), "lean transport alone": client(lean_us)},
        "transports": transports,
        "stages": {"ladder_us": {"record": record_us}, "others_us": {"feed": 1.0 * bare_us}},
    }


def test_only_what_rose_against_the_bare_loop_of_its_own_run_is_listed() -> None:
    """A slower machine is no regression, a slower part is one."""
    before = figures(5.0, 8.0, 1.0)
    assert grown(before, figures(10.0, 16.0, 2.0)) == []
    assert grown(before, figures(10.0, 20.0, 2.0)) == ["clients: lean transport alone: 1.60x -> 2.00x of the bare loop"]
    assert grown(before, figures(5.0, 8.0, 2.0)) == ["stages: record: 0.20x -> 0.40x of the bare loop"]
    assert grown({"clients": before["clients"]}, figures(5.0, 8.0, 9.0)) == [], "a part that was not measured before"


def test_the_exit_code_says_whether_anything_rose(capsys: pytest.CaptureFixture[str]) -> None:
    before = figures(5.0, 8.0, 1.0)
    assert compared(before, figures(10.0, 16.0, 2.0)) == 0
    assert capsys.readouterr().out == "nothing rose by more than a tenth\n"
    assert compared(before, figures(5.0, 8.0, 2.0)) == 1
    assert capsys.readouterr().out == "stages: record: 0.20x -> 0.40x of the bare loop\n"


def test_a_failed_request_of_locusts_own_user_fails_the_benchmark() -> None:
    said = "Aggregated ...\ncpu_us_per_request 90.0 failures {} requests 20000 rss_mb 60\n"
    found = of_fast_http(said.format(0), 2.0)
    assert found == pytest.approx({"requests": 20_000, "seconds": 2.0, "cpu_s": 1.8, "rss_mb": 60})
    with pytest.raises(AssertionError, match="3 of 20000 requests failed"):
        of_fast_http(said.format(3), 2.0)


def test_the_chart_is_drawn_of_all_parts_and_of_one(tmp_path: Path) -> None:
    whole = figures(5.0, 8.0, 1.0)
    for part in PANELS:
        draw({part: whole[part]}, tmp_path / f"{part}.png")
        assert (tmp_path / f"{part}.png").read_bytes().startswith(b"\x89PNG")
    draw(whole, tmp_path / "new" / "bench.png")
    assert (tmp_path / "new" / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_locust_has_the_difference_and_the_share_of_a_core() -> None:
    found = {"10,000": {locust_cost.UNDER: client(40.0), locust_cost.WITHOUT: client(35.0)}}
    assert list(locust_cost.table(found))[1].split() == [
        "10,000",
        "10,000",
        "40.0",
        "µs",
        "35.0",
        "µs",
        "5.0",
        "µs",
        "2%",
    ]
