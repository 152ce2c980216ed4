"""Imports a user's `package.module:name`: installed packages first, the working directory last of all."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from harness.client.errors import UsageError


class _WorkingDirectory(MetaPathFinder):
    """Finds modules of one folder after every other finder: an entry of `sys.path` would precede editable installs."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [self.folder], target) if path is None else None


def own(what: str, name: str) -> Any:
    """The object behind `package.module:name`, searched in the working directory, too; raises UsageError.

    The working directory comes last, so that no file in it replaces a module of paceline, of an installed package or
    of the standard library. It is searched only if a user has named a class or function.
    """
    folder = os.getcwd()
    if not any(isinstance(finder, _WorkingDirectory) and finder.folder == folder for finder in sys.meta_path):
        sys.meta_path.append(_WorkingDirectory(folder))
    return imported(what, name)


def imported(what: str, name: str) -> Any:
    """The object behind `package.module:name`; raises UsageError that begins with `what` and gives the reason."""
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise UsageError(f"{what} cannot be imported: {error}") from error
    except ModuleNotFoundError as error:
        where = f"searched: installed packages, then {os.getcwd()}"
        raise UsageError(f"{what} cannot be imported: {error} ({where})") from error
    except SyntaxError as error:
        place = f"{error.filename or module_name}, line {error.lineno}"
        raise UsageError(f"{what} cannot be imported: {place}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything on import
        raise UsageError(f"{what} cannot be imported: {type(error).__name__}: {error}") from error
    return found
