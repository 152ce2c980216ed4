"""Built-in profiles, and the loader of all profiles: reads a TOML file, resolves `extends` and checks the values.

Cheap to import: no numpy, no server.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from harness.base.files import bounded_bytes
from mock_server.jitter import Empirical
from mock_server.profile import Profile
from mock_server.proof import checked
from mock_server.toml_settings import ProfileError, convert

__all__ = ["Profile", "ProfileError", "load", "loaded", "names", "summary"]

_HERE = Path(__file__).parent
_DEPTH_MAX = 8


def names() -> list[str]:
    """The names of the built-in profiles, sorted."""
    return sorted(path.stem for path in _HERE.glob("*.toml"))


def summary(name_or_path: str | Path) -> str:
    """The first comment line of a profile, which describes the server."""
    with _path(str(name_or_path)).open(encoding="utf-8") as file:
        first = file.readline()
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def load(name_or_path: str | Path) -> Profile:
    """A profile by name, or from a `.toml` file; raises `ProfileError`, one line that names key, value and range."""
    from mock_server.faults import fault_of

    path = _path(str(name_or_path))
    data = _read(path, _DEPTH_MAX)
    profile: Profile = convert(data, Profile, path.name)
    for index, fault in enumerate(profile.faults):
        fault_of(fault, f"{path.name}: faults[{index}]")
    profile = _with_files(profile, path)
    return checked(msgspec.structs.replace(profile, name=path.stem, summary=summary(path)))


def loaded(option: str, name_or_path: str | Path) -> Profile:
    """As `load`; an error begins with the option that named the profile."""
    try:
        return load(name_or_path)
    except ProfileError as error:
        raise ProfileError(f"{option} {error}") from None


def _path(name: str) -> Path:
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        try:
            if path.is_file():
                return path
        except OSError as error:
            raise ProfileError(f"{name}: {error.strerror}") from None
        raise ProfileError(f"{name}: no such profile file")
    path = _HERE / f"{name}.toml"
    if name not in names():
        near = _near(name)
        hint = f" (did you mean {' or '.join(near)}?)" if near else " (or a path that ends in .toml)"
        raise ProfileError(f"{name}: no such profile; known: {', '.join(names())}{hint}")
    return path


def _near(name: str) -> list[str]:
    """The names that may have been meant, also with the dashes left out."""
    plain = {one.replace("-", ""): one for one in names()}
    bare = name.replace("-", "").lower()
    if bare in plain:
        return [plain[bare]]
    found = [plain[one] for one in difflib.get_close_matches(bare, list(plain), n=3)]
    return found or difflib.get_close_matches(name, names(), n=3)


def _read(path: Path, depth: int) -> dict[str, Any]:
    try:
        data = tomllib.loads(bounded_bytes(path).decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path.name}: not valid TOML: {error}") from None
    except RecursionError:
        raise ProfileError(f"{path.name}: lists or tables are nested too deeply") from None
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None
    for key in ("name", "summary"):
        if key in data:
            raise ProfileError(f"{path.name}: unknown key {key}; it comes from the file itself")
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise ProfileError(f"{path.name}: extends = {base!r}: expected the name or path of a profile")
    if depth == 0:
        raise ProfileError(f"{path.name}: extends = {base!r}: more than {_DEPTH_MAX} levels deep, or circular")
    beside = path.parent / base
    try:
        parent = beside if base.endswith(".toml") and beside.is_file() else _path(base)
    except ProfileError as error:
        raise ProfileError(f"{path.name}: extends: {error}") from None
    except OSError as error:
        raise ProfileError(f"{path.name}: extends = {base!r}: {error.strerror}") from None
    return _merged(_read(parent, depth - 1), data)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`. Tables are merged key by key, but a table with another `kind` replaces."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and value.get("kind", old.get("kind")) == old.get("kind"):
            result[key] = _merged(old, value)
        else:
            result[key] = value
    return result


def _with_files(profile: Profile, path: Path) -> Profile:
    """The profile with the files of its empirical jitters read."""
    replace = msgspec.structs.replace
    service = replace(profile.service, jitter=_filled(profile.service.jitter, path, "service.jitter"))
    generation = replace(
        profile.generation,
        ttft_jitter=_filled(profile.generation.ttft_jitter, path, "generation.ttft_jitter"),
        itl_jitter=_filled(profile.generation.itl_jitter, path, "generation.itl_jitter"),
    )
    network = replace(profile.network, jitter=_filled(profile.network.jitter, path, "network.jitter"))
    return replace(profile, network=network, service=service, generation=generation)


def _filled(jitter: Any, path: Path, key: str) -> Any:
    if not isinstance(jitter, Empirical) or jitter.file is None:
        return jitter
    try:
        lines = bounded_bytes(path.parent / jitter.file).decode("utf-8-sig").split()
        return Empirical(factors=tuple(float(line) for line in lines))
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path.name}: {key}.file = {jitter.file!r}: {error}") from None
