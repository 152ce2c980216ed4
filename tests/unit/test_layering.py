"""Layers by name: how they are asked for, in which order they stand, and what is refused."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness import plugins
from harness.client import stack
from harness.client.errors import UsageError
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layer_settings import LayerSettings
from harness.client.layers._budget import RetryBudget
from harness.client.limits.fixed import Fixed
from harness.client.protocols import gate_of
from harness.client.stack import compose
from harness.client.types import Request, Response, Send
from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from tests.unit.layer_helpers import Server, ask


class Own:
    """A layer of one's own."""

    def __init__(self, inner: Send, times: int = 1) -> None:
        self._inner = inner
        self.times = times

    async def __call__(self, request: Request, /) -> Response:
        return await self._inner(request)


def chain(send: Any) -> list[str]:
    """The classes from outside in."""
    names = []
    while not isinstance(send, ConcurrencyLimit) and hasattr(send, "_inner"):
        names.append(type(send).__name__)
        send = send._inner
    return [*names, type(send).__name__] if isinstance(send, ConcurrencyLimit) else names


class Inside(Own):
    """A layer of one's own that says where it stands: between retry and hedge."""

    place = 65


class Misplaced(Own):
    """Says nothing that can be compared."""

    place = "inside"


def test_every_layer_declares_its_place() -> None:
    """From outside in; the same whether it is read from the source or from the class."""
    assert stack.names() == [
        *("cache", "semantic-cache", "coalesce", "deadline", "chunk", "retry", "hedge", "rate-limit")
    ]
    assert set(plugins.names("layer")) == set(stack.names())
    for name in plugins.names("layer"):
        assert stack.place(name) == plugins.constant("layer", name, "place", -1), name


def test_a_layer_stands_where_its_class_says() -> None:
    """Also one of the user's own; one that says nothing stands outside of all."""
    named = stack.parse(["hedge", f"{__name__}:Inside", "retry", f"{__name__}:Own"])
    assert chain(stack.build(Server(), named, {}, Random(1))) == ["Own", "Retry", "Inside", "Hedge"]
    with pytest.raises(UsageError, match="place='inside' must be a number"):
        stack.parse(["retry", f"{__name__}:Misplaced"])


def test_a_file_dropped_into_the_folder_is_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed in its place and selectable, without an entry anywhere else."""
    package = tmp_path / "dropped_layers"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tag.py").write_text("from tests.unit.test_layering import Own\n\n\nclass Tag(Own):\n    place = 5\n")
    (package / "late.py").write_text("from tests.unit.test_layering import Own\n\n\nclass Late(Own):\n    place = 9\n")
    (package / "broken.py").write_text("class Broken(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(plugins.KINDS, "layer", "dropped_layers")
    assert stack.names() == ["broken", "tag", "late"]
    assert list(stack.parse(["late:times=2", "tag"])) == ["tag", "late"]
    assert "invalid syntax" in plugins.summary("layer", "broken")
    with pytest.raises(UsageError, match=r"layer 'broken' cannot be imported: .*broken.py, line 1: invalid syntax"):
        stack.parse(["broken"])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("adaptive", ("adaptive", [])),
        ("adaptive:maximum=64+cache+hedge:share=0.02", ("adaptive:maximum=64", ["cache", "hedge:share=0.02"])),
        ("a.b:C:rate=1e+5+cache", ("a.b:C:rate=1e+5", ["cache"])),
    ],
)
def test_a_strategy_and_its_layers_are_separated(text: str, parts: tuple[str, list[str]]) -> None:
    assert stack.split(text) == parts


def test_the_order_is_fixed_however_layers_are_named() -> None:
    named = stack.parse(
        ["rate-limit:rate_per_s=9", "hedge", "cache", "chunk", "retry", "coalesce", "deadline:timeout_s=1"]
    )
    gate = ConcurrencyLimit(Server(), Fixed(3))
    send = stack.build(gate, named | stack.parse(["semantic-cache:embed=math:sqrt"]), {"gate": gate}, Random(1))
    assert chain(send) == [
        *("Cache", "SemanticCache", "Coalesce", "Deadline", "Chunk", "Retry", "Hedge", "RateLimit", "ConcurrencyLimit")
    ]


def test_own_layers_stand_outside() -> None:
    named = stack.parse(["retry", f"{__name__}:Own:times=3"])
    send: Any = stack.build(Server(), named, {}, Random(1))
    assert chain(send) == ["Own", "Retry"]
    assert send.times == 3


def test_retries_and_hedges_of_one_application_share_a_budget_and_know_the_gate() -> None:
    gate = ConcurrencyLimit(Server(), Fixed(3))
    send: Any = compose(gate, LayerSettings(retries=2, retry_budget=True, named={"hedge": {}}), 1)
    assert isinstance(send._budget, RetryBudget)
    assert send._budget is send._inner._budget
    assert send._inner._gate is gate
    assert compose(gate, LayerSettings(), 1) is gate


def test_what_is_said_by_name_wins_over_the_short_option() -> None:
    settings = LayerSettings(retries=2, deadline_s=5.0, named=stack.parse(["retry:base_s=0.5,retries=7"]))
    assert settings.all() == {"deadline": {"timeout_s": 5.0}, "retry": {"retries": 7, "base_s": 0.5}}
    assert settings.as_report()["retry"] == "base_s=0.5,retries=7"
    assert settings.as_report()["retries"] == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cash", "did you mean cache"),
        ("cache:ttl=3", "unknown setting 'ttl'.*ttl_s"),
        ("cache:ttl_s=soon", "ttl_s='soon' is not a number"),
        ("cache:ttl_s=0", "layer cache: ttl_s=0.0"),
        ("rate-limit:rate_per_s=-1", "rate_per_s=-1.0 must be above 0"),
        ("rate-limit:bucket=round", "leaky, token"),
        ("semantic-cache:embed=nonsense", "embed='nonsense' must be"),
        ("deadline", "layer deadline"),
        ("concurrency-limit", "unknown layer"),
        ("hedge:budget=3", "unknown setting 'budget'"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        stack.parse([text])
    with pytest.raises(UsageError, match="named twice"):
        stack.parse(["cache", "cache:ttl_s=3"])


def test_a_variant_is_one_more_case_beside_each_strategy(tmp_path: Path) -> None:
    settings = RunSettings(
        strategies=("queue-stream:concurrency=4", "adaptive+hedge"),
        variants=("cache", "cache+coalesce"),
        layers=LayerSettings(named=stack.parse(["retry"])),
        out=tmp_path / "run",
        calibrate=False,
    )
    specs = prepare(settings).cases
    assert [spec.name for spec in specs] == [
        "queue-stream:concurrency=4",
        "queue-stream:concurrency=4+cache",
        "queue-stream:concurrency=4+cache+coalesce",
        "adaptive+hedge",
        "adaptive+hedge+cache",
        "adaptive+hedge+cache+coalesce",
    ]
    assert [list(spec.layers.all()) for spec in specs][-1] == ["retry", "cache", "coalesce", "hedge"]
    with pytest.raises(UsageError, match="named twice"):
        prepare(RunSettings(strategies=("adaptive+hedge",), variants=("hedge",), out=tmp_path / "other"))


async def test_files_are_closed_by_who_composed(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    async with AsyncExitStack() as closing:
        named = stack.parse([f"cache:path={path}"])
        send = compose(Server(lambda n: 0.0), LayerSettings(named=named), 1, closing)
        await send(ask())
        assert path.exists()
    assert not path.with_name(path.name + "-wal").exists()  # it was closed, so its journal is merged


class OwnGate(Own):
    """A gate of one's own: a `send` that shows how full it is."""

    def __init__(self, inner: Send) -> None:
        super().__init__(inner)
        self.limit, self.in_flight, self.vacant = Fixed(2), 0, True


def test_a_gate_of_ones_own_is_recognised_by_what_it_offers() -> None:
    """Like the gate of a strategy of paceline; a plain send and a layer are none."""
    gate = OwnGate(Server())
    send: Any = compose(gate, LayerSettings(named={"hedge": {}}), 1)
    assert send._gate is gate
    assert gate_of(ConcurrencyLimit(Server(), Fixed(3))) is not None
    assert gate_of(Server()) is None
    assert gate_of(Own(Server())) is None
