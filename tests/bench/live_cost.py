"""What an open live page costs the client, by hand: CPU per request with the page and without, in alternation.

    python -m tests.bench.live_cost [--pairs 6] [--items 12000] [--browser]

Both play the same backlog against the null server. With the page, a reader follows `/events` and asks for `/metrics`
every two seconds. With `--browser` a headless Chromium runs beside both, on the same machine, and shows the page in
one. The figure is the CPU time of the client process per request, from result.json: the median of the ratios of the
pairs, at most 1.03. Other programs on the machine move single ratios by more, so their 95 % interval is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from harness.measure.reduce.statistics import t975
from tests.browser.devtools import Tab, tab
from tests.processes import ROOT, without_coverage

RATIO_MAX = 1.03
SCRAPE_S = 2.0
Show = Callable[[str], None]


def main() -> int:
    """Exit code 1 if the page costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder), given.browser) as show:
        for pair in range(given.pairs):
            # A B, B A: drift of the machine hits both alike.
            order = (False, True) if pair % 2 == 0 else (True, False)
            found = {page: played(Path(folder), pair, page, given.items, show) for page in order}
            (without, own), (beside, own_beside) = found[False], found[True]
            ratios.append(beside / without)
            print(
                f"pair {pair + 1}: client CPU {without:.1f} us a request without, {beside:.1f} with the page, ratio "
                f"{ratios[-1]:.3f}; the parent process {own:.2f} s and {own_beside:.2f} s",
                flush=True,
            )
    median = statistics.median(ratios)
    logs = [math.log(ratio) for ratio in ratios]
    half = t975(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    low, high = (math.exp(statistics.mean(logs) + side * half) for side in (-1, 1))
    print(f"median ratio {median:.3f} (at most {RATIO_MAX}); mean {low:.3f} to {high:.3f} (95 %), {len(logs)} pairs")
    return int(median > RATIO_MAX)


def played(folder: Path, pair: int, page: bool, items: int, show: Show) -> tuple[float, float]:
    """Client CPU in us a request, and CPU seconds of the process that started the run, without its children."""
    out = folder / f"{pair}-{page}"
    line = [sys.executable, "-m", "harness", "compare", "-s", "queue-stream:concurrency=32", "--server", "null"]
    line += ["--items", str(items), "--no-calibrate", "--no-report", "--out", str(out)]
    line += ["--live", "0"] if page else []
    run = subprocess.Popen(line, cwd=ROOT, env=without_coverage(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    said: list[bytes] = []
    port = _port(run, said) if page else None
    rest = threading.Thread(target=lambda: said.extend(run.stderr or ()))
    rest.start()
    watching = [threading.Thread(target=follow, args=(port,)), threading.Thread(target=scrape, args=(port, run))]
    show(f"http://127.0.0.1:{port}/" if page else "about:blank")
    for thread in watching if page else ():
        thread.start()
    own = 0.0
    while run.poll() is None:
        try:
            times = psutil.Process(run.pid).cpu_times()
            own = times.user + times.system
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    run.wait()
    for thread in [rest, *(watching if page else ())]:
        thread.join()
    [case] = json.loads((out / "result.json").read_bytes())["cases"]
    assert case["counts"]["ok"] == items, b"".join(said).decode()
    return case["resources"]["client_cpu_us_per_request"], own


def _port(run: subprocess.Popen[bytes], said: list[bytes]) -> int:
    assert run.stderr is not None
    for line in run.stderr:
        said.append(line)
        if found := re.search(rb"live page: http://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise AssertionError(b"".join(said).decode())


def follow(port: int | None) -> None:
    """Read all events, as a page does, and the report's address at the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    events = sum(line.startswith(b"data: ") for line in answer)
    assert events > 2, "the page got no events"


def scrape(port: int | None, run: subprocess.Popen[bytes]) -> None:
    """As Prometheus does."""
    while run.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/metrics")
            connection.getresponse().read()
        except OSError:
            return
        time.sleep(SCRAPE_S)


@contextmanager
def browser(folder: Path, wanted: bool) -> Iterator[Show]:
    """Opens an address in a browser that runs until the end, in a thread of its own; does nothing if none is wanted."""
    if not wanted:
        yield lambda url: None
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def done(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    opened = tab(folder / "profile")
    page: Tab = done(opened.__aenter__())
    try:
        yield lambda url: done(page.call("Page.navigate", url=url))
    finally:
        done(opened.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


if __name__ == "__main__":
    sys.exit(main())
