"""The parameters of an item: those of its row take precedence over the settings of its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.client.protocols import GeneratingTask, SampledTask, WithParameters, provides
from harness.client.types import Item


def parameters_of(item: Item) -> Mapping[str, Any]:
    """The parameters that the row of an item sets."""
    return item.data.parameters if provides(item.data, WithParameters) else {}


def temperature_of(item: Item) -> float | None:
    """The temperature of the row, else of the task; None if both leave it to the server."""
    own = parameters_of(item)
    if "temperature" in own:
        temperature: float | None = own["temperature"]
        return temperature
    return item.task.temperature if provides(item.task, SampledTask) else None


def max_tokens_of(item: Item) -> int:
    """The most tokens that the answer to an item may have; 0 if no text is generated."""
    own = parameters_of(item)
    of_task = item.task.max_tokens if provides(item.task, GeneratingTask) else 0
    given = own.get("max_completion_tokens") or own.get("max_output_tokens") or own.get("max_tokens", of_task)
    return int(given or 0)
