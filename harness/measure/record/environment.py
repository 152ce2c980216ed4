"""Facts about the machine, for judging the numbers. Excludes host names, secrets and environment variables."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = (
    "paceline",
    "aiohttp",
    "locust",
    "uvloop",
    "msgspec",
    "numpy",
    "gevent",
    "torch",
    "transformers",
)

SIMULATION_LIBRARIES = ("paceline", "aiohttp", "msgspec", "numpy")


def environment() -> dict[str, Any]:
    """Current machine, limits, load and versions. Unknown values are None."""
    memory = psutil.virtual_memory()
    return {
        "cpu_model": cpu_model(),
        "cpu_cores": os.cpu_count(),
        "cpu_cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cgroup_cpu_quota": cgroup_cpu_quota(),
        "load_average_1m": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "memory_gb": round(memory.total / 1e9, 1),
        "memory_free_gb": round(memory.available / 1e9, 1),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "libraries": libraries(),
        "git_sha": git_sha(Path.cwd()),
    }


def usable_cores(environment: Mapping[str, Any]) -> float | None:
    """Cores that a run could use on the machine of this environment; None where it does not say it."""
    cores = environment.get("cpu_cores_usable") or environment.get("cpu_cores")
    quota = environment.get("cgroup_cpu_quota")
    return cores if cores is None or quota is None else min(cores, quota)


def simulated_environment() -> dict[str, Any]:
    """The environment of a simulation: it measures no machine, so only versions matter."""
    known = libraries()
    return {
        "simulated": "in virtual time: no machine, no network and no client CPU were measured",
        "python": platform.python_version(),
        "libraries": {name: known[name] for name in SIMULATION_LIBRARIES if name in known},
        "git_sha": git_sha(Path.cwd()),
    }


def libraries() -> dict[str, str]:
    """Versions of the libraries that influence the numbers, read from metadata without imports."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The CPU model name that the kernel reports."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def cgroup_cpu_quota(cgroup: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores that the control group allows (v2 or v1); None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, _, period = (cgroup / "cpu.max").read_text().partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        return None if quota_us < 0 else quota_us / int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
    return None


def git_sha(directory: Path) -> str | None:
    """The commit of the working tree, with `-dirty` if it has changes; None outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],  # noqa: S607 - the user's own git
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None
