"""Code whose coverage is not measured: the measurement more than doubles the time of all Python code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def unmeasured(config: pytest.Config) -> Iterator[None]:
    """The measurement of coverage pauses, if there is one; also if pytest-cov lets it go on before the end."""
    plugin = config.pluginmanager.get_plugin("_cov")
    controller = plugin and plugin.cov_controller
    if controller is None or not controller.started:
        yield
        return
    controller.pause()
    try:
        yield
    finally:
        controller.pause()
        controller.resume()
