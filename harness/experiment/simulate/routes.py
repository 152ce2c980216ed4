"""Whether a simulated server has the route of a task that a TOML file describes."""

from __future__ import annotations

from harness.client.errors import UsageError
from harness.client.tasks.http import Http
from harness.experiment.simulate.simulated_server import SimulatedServer


def check_route(task: Http, server: SimulatedServer) -> None:
    """Raise UsageError unless the mock answers this method and path: virtual time has no other server."""
    path = task.sample_path.partition("?")[0]
    methods = server.app.methods(path)
    if task.made.method in methods:
        return
    what = f"takes {', '.join(methods)}, not {task.made.method}" if methods else f"has no route {path or '/'}"
    raise UsageError(
        f"--http {task.file}: a simulation has only the routes of the mock, and the mock {what}. Measure your server "
        "with `paceline compare --target URL`, or simulate a built-in task"
    )
