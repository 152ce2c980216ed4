"""The base of every scenario. A Locust user is one client application that runs a strategy over its share of the load.

A scenario file is both a locustfile and a description that `paceline` reads before any process starts. So this module
has two forms. Where Locust is already imported (`locust -f scenarios/spike.py`), `Application` is a Locust
user. Where it is not (`paceline run spike`, `paceline list`), it is a plain class, and Locust is not
imported, because that takes a second and patches the process.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.experiment.scenario import Description

if TYPE_CHECKING or "locust" not in sys.modules:

    class Application(Description):
        """A scenario as plain data."""

else:
    from scenarios.locust_bridge.applications import Application

__all__ = ["Application", "Description"]
