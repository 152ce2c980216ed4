"""The locustfile of every case that `paceline` plays: the scenario named in the environment, as a Locust user."""

import os
import sys

# Locust puts the working directory before the standard library while it loads a locustfile. The first entry is this
# file's own folder, which Locust takes away again.
sys.path[1:2] = [path for path in sys.path[1:2] if path != os.getcwd()]

from harness import plugins  # noqa: E402 - not before the line above

Scenario = plugins.load("scenario", os.environ["PACELINE_SCENARIO"])
