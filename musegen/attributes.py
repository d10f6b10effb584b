"""What can be said of a melody in a number, and moved in a latent (Roberts et al. 2018, 5.5).

The paper names five attributes; the appendix with their formulas is not at hand, so these are
definitions of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen.representations.drums import hits
from musegen.representations.events import FIRST_ONSET, LOWEST

Values: TypeAlias = NDArray[np.float64]
Symbols: TypeAlias = NDArray[np.integer]
AWAY = 0.4  # of the way from one melody to another, how far a vector goes
STRONG = 4  # steps from one strong place to the next
_C_MAJOR = np.isin(np.arange(12), [0, 2, 4, 5, 7, 9, 11])


def diatonic(x: Symbols) -> Values:
    """Share of the notes of each melody [n, steps] that are in C major, [n]; 1 without notes."""
    notes = x >= FIRST_ONSET
    inside = notes & _C_MAJOR[(x.astype(np.int64) - FIRST_ONSET + LOWEST) % 12]
    share: Values = np.where(notes.any(1), inside.sum(1) / notes.sum(1).clip(1), 1.0)
    return share


def density(x: Symbols) -> Values:
    """Notes a step, 0 to 1."""
    return np.asarray((x >= FIRST_ONSET).mean(1), np.float64)


def interval(x: Symbols) -> Values:
    """Mean distance in semitones of a note from the one before; 0 for fewer than two notes."""
    owner, step = np.nonzero(x >= FIRST_ONSET)
    leap = np.abs(np.diff(x[owner, step].astype(np.int64)))
    same = owner[1:] == owner[:-1]
    total = np.bincount(owner[1:][same], leap[same], len(x))
    return total / np.bincount(owner[1:][same], minlength=len(x)).clip(1)


def _syncopation(notes: NDArray[np.bool_], unit: int) -> Values:
    """Share of the steps that are off-beat by `unit` steps where a note begins that is held past
    the next stronger place, of what begins at each step [n, steps].
    """
    off, on = notes[:, unit :: 2 * unit], notes[:, 2 * unit :: 2 * unit]
    on = np.pad(on, ((0, 0), (0, off.shape[1] - on.shape[1])))
    return np.asarray((off & ~on).mean(1), np.float64)


def syncopation_16(x: Symbols) -> Values:
    """Share of the odd sixteenths with a note and none on the eighth that follows."""
    return _syncopation(x >= FIRST_ONSET, 1)


def syncopation_8(x: Symbols) -> Values:
    """Share of the odd eighths with a note and none on the quarter that follows."""
    return _syncopation(x >= FIRST_ONSET, 2)


Attributes: TypeAlias = Mapping[str, Callable[[Symbols], Values]]
ATTRIBUTES: Attributes = {
    "diatonic": diatonic,
    "density": density,
    "interval": interval,
    "syncopation-16": syncopation_16,
    "syncopation-8": syncopation_8,
}
# Of loops, whose symbols have a bit for each of nine drums.
DRUMS: Attributes = {
    "density": lambda x: np.asarray(hits(x).sum(-1).mean(1), np.float64),
    "syncopation-16": lambda x: _syncopation(x > 0, 1),
    "syncopation-8": lambda x: _syncopation(x > 0, 2),
}
OF: dict[str, Attributes] = {"Melody": ATTRIBUTES, "Drums": DRUMS}  # by representation


def chord_tones(x: Symbols, chords: Symbols) -> dict[str, float]:
    """Shares of note-ons that are chord tones, and of those on quarters.

    Args:
        x: symbols of melodies [n, steps].
        chords: as `Chords` has them, [n, beats, 36]; notes where there is no chord do not count.
    """
    beats = np.repeat(chords, x.shape[1] // chords.shape[1], axis=1)
    window, step = np.nonzero(x >= FIRST_ONSET)
    pitch = (x[window, step].astype(np.int64) - FIRST_ONSET + LOWEST) % 12
    sounds = beats[window, step, 12:24].any(axis=1)
    fits = beats[window, step, 12 + pitch] > 0
    strong = step % STRONG == 0
    return {
        "chord tones": float(fits[sounds].mean()) if sounds.any() else 0.0,
        "on quarters": float(fits[sounds & strong].mean()) if (sounds & strong).any() else 0.0,
    }


def vectors(z: Values, x: Symbols, attributes: Attributes = ATTRIBUTES) -> dict[str, Values]:
    """For each attribute the way through the latent to more of it and the others as they were.

    Attributes are read from latents by least squares; the slopes of z on these readings, all
    together, are the directions that change one reading alone and stay nearest to where latents
    are. The paper takes the difference of the mean latents of the quarters of melodies that have
    most and least of one; attributes go together (busy melodies are syncopated ones), and so the
    others would move as well. A latent that holds on to melodies gives nothing for small moves, so
    all vectors are as long as `AWAY` times the distance between two melodies.

    Args:
        z: latents [n, z].
        x: the symbols that they stand for, [n, steps].
        attributes: those of such symbols.
    """
    much = np.stack([attribute(x) for attribute in attributes.values()], axis=1)
    scale = np.where(much.std(0) > 0, much.std(0), 1.0)
    apart = (much - much.mean(0)) / scale
    around = z - z.mean(0)
    read = around @ np.linalg.lstsq(around, apart, rcond=1e-6)[0]
    slopes = np.linalg.lstsq(read, around, rcond=1e-6)[0]  # [attributes, z]
    length = np.linalg.norm(slopes, axis=1, keepdims=True)
    far = AWAY * np.sqrt(2 * (around**2).sum(1).mean())  # of two drawn independently
    return dict(zip(attributes, far * slopes / np.where(length > 0, length, 1.0), strict=True))
