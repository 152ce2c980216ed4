"""Layers by name: their settings, their order, and the chain of layers of a case.

Rules of this file
  1. The order is fixed, however layers are named: each class declares its `place`, and the lowest stands outermost. A
     class without one stands outside of all, in the order given.
  2. A layer's settings are those arguments of its class that are plain values. Arguments called `rng`, `budget`,
     `gate` and `server` are handed in: every layer of one application draws from one seed and spends from one budget.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from harness import plugins
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings, NamedLayers
from harness.client.protocols import Closable, PlacedLayer, gate_of
from harness.client.types import Request, Response, Send

OUTERMOST = 0
_HANDED = ("rng", "budget", "gate", "server")
_PLAIN = (bool, int, float, str)
_AND = re.compile(r"\+(?=[A-Za-z_])")  # not the sign of an exponent

Built = list[tuple[str, object]]
"""Built layers, each with its name."""


def split(text: str) -> tuple[str, list[str]]:
    """`adaptive:maximum=64+cache+hedge:share=0.02` -> the strategy and the layers around it."""
    first, *layers = _AND.split(text)
    return first.strip(), [layer.strip() for layer in layers]


def parse(texts: Iterable[str]) -> NamedLayers:
    """Parse `NAME[:key=value,...]`, each name once, checked and in order; raises UsageError."""
    named: NamedLayers = {}
    for text in texts:
        name, settings = plugins.split_spec(text)
        name = name.replace("_", "-") if ":" not in name else name
        if name in named:
            raise UsageError(f"layer {name} is named twice")
        named[name] = check(name, settings)
    return dict(sorted(named.items(), key=lambda entry: place(entry[0])))


def names() -> list[str]:
    """The names of all layers, outermost first."""
    places = {name: plugins.constant("layer", name, "place", OUTERMOST) for name in plugins.names("layer")}
    return sorted(places, key=lambda name: places[name])


def check(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The converted settings of a layer; the layer is built once, so that its own checks run."""
    if ":" not in name and name not in names():
        raise UsageError(plugins.unknown("layer", name, names()) + "; a class of your own is package.module:Class")
    cls = plugins.load("layer", name)
    place(name)  # an invalid place is an error before the layer is built
    hints = settings(cls)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in hints:
            raise UsageError(f"layer {name}: " + plugins.unknown("setting", key, sorted(hints) or ["none"]))
        values[key] = plugins.setting(f"layer {name}", key, value, hints[key])
    trial(name, values)
    return values


def trial(name: str, values: Mapping[str, Any]) -> object:
    """The layer with these settings and nothing to send to; raises UsageError if it refuses them."""
    try:
        return plugins.load("layer", name)(_nowhere, **values)
    except UsageError as error:
        raise UsageError(f"layer {name}: {error}") from error
    except Exception as error:  # a user-defined class may raise anything
        raise UsageError(f"layer {name}: {type(error).__name__}: {error}") from error


def build(
    send: Send,
    named: NamedLayers,
    handed: Mapping[str, Any],
    rng: Random,
    closing: AsyncExitStack | None = None,
    built: Built | None = None,
) -> Send:
    """The chain around `send`. Layers that hold files or connections are closed by `closing`, outermost first.

    Each layer is put into `built`, outermost first, so that its figures can be read at the end.
    """
    made: Built = []
    for name in sorted(named, key=place, reverse=True):
        cls = plugins.load("layer", name)
        takes = inspect.signature(cls).parameters
        given = {key: value for key, value in handed.items() if key in takes and value is not None}
        if "rng" in takes:
            given["rng"] = Random(rng.getrandbits(64))
        layer = cls(send, **named[name], **given)
        if closing is not None and isinstance(layer, Closable):
            closing.push_async_callback(layer.aclose)
        made.insert(0, (name, layer))
        send = layer
    if built is not None:
        built.extend(made)
    return send


def place(name: str) -> Any:
    """The place of a layer: a number, the lowest outermost; raises UsageError for anything else."""
    layer: object = plugins.load("layer", name)
    found = layer.place if isinstance(layer, PlacedLayer) else OUTERMOST
    if not isinstance(found, (int, float)) or isinstance(found, bool) or not math.isfinite(found):
        raise UsageError(f"layer {name}: place={found!r} must be a number")
    return found


def settings(cls: type[Any]) -> dict[str, Any]:
    """The settings of a layer: its plain arguments and their types."""
    hints = typing.get_type_hints(cls.__init__)
    takes = inspect.signature(cls).parameters
    return {key: hints[key] for key in takes if key not in _HANDED and _is_plain(hints.get(key))}


def _is_plain(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return True
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return any(_is_plain(option) for option in typing.get_args(hint))
    return hint in _PLAIN


async def _nowhere(request: Request, /) -> Response:
    raise AssertionError("a layer that is only checked sends nothing")


def compose(
    send: Send,
    layers: LayerSettings,
    seed: int,
    closing: AsyncExitStack | None = None,
    server: str = "",
    built: Built | None = None,
) -> Send:
    """The request-level layers around one that makes an attempt, in the order of their places.

    `server` identifies the server (`harness.client.transport.server.identity`), for layers that keep answers.
    `built` gets the layers, for their figures.
    """
    from harness.client.layers._budget import RetryBudget

    named = layers.all()
    if not named:
        return send
    handed = {
        "gate": gate_of(send),
        "budget": RetryBudget() if layers.retry_budget else None,
        "server": server,
    }
    return build(send, named, handed, Random(seed), closing, built)
