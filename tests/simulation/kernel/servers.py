"""Servers that the simulation's tests run against, as the text of a profile."""

from __future__ import annotations

from pathlib import Path

WORKERS_8 = """
[service]
base_s = 0.1
jitter = {kind = "exponential"}
[capacity]
workers = 8
queue_max = 100000
"""
CONSTANT = "[service]\nbase_s = 0.1\n[capacity]\nworkers = 8\n"
STEPS = CONSTANT + "[[changes]]\nat_s = 10\nworkers = 2\n[[changes]]\nat_s = 20\nworkers = 8\n"
SLOWER = CONSTANT + "[[changes]]\nat_s = 10\nspeed = 0.3333333333\n"
SMALL_QUEUE = CONSTANT + "queue_max = 4\n[limits]\nin_flight = 12\n"
NO_QUEUE = CONSTANT + "[limits]\nin_flight = 8\nretry_after_s = 1.0\n"
RATE = "[service]\nbase_s = 0.1\n[limits]\nrate_per_s = 100\nburst = 20\n"
ERRORS = CONSTANT + '[[faults]]\nkind = "status"\nstatus = 500\nprobability = 0.02\n'
STALLS = CONSTANT + '[[faults]]\nkind = "stall"\nstart_s = 5\nend_s = 6\nperiod_s = 10\n'
RESETS = CONSTANT + '[[faults]]\nkind = "reset"\nprobability = 0.1\n'
LLM = """
[generation]
ttft_base_s = 0.05
itl_base_s = 0.02
itl_per_running_s = 0.0003
itl_jitter = {kind = "lognormal", cv = 0.2}
running_max = 64
"""
COLLAPSE = "[service]\nbase_s = 0.1\ngrowth = {kind = 'usl', sigma = 0.02, kappa = 0.0015}\n"
HANGS = '[service]\nbase_s = 0.01\n[limits]\nin_flight = 1\naction = "ignore"\n'


def written(folder: Path, text: str, name: str = "server.toml") -> Path:
    """The text as a profile's file."""
    path = folder / name
    path.write_text(f"# of a test\n{text}", encoding="utf-8")
    return path
