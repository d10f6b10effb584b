"""Tables of things that are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

T = TypeVar("T")


class Table(Mapping[str, T], Generic[T]):
    """Things by name; `homes` says where each is, as "package.module:name"."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        self.homes = dict(homes)

    def __getitem__(self, key: str) -> T:
        module, _, name = self.homes[key].partition(":")
        found: T = getattr(import_module(module), name)
        return found

    def __contains__(self, key: object) -> bool:
        """Whether there is such a name; nothing is imported."""
        return key in self.homes

    def __iter__(self) -> Iterator[str]:
        return iter(self.homes)

    def __len__(self) -> int:
        return len(self.homes)
