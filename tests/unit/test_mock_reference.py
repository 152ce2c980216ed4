"""docs/servers.md is in step with the routes and the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server.docs_tables import filled, main, tables

DOCUMENT = Path(__file__).parents[2] / "docs" / "servers.md"


def test_the_generated_tables_are_what_the_code_says() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m mock_server.docs_tables docs/servers.md"


def test_the_tables_are_written_between_their_markers(tmp_path: Path) -> None:
    copy = tmp_path / "servers.md"
    copy.write_text("".join(f"a\n<!-- generated: {name} -->\nSTALE\n<!-- end -->\n" for name in tables()))
    main(str(copy))
    text = copy.read_text()
    assert "STALE" not in text
    assert "`POST /similarity`" in text
    assert "`truncated-json`" in text
    with pytest.raises(ValueError, match="no marker <!-- generated: routes -->"):
        filled("nothing")
