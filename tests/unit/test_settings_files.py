"""Files of settings are small: a device or a wrong path to a large file is one line, and neither fills the memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.base.files import SETTINGS_BYTES_MAX
from harness.cli.main import main
from harness.client.errors import ItemError
from harness.client.tasks.http.fields import KINDS


@pytest.mark.parametrize(
    "line",
    [
        ["--http", "{}"],
        ["--task", "chat", "--input", "rows.jsonl", "--template", "{}"],
        ["--task", "chat", "--input", "rows.jsonl", "--param", "response_format=@{}"],
    ],
)
@pytest.mark.parametrize("file", ["/dev/zero", "large.toml"])
def test_a_file_without_end_or_bounds_is_one_line(
    line: list[str], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"prompt": "a"}\n')
    Path("large.toml").write_bytes(b"#" * (SETTINGS_BYTES_MAX + 1))
    with pytest.raises(SystemExit) as ended:
        main(["check", "--target", "http://127.0.0.1:9", *(part.format(file) for part in line)])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"{file}: has more than 4,194,304 bytes" in err
    assert err.count("\n") == 1


def test_settings_that_are_nested_too_deeply_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("paceline.toml").write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(SystemExit) as ended:
        main(["compare"])
    assert ended.value.code == 2
    assert "paceline.toml: lists or tables are nested too deeply" in capsys.readouterr().err


def test_a_field_that_names_a_pipe_is_a_bad_row_at_once(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "image.png")
    with pytest.raises(ItemError, match="is no file"):
        KINDS["base64"](str(tmp_path / "image.png"), "image")
