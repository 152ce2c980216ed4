"""Plays sessions in virtual time, and keeps what the strategy sent and got."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from harness import plugins
from harness.client.types import Item, Layers, Request, Response, Result, Send, Strategy, no_layers
from harness.experiment.cases import cases
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.case import play
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.spec import CaseSpec
from harness.load.sessions.session_settings import SessionSettings
from harness.measure.record.files import find
from harness.measure.record.plan import Measured
from harness.measure.reduce.summary import measure_case
from harness.measure.result import Case
from scenarios.sessions import Sessions

SERVER = """
[generation]
ttft_base_s = 0.05
itl_base_s = 0.02
running_max = 64
"""


@dataclass(frozen=True)
class Watched:
    """A strategy that keeps the exchanges of another one."""

    inner: Strategy
    kept: list[tuple[Request, Response]] = field(default_factory=list)

    @property
    def blocking(self) -> bool:
        return False

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        async def watched(request: Request, /) -> Response:
            response = await send(request)
            self.kept.append((request, response))
            return response

        async with aclosing(self.inner.stream(items, watched, layers)) as results:
            async for result in results:
                yield result


class Play(NamedTuple):
    """What was planned, played and measured."""

    spec: CaseSpec
    run: SimulatedRun
    kept: list[tuple[Request, Response]]
    server: SimulatedServer
    case: Case

    def sent(self) -> dict[int, tuple[list[dict[str, Any]], Response]]:
        """The messages and the response of each turn, by its index."""
        return {
            request.items[0].index: (msgspec.json.decode(request.body)["messages"], response)
            for request, response in self.kept
        }


def settings(strategy: str = "queue-stream:concurrency=8", task: str = "chat:stream=true", **more: Any) -> RunSettings:
    """Settings of a run of sessions; what belongs to sessions alone is told apart by its name."""
    own = {name: more.pop(name) for name in list(more) if name in SessionSettings.__dataclass_fields__}
    plain = RunSettings(strategies=(strategy,), scenario="sessions", task=task, simulated=True)
    return replace(plain, sessions=SessionSettings(**own), **more)


def played(
    folder: Path,
    strategy: str | Strategy = "queue-stream:concurrency=8",
    profile: str = SERVER,
    network: Literal["none", "memory"] = "none",
    **more: Any,
) -> Play:
    """Play one repeat on a mock of this profile."""
    named = strategy if isinstance(strategy, str) else "sync"
    spec = cases(settings(named, **more), Sessions)[0]
    (folder / "server.toml").write_text(f"# of a test\n{profile}")
    server = SimulatedServer(folder / "server.toml", seed=1)
    inner = plugins.make("strategy", strategy) if isinstance(strategy, str) else strategy
    watched = Watched(inner)
    records = folder / "records"
    records.mkdir(exist_ok=True)
    run = play(spec.trial("simulated:", records), server, Terms(strategy=watched, network=network))
    assert find(records)
    found = measure_case(spec, folder, Measured(), [])
    assert found is not None
    return Play(spec, run, watched.kept, server, found[0])
