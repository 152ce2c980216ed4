"""Starts our Python modules as child processes that import only our code, never files of the working directory.

`python -m` puts the working directory first on the module path, so that a user's `queue.py` or `random.py` would be
executed in place of the standard library's. Every child starts in safe-path mode instead.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder that holds our packages: a checkout, or site-packages."""


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """The environment of such a process: it finds our packages, and its own children use safe-path mode too."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # An empty entry would mean the working directory; site-packages is searched anyway, after the standard library.
    paths = [] if str(ROOT) in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")} else [str(ROOT)]
    paths += [path for path in given if path]
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
