"""Locust's own quickest user on the same server with the same body; prints its CPU per request as the last line."""

import os
import time
from pathlib import Path

from locust import FastHttpUser, events, task

from tests.bench.peak_memory import peak_mb

BODY = Path(os.environ["PACELINE_BENCH_BODY"]).read_bytes()
_start = {"cpu_s": 0.0, "requests": 0}


class Fast(FastHttpUser):
    @task
    def similarity(self) -> None:
        self.client.post("/similarity", data=BODY, headers={"Content-Type": "application/json"})


@events.init.add_listener
def _init(environment: object, **_: object) -> None:
    """Count CPU and requests from the instant at which all users are there."""

    @events.spawning_complete.add_listener
    def _spawned(**_: object) -> None:
        _start.update(cpu_s=time.process_time(), requests=environment.stats.total.num_requests)


@events.test_stop.add_listener
def _stopped(environment: object, **_: object) -> None:
    total = environment.stats.total
    cpu_s = time.process_time() - _start["cpu_s"]
    requests = total.num_requests - _start["requests"]
    counts = f"failures {total.num_failures} requests {total.num_requests} rss_mb {peak_mb():.0f}"
    print(f"cpu_us_per_request {1e6 * cpu_s / requests} {counts}", flush=True)
