"""Creates the mock's app from a profile: `create("constant-120ms")`."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from mock_server.forms import ROUTES as FORMS
from mock_server.intercept import Intercept
from mock_server.profile import Profile, scaled
from mock_server.profiles import ProfileError, load
from mock_server.simulated_engine import SimulatedEngine
from model_server.api.ops import Status
from model_server.http.app import App, create_app
from model_server.http.bounds import FaceSettings
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Handler, Route
from model_server.jobs.job import JobBackend
from model_server.scheduling.admission import AdmissionLimits
from model_server.scheduling.batching import BatchPolicy


def create(
    profile: Profile | str | Path,
    *,
    speed: float | None = None,
    seed: int | None = None,
    settings: FaceSettings | None = None,
    jobs: JobBackend | None = None,
) -> App:
    """The mock as an ASGI app, `speed` times as fast as the profile.

    The seed is `seed`, or the profile's if None. Raises `ProfileError`.
    """
    given = _given(profile, speed)
    effective: Profile = scaled(given, given.speed)
    seed = given.seed if seed is None else seed
    engine = SimulatedEngine(effective, seed)
    intercept = Intercept(effective, engine, seed)
    capacity = effective.capacity

    async def reset(app: App, exchange: Exchange, body: None) -> Reply:
        app.counts.reset()
        intercept.reset()
        return Reply(b'{"status":"reset"}')

    app = create_app(
        engine,
        settings,
        policy=BatchPolicy(
            capacity.batch_max_items,
            capacity.batch_max_tokens,
            capacity.pad_multiple,
            linger_s=capacity.batch_linger_s,
            overhead_tokens=capacity.batch_overhead_tokens,
        ),
        admission=AdmissionLimits(capacity.queue_max, capacity.queue_max_tokens, capacity.queue_wait_max_s or math.inf),
        workers=capacity.workers,
        running_max=effective.generation.running_max,
        running_queue_max=effective.generation.queue_max,
        around=None if intercept.idle else intercept,
        extra_routes=[*FORMS, _reset_route(reset)],
        jobs=jobs,
    )
    intercept.bind(app)
    return app


def _given(profile: Profile | str | Path, speed: float | None) -> Profile:
    """The profile, with its own speed multiplied by `speed`."""
    given = profile if isinstance(profile, Profile) else load(profile)
    if speed is None:
        return given
    if not 0 < speed <= 10_000:
        raise ProfileError(f"speed = {speed!r}: allowed: > 0 and <= 10000")
    return msgspec.structs.replace(given, speed=given.speed * speed)


def _reset_route(handler: Handler) -> Route:
    return Route(
        "POST",
        "/debug/reset",
        handler,
        "Reset the counts; restart schedules and random numbers",
        "ops",
        answer=Status,
        work=False,
    )
