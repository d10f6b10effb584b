"""Pairs of inverse maps between a Score segment and an array, and the table of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from musegen.lazy import Table
from musegen.score import Notes, Score


class Representation(Protocol):
    """A frozen dataclass whose fields are its config.

    Two laws hold: `decode(encode(s)) == project(s)` for every segment `s`, and
    `encode(decode(x)) == x` for every canonical `x`, that is, for every `x` that `encode` gives.
    """

    def encode(self, score: Score) -> NDArray[Any]:
        """A segment that starts at tick 0 as an array."""
        ...

    def decode(self, array: NDArray[Any]) -> Score:
        """Array to score segment."""
        ...

    def project(self, score: Score) -> Score:
        """The part of a segment that the representation can hold."""
        ...

    def encode_windows(self, notes: Notes, owner: NDArray[np.integer], n: int) -> NDArray[Any]:
        """Notes [m, 4 or 5] in the representation's own steps of `n` windows as [n, ...]; `owner`
        [m] tells whose each is.
        """
        ...


REPRESENTATIONS: Table[type[Representation]] = Table(
    {
        "pianoroll": "musegen.representations.pianoroll:Pianoroll",
        "onsetroll": "musegen.representations.onsetroll:OnsetRoll",
        "melody": "musegen.representations.events:Melody",
        "drums": "musegen.representations.drums:Drums",
        "trio": "musegen.representations.trio:Trio",
        "groove": "musegen.representations.groove:Groove",
        "chords": "musegen.representations.chords:Chords",
        "tuples": "musegen.representations.tuples:Tuples",
    }
)

_HOMES = {home.partition(":")[2]: name for name, home in REPRESENTATIONS.homes.items()}
__all__ = ["REPRESENTATIONS", "Representation", *_HOMES]


def __getattr__(name: str) -> Any:
    """The classes themselves, imported when they are used."""
    if name in _HOMES:
        return REPRESENTATIONS[_HOMES[name]]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
