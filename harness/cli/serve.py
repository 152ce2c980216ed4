"""`paceline serve`: a server to try things on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from harness.cli.command import Group, duration

F = TypeVar("F", bound=Callable[..., Any])
KEEP_HELP = "Keep a job and its results so long from its end.  [default: 3600]"
RETRY_HELP = "Wait before an item that met a server error is computed again.  [default: 10]"


def job_options(command: F) -> F:
    """Who keeps the jobs."""
    for option in (
        click.option("--job-retry-delay", type=click.FloatRange(0), default=None, metavar="SECONDS", help=RETRY_HELP),
        click.option("--job-keep", type=click.FloatRange(0), default=None, metavar="SECONDS", help=KEEP_HELP),
        click.option("--workers", type=click.IntRange(0, 64), default=None, help="Celery workers to start beside it."),
        click.option("--broker", default=None, metavar="URL|embedded", help="Redis of celery jobs, or one of its own."),
        click.option(
            "--jobs-file", default=None, metavar="FILE", help="Of embedded jobs; a mock has them in memory without."
        ),
        click.option(
            "--jobs",
            default="embedded",
            show_default=True,
            type=click.Choice(["embedded", "celery", "none"]),
            help="Who keeps what is answered later.",
        ),
    ):
        command = option(command)
    return command


def face_options(command: F) -> F:
    """Bounds of the HTTP face, and web pages that may call."""
    from model_server.settings import BOUNDS, FaceSettings

    help_of_origins = "Web pages whose scripts may call, such as https://example.org; * for all; repeatable."
    command = click.option("--cors-origin", multiple=True, metavar="ORIGIN", help=help_of_origins)(command)
    for bound in reversed(BOUNDS):
        allowed = click.IntRange(1) if bound.type is int else duration(0)
        default = getattr(FaceSettings, bound.field)
        command = click.option(bound.option, type=allowed, default=default, show_default=True, help=bound.help)(command)
    return command


def _origins(given: tuple[str, ...]) -> list[str]:
    return [part for origin in given for part in ("--cors-origin", origin)]


def _given(options: Mapping[str, str | int | float | None]) -> list[str]:
    return [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


@click.group("serve", cls=Group)
def command() -> None:
    """Serve a mock of a model server, or a real one, on this machine."""


@command.command("mock")
@click.option("--server", "-p", "profile", default="constant-120ms", show_default=True, help="Profile, or a TOML file.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind; anything else is seen by others."
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 chooses a free one.")
@click.option("--speed", type=float, default=None, help="So many times as fast as the profile says.")
@click.option("--seed", type=int, default=None, help="Seed of jitter and faults [default: the profile's].")
@face_options
@job_options
def mock(
    profile: str,
    host: str,
    port: int,
    speed: float | None,
    seed: int | None,
    cors_origin: tuple[str, ...],
    **options: str | float | None,
) -> None:
    """Serve a simulated model server (`paceline list profiles` shows the built-in ones)."""
    from mock_server.main import main

    arguments = ["--profile", profile, "--host", host, "--port", str(port)]
    raise SystemExit(main(arguments + _given({"seed": seed, "speed": speed, **options}) + _origins(cors_origin)))


@command.command("model")
@click.option("--task", default="similarity", show_default=True, metavar="TASK[,TASK]", help="What it is asked for.")
@click.option("--model", multiple=True, metavar="[TASK=]ID|FOLDER", help="Of the hub, or a local folder; repeatable.")
@click.option(
    "--random-weights",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[[TASK=]SHAPE]",
    help="No model: a real architecture with random weights, each task's own if none is named.",
)
@click.option("--dtype", default="auto", show_default=True, type=click.Choice(["auto", "float32", "bfloat16"]))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Processor threads of the model.")
@click.option("--batch-items", default=32, show_default=True, type=click.IntRange(1), help="Items of a batch.")
@click.option("--batch-tokens", default=2048, show_default=True, type=click.IntRange(1), help="Padded tokens of one.")
@click.option("--queue", default=4096, show_default=True, type=click.IntRange(1), help="Items that may wait.")
@click.option("--queue-tokens", default=0, show_default=True, type=click.IntRange(0), help="Tokens; 0: no bound.")
@click.option("--queue-wait", default=0.0, show_default=True, type=duration(0), help="Seconds; 0: no bound.")
@click.option("--batch-linger", default=0.0, show_default=True, type=duration(0), help="Wait for company, s.")
@click.option("--running", default=16, show_default=True, type=click.IntRange(1), help="Texts generated at once.")
@click.option("--warm-up", default=10.0, show_default=True, type=duration(0), help="Seconds at most.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind; anything else is seen by others."
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 chooses a free one.")
@face_options
@job_options
def model(
    random_weights: str | None,
    model: tuple[str, ...],
    cors_origin: tuple[str, ...],
    **options: str | int | float | None,
) -> None:
    """Serve real models with torch and transformers; an API key is taken from PACELINE_API_KEY."""
    from model_server.main import main

    arguments = _given(options) + _origins(cors_origin)
    arguments += [part for name in model for part in ("--model", name)]
    if random_weights is not None:
        arguments += ["--random-weights", *([random_weights] if random_weights else [])]
    raise SystemExit(main(arguments))
