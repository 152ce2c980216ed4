"""Sends many requests to a model server: transports, layers, limits and tasks, without Locust and without measuring.

Start with `HttpTransport`, `items` and a strategy of `harness.strategies`; docs/client.md has complete examples.
Names load on first use, so that importing this package is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.client._lazy import lazy_names

if TYPE_CHECKING:  # isort: off
    # Transports
    from harness.client.transport.async_http import HttpTransport as HttpTransport
    from harness.client.transport.lean.transport import LeanTransport as LeanTransport
    from harness.client.transport.blocking import BlockingTransport as BlockingTransport
    from harness.client.transport.tls import Tls as Tls
    from harness.client.transport.proxy import Proxy as Proxy, proxy_of as proxy_of

    # Types and protocols
    from harness.client.types import Item as Item, Request as Request, Response as Response, Result as Result
    from harness.client.types import Attempt as Attempt, Outcome as Outcome, Sample as Sample, Signal as Signal
    from harness.client.types import Send as Send, Task as Task, Limit as Limit, Strategy as Strategy
    from harness.client.types import no_layers as no_layers

    # From rows to items and requests, from responses to results
    from harness.client.task_calls import items as items, request_for as request_for, result_of as result_of

    # Errors
    from harness.client.errors import PacelineError as PacelineError, UsageError as UsageError
    from harness.client.errors import SettingError as SettingError, ItemError as ItemError, BadResponse as BadResponse

    # Layers
    from harness.client.layers.cache import Cache as Cache
    from harness.client.layers.semantic_cache import SemanticCache as SemanticCache
    from harness.client.layers.coalesce import Coalesce as Coalesce
    from harness.client.layers.deadline import Deadline as Deadline
    from harness.client.layers.chunk import Chunk as Chunk
    from harness.client.layers.retry import Retry as Retry
    from harness.client.layers._budget import RetryBudget as RetryBudget
    from harness.client.layers.hedge import Hedge as Hedge
    from harness.client.layers.rate_limit import RateLimit as RateLimit
    from harness.client.gate.concurrency_limit import ConcurrencyLimit as ConcurrencyLimit

    # Limits
    from harness.client.limits.fixed import Fixed as Fixed
    from harness.client.limits.knee import Knee as Knee
    from harness.client.limits.aimd import Aimd as Aimd

    # Tasks
    from harness.client.tasks.annotate import Annotate as Annotate
    from harness.client.tasks.chat import Chat as Chat
    from harness.client.tasks.complete import Complete as Complete
    from harness.client.tasks.embed import Embed as Embed
    from harness.client.tasks.fill_mask import FillMask as FillMask
    from harness.client.tasks.http import Http as Http
    from harness.client.tasks.responses import Responses as Responses
    from harness.client.tasks.similarity import Similarity as Similarity
    from harness.client.tasks.zero_shot import ZeroShot as ZeroShot

    # Jobs
    from harness.client.jobs import JobClient as JobClient, JobSend as JobSend, JobError as JobError, Polling as Polling

    # Texts
    from harness.client.text.chunks import chunks as chunks

    # Hooks
    from harness.client.gate.observer import watching as watching
    from harness.client.gate.memory import remembering as remembering
    from harness.client.hooks import LimitDetails as LimitDetails, RetryDetails as RetryDetails
    from harness.client.hooks import HedgeDetails as HedgeDetails, BadRow as BadRow, SkippedRows as SkippedRows
else:
    __getattr__, __dir__ = lazy_names(__name__)
