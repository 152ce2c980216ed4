"""Which transport a command uses, and how the result says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.bulk.connect import connected
from harness.bulk.settings import ProcessSettings
from harness.cli.options import settings_of
from harness.client.errors import UsageError
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.choice import check_transport, transport_of
from harness.client.transport.connection_settings import ConnectionSettings
from harness.client.transport.endpoint import Access
from harness.client.transport.lean import LeanTransport
from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from harness.measure.judge.conditions import FinishedRun, changed
from harness.measure.record.plan import Measured
from harness.measure.reduce.case_figures import identity
from harness.strategies.sync import Sync
from harness.strategies.unbounded import Unbounded
from reports.formats._facts import how_measured
from tests.measure_samples import plan_case
from tests.processes import paceline, result_of, went_well
from tests.report_samples import article
from tests.server_helpers import null_app, served

PROXY = ConnectionSettings(proxy="http://proxy.example:3128")


def test_a_strategy_gets_the_transport_that_fits() -> None:
    """A blocking one blocks threads, whatever is named."""
    to = Access("http://127.0.0.1:1")
    assert type(transport_of(Unbounded(), to, 1.0)) is HttpTransport
    assert type(transport_of(Unbounded(), to, 1.0, name="lean")) is LeanTransport
    assert type(transport_of(Sync(), to, 1.0, name="lean")) is BlockingTransport


def settings(directory: Path, **changes: object) -> RunSettings:
    return RunSettings(strategies=("sync", "unbounded"), task="similarity", out=directory / "run", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "changes", "planned"),
    [
        (None, {}, "asyncio"),
        ("aiohttp", {}, "asyncio"),
        ("lean", {}, "lean"),
        ("lean", {"simulated": True}, "simulated"),
    ],
)
def test_a_case_is_planned_with_its_transport(
    tmp_path: Path, given: str | None, changes: dict[str, bool], planned: str
) -> None:
    if changes:
        cases = prepare(settings(tmp_path, transport=given, **changes)).cases[1:]
    else:
        blocking, *cases = prepare(settings(tmp_path, transport=given)).cases
        assert blocking.transport == "blocking"
    assert [case.transport for case in cases] == [planned]


def test_a_transport_without_proxies_is_refused_with_one(tmp_path: Path) -> None:
    """By name; and a name that there is not."""
    with pytest.raises(UsageError, match="--transport lean: has no proxies; leave out --proxy, or choose"):
        prepare(settings(tmp_path, transport="lean", target="http://h", connection=PROXY))
    with pytest.raises(UsageError, match="--transport curl: expected aiohttp or lean"):
        check_transport("curl", has_proxy=False)


@pytest.mark.parametrize(
    ("options", "default", "found"),
    [
        ({}, None, "aiohttp"),
        ({}, "lean", "lean"),
        ({"transport": "aiohttp"}, "lean", "aiohttp"),
        ({"transport": "lean"}, None, "lean"),
        ({"proxy": "http://p:1"}, "lean", "aiohttp"),
    ],
)
def test_a_command_has_a_default_that_gives_way(options: dict[str, str], default: str | None, found: str) -> None:
    """To the user's word, and to a proxy."""
    given = {"strategies": (), "layer": (), **options}
    made = settings_of(given, "steady", ("unbounded",), default)
    assert made.transport == found
    said = ("sent over aiohttp, because the transport lean has no proxies",)
    assert made.notes == (said if "proxy" in options else ())


def test_report_and_comparison_name_the_transports() -> None:
    """One line in each report; two runs over different ones differ in it, also from one that did not say."""
    result = article(20)
    one, other, unknown = (
        msgspec.structs.replace(result, cases=[msgspec.structs.replace(case, transport=name) for case in result.cases])
        for name in ("lean", "aiohttp", None)
    )
    assert ("transport", "lean") in how_measured(one)
    assert "transport" not in dict(how_measured(unknown))
    (differing,) = changed(FinishedRun(one), FinishedRun(other))
    assert (differing.before, differing.after) == ("lean", "aiohttp")
    assert not changed(FinishedRun(unknown), FinishedRun(other))


def test_a_result_names_the_transport_as_users_do() -> None:
    names = [identity(plan_case(transport=kind), Measured())["transport"] for kind in ("asyncio", "lean", "blocking")]
    assert names == ["aiohttp", "lean", "blocking"]


async def test_bulk_processing_sends_over_the_transport_that_is_named() -> None:
    async with served(null_app()) as url:
        for name, kind in (("aiohttp", HttpTransport), ("lean", LeanTransport)):
            chosen = ProcessSettings(input="in", output="out", target=url, strategy="unbounded", transport=name)
            async with connected(chosen, Unbounded(), named=False) as (send, _, _):
                assert type(send) is kind
    with pytest.raises(UsageError, match="--transport lean: has no proxies"):
        ProcessSettings(input="in", output="out", transport="lean", connection=PROXY)


@pytest.mark.slow
def test_a_run_is_played_over_the_lean_transport_by_default(tmp_path: Path) -> None:
    """The records add up with the server's own count."""
    line = "run steady --rate 100 --duration 2 --server null -s unbounded --no-calibrate --no-report --out run"
    done = paceline(*line.split(), cwd=tmp_path)
    went_well(done, tmp_path / "run")
    (case,) = result_of(tmp_path / "run")["cases"]
    assert case["transport"] == "lean"
    assert case["counts"]["ok"] == case["counts"]["server_seen"] == case["counts"]["scheduled"] > 100
