"""Plug-ins are files: drop a module or package with one public class into its folder and it is listed and selectable.

The name a user types is the file's name with dashes (`queue_stream.py` -> `queue-stream`), the class has it in
CamelCase (`QueueStream`), and its settings are the fields of that frozen dataclass. `package.module:Class` names a
class of your own.
Listing reads folders and never imports, so help and completion stay quick.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import importlib.util
import json
import math
import re
import types
import typing
from pathlib import Path
from typing import Any

from harness.base.discovery import modules
from harness.base.quantity import duration_s, rate_per_s
from harness.client.errors import UsageError
from harness.client.user_imports import imported, own

_USERINFO = re.compile(r"://[^/?#\s]*@")
KINDS = {
    "strategy": "harness.strategies",
    "task": "harness.client.tasks",
    "limit": "harness.client.limits",
    "layer": "harness.client.layers",
    "load": "harness.load.pacers",
    "scenario": "scenarios",
    "chart": "reports.charts",
    "format": "reports.formats",
    "fault": "mock_server.faults",
}


def folder(kind: str) -> Path:
    """The folders of the plug-ins of a kind."""
    package = KINDS[kind]
    spec = importlib.util.find_spec(package.partition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"the package {package} is not installed")
    return Path(next(iter(spec.submodule_search_locations)), *package.split(".")[1:])


def names(kind: str) -> list[str]:
    """The names of a kind's plug-ins, sorted, without importing any of them."""
    place = folder(kind)
    packages = [path.parent.name for path in place.glob("*/__init__.py") if _holds_class(path)]
    found = modules([str(place)]) + packages
    return sorted(name.replace("_", "-") for name in found if name not in NOT_PLUGINS)


def _holds_class(path: Path) -> bool:
    """Whether a package is a plug-in: its `__init__` defines the class. Others hold helpers of plug-ins."""
    return f"class {camel(path.parent.name)}" in path.read_text(encoding="utf-8")


NOT_PLUGINS = {"users"}
"""Modules in plug-in folders that are not plug-ins."""


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring (its class's, else its module's), read without importing it."""
    try:
        tree, cls = _parsed(kind, name)
    except (SyntaxError, ValueError) as error:
        return f"(cannot be read: {error})"
    doc = (ast.get_docstring(cls) if cls else None) or ast.get_docstring(tree) or ""
    return doc.partition("\n")[0]


def constant(kind: str, name: str, attribute: str, default: Any) -> Any:
    """A class attribute that is written as a literal, read without importing the plug-in."""
    try:
        _, cls = _parsed(kind, name)
    except (SyntaxError, ValueError):
        return default
    for node in cls.body if cls else ():
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == attribute and (value := getattr(node, "value", None)):
            return ast.literal_eval(value)
    return default


def _parsed(kind: str, name: str) -> tuple[ast.Module, ast.ClassDef | None]:
    stem = folder(kind) / name.replace("-", "_")
    path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == camel(name)]
    return tree, classes[0] if classes else None


def camel(name: str) -> str:
    """queue-stream -> QueueStream."""
    return "".join(part.capitalize() for part in name.replace("_", "-").split("-"))


def load(kind: str, name: str) -> type[Any]:
    """The class behind a name; raises UsageError with similar names."""
    if ":" not in name:
        known = names(kind)
        if name not in known:
            raise UsageError(f"{unknown(kind, name, known)}; a class of your own is package.module:Class")
        path = f"{KINDS[kind]}.{name.replace('-', '_')}:{camel(name)}"
        return _checked(kind, name, imported(f"{kind} {name!r}", path))
    return _checked(kind, name, own(f"{kind} {name!r}", name))


NEEDED = {
    "strategy": ("stream", "blocking"),
    "task": ("parse", "request", "answer"),
    "limit": ("value", "update"),
    "layer": ("__call__",),
    "load": ("arrivals",),
}
"""Required attributes of the classes of each kind."""


def _checked(kind: str, name: str, found: Any) -> type[Any]:
    if not isinstance(found, type):
        raise UsageError(f"{kind} {name!r} is not a class")
    # Not `hasattr`: every class has a `__call__`, its constructor.
    has = {attribute for base in found.__mro__ for attribute in vars(base)} | {
        *getattr(found, "__dataclass_fields__", ())
    }
    missing = [needed for needed in NEEDED.get(kind, ()) if needed not in has]
    if missing:
        raise UsageError(f"{kind} {name!r} is not a {kind}: the class has no {' and no '.join(missing)}")
    return found


def unknown(what: str, name: str, known: list[str]) -> str:
    """One line for an unknown name: similar names first, then all."""
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {what} {name!r}: {hint}known are {', '.join(known)}"


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """`name:key=value,key=value` -> name and settings; the name may itself be `package.module:Class`."""
    name, _, rest = text.partition(":")
    if rest and ("." in name or rest[0].isupper()):  # no setting begins with a capital letter, and every class does
        class_name, _, rest = rest.partition(":")
        name = f"{name}:{class_name}"
    settings: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: {part!r} is not key=value")
        key = key.strip().replace("-", "_")
        if key in settings:
            raise UsageError(f"{text!r}: {key} is given twice")
        settings[key] = value.strip()
    return name.strip(), settings


def make(kind: str, text: str) -> Any:
    """Build a plug-in from `name:key=value,...`; a mistake is a UsageError with key, value and allowed values."""
    name, settings = split_spec(text)
    return build(kind, name, settings)


def build(kind: str, name: str, settings: typing.Mapping[str, Any]) -> Any:
    """Build a plug-in from its name and settings (strings are converted to the fields' types)."""
    return fill(load(kind, name), f"{kind} {name}", settings)


def fill(cls: type[Any], where: str, settings: typing.Mapping[str, Any]) -> Any:
    """Build a settings dataclass; every mistake is a UsageError that starts with `where`."""
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UsageError(f"{where}: it is no dataclass whose fields are its settings")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in fields:
            raise UsageError(f"{where}: " + unknown("setting", key, sorted(fields) or ["none"]))
        values[key] = setting(where, key, value, hints[key])
    try:
        return cls(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    except TypeError as error:
        missing = [f.name for f in fields.values() if _required(f) and f.name not in values]
        raise UsageError(f"{where}: needs {', '.join(missing) or error}") from error
    except Exception as error:  # a user-defined class may raise anything
        raise UsageError(f"{where}: {type(error).__name__}: {error}") from error


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def setting(where: str, key: str, value: Any, hint: Any) -> Any:
    """A setting by its field's type; a text for a duration (`..._s`) or a rate (`..._per_s`) may have a unit."""
    parse = rate_per_s if key.endswith("_per_s") else duration_s if key.endswith("_s") else None
    if parse is not None and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = parse(value)
    return convert(f"{where}: {key}", value, hint)


def convert(where: str, value: Any, hint: Any) -> Any:
    """A command-line string (or a JSON value) as the type a field asks for; raises UsageError."""
    if isinstance(value, str) and _USERINFO.search(value):
        raise UsageError(
            f"{where}: a URL with a user or password cannot be a setting, since settings are written into the results"
        )
    options = typing.get_args(hint) if typing.get_origin(hint) in {types.UnionType, typing.Union} else (hint,)
    if type(None) in options and (value is None or value in ("none", "")):
        return None
    for option in options:
        if option is not type(None):
            try:
                return _convert_one(value, option)
            except (ValueError, TypeError, OverflowError):
                continue
    allowed = " or ".join(type_name(option) for option in options if option is not type(None))
    raise UsageError(f"{where}={value!r} is not {allowed}")


def _convert_one(value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise ValueError(value)
    if origin is tuple:
        parts = value.split("|") if isinstance(value, str) else list(value)
        return tuple(_convert_one(part, typing.get_args(hint)[0]) for part in parts)
    if hint is bool:
        return _boolean(value)
    if hint in {int, float}:
        if isinstance(value, bool):
            raise ValueError(value)
        number = hint(value)
        if isinstance(value, float) and number != value and not math.isnan(value):
            raise ValueError(value)  # 2.5 is no whole number and is not truncated
        return number
    if isinstance(value, hint):
        return value
    raise ValueError(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    table = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if str(value).lower() in table:
        return table[str(value).lower()]
    raise ValueError(value)


def type_name(hint: Any) -> str:
    """Description of a setting's type."""
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        options = typing.get_args(hint)
        none = ["none"] if type(None) in options else []
        return " or ".join([*(type_name(option) for option in options if option is not type(None)), *none])
    if typing.get_origin(hint) is tuple:
        return f"values separated by |, each {type_name(typing.get_args(hint)[0])}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(hint, str(hint))


def settings_of(plugin: Any) -> dict[str, Any]:
    """The settings of a built plug-in, as JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plugin)))
    return plain


def name_of(cls: type[Any]) -> str:
    """The name under which a plug-in class is selected."""
    package, _, stem = cls.__module__.rpartition(".")
    if package in KINDS.values() and camel(stem) == cls.__name__:
        return stem.replace("_", "-")
    return f"{cls.__module__}:{cls.__qualname__}"
