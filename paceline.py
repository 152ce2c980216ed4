"""The `paceline` command: checks that the packages to import are ours, then starts `harness`.

Our packages have general names (docs/decisions/0017-installed-names.md). Another distribution with a package of the
same name may have overwritten ours, or may precede it on the module path. This module has a unique name, so that it
can report that.
"""

from __future__ import annotations

import os
import sys

PACKAGES = ("harness", "mock_server", "model_server", "reports", "scenarios")
MARK = b'"""Part of paceline: '
"""Beginning of the `__init__.py` of each of our packages."""
ROOT = os.path.dirname(os.path.abspath(__file__))
EXIT_USAGE = 2
EXIT_INTERRUPTED = 5
_MISSING = "(no __init__.py)"


def main() -> None:
    """Entry point of the script that pip installs. Ctrl-C is one line, also before anything was imported."""
    try:
        problem = collision()
        if problem is not None:
            sys.stderr.write(f"paceline: {problem}\n")
            sys.exit(EXIT_USAGE)
        from harness.__main__ import main as command
    except KeyboardInterrupt:
        sys.stderr.write("paceline: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    command()


def collision() -> str | None:
    """A line about the first package that is not ours; None if all are. Nothing is imported for the check."""
    for name in PACKAGES:
        found, expected = _place(name), os.path.join(ROOT, name)
        if found is None or found == os.path.join(expected, _MISSING):
            return f"the package {name!r} is not complete at {expected}: install paceline again"
        if os.path.realpath(os.path.dirname(found)) != os.path.realpath(expected) or not _is_marked(found):
            return (
                f"the package {name!r} is not paceline's: found {found}{_owners(name)}, expected {expected}. "
                "Install paceline again, in a virtual environment of its own, and take other packages off PYTHONPATH"
            )
    return None


def _place(name: str) -> str | None:
    """The file that `import NAME` would run first; its name is `_MISSING` for a folder without `__init__.py`."""
    # Here, so that an interruption of this import is caught as well.
    from importlib.util import find_spec

    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin is None and spec.submodule_search_locations:
        return os.path.join(next(iter(spec.submodule_search_locations)), _MISSING)
    return spec.origin


def _is_marked(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read(len(MARK)) == MARK
    except OSError:
        return False


def _owners(name: str) -> str:
    """The other distributions that have a package of this name. Slow, so only asked after a collision."""
    from importlib.metadata import packages_distributions, version

    owners = sorted({owner for owner in packages_distributions().get(name, []) if owner != "paceline"})
    return f" (of {', '.join(f'{owner} {version(owner)}' for owner in owners)})" if owners else ""


if __name__ == "__main__":
    if sys.path[0] == os.getcwd() != ROOT:
        # `python -m` puts the working directory first: its files would be imported in place of the standard library's.
        del sys.path[0]
    main()
