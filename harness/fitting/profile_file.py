"""A fitted profile as a TOML file of the mock."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from harness.base.files import write_atomically
from harness.client.errors import UsageError
from harness.fitting.fitted_parameters import Fit
from harness.fitting.refusal_bounds import Refusals
from mock_server.profile import Capacity, Generation, Limits, Network, Profile, Service
from mock_server.proof import HASH, VOID, digest

_BARE = re.compile(r"[A-Za-z0-9_-]+")
QUEUE_MAX = 1_000_000
"""Of a server whose bound was never reached."""


def profile_of(fit: Fit, own_s: float = 0.0) -> Profile:
    """The mock that plays a fit. `own_s`: time that a mock process and its client take for a request anyway."""
    if fit.streams is not None:
        return _of_streams(fit, own_s)
    assert fit.law is not None  # noqa: S101 - a fit has one of both
    assert fit.jitter is not None  # noqa: S101 - it comes with the law
    values, structure, bounds = fit.law.values, fit.structure, fit.refusals
    overhead_s, base_s = _shared(values["overhead_s"], values["base_s"], own_s)
    queue = bounds.queue_max(structure.workers, structure.batch_items)
    return Profile(
        network=Network(overhead_s=overhead_s, own_s=own_s, jitter=fit.overhead_jitter),
        service=Service(
            base_s=base_s,
            per_item_s=values["per_item_s"],
            per_token_s=values["per_token_s"],
            per_square_s=values["per_square_s"],
            jitter=fit.jitter,
        ),
        capacity=Capacity(
            workers=structure.workers,
            queue_max=QUEUE_MAX if queue is None else queue,
            batch_max_items=structure.batch_items,
            batch_max_tokens=structure.batch_tokens,
            pad_multiple=structure.pad_multiple,
            batch_linger_s=values["linger_s"],
            batch_overhead_tokens=fit.overhead_tokens,
        ),
        tokens=fit.tokens,
        limits=_limits(bounds, structure.workers),
    )


def _of_streams(fit: Fit, own_s: float) -> Profile:
    assert fit.streams is not None  # noqa: S101 - its caller checked it
    assert fit.stream_jitters is not None  # noqa: S101 - it comes with the streams
    values: dict[str, Any] = dict(fit.streams.values)
    slots, bounds = fit.streams.slots, fit.refusals
    overhead_s, values["ttft_base_s"] = _shared(values.pop("overhead_s", 0.0), values["ttft_base_s"], own_s)
    queue = bounds.queue_max(slots)
    first, later = fit.stream_jitters
    generation = Generation(
        **values,
        ttft_jitter=first,
        itl_jitter=later,
        running_max=slots,
        queue_max=QUEUE_MAX if queue is None else queue,
    )
    network = Network(overhead_s=overhead_s, own_s=own_s)
    return Profile(network=network, generation=generation, limits=_limits(bounds, slots))


def _shared(overhead_s: float, base_s: float, own_s: float) -> tuple[float, float]:
    """Overhead and base with at least the mock's own overhead in the former: the two can be one in the records."""
    moved = min(max(0.0, own_s - overhead_s), base_s)
    return overhead_s + moved, base_s - moved


def _limits(bounds: Refusals, workers: int) -> Limits:
    """The limits for callers; with 0 `workers` nothing waits, and the bound of a queue is one of requests in flight."""
    known: dict[str, Any] = {"retry_after_s": bounds.retry_after_s, "tell_wait": bounds.has_retry_after}
    at_once = bounds.at_once_max(workers)
    if at_once is not None:
        known |= {"in_flight": at_once, "status": 503 if bounds.in_flight is None else 429}
    if bounds.rate_per_s is not None:
        known |= {"rate_per_s": bounds.rate_per_s, "burst": max(1, bounds.burst or 1)}
        known["status"] = 503 if bounds.rate_status == 503 else 429
    return Limits(**known) if at_once is not None or bounds.rate_per_s is not None else Limits()


def with_proof(profile: Profile, proof: dict[str, Any]) -> Profile:
    """The profile as its file has it, with a proof and the hash of the parameters in it."""
    kept = rounded(profile)
    return msgspec.structs.replace(kept, proof={**proof, HASH: digest(kept)})


def rounded(profile: Profile) -> Profile:
    """The profile with numbers of six digits, as its file has them."""
    return msgspec.convert(_rounded(msgspec.to_builtins(profile)), Profile)


def _rounded(value: Any) -> Any:
    """Floats with six digits, as they are written."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def write(profile: Profile, path: Path) -> None:
    """Write the profile; raises UsageError if that fails."""
    try:
        write_atomically(path, toml_of(profile).encode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def toml_of(profile: Profile) -> str:
    """The file: what differs from the defaults, and the proof at its end."""
    plain = {**msgspec.to_builtins(profile)}
    for name in ("name", "summary", "proof"):
        del plain[name]
    changed = _changed(plain, msgspec.to_builtins(Profile()))
    # A comment of TOML has no control characters.
    summary = "".join(c if c.isprintable() else " " for c in profile.summary)
    lines = [*([f"# {summary}"] if summary else []), "", *_table(changed, ""), ""]
    return "\n".join([*lines, *proof_lines(profile)]).strip() + "\n"


def proof_lines(profile: Profile) -> list[str]:
    """The proof, as the file has it at its end."""
    proof = {name: value for name, value in profile.proof.items() if name != VOID}
    return _table({"proof": proof}, "") if profile.proof else []


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        default = defaults.get(name)
        if value == default or value is None:
            continue
        if isinstance(value, dict) and isinstance(default, dict) and value.get("kind") == default.get("kind"):
            found[name] = _changed(value, default)
        else:
            found[name] = _known(value) if isinstance(value, dict) else value
    return found


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """Without unset values: TOML has no null."""
    return {name: value for name, value in values.items() if value is not None}


def _table(values: dict[str, Any], path: str) -> list[str]:
    """Lines of a table: plain values first, then the tables in it."""
    plain = [f"{_key(name)} = {_value(value)}" for name, value in values.items() if not isinstance(value, dict)]
    lines = [*([f"[{path}]"] if path and (plain or not values) else []), *plain]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += ["", *_table(value, f"{path}.{_key(name)}" if path else _key(name))]
    return lines


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}" if "." in f"{value:.6g}" or "e" in f"{value:.6g}" else f"{value:.1f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items() if one is not None)
        return "{ " + inner + " }"
    # JSON allows a DEL in a text, and TOML does not. A path that is not UTF-8 is shown, and not used.
    text = str(value).encode(errors="replace").decode()
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
