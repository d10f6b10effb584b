"""Frozen dataclasses to and from plain dictionaries, strictly: unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import re
import types
import typing
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ConfigError(ValueError):
    """A key or a value that a config does not have; says which are there."""


def to_dict(config: Any) -> Any:
    """A dataclass as plain dicts and lists; members of unions carry their class as "kind"."""
    return _plain(type(config), config)


def _plain(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value))
        fields = dataclasses.fields(value)
        out = {f.name: _plain(hints[f.name], getattr(value, f.name)) for f in fields}
        return {"kind": type(value).__name__, **out} if _dataclass_choices(hint) else out
    if isinstance(value, (list, tuple)):
        kinds = get_args(hint) or (Any, ...)
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        return [_plain(k, v) for k, v in zip(kinds, value, strict=True)]
    return value


def from_dict(cls: type[T], data: Any, where: str = "") -> T:
    """The inverse of `to_dict`.

    Raises:
        ConfigError: unknown or missing keys, or values of the wrong type.
    """
    result: T = _build(cls, data, where or cls.__name__)
    return result


def _dataclass_choices(hint: Any) -> list[type]:
    if get_origin(hint) in (Union, types.UnionType):
        choices = [h for h in get_args(hint) if dataclasses.is_dataclass(h)]
        return [c for c in choices if isinstance(c, type)] if len(choices) > 1 else []
    return []


def _build(hint: Any, data: Any, where: str) -> Any:
    choices = _dataclass_choices(hint)
    if choices:
        kind = data.get("kind") if isinstance(data, dict) else None
        named = {c.__name__: c for c in choices}
        if kind not in named:
            raise ConfigError(f"{where}: kind must be one of {', '.join(named)}, not {kind!r}")
        hint, data = named[kind], {k: v for k, v in data.items() if k != "kind"}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(data, dict):
            raise ConfigError(f"{where}: expected fields, got {data!r}")
        hints = get_type_hints(hint)
        names = [f.name for f in dataclasses.fields(hint)]
        for key in data:
            if key not in names:
                raise ConfigError(f"{where}: unknown key {key!r}{nearest(key, names)}")
        for f in dataclasses.fields(hint):
            if f.name not in data and f.default is f.default_factory is dataclasses.MISSING:
                raise ConfigError(f"{where}: lacks {f.name!r}")
        return hint(**{k: _build(hints[k], v, f"{where}.{k}") for k, v in data.items()})
    origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {data!r}")
        kinds = get_args(hint)
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(data)
        if len(kinds) != len(data):
            raise ConfigError(f"{where}: expected {len(kinds)} values, got {data!r}")
        return tuple(
            _build(k, v, f"{where}.{i}") for i, (k, v) in enumerate(zip(kinds, data, strict=True))
        )
    if origin is Literal:
        if data not in get_args(hint):
            raise ConfigError(f"{where}: must be one of {get_args(hint)}, not {data!r}")
        return data
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if hint in (int, float, str, bool) and type(data) is not hint:
        raise ConfigError(f"{where}: expected {hint.__name__}, got {data!r}")
    return data


def nearest(key: str, names: typing.Iterable[str]) -> str:
    """A hint for a mistyped key, to put behind an error."""
    names = list(names)
    close = difflib.get_close_matches(key, names, 1, 0.5)
    return f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(names) or 'none'}"


def override(config: T, assignments: typing.Iterable[str]) -> T:
    """A copy with "a.b.0.c=value" assignments made; values are JSON, or plain strings.

    Raises:
        ConfigError: a path that is not there or a value of the wrong type.
    """
    data = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"{assignment!r}: expected KEY=VALUE")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        place, keys = data, path.strip().split(".")
        for depth, key in enumerate(keys):
            names = list(place) if isinstance(place, dict) else []
            if isinstance(place, list):
                names = [str(i) for i in range(len(place))]
            if key not in names:
                raise ConfigError(f"{path}: unknown key {key!r}{nearest(key, names)}")
            at = key if isinstance(place, dict) else int(key)
            if depth == len(keys) - 1:
                place[at] = value
            place = place[at]
    return from_dict(type(config), data)


def describe(config: Any, path: str = "") -> list[tuple[str, Any, str]]:
    """Every field below a dataclass: its path, value, and meaning from the class's docstring."""
    found = []
    meanings = _meanings(type(config))
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            found += describe(value, f"{path}{f.name}.")
        else:
            found.append((path + f.name, value, meanings.get(f.name, "")))
    return found


def _meanings(cls: type) -> dict[str, str]:
    """The "Attributes:" of a docstring, as the name of each and its text in one line; those of base
    classes too.
    """
    inherited = [_meanings(base) for base in cls.__bases__ if dataclasses.is_dataclass(base)]
    known: dict[str, str] = {}
    for meanings in reversed(inherited):
        known |= meanings
    return known | _listed(cls)


def _listed(cls: type) -> dict[str, str]:
    _, _, listed = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for line in listed.splitlines():
        start = re.match(r" {4}(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif found and line.startswith(" " * 8):
            found[name] += " " + line.strip()
        elif line.strip():
            break
    return found
