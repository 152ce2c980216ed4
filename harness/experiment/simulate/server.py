"""The server of a simulation: a mock from its profile, with the counts that the real one would tell."""

from __future__ import annotations

from pathlib import Path

from harness.client.errors import UsageError
from mock_server.app import create
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, load
from model_server.app import App


class SimulatedServer:
    """A fresh mock, all schedules at their start; `seen` counts exchanges on work routes."""

    def __init__(self, profile: Profile | str | Path, seed: int, speed: float | None = None) -> None:
        try:
            self.profile = profile if isinstance(profile, Profile) else load(profile)
            self.app: App = create(self.profile, seed=seed, speed=speed)
        except ProfileError as error:
            raise UsageError(str(error)) from error

    @property
    def seen(self) -> int:
        return self.app.counts.total()["seen"]
