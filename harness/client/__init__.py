"""The client: what an application imports to send in bulk. Names load on first use, so that importing this is quick."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# At once, because a submodule that is imported later would take its function's name.
from harness.client.items import items

if TYPE_CHECKING:
    from harness.client.blocking import BlockingTransport
    from harness.client.budget import RetryBudget
    from harness.client.chunking import chunks
    from harness.client.gate.concurrency_limit import ConcurrencyLimit
    from harness.client.gate.observer import watching
    from harness.client.jobs import JobClient, JobSend
    from harness.client.layers.cache import Cache
    from harness.client.layers.chunk import Chunk
    from harness.client.layers.coalesce import Coalesce
    from harness.client.layers.deadline import Deadline
    from harness.client.layers.hedge import Hedge
    from harness.client.layers.rate_limit import RateLimit
    from harness.client.layers.retry import Retry
    from harness.client.layers.semantic_cache import SemanticCache
    from harness.client.limits.aimd import Aimd
    from harness.client.limits.fixed import Fixed
    from harness.client.limits.knee import Knee
    from harness.client.tasks.annotate import Annotate
    from harness.client.tasks.chat import Chat
    from harness.client.tasks.embed import Embed
    from harness.client.tasks.fill_mask import FillMask
    from harness.client.tasks.similarity import Similarity
    from harness.client.tasks.zero_shot import ZeroShot
    from harness.client.transport import HttpTransport
    from harness.client.types import Item, Outcome, Request, Response, Result, request_for, result_of

__all__ = [
    "Aimd",
    "Annotate",
    "BlockingTransport",
    "Cache",
    "Chat",
    "Chunk",
    "Coalesce",
    "ConcurrencyLimit",
    "Deadline",
    "Embed",
    "FillMask",
    "Fixed",
    "Hedge",
    "HttpTransport",
    "Item",
    "JobClient",
    "JobSend",
    "Knee",
    "Outcome",
    "RateLimit",
    "Request",
    "Response",
    "Result",
    "Retry",
    "RetryBudget",
    "SemanticCache",
    "Similarity",
    "ZeroShot",
    "chunks",
    "items",
    "request_for",
    "result_of",
    "watching",
]

_HOMES = {
    "transport": ("HttpTransport",),
    "blocking": ("BlockingTransport",),
    "types": ("Item", "Outcome", "Request", "Response", "Result", "request_for", "result_of"),
    "budget": ("RetryBudget",),
    "chunking": ("chunks",),
    "jobs": ("JobClient", "JobSend"),
    "layers.cache": ("Cache",),
    "layers.chunk": ("Chunk",),
    "layers.coalesce": ("Coalesce",),
    "gate.concurrency_limit": ("ConcurrencyLimit",),
    "layers.deadline": ("Deadline",),
    "layers.hedge": ("Hedge",),
    "layers.rate_limit": ("RateLimit",),
    "layers.retry": ("Retry",),
    "layers.semantic_cache": ("SemanticCache",),
    "limits.aimd": ("Aimd",),
    "limits.fixed": ("Fixed",),
    "limits.knee": ("Knee",),
    "gate.observer": ("watching",),
    "tasks.annotate": ("Annotate",),
    "tasks.chat": ("Chat",),
    "tasks.embed": ("Embed",),
    "tasks.fill_mask": ("FillMask",),
    "tasks.similarity": ("Similarity",),
    "tasks.zero_shot": ("ZeroShot",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
