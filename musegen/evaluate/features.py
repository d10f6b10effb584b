"""Features of windows of symbols, whatever they stand for: melodies, drum loops or trios."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen import metrics
from musegen.representations.drums import Drums, hits
from musegen.representations.events import FIRST_ONSET, NO_EVENT, STEPS_PER_BAR, Melody
from musegen.representations.trio import Trio

Values: TypeAlias = NDArray[np.float64]
Symbols: TypeAlias = NDArray[np.integer]
# Bits of the classes of drums: kick, snare, and what keeps time (hats and ride).
_PARTS = {"kick": 1 << 0, "snare": 1 << 1, "hats": 1 << 2 | 1 << 3 | 1 << 8}
DRUM_FEATURES = ("hits per bar", "drums per bar", "drums together", *_PARTS)
HARMONY = "melody above bass"  # interval class


def features(x: Symbols, representation: Melody | Drums | Trio) -> dict[str, Values]:
    """Values of every feature over all windows.

    Args:
        x: symbols [n, steps], or [n, 3, steps] of trios.
        representation: what they stand for.
    """
    if isinstance(representation, Melody):
        notes = [representation.decode_steps(row) for row in x]
        return metrics.features(notes, representation.bars)
    if isinstance(representation, Drums):
        return _drums(x)
    found: dict[str, Values] = {}
    for name, line in zip(("melody", "bass"), (x[:, 0], x[:, 1]), strict=True):
        one = features(line, representation.line)
        found |= {f"{name} {feature}": values for feature, values in one.items()}
    return found | _drums(x[:, 2]) | {HARMONY: _harmony(x)}


def _drums(x: Symbols) -> dict[str, Values]:
    """Hits and different drums in each bar, drums at each step that has one, places in the bar."""
    hit = hits(x)  # [n, steps, 9]
    bars = hit.reshape(-1, STEPS_PER_BAR, 9)
    together = hit.sum(-1).ravel()
    found = {
        "hits per bar": bars.sum((1, 2)).astype(float),
        "drums per bar": bars.any(1).sum(-1).astype(float),
        "drums together": together[together > 0].astype(float),
    }
    for name, bits in _PARTS.items():
        found[name] = (np.nonzero(x & bits)[-1] % STEPS_PER_BAR).astype(float)
    return found


def _harmony(x: Symbols) -> Values:
    """Pitch of each note of the melody above the last note of the bass, modulo 12."""
    melody, bass = x[:, 0].astype(np.int64), x[:, 1].astype(np.int64)
    place = np.where(bass != NO_EVENT, np.arange(bass.shape[1]), 0)
    held = np.take_along_axis(bass, np.maximum.accumulate(place, axis=1), axis=1)
    both = (melody >= FIRST_ONSET) & (held >= FIRST_ONSET)
    return ((melody - held)[both] % 12).astype(float)


def edges(name: str) -> Values:
    """Edges of the bins of a feature's histogram."""
    tops = {"hits per bar": 65, "drums per bar": 10, "drums together": 10, HARMONY: 12}
    tops |= dict.fromkeys(_PARTS, STEPS_PER_BAR)
    if name in tops:
        return np.arange(-0.5, tops[name])
    return metrics.bins(name.removeprefix("melody ").removeprefix("bass "))


def overlaps(a: dict[str, Values], b: dict[str, Values]) -> dict[str, float]:
    """Overlapping area of every feature of two sets, 0 to 1."""
    return {name: metrics.overlapping_area(a[name], b[name], edges(name)) for name in a}


def shuffled(x: Symbols, rng: np.random.Generator) -> Symbols:
    """The naive baseline: at each step and in each voice the symbol of a random window."""
    order = np.argsort(rng.random(x.shape), axis=0)
    return np.take_along_axis(x, order, axis=0)
