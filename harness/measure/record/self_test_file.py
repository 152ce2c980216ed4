"""The stored self-tests: one file for each machine and version of paceline, in the user's state folder."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.base.files import write_atomically
from harness.measure import json_files
from harness.measure.self_test_result import SCHEMA_VERSION, KnownMachine, SelfTest, known

FACTS = ("cpu_model", "cpu_cores", "cpu_cores_usable", "cgroup_cpu_quota", "os", "machine", "python")
LIBRARIES = ("uvloop", "aiohttp")
"""The facts of `environment()` that identify a machine and the speed of its client."""


def machine_of(environment: Mapping[str, Any]) -> dict[str, str]:
    """The facts by which a later run knows that it is on the same machine, with the same client."""
    libraries = environment.get("libraries") or {}
    facts = {name: str(environment.get(name)) for name in FACTS}
    return facts | {name: str(libraries.get(name)) for name in LIBRARIES}


def version_of(environment: Mapping[str, Any]) -> str:
    """The version of paceline; `source` where it is not installed."""
    return str((environment.get("libraries") or {}).get("paceline") or "source")


def state_file(machine: Mapping[str, str], version: str) -> Path | None:
    """The file of this machine and version; None where there is no home directory."""
    base = os.environ.get("XDG_STATE_HOME")
    try:
        folder = Path(base) if base else Path.home() / ".local" / "state"
    # The user has no entry in the password database, as in some containers.
    except RuntimeError:
        return None
    digest = hashlib.sha256(repr(sorted(machine.items())).encode()).hexdigest()[:12]
    return folder / "paceline" / "self-test" / f"{version}-{digest}.json"


def store(found: SelfTest) -> Path | None:
    """Keep a self-test; raises OSError. Returns its file, or None where there is no home directory."""
    path = state_file(found.machine, found.version)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json_files.encode(found))
    return path


def load(environment: Mapping[str, Any]) -> SelfTest | None:
    """The stored self-test of this machine and version; None if there is none that can be read."""
    machine, version = machine_of(environment), version_of(environment)
    path = state_file(machine, version)
    if path is None:
        return None
    try:
        found = json_files.decode(path.read_bytes(), SelfTest)
    except (OSError, msgspec.MsgspecError):
        return None
    same = (found.machine, found.version, found.schema_version) == (machine, version, SCHEMA_VERSION)
    return found if same else None


def known_machine(environment: Mapping[str, Any]) -> KnownMachine | None:
    """The judgement of the stored self-test on a run in this environment."""
    found = load(environment)
    if found is None:
        return None
    day = dt.datetime.fromtimestamp(found.measured_unix_s, dt.UTC).date().isoformat()
    return known(found, day)
