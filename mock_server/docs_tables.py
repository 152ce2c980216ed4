"""`python -m mock_server.docs_tables docs/servers.md`: rewrites the generated tables of the documentation.

The tables are made from the routes and the settings classes, so they always match the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mock_server import profiles
from mock_server.app import create
from mock_server.faults import kinds
from mock_server.toml_settings import reference_table
from model_server.http.openapi import errors_table, routes_table


def tables() -> dict[str, str]:
    """Every generated table, by its name in the markers."""
    shipped = ["| Profile | Server that it simulates |", "|---|---|"]
    shipped += [f"| `{name}` | {profiles.summary(name)} |" for name in profiles.names()]
    faults = [
        f"**`{name}`** {(sys.modules[fault.__module__].__doc__ or '').splitlines()[0]}\n\n{reference_table(fault)}"
        for name, fault in kinds().items()
    ]
    return {
        "routes": routes_table(create("null").routes),
        "errors": errors_table(),
        "profiles": "\n".join(shipped),
        "keys": reference_table(),
        "faults": "\n\n".join(faults),
    }


def filled(text: str) -> str:
    """The document with its generated parts replaced; raises ValueError if a marker is missing."""
    for name, table in tables().items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"no marker {begin}")
        part = f"{begin}\n{table}\n{end}"
        # The default argument binds the part of this iteration.
        text = pattern.sub(lambda _, part=part: part, text)  # type: ignore[misc]
    return text


def main(path: str) -> None:
    """Rewrite the file in place."""
    document = Path(path)
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
