"""Builds an engine from its settings: `build(settings)` imports torch and loads the models."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.base import units
from model_server.engines.settings import EngineError, EngineSettings, Source
from model_server.engines.tasks import TASKS

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine
    from model_server.engines.loading import Loaded


def build(settings: EngineSettings, progress: Callable[[str], None] = lambda text: None) -> TorchEngine:
    """Load every model. Raises `EngineError`, in one line, if a model is not available or does not fit its task."""
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise EngineError(f"{package} is not installed: pip install 'paceline[model]'")
    # Texts are tokenized one at a time: the tokenizer's threads would only compete.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    progress("starting torch")
    import torch
    import transformers

    from model_server.engines.decoding import Decoder
    from model_server.engines.device import device_of, dtype_of, keep_memory
    from model_server.engines.engine import TorchEngine, describe
    from model_server.engines.served import Served

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    keep_memory()
    torch.set_num_threads(settings.threads)
    device = device_of(settings.device)
    dtype = dtype_of(settings.dtype, device)
    served: dict[str, Served] = {}
    decoder: Decoder | None = None
    shared: dict[tuple[str, str, bool], Loaded] = {}
    for source in settings.sources:
        kind = TASKS[source.task].kind
        if kind in served or (kind == "generate" and decoder is not None):
            # Two tasks with the same kind of work share the model.
            continue
        loaded = _load(source, dtype, device, settings.seed, shared, progress)
        if kind == "generate":
            decoder = Decoder(loaded, settings.running_max)
        else:
            served[kind] = Served(kind, loaded)
    return TorchEngine(settings, served, decoder, progress, describe(settings.threads, device, dtype))


def _load(
    source: Source,
    dtype: Any,
    device: Any,
    seed: int,
    shared: dict[tuple[str, str, bool], Loaded],
    progress: Callable[[str], None],
) -> Loaded:
    """Load the model, or reuse the same model with the same head from another task."""
    from model_server.engines import loading, random_weights

    head = loading.HEADS.get(TASKS[source.task].kind, loading.ENCODER)
    if TASKS[source.task].kind in ("nli", "classify", "rerank"):
        # Heads of these tasks differ in their labels.
        head += source.task
    key = (source.name, head, source.random)
    if key not in shared:
        began = time.monotonic()
        kind = "random weights" if source.random else "model"
        progress(f"loading {kind} {source.name} for {source.task}")
        if source.random:
            shared[key] = random_weights.build(source, dtype, device, seed)
        else:
            shared[key] = loading.load(source, dtype, device)
        progress(f"loaded {source.name} in {units.seconds(time.monotonic() - began)}")
    return shared[key]
