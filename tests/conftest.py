"""What holds for all tests: machines are shared, so no test fails for being slow once, and no test reads a self-test
that the user of this machine has stored."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="paceline-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)
