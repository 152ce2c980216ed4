"""`python -m mock_server`: serve a profile until stopped.

The first line on stdout is JSON, `{"url", "profile", "pid", "note"}`, written once it listens. A user's mistake is one
line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mock_server.app import create
from mock_server.engine import scale_note
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, load
from model_server.app import App
from model_server.command import ApiKeyError, BoundsError, add_arguments, bounds_of, face_settings, tell_ready
from model_server.command import serve as serve_app
from model_server.jobs.command import WorkerRecipe, add_job_arguments, job_backend
from model_server.jobs.job import JobBackend, JobsError
from model_server.serving import PortError
from model_server.settings import FaceSettings


def serve(
    profile: Profile | str,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    speed: float | None = None,
    seed: int | None = None,
    ready: Callable[[str], None] = lambda url: None,
    exit_with_stdin: bool = False,
    grace_s: float = 30.0,
    jobs: JobBackend | None = None,
    bounds: Mapping[str, Any] | None = None,
) -> None:
    """Serve a profile on this thread until SIGINT, SIGTERM or (if asked) the end of stdin.

    `ready(url)` is called once it listens. Raises `ProfileError` or `PortError` before that.
    """
    serve_app(
        lambda: create(profile, speed=speed, seed=seed, settings=face_settings(bounds), jobs=jobs),
        host,
        port,
        ready=ready,
        exit_with_stdin=exit_with_stdin,
        grace_s=grace_s,
    )


def worker_recipe(
    profile: str, speed: float | None, seed: int | None, bounds: Mapping[str, Any] | None = None
) -> WorkerRecipe:
    """How a worker makes the same mock."""
    arguments = {"profile": profile, "speed": speed, "seed": seed, "bounds": dict(bounds or {})}
    return WorkerRecipe("mock_server.main:worker_app", arguments)


def worker_app(profile: str, speed: float | None, seed: int | None, bounds: dict[str, Any]) -> App:
    """An app for a worker of jobs, which nobody calls over HTTP."""
    bounds = {**bounds, "cors_origins": ()}
    return create(profile, speed=speed, seed=seed, settings=FaceSettings(**bounds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mock_server", description="Serve a simulated model server.")
    parser.add_argument("--profile", default="constant-120ms", metavar="NAME|FILE.toml", help="shipped or your own")
    parser.add_argument("--speed", type=float, default=None, metavar="F", help="F times as fast as the profile says")
    parser.add_argument("--seed", type=int, default=None, metavar="N")
    add_arguments(parser)
    add_job_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    arguments = _parser().parse_args(argv)

    def ready(url: str) -> None:
        speed = profile.speed * (1.0 if arguments.speed is None else arguments.speed)
        note = scale_note(speed).removeprefix("; ") or None
        tell_ready({"url": url, "profile": profile.name, "note": note}, arguments.port_file)

    try:
        profile = load(arguments.profile)
        bounds = bounds_of(arguments)
        recipe = worker_recipe(arguments.profile, arguments.speed, arguments.seed, bounds)
        with job_backend(arguments, recipe) as jobs:
            serve(
                profile,
                arguments.host,
                arguments.port,
                speed=arguments.speed,
                seed=arguments.seed,
                ready=ready,
                exit_with_stdin=arguments.exit_with_stdin,
                jobs=jobs,
                bounds=bounds,
            )
    except (ProfileError, PortError, JobsError, ApiKeyError, BoundsError) as error:
        print(f"mock_server: {error}", file=sys.stderr)
        return 2
    return 0
