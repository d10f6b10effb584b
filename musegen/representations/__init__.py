"""Pairs of inverse maps between a Score segment and an array, and the table of them."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from musegen.representations.events import Melody
from musegen.score import Score


class Representation(Protocol):
    """`decode(encode(s)) == project(s)` for every segment `s` that `encode` accepts."""

    def encode(self, score: Score) -> NDArray[Any]:
        """Score segment to array."""
        ...

    def decode(self, array: NDArray[Any]) -> Score:
        """Array to score segment."""
        ...

    def project(self, score: Score) -> Score:
        """The part of a segment that the representation can hold."""
        ...


REPRESENTATIONS: dict[str, type[Melody]] = {"melody": Melody}
