"""Generates the JSON Schema of result.json beside this file: `python -m harness.measure.schema`."""

from __future__ import annotations

import json
from pathlib import Path

from harness.base.files import write_atomically
from harness.measure.result import json_schema

PATH = Path(__file__).with_name("result.schema.json")


def text() -> str:
    """The content of the schema file."""
    return json.dumps(json_schema(), indent=2) + "\n"


def main() -> None:
    """Write the file; raises OSError."""
    write_atomically(PATH, text().encode())


if __name__ == "__main__":
    main()
