"""A sweep with the curve that a profile predicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.client.errors import UsageError
from harness.experiment.prepare import Run
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.sweep import SweepOrder, SweepSettings, prepare_sweep
from harness.fitting.prediction import with_prediction
from harness.measure.reduce.summary import summarize_run
from reports.charts import sweep as chart
from reports.drawing.theme import LIGHT


def prepared(out: Path) -> tuple[Run, SweepOrder]:
    settings = RunSettings(
        strategies=("queue-stream",), server="constant-120ms", task="similarity", simulated=True, out=out
    )
    return prepare_sweep(settings, SweepSettings(concurrency="1:4:x2", items=60))


def test_the_prediction_is_made_before_the_sweep_and_kept_with_its_records(tmp_path: Path) -> None:
    run, _ = prepared(tmp_path / "run")
    with_prediction(run, "constant-120ms")
    execute(run, lambda event, facts: None, VirtualTime(run))
    # Everything comes from the files of the run.
    result = summarize_run(tmp_path / "run")
    assert result.sweep is not None
    assert result.sweep.predicted is not None
    rates = {one.level: one.completed_per_s for one in result.sweep.predicted.levels}
    assert {level: round(rate or 0.0, 2) for level, rate in rates.items()} == {1.0: 8.33, 2.0: 16.67, 4.0: 33.33}
    (said,) = [text for text in result.findings if text.startswith("Predicted by constant-120ms")]
    assert "nothing to compare" in said or "0 %" in said
    figure = chart.figure(result, LIGHT)
    shown = [text.get_text() for text in figure.texts] + [
        text.get_text() for axes in figure.axes for text in axes.texts
    ]
    assert any("predicted by constant-120ms" in text for text in shown)


def test_an_unknown_profile_leaves_no_run_behind(tmp_path: Path) -> None:
    run, _ = prepared(tmp_path / "run")
    with pytest.raises(UsageError, match="--predicted nothing: no such profile; known: "):
        with_prediction(run, "nothing")
    assert not (tmp_path / "run").exists()
