"""Null in a template."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.client.errors import ItemError
from harness.load.templates import Template


@pytest.mark.parametrize(
    "text",
    ["{{ body }}", "{{ body | trim }}", "{{ body | replace('a', 'b') }}", "{{ row.body | upper | truncate(9) }}"],
)
def test_null_is_never_written_as_none(tmp_path: Path, text: str) -> None:
    """It makes a bad row, as a missing value does."""
    (tmp_path / "prompt.j2").write_text(f"About: {text}")
    with pytest.raises(ItemError, match="a value is null where its text is needed"):
        Template(str(tmp_path / "prompt.j2")).fill({"body": None})


@pytest.mark.parametrize("text", ["{{ body or '' }}", "{% if body is not none %}{{ body | trim }}{% endif %}"])
def test_a_template_may_allow_null(tmp_path: Path, text: str) -> None:
    """It says what stands there."""
    (tmp_path / "prompt.j2").write_text(f"About: {text}.")
    row = {"body": None}
    Template(str(tmp_path / "prompt.j2")).fill(row)
    assert row == {"body": None, "prompt": "About: .", "text": "About: ."}
