"""The shipped JSON Schema and the classes say the same."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest

from harness.measure import schema
from harness.measure.result import (
    SCHEMA_VERSION,
    Bucket,
    Case,
    Counts,
    Diagnosis,
    Distribution,
    Load,
    Named,
    Quantile,
    Reason,
    RunResult,
    SloCheck,
    Target,
    Verdict,
    decode,
    encode,
)


def sample() -> RunResult:
    """A result with every kind of part filled."""
    case = Case(
        name="queue-stream:concurrency=50",
        strategy=Named("queue-stream", {"concurrency": 50}),
        load=Load("poisson", {"rate_per_s": 100.0}, items=None, duration_s=8.0),
        task="similarity",
        target=Target("http://127.0.0.1:8000", server="demo", note="times divided by 6"),
        counts=Counts(scheduled=2, ok=1, rejected=1, sent=2, attempts=2, server_seen=2),
        latency_s=Distribution(n=1, mean=0.1, p50=Quantile(0.1, 0.09, 0.11), log_edges=[0.1, 0.11], log_counts=[1]),
        ttft_s=Distribution(),
        diagnosis=Diagnosis("server", "the server was the limit"),
        slo=[SloCheck("p99<1s", None, 1.0, False)],
        timeline=[Bucket(0.0, 0.1)],
        warnings=["few"],
    )
    return RunResult(
        schema_version=SCHEMA_VERSION,
        id="x",
        started_at="2026-01-01T00:00:00+00:00",
        tool={"name": "paceline"},
        environment={"cpu_cores": 2},
        seed=1,
        schedule_sha256=None,
        verdict=Verdict("invalid", [Reason("errors", "half failed", "queue-stream:concurrency=50")]),
        headline="nothing to trust",
        cases=[case],
    )


def test_the_shipped_schema_is_the_one_of_the_classes() -> None:
    """After a change of result.py: python -m harness.measure.schema."""
    assert schema.PATH.read_text(encoding="utf-8") == schema.text()


def test_writing_the_schema_gives_the_same_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`main` writes what `text` says."""
    path = tmp_path_factory.mktemp("schema") / "result.schema.json"
    monkeypatch.setattr(schema, "PATH", path)
    schema.main()
    assert path.read_text(encoding="utf-8") == schema.text()


@pytest.mark.no_cover
def test_an_encoded_result_validates_and_comes_back_equal() -> None:
    """Bytes on disk meet the schema, and decoding gives the same result."""
    data = encode(sample())
    found = json.loads(data)
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.text()))
    jsonschema.validate(found, json.loads(schema.text()))
    assert decode(data) == sample()


@pytest.mark.no_cover
def test_the_schema_refuses_an_unknown_verdict() -> None:
    """The schema is not empty talk."""
    found = msgspec.to_builtins(sample())
    found["verdict"]["status"] = "green"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, json.loads(schema.text()))
