"""What an evaluation gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """Figures of a model against held-out songs.

    Attributes:
        lines: its tables as text.
        numbers: the same as plain values, for JSON.
        scores: the few that stand for it in lists of models.
        pictures: PNG files by name.
        learned: what belongs into the bundle's info: attribute vectors.
        levels: held-out music's own values of what logs of runs say of music that was made.
    """

    lines: list[str]
    numbers: Mapping[str, Any]
    scores: Mapping[str, float]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
