"""Both servers, for every contract test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from model_server.http.app import App
from tests.contract.crowd import Crowd
from tests.contract.kinds import CAN_COMPUTE, KINDS, close, make
from tests.contract.servers import Caller, Host, Server


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.stop()
    close()


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "model" and not CAN_COMPUTE:
        pytest.skip("torch and transformers are not installed")
    return name


Serve = Callable[..., Server]


@pytest.fixture
def serve(host: Host, kind: str) -> Serve:
    """A server of this kind with other settings: `serve(api_key="k")`, `serve(queue_max=1, slow=True)`."""

    def start(**options: Any) -> Server:
        def build() -> App:
            return make(kind, **options)

        return host.serve(kind, tuple(sorted(options.items())), build)

    return start


@pytest.fixture
def server(serve: Serve) -> Server:
    """One with bounds low enough to be met."""
    return serve(text_max_chars=20_000, items_max=64, tokens_max=64, body_max_bytes=1 << 20)


@pytest.fixture
def call(server: Server) -> Iterator[Caller]:
    caller = Caller(server)
    yield caller
    caller.close()


@pytest.fixture
def crowd(serve: Serve, host: Host) -> Callable[..., Any]:
    """`with crowd(queue_max=1) as many`: the gate is closed; one batch and one sequence at a time."""

    @contextmanager
    def start(**options: Any) -> Iterator[Crowd]:
        with ThreadPoolExecutor(8) as threads:
            crowd = Crowd(serve(**{"workers": 1, "running_max": 1, **options}), host, threads)
            crowd.close_gate()
            try:
                yield crowd
            finally:
                crowd.close()

    return start
