"""Workers as actors of a Ray cluster, on as many machines as it has (Ray core; not Ray Data).

The coordinator stays in the process of the command, which is Ray's driver: it asks each actor in turn, as it asks a
local worker. Ray ends the actors of a driver that has died, and names an actor whose process or node is gone.
All machines must see the same input and output, and have paceline installed.

A named actor marks the output as taken: two runs of one cluster cannot write the same output, also where the file
system has no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.base import units
from harness.bulk.fleet.engines.ray_output import without_messages
from harness.bulk.fleet.engines.ray_worker import RayWorker
from harness.bulk.fleet.messages import Beat, Reply, WorkerLostError, WorkerOrder, packed
from harness.client.errors import UsageError

NAMESPACE = "paceline"
PORT_MAX = 65_535
# Of a cluster that is started here; nothing is kept in it.
_STORE_BYTES = 128 * 1024 * 1024
_END_S, _ANSWER_S, _CLAIM_S, _STATUS_S = 5.0, 5.0, 45.0, 30.0
_beat = msgspec.msgpack.Decoder(Beat)


class RayEngine:
    """Starts actors on a cluster that runs already, or on one that it starts on this machine."""

    workers_end_with_us = False
    beat_s = 0.25
    starts_at_once = 32

    def __init__(self, address: str | None, output: str) -> None:
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        where = f"connecting to the Ray cluster at {self._address}" if self._address else "starting a Ray cluster here"
        self.opening = f"{where}, which may take some seconds"
        self._output = os.path.realpath(output)
        if self._address is not None:
            _check_address(self._address)
            _use_token(self._address)
        self._ray = _library()
        self._claim: Any = None
        self._contacts: list[RayContact] = []
        self._quiet = contextlib.ExitStack()

    async def open(self, workers: int) -> None:
        """Connect. Raises UsageError if the cluster cannot be reached, or another run of it writes this output."""
        with contextlib.ExitStack() as quiet:
            quiet.enter_context(without_messages())
            # In this thread: only the main thread may handle signals.
            self._connect()
            await self._take_output()
            self._quiet = quiet.pop_all()

    def _connect(self) -> None:
        ray = self._ray
        # Ray would report its use to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Without `configure_logging` the level below is not used, and Ray writes notices of its own on stderr.
        logging.getLogger("ray").setLevel(logging.ERROR)
        with _handlers_kept():
            try:
                ray.init(
                    self._address or "local",
                    **({} if self._address is not None else {"object_store_memory": _STORE_BYTES}),
                    namespace=NAMESPACE,
                    include_dashboard=False if self._address is None else None,
                    log_to_driver=False,
                    logging_level="ERROR",
                    configure_logging=False,
                )
            except Exception as error:
                # Of a node that starts too slowly Ray raises `Exception` itself.
                where = f"at {self._address}" if self._address else "on this machine"
                raise UsageError(f"--engine ray: no Ray cluster {where}: {_first_line(error)}") from error

    async def _take_output(self) -> None:
        """Mark the output as taken. A run whose driver was killed has it until Ray has noticed that."""
        until = time.monotonic() + _CLAIM_S
        while (why := await asyncio.to_thread(self._refused)) is not None:
            if time.monotonic() > until:
                self._ray.shutdown()
                busy = "the Ray cluster is busy" if self._claim else "another run on this Ray cluster is writing it"
                raise UsageError(f"{self._output}: {busy} ({why})")
            await asyncio.sleep(0.5)

    def _refused(self) -> str | None:
        """Why the name of the output is not ours; None once it is."""
        ray = self._ray
        try:
            if self._claim is None:
                # On this node, so that the loss of another one does not end it.
                here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    ray.get_runtime_context().get_node_id(), soft=False
                )
                options = {"name": f"output:{self._output}", "num_cpus": 0, "scheduling_strategy": here}
                self._claim = ray.remote(_Claim).options(**options).remote()
            ray.get(self._claim.here.remote(), timeout=_ANSWER_S)
        except ray.exceptions.GetTimeoutError:
            # It is ours, and starts slowly on a busy machine.
            return f"it has not started the actor that marks the output within {units.seconds(_CLAIM_S)}"
        except (ValueError, ray.exceptions.RayError) as error:
            self._claim = None
            return _first_line(error)
        return None

    async def start(self, order: WorkerOrder) -> RayContact:
        """An actor, on the node with the fewest."""
        try:
            actor = self._ray.remote(RayWorker).options(num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD")
            contact = RayContact(self._ray, actor.remote(packed(order)))
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(f"no actor on the Ray cluster: {_first_line(error)}") from error
        self._contacts.append(contact)
        return contact

    async def close(self) -> None:
        """End the actors, and a cluster that was started here."""
        for contact in self._contacts:
            contact.kill()
        await asyncio.to_thread(self._ray.shutdown)
        self._quiet.close()


class RayContact:
    """An actor on some node."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor

    async def exchange(self, reply: Reply) -> Beat:
        """Call the actor. Ray raises an error once its process or node is known to be gone."""
        try:
            return _beat.decode(await self._actor.exchange.remote(packed(reply)))
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(f"actor is gone: {_first_line(error)}") from error

    async def close(self) -> None:
        """Let it save its answers, then end it."""
        with contextlib.suppress(self._ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(self._actor.close.remote(), _END_S)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)


class _Claim:
    """Its name is taken as long as the run lives."""

    def here(self) -> bool:
        """It has been started."""
        return True


def _check_address(address: str) -> None:
    """Raise UsageError if nothing listens there: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray-address {address}: run the command on a node of the cluster, and give HOST:PORT or auto"
        )
    if not (colon and re.fullmatch("[0-9]{1,5}", port) and int(port) <= PORT_MAX):
        if address not in {"auto", "local"}:
            raise UsageError(f"--ray-address {address}: must be HOST:PORT, auto or local")
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except OSError as error:
        raise UsageError(f"--engine ray: no Ray cluster at {address}: {error.strerror or error}") from error


def _use_token(address: str) -> None:
    """Use the token of this machine if the cluster wants one: Ray gives it to a new cluster, but to no driver.

    Ray reads the variable when it is imported, so another process finds out.
    """
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if "RAY_AUTH_MODE" in os.environ or not ("RAY_AUTH_TOKEN" in os.environ or path.exists()):
        return
    where = ["--address", address] if address not in {"auto", "local"} else []
    # As the command `ray` does, which may not be on the path.
    line = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "status", *where]
    with contextlib.suppress(subprocess.TimeoutExpired):
        said = subprocess.run(line, capture_output=True, text=True, timeout=_STATUS_S, check=False)  # noqa: S603 - no shell
        if "AuthenticationError" in said.stderr:
            os.environ["RAY_AUTH_MODE"] = "token"


def _library() -> Any:
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError:
        raise UsageError('--engine ray needs the package ray: pip install "paceline[ray]"') from None
    return ray


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray puts its own handler of SIGTERM in place, which would end the run without a drain."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
