"""The live page in a browser beside a real run: what it shows on a phone and a desk, light and dark, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.measure.judge.case_row import figures_row
from harness.measure.result import decode
from tests.browser.devtools import Tab, tab
from tests.processes import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SHOWN = "document.querySelectorAll('#charts polyline').length > 2 && !!document.querySelector('#tiles div')"
OVER = "document.body.dataset.phase === 'over'"
BEYOND = """[...document.querySelectorAll('h1,h2,p,li,dd,dt,figure,figure svg,button')].filter(one => {
  const box = one.getBoundingClientRect(); return box.width && box.right > innerWidth + 1; }).map(one => one.tagName)"""
ROWS = """[...document.querySelectorAll('#table-cases tbody tr')].map(row => (
  {cells: [...row.cells].map(cell => cell.textContent), values: JSON.parse(row.dataset.values)}))"""
OK = "document.querySelector('#tiles [data-key=ok] dd').textContent"
KEY = "a-key-of-this-test"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 24, 29)"


async def test_a_run_is_watched_stopped_from_the_page_and_ends_as_its_result(tmp_path: Path) -> None:
    """However slow the machine: the run lasts until the page stops it. The browser sends the key with all it asks."""
    out = tmp_path / "run"
    line = [
        "run",
        "steady",
        "-s",
        "queue-stream:concurrency=8",
        "--server",
        "null",
        "--rate",
        "80",
        "--duration",
        "300",
    ]
    line += ["--no-calibrate", "--live", "0", "--out", str(out)]
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "harness", *line),
        cwd=ROOT,
        env=os.environ | {"PACELINE_LIVE_KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        url = await _url(run)
        async with tab(tmp_path / "profile") as page:
            await page.call("Page.navigate", url=url.replace("://", f"://any:{KEY}@"))
            await page.until(SHOWN)
            for width, dark in ((390, True), (1280, False)):
                await _fits(page, width, dark)
            await _pauses(page)
            await _stop(page)
            await page.until(OVER)
            ended = await asyncio.wait_for(run.communicate(), 60)
            for width, dark in ((390, False), (1280, True)):
                await _fits(page, width, dark)
            await _is_the_result(page, out)
            assert page.console == []
    finally:
        if run.returncode is None:
            run.kill()
            await run.communicate()
    assert run.returncode in {4, 5}, ended


async def _url(run: asyncio.subprocess.Process) -> str:
    assert run.stderr is not None
    while line := await asyncio.wait_for(run.stderr.readline(), 60):
        if found := re.search(rb"live page: (http://127\.0\.0\.1:\d+/)", line):
            return found[1].decode()
    raise AssertionError("the command ended without a page")


async def _fits(page: Tab, width: int, dark: bool) -> None:
    """Nothing is wider than the window, and the theme is the reader's."""
    await page.look(width, dark)
    assert await page.ask("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    assert await page.ask(BEYOND) == []
    assert await page.ask("getComputedStyle(document.body).backgroundColor") == (DARK if dark else LIGHT)


async def _pauses(page: Tab) -> None:
    """The figures stand still until the reader goes on."""
    await page.ask("document.getElementById('pause').click()")
    before = await page.ask("document.getElementById('tiles').textContent")
    await page.until(f"latest.tiles.find(one => one.key === 'ok').text !== {OK}")
    assert await page.ask("document.getElementById('tiles').textContent") == before
    await page.ask("document.getElementById('pause').click()")
    assert await page.ask(f"latest.tiles.find(one => one.key === 'ok').text === {OK}")


async def _stop(page: Tab) -> None:
    """The button asks first."""
    assert await page.ask("document.getElementById('stop').disabled") is False
    await page.ask("window.confirm = () => false, document.getElementById('stop').click()")
    assert await page.ask("document.getElementById('stop').disabled") is False
    await page.ask("window.confirm = () => true, document.getElementById('stop').click()")


async def _is_the_result(page: Tab, out: Path) -> None:
    """Every number of the page is that of result.json, and the report is there, although the server has ended."""
    data = await asyncio.to_thread((out / "result.json").read_bytes)
    result, raw = decode(data), json.loads(data)
    assert [reason.code for reason in result.verdict.reasons if reason.code == "interrupted"] == ["interrupted"]
    [row] = await page.ask(ROWS)
    [case] = raw["cases"]
    assert row["cells"] == figures_row(result.cases[0])
    assert row["cells"][0].endswith(" (partial)")
    assert row["values"] == _figures(case)
    texts = {name: await page.ask(f"document.getElementById('{name}').textContent") for name in ("badge", "headline")}
    assert texts == {"badge": raw["verdict"]["status"], "headline": raw["headline"]}
    reasons = await page.ask("[...document.querySelectorAll('#reasons li')].map(one => one.textContent)")
    assert reasons == [f"{one['case']}: {one['text']}" for one in raw["verdict"]["reasons"]]
    assert str(out / "report.html") in await page.ask("document.getElementById('path').textContent")
    await page.until("document.getElementById('link').href.startsWith('blob:')")


def _figures(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "scheduled": case["counts"]["scheduled"],
        "ok": case["counts"]["ok"],
        "makespan_s": case["makespan_s"],
        "completed_per_s": case["rates_per_s"]["completed"],
        "latency_p50_s": case["latency_s"]["p50"]["value"],
        "latency_p95_s": case["latency_s"]["p95"]["value"],
        "latency_p99_s": case["latency_s"]["p99"]["value"],
        "output_tokens_per_s": None,
        "service_p99_s": case["service_time_s"]["p99"]["value"],
        "in_flight_mean": case["in_flight"]["mean"],
        "client_cpu_us_per_request": case["resources"]["client_cpu_us_per_request"],
    }
