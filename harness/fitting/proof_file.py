"""The proof of a verification, and how it gets into the file of its profile, whose other lines stay."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from harness.base.files import bounded_bytes, write_atomically
from harness.client.errors import UsageError
from harness.fitting.profile_file import proof_lines, write
from harness.measure.verification_result import Verification
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, load
from mock_server.proof import digest, measured

_HEADER = re.compile(r"\s*\[\[?\s*([^\]\s.]+)")


def proven(profile: Profile, found: Verification) -> Profile:
    """The profile with the errors of a verification in its proof."""
    decided = [row for row in found.rows if row.error is not None and row.status != "bounded below"]
    worst = {name: max(abs(row.error or 0.0) for row in decided if row.figure == name)
             for name in dict.fromkeys(row.figure for row in decided)}  # fmt: skip
    floors = {name: max(row.floor for row in decided if row.figure == name) for name in worst}
    errors = [
        f"{row.load} | {row.figure} | {'no figure' if row.error is None else f'{row.error:+.4f}'} | "
        f"floor {row.floor:.4f} | {row.status}"
        for row in found.rows
    ]
    facts = {
        "status": found.status,
        "verified": found.date,
        "verified_against": found.target,
        "verdict": found.text,
        "worst_errors": worst,
        "floors": floors,
        "rows": errors,
        "capacity_per_s": found.capacity_per_s,
        "verified_on": str(found.environment.get("cpu_model") or found.environment.get("simulated", ""))[:120],
    }
    return measured(profile, facts)


def save(profile: Profile, path: Path) -> None:
    """Write the proof of a profile into its file. Raises UsageError, and then the file is as before."""
    try:
        text = bounded_bytes(path).decode("utf-8-sig")
        data = tomllib.loads(text)
        same = digest(load(path)) == digest(profile)
    except (OSError, ValueError, ProfileError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if "extends" in data:
        why = f"extends {data['extends']!r}, and a proof belongs to a file with values of its own"
        raise UsageError(f"{path}: {why}; verify that profile, or a copy with all values")
    if not same:
        raise UsageError(f"{path}: was changed during the verification; verify it again")
    proof = "\n".join(proof_lines(profile))
    new = f"{_without_proof(text)}\n\n{proof}\n".lstrip()
    if not _same_values(new, data):
        # Its proof is written in a way that is not ours, such as an inline table.
        write(profile, path)
        return
    try:
        write_atomically(path, new.encode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _without_proof(text: str) -> str:
    """The lines that are not in the table of the proof or in a table of it; comments before another table stay."""
    kept: list[str] = []
    inside, comments = False, list[str]()
    for line in text.split("\n"):
        if (header := _HEADER.match(line)) is not None:
            inside = header[1].strip("\"'") == "proof"
            kept += [] if inside else comments
            comments = []
        if not inside:
            kept.append(line)
        else:
            comments = [*comments, line] if not line.strip() or line.lstrip().startswith("#") else []
    return "\n".join([*kept, *comments]).rstrip()


def _same_values(text: str, data: dict[str, Any]) -> bool:
    """Whether a text has these values, apart from the proof."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return {**found, "proof": None} == {**data, "proof": None}
