"""Plays every situation with the command and writes the table of docs/verdicts.md (two minutes)."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.verdicts.playing import Seen, by_command
from tests.verdicts.situations import SITUATIONS, Situation, verdict_words

BEGIN, END = "<!-- situations -->\n", "<!-- end of situations -->\n"
HEAD = "| the server | exit code | verdict | the first line that explains it |\n|---|---|---|---|\n"


def row(of: Situation, seen: Seen) -> str:
    """A line of the table; the port of the server is replaced by one that a reader knows."""
    # A valid run with exit code 0 needs no explanation.
    code, text = next(iter(seen.texts.items()), ("", "")) if seen.exit_code else ("", "")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", text).replace("|", "\\|")
    reason = verdict_words(seen.status, code)
    return f"| {of.name} | {seen.exit_code} | {reason} | {text or '–'} |\n"


def table() -> str:
    """One row for each situation."""
    rows = []
    for situation in SITUATIONS:
        with tempfile.TemporaryDirectory() as folder:
            seen, _ = by_command(situation, Path(folder))
        rows.append(row(situation, seen))
        print(rows[-1], end="", file=sys.stderr)
    return HEAD + "".join(rows)


def main() -> None:
    """Print the table, or write it into the page that is named."""
    made = table()
    if len(sys.argv) < 2:
        print(made)
        return
    page = Path(sys.argv[1])
    text = page.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(before + BEGIN + made + END + after, encoding="utf-8")


main()
