"""`python -m mock_server`: serve a profile until stopped.

The first line on stdout is JSON, `{"url", "profile", "pid", "note"}`, written when the server listens. A user's mistake
gives one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.base.options import add_options, filled, option
from mock_server.app import create
from mock_server.profile import Profile, in_real_time
from mock_server.profiles import ProfileError, load, loaded
from mock_server.simulated_engine import proof_note, scale_note
from model_server.command import ApiKeyError, BoundsError, Listening, bounds_of, face_settings, tell_ready
from model_server.command import serve as serve_app
from model_server.http.app import App
from model_server.http.bounds import FaceSettings
from model_server.http.serving import PortError
from model_server.jobs.command import JobOptions, WorkerRecipe, job_backend
from model_server.jobs.job import JobBackend, JobsError


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
    bounds: FaceSettings | None = None,
) -> None:
    """Serve a profile on this thread until SIGINT, SIGTERM or, with `exit_with_stdin`, the end of stdin.

    `ready(url)` is called when the server listens. Raises `ProfileError` or `PortError` before that.
    """

    def app() -> App:
        given = load(profile) if isinstance(profile, str) else profile
        played = in_real_time(given, 1.0 if speed is None else speed)
        return create(played, speed=speed, seed=seed, settings=face_settings(bounds), jobs=jobs)

    serve_app(
        app,
        host,
        port,
        ready=ready,
        exit_with_stdin=exit_with_stdin,
        grace_s=grace_s,
    )


@dataclass(frozen=True)
class MockOptions:
    """The simulated server."""

    profile: str = option(
        "constant-120ms", "Profile of the simulated server: a built-in one or a TOML file.", metavar="NAME|FILE.toml"
    )
    speed: float | None = option(None, "Speed relative to the profile's own, such as 4.", kind=float, metavar="FACTOR")
    seed: int | None = option(None, "Seed of jitter and faults [default: the profile's].", kind=int, metavar="N")


OPTIONS = (MockOptions, Listening, FaceSettings, JobOptions)
"""The dataclasses whose fields are the options of a mock."""


def worker_recipe(mock: MockOptions, bounds: FaceSettings | None = None) -> WorkerRecipe:
    """The recipe by which a worker creates the same mock."""
    face = asdict(bounds or FaceSettings())
    del face["api_key"]
    return WorkerRecipe("mock_server.main:worker_app", {"mock": asdict(mock), "face": face})


def worker_app(mock: dict[str, Any], face: dict[str, Any]) -> App:
    """An app for a job worker; it serves no HTTP."""
    settings = FaceSettings(**{**face, "cors_origins": ()})
    return create(mock["profile"], speed=mock["speed"], seed=mock["seed"], settings=settings)


def run(values: Mapping[str, Any], program: str = "mock_server", option: str = "--profile") -> int:
    """Serve with the values of the options, by field name; returns the exit code.

    `program` and `option` are the names of the command and of its option for the profile, for errors.
    """
    mock, listening = filled(MockOptions, values), filled(Listening, values)

    def ready(url: str) -> None:
        speed = profile.speed * (1.0 if mock.speed is None else mock.speed)
        note = f"{scale_note(speed)}{proof_note(profile)}".removeprefix("; ") or None
        tell_ready({"url": url, "profile": profile.name, "note": note}, listening.port_file)

    try:
        profile = loaded(option, mock.profile)
        bounds = bounds_of(values)
        with job_backend(filled(JobOptions, values), worker_recipe(mock, bounds)) as jobs:
            serve(
                profile,
                listening.host,
                listening.port,
                speed=mock.speed,
                seed=mock.seed,
                ready=ready,
                exit_with_stdin=listening.exit_with_stdin,
                jobs=jobs,
                bounds=bounds,
            )
    except (ProfileError, PortError, JobsError, ApiKeyError, BoundsError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mock_server", description="Serve a simulated model server.")
    add_options(parser, *OPTIONS)
    return run(vars(parser.parse_args(argv)))
