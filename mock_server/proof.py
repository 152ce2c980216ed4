"""The proof of a fitted profile: how well it plays the server that it was fitted to. Pure.

`[proof]` of a profile is written by `paceline fit` and `paceline verify`. Its hash covers every other value that is not
the default, so a profile that was changed afterwards is known as such, and one with a new key is not.
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
HASH = "parameters_sha256"
"""Key with the hash of the parameters that were measured last."""
FITTED_HASH = "fitted_sha256"
"""Key with the hash of the fitted parameters, if others were verified since."""


def checked(profile: Profile) -> Profile:
    """The profile with its proof marked as void if its parameters were changed; raises nothing."""
    if not profile.proof:
        return profile
    void = profile.proof.get(HASH) not in (digest(profile), _digest_of_all(profile))
    return msgspec.structs.replace(profile, proof={**profile.proof, VOID: void})


def digest(profile: Profile) -> str:
    """SHA-256 of the parameters that are not the defaults."""
    return _sha256(_changed(_bare(profile)))


def _digest_of_all(profile: Profile) -> str:
    """SHA-256 of all parameters, as the first proofs have it."""
    return _sha256(_bare(profile))


def _bare(profile: Profile) -> Profile:
    return msgspec.structs.replace(profile, name="", summary="", proof={})


def _sha256(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _changed(value: Any) -> Any:
    """The fields of a struct, and of those in it, that are not the defaults; with its kind if it has one."""
    if isinstance(value, tuple):
        return [_changed(one) for one in value]
    if not isinstance(value, msgspec.Struct):
        return value
    kind = value.__struct_config__
    found: dict[str, Any] = {kind.tag_field: kind.tag} if kind.tag_field else {}
    for field in msgspec.structs.fields(value):
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if (one := getattr(value, field.name)) != default:
            found[field.name] = _changed(one)
    return found


def measured(profile: Profile, facts: dict[str, Any]) -> Profile:
    """The profile with facts of a measurement of its present parameters in its proof.

    If these are not the fitted ones, the proof keeps the hash of those.
    """
    proof, now = dict(profile.proof), digest(profile)
    void, fitted = proof.pop(VOID, False), proof.pop(FITTED_HASH, None)
    before = fitted or (proof.get(HASH) if void else None)
    changed = {FITTED_HASH: before} if before and before != now else {}
    return msgspec.structs.replace(profile, proof={**proof, **facts, HASH: now, **changed})


def words(profile: Profile) -> str | None:
    """One clause about a fitted profile: to what, when, and how well. None for others."""
    proof = profile.proof
    if not proof:
        return None
    if proof.get(VOID):
        return "its proof is void: the profile was changed after the fit"
    status = STATUS.get(str(proof.get("status")), "not verified yet")
    server = _text(proof, "fitted_to", "a server")
    of = f"fitted to {server} on {_text(proof, 'date', 'an unknown day')[:10]}"
    of += ", changed after the fit" if proof.get(FITTED_HASH) else ""
    against = _text(proof, "verified_against", server)
    status += f" against {against}" if against != server else ""
    worst = proof.get("worst_errors")
    return f"{of}, {status}" + (f" ({_worst(worst)})" if isinstance(worst, dict) and worst else "")


def _text(proof: dict[str, Any], key: str, default: str) -> str:
    value = proof.get(key)
    return " ".join(str(value).split())[:120] if value else default


def _worst(errors: dict[str, Any]) -> str:
    """The worst error of each figure."""
    shown = [f"{name} {100 * value:.1f} %" for name, value in errors.items() if isinstance(value, int | float)]
    return "worst errors: " + ", ".join(shown)
