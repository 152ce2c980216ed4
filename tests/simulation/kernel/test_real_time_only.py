"""Settings that cannot work in virtual time are a mistake of the user, reported before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main

CACHE = "cache:path=answers.db"
OTHER_SERVER = "semantic-cache:embed=http://127.0.0.1:9"
OWN_LAYER = """
class Own:
    needs_real_time = "it has threads; use Retry"

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, request, /):
        return await self.inner(request)
"""

REFUSED = [
    (("compare", "-s", f"queue-stream+{CACHE}"), "layer cache: path=answers.db: ", "a cache in memory"),
    (("compare", "-s", "sync", "--layer", CACHE), "layer cache: path=answers.db: ", "a cache in memory"),
    (("compare", "-s", "sync", "--variant", CACHE), "layer cache: path=answers.db: ", "a cache in memory"),
    (("sweep", "--layer", CACHE), "layer cache: path=answers.db: ", "a cache in memory"),
    (("compare", "-s", f"sync+{OTHER_SERVER}"), "layer semantic-cache: embed=http://127.0.0.1:9: ", "embed=target"),
    (("compare", "-s", "adaptive", "-s", "jobs"), "strategy jobs: ", "use a strategy that sends requests"),
    (("compare", "-s", "sync+own_layer:Own"), "layer own_layer:Own: it has threads; ", "use Retry"),
]


@pytest.mark.parametrize(("arguments", "named", "allowed"), REFUSED)
def test_what_needs_real_time_is_refused_in_one_line_and_leaves_nothing(
    arguments: tuple[str, ...],
    named: str,
    allowed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, the setting by name, what to use instead; an old run stays, also with --overwrite."""
    (tmp_path / "own_layer.py").write_text(OWN_LAYER)
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "run" / "result.json"
    old.parent.mkdir()
    old.write_text("old")
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments, "--items", "20", "--out", "run", "--overwrite"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"paceline: {named}")
    assert allowed in line
    assert [path.name for path in old.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("strategy", ["queue-stream+cache", "queue-stream+semantic-cache", "sync", "threads:workers=4"])
def test_memory_and_blocking_strategies_are_simulated(strategy: str, tmp_path: Path) -> None:
    """The other settings of the same layers work, and so do strategies that block in real time."""
    with pytest.raises(SystemExit) as ended:
        main(
            ["simulate", "compare", "-s", strategy, "--items", "20", "--task", "chat", "--out", str(tmp_path / "run"),
             "--no-report", "--quiet"]
        )  # fmt: skip
    assert ended.value.code == 0
