"""Statistics of music as numbers: per-note and per-window features, and how alike two sets are.

Features are computed on windows of notes in steps (rows onset, duration, pitch, velocity).
The comparison is the overlapping area of two densities (Yang and Lerch 2020): 1 when they are the
same, 0 when they share nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from musegen.score import DURATION, ONSET, PITCH, Notes

Values = NDArray[np.float64]

MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], bool)


def notes_per_bar(window: Notes, bars: int = 2, steps_per_bar: int = 16) -> Values:
    """Onsets in each bar of a window, [bars]."""
    return np.bincount(window[:, ONSET] // steps_per_bar, minlength=bars).astype(float)


def pitches(window: Notes) -> Values:
    """MIDI pitch of each note, [n]."""
    return window[:, PITCH].astype(float)


def intervals(window: Notes) -> Values:
    """Semitones from each note to the next, signed, [n - 1]."""
    return np.diff(window[:, PITCH]).astype(float)


def durations(window: Notes) -> Values:
    """Length of each note in steps, [n]."""
    return window[:, DURATION].astype(float)


def inter_onsets(window: Notes) -> Values:
    """Steps from each onset to the next, [n - 1]."""
    return np.diff(window[:, ONSET]).astype(float)


def pitch_class_entropy(window: Notes) -> Values:
    """Entropy of the pitch-class histogram in bits, [1], or [0] for no notes."""
    if not len(window):
        return np.zeros(0)
    share = np.bincount(window[:, PITCH] % 12, minlength=12) / len(window)
    share = share[share > 0]
    return np.array([-(share * np.log2(share)).sum()])


def scale_consistency(window: Notes) -> Values:
    """Largest share of notes that fits one of the 12 major scales (Mogren 2016), [1] or [0]."""
    if not len(window):
        return np.zeros(0)
    count = np.bincount(window[:, PITCH] % 12, minlength=12)
    scales = np.array([np.roll(MAJOR, key) for key in range(12)])
    return np.array([(scales @ count).max() / len(window)])


FEATURES: dict[str, Callable[[Notes], Values]] = {
    "notes per bar": notes_per_bar,
    "pitch": pitches,
    "interval": intervals,
    "duration": durations,
    "inter-onset": inter_onsets,
    "pitch-class entropy": pitch_class_entropy,
    "scale consistency": scale_consistency,
}


def features(windows: Sequence[Notes], bars: int = 2) -> dict[str, Values]:
    """Every feature of `FEATURES` over all windows of `bars` bars, concatenated."""
    table = FEATURES | {"notes per bar": partial(notes_per_bar, bars=bars)}
    return {
        name: np.concatenate([feature(w) for w in windows]) if len(windows) else np.zeros(0)
        for name, feature in table.items()
    }


def overlapping_area(a: Values, b: Values, bins: NDArray[np.float64]) -> float:
    """Area under the smaller of two histograms of unit mass over the same bins, 0 to 1."""
    if not len(a) or not len(b):
        return 0.0
    p = np.histogram(np.clip(a, bins[0], bins[-1]), bins)[0] / len(a)
    q = np.histogram(np.clip(b, bins[0], bins[-1]), bins)[0] / len(b)
    return float(np.minimum(p, q).sum())


def bins(name: str) -> NDArray[np.float64]:
    """Bin edges of a feature: one bin a value for counts, 24 equal ones for shares and entropy."""
    edges = {
        "notes per bar": (0, 17),
        "pitch": (21, 109),
        "interval": (-24, 25),
        "duration": (1, 33),
        "inter-onset": (1, 33),
    }
    if name in edges:
        low, high = edges[name]
        return np.arange(low - 0.5, high + 0.5)
    top = {"pitch-class entropy": 3.6, "scale consistency": 1.0}[name]
    return np.linspace(0, top, 25)


def overlaps(a: dict[str, Values], b: dict[str, Values]) -> dict[str, float]:
    """Overlapping area of every feature of two sets."""
    return {name: overlapping_area(a[name], b[name], bins(name)) for name in FEATURES}


def shuffled(
    windows: Sequence[Notes], generator: np.random.Generator, bars: int = 2
) -> list[Notes]:
    """The naive baseline: at each step the onset symbol of a random window, as melodies."""
    from musegen.representations.events import Melody

    melody = Melody(bars)
    events = np.stack([melody.encode_steps(w) for w in windows])
    order = np.argsort(generator.random(events.shape), axis=0)
    return [melody.decode_steps(e) for e in np.take_along_axis(events, order, axis=0)]
