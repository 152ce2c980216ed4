"""Deterministic simulation: real strategies, layers and server models in one process, in virtual time.

run = simulate("adaptive:limit=vegas", "my.toml", items=100_000, seed=7)
run.ok_per_s(), run.virtual_s, run.rows["done"], run.ticks["limit"], run.sha256
"""

from harness.experiment.simulate.case import play
from harness.experiment.simulate.one_call import simulate
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.simulate.virtual_loop import DeadlockError, NotSimulated, VirtualLoop, run

__all__ = [
    "DeadlockError",
    "NotSimulated",
    "SimulatedRun",
    "SimulatedServer",
    "Terms",
    "VirtualLoop",
    "play",
    "run",
    "simulate",
]
