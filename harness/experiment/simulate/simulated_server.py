"""The server of a simulation: a mock from its profile, with the counts that the real one reports."""

from __future__ import annotations

from pathlib import Path

from harness.client.errors import UsageError
from mock_server.app import create
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, loaded
from model_server.http.app import App


class SimulatedServer:
    """A fresh mock, all schedules at their start; `seen` counts exchanges on work routes."""

    # Without a seed the mock keeps its profile's.
    def __init__(
        self, profile: Profile | str | Path, seed: int | None, speed: float | None = None, repeat: int = 0
    ) -> None:
        try:
            self.profile = profile if isinstance(profile, Profile) else loaded("--server", profile)
            first = self.profile.seed if seed is None else seed
            self.app: App = create(self.profile, seed=first + repeat, speed=speed)
        except ProfileError as error:
            raise UsageError(str(error)) from error

    @property
    def seen(self) -> int:
        return self.app.counts.total()["seen"]
