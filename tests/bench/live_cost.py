"""What an open live page costs the client, by hand: CPU per request with the page and without, in alternation.

    python -m tests.bench.live_cost [--pairs 8] [--items 12000]
    python -m tests.bench.live_cost --browser [--pairs 12]

Without `--browser` it plays a backlog against the null server again and again, with `--live` and without. With it, a
reader follows `/events` and asks for `/metrics` every two seconds. With `--browser` one run of arrivals lasts for all
pairs, and a headless Chromium on the same machine shows its page, then an empty one, for five seconds each. The
figure is the CPU time of the client process per request, from its records: the median of the ratios of the pairs, at
most 1.03. Other programs on the machine move single ratios by more, so their 95 % interval is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import math
import re
import signal
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

import numpy as np

from harness.live.tail import FileTail
from harness.measure.reduce.statistics import t975
from tests.browser.devtools import Tab, tab
from tests.processes import ROOT

RATIO_MAX = 1.03
SCRAPE_S = 2.0
SETTLE_S, WINDOW_S = 1.0, 5.0
RATE_PER_S = 800


def main() -> int:
    """Exit code 1 if the page costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        each = windows(Path(folder), given.pairs) if given.browser else runs(Path(folder), given.pairs, given.items)
        for without, beside in each:
            ratios.append(beside / without)
            print(f"pair {len(ratios)}: {without:.1f} µs a request without, {beside:.1f} with the page, ratio "
                  f"{ratios[-1]:.3f}", flush=True)  # fmt: skip
    median = statistics.median(ratios)
    logs = [math.log(ratio) for ratio in ratios]
    half = t975(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    low, high = (math.exp(statistics.mean(logs) + side * half) for side in (-1, 1))
    print(f"median ratio {median:.3f} (at most {RATIO_MAX}); mean {low:.3f} to {high:.3f} (95 %), {len(logs)} pairs")
    return int(median > RATIO_MAX)


def alternating(pairs: int) -> Iterator[tuple[bool, bool]]:
    """Whether the page is open, A B then B A: drift of the machine hits both alike."""
    for pair in range(pairs):
        yield (False, True) if pair % 2 == 0 else (True, False)


def runs(folder: Path, pairs: int, items: int) -> Iterator[tuple[float, float]]:
    """Client CPU in us a request, of two runs: without a page, and with one."""
    for pair, order in enumerate(alternating(pairs)):
        found = {page: played(folder / f"{pair}-{page}", page, items) for page in order}
        yield found[False], found[True]


def windows(folder: Path, pairs: int) -> Iterator[tuple[float, float]]:
    """The same of two parts of one run."""
    seconds = pairs * 2 * (SETTLE_S + WINDOW_S) + 30
    line = ["run", "steady", "-s", "unbounded", "--server", "null", "--load", "constant", "--rate", str(RATE_PER_S)]
    line += ["--duration", str(seconds), "--drain", "1"]
    run, said = started(line, folder / "run", True)
    port = port_of(run, said)
    try:
        with browser(folder) as show:
            ticks = FileTail(next(wait_for(folder / "run" / "records", "*.timeline")))
            time.sleep(2 * SETTLE_S)
            for order in alternating(pairs):
                found = {}
                for page in order:
                    show(f"http://127.0.0.1:{port}/" if page else "about:blank")
                    time.sleep(SETTLE_S)
                    list(ticks.read())
                    time.sleep(WINDOW_S)
                    part = np.concatenate(list(ticks.read()))
                    first, last = part[0], part[-1]
                    found[page] = 1e6 * float((last["cpu"] - first["cpu"]) / (last["done"] - first["done"]))
                yield found[False], found[True]
    finally:
        run.send_signal(signal.SIGTERM)
        run.communicate()


def wait_for(folder: Path, pattern: str) -> Iterator[Path]:
    """The first file of this name, as soon as it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        yield from folder.glob(pattern)
        time.sleep(0.1)


def started(line: list[str], out: Path, live: bool) -> tuple[subprocess.Popen[bytes], list[bytes]]:
    """The command, and a list for what it says."""
    line = [sys.executable, "-m", "harness", *line, "--no-calibrate", "--no-report", "--out", str(out)]
    line += ["--live", "0"] if live else []
    run = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    return run, []


def played(out: Path, page: bool, items: int) -> float:
    """Client CPU in us a request of one backlog."""
    line = ["compare", "-s", "queue-stream:concurrency=32", "--server", "null", "--items", str(items)]
    run, said = started(line, out, page)
    watching = []
    if page:
        port = port_of(run, said)
        watching = [threading.Thread(target=follow, args=(port,)), threading.Thread(target=scrape, args=(port, run))]
    for thread in watching:
        thread.start()
    said.append(run.communicate()[1])
    for thread in watching:
        thread.join()
    [case] = json.loads((out / "result.json").read_bytes())["cases"]
    assert case["counts"]["ok"] == items, b"".join(said).decode()
    return float(case["resources"]["client_cpu_us_per_request"])


def port_of(run: subprocess.Popen[bytes], said: list[bytes]) -> int:
    """The port of its live page."""
    assert run.stderr is not None
    for line in run.stderr:
        said.append(line)
        if found := re.search(rb"live page: http://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise AssertionError(b"".join(said).decode())


def follow(port: int) -> None:
    """Read all events, as a page does, and the report's address at the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    events = sum(line.startswith(b"data: ") for line in answer)
    assert events > 2, "the page got no events"


def scrape(port: int, run: subprocess.Popen[bytes]) -> None:
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
def browser(folder: Path) -> Iterator[Callable[[str], None]]:
    """Opens an address in a browser that runs until the end, in a thread of its own."""
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
