"""The proof of a fitted profile: how well it plays the server that it was fitted to. Pure.

`[proof]` of a profile is written by `paceline fit` and `paceline verify`. Its hash covers every other key, so a profile
that was changed afterwards is known as such.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from mock_server.profile import Profile

STATUS = {
    "fitted": "not verified yet",
    "supported": "verified: supported",
    "refuted": "verified: REFUTED",
    "not established": "verified: not established",
}
"""Status of a proof -> its words."""


VOID = "void"
"""Key that the loader sets if the parameters have another hash than the proof."""


def checked(profile: Profile) -> Profile:
    """The profile with its proof marked as void if its parameters were changed; raises nothing."""
    if not profile.proof:
        return profile
    void = profile.proof.get("parameters_sha256") != digest(profile)
    return msgspec.structs.replace(profile, proof={**profile.proof, VOID: void})


def digest(profile: Profile) -> str:
    """SHA-256 of the parameters."""
    plain = msgspec.structs.replace(profile, name="", summary="", proof={})
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def words(profile: Profile) -> str | None:
    """One clause about a fitted profile: to what, when, and how well. None for others."""
    proof = profile.proof
    if not proof:
        return None
    if proof.get(VOID):
        return "its proof is void: the profile was changed after the fit"
    status = STATUS.get(str(proof.get("status")), "not verified yet")
    of = f"fitted to {_text(proof, 'fitted_to', 'a server')} on {_text(proof, 'date', 'an unknown day')[:10]}"
    worst = proof.get("worst_errors")
    return f"{of}, {status}" + (f" ({_worst(worst)})" if isinstance(worst, dict) and worst else "")


def _text(proof: dict[str, Any], key: str, default: str) -> str:
    value = proof.get(key)
    return " ".join(str(value).split())[:120] if value else default


def _worst(errors: dict[str, Any]) -> str:
    """The worst error of each figure."""
    shown = [f"{name} {100 * value:.1f} %" for name, value in errors.items() if isinstance(value, int | float)]
    return "worst errors: " + ", ".join(shown)
