"""Tiny models of the real architectures, built once for all tests here; without torch there is nothing to test."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.lazily import Lazy

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed for this Python (the model extra)", allow_module_level=True)

torch = Lazy("torch")
TASKS = ("similarity", "embed", "fill-mask", "zero-shot", "rerank", "classify", "annotate")
SHAPES = {"fill-mask": "tiny-bert", "zero-shot": "tiny-roberta", "annotate": "tiny-llama"}


@pytest.fixture(scope="session")
def engine() -> Iterator[TorchEngine]:
    """All kinds of work in float32; each test opens it on its own loop."""
    from model_server.engines.build import build
    from model_server.engines.settings import EngineSettings, Source

    sources = tuple(Source(task, SHAPES.get(task, "tiny-bert"), random=True) for task in TASKS)
    built = build(EngineSettings(sources, dtype="float32", warm_s=0.05, rows_max=4, running_max=4))
    yield built
    built.close()


def random_model(task: str, shape: str) -> Any:
    """One loaded model of random weights, in float32 on the processor."""
    from model_server.engines.random_weights import build
    from model_server.engines.settings import Source

    return build(Source(task, shape, random=True), torch.float32, torch.device("cpu"), seed=1)
