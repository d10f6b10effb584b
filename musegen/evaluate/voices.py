"""What counts for four voices: chords on the beats, parallels, crossings, and how they move.

All is told of the pitch that each voice sounds at each step, [n, voices, steps], -1 for none.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.representations.onsetroll import OnsetRoll, mended

BEAT = 4  # steps
Pitches = NDArray[np.int64]
# Triads (major, minor, diminished, augmented) and sevenths on them; the fifth may lack, not the
# third.
_CHORDS: tuple[tuple[int, ...], ...] = (
    (0, 4, 7),
    (0, 3, 7),
    (0, 3, 6),
    (0, 4, 8),
    (0, 4, 7, 10),
    (0, 4, 7, 11),
    (0, 3, 7, 10),
)
_CHORDS += ((0, 3, 6, 10), (0, 3, 6, 9), (0, 4, 10), (0, 4, 11), (0, 3, 10), (0, 4), (0, 3))


def _known() -> NDArray[np.bool_]:
    """Which sets of pitch classes, as sums of powers of two, are chords; bool [4096]."""
    found = np.zeros(4096, np.bool_)
    for chord in _CHORDS:
        for root in range(12):
            found[sum(1 << (root + tone) % 12 for tone in chord)] = True
    return found


_IS_CHORD = _known()


def sounding(x: NDArray[Any], roll: OnsetRoll) -> Pitches:
    """The pitch of each voice (its highest, where it has several) at each step of rolls
    [n, planes, steps, pitches] of cells over 0 for on.
    """
    k = len(roll.trackset)
    cells = x * 2.0 - 1 if x.dtype == bool else x
    begins, held = mended(cells[:, :k], cells[:, k:])
    on = begins | held
    highest = roll.high - on[..., ::-1].argmax(-1)
    return np.where(on.any(-1), highest, -1)


def counts(x: NDArray[Any], roll: OnsetRoll) -> dict[str, float]:
    """Figures of rolls [n, planes, steps, pitches], each from 0 to 1 but for the parallels.

    - beats with a chord: of those where all voices sound, the share that are triads or sevenths.
    - semitones on beats: of the same, the share with two voices a semitone apart, in any octave.
    - crossings: share of the steps where a voice lies below the next lower one.
    - parallels in 100 changes: pairs of voices in a fifth, octave or unison that move alike into
      the same, for 100 beats that differ from the one before.
    - leaps: share of the moves of a voice that are wider than a fifth.
    - all voices: share of the beats where all sound.
    """
    line = sounding(x, roll)
    beats = line[:, :, ::BEAT]
    full: NDArray[np.bool_] = np.asarray((beats >= 0).all(1))
    classes = np.bitwise_or.reduce(1 << (beats % 12), axis=1)[full]
    clash = [np.abs(beats[:, a] - beats[:, b]) % 12 for a, b in _pairs(line)]
    near = np.asarray(np.isin(np.stack(clash), (1, 11)).any(0))[full]
    above, below = line[:, :-1], line[:, 1:]
    both = (above >= 0) & (below >= 0)
    before, after = beats[..., :-1], beats[..., 1:]
    there = full[:, :-1] & full[:, 1:]
    changed = there & (before != after).any(1)
    alike = 0
    for a, b in _pairs(line):
        step = after[:, a] - before[:, a]
        same = there & (step != 0) & (step == after[:, b] - before[:, b])
        alike += int((same & np.isin((before[:, a] - before[:, b]) % 12, (0, 7))).sum())
    moved = np.abs(np.diff(line, axis=2))
    moves = (line[:, :, 1:] >= 0) & (line[:, :, :-1] >= 0) & (moved > 0)
    return {
        "beats with a chord": float(_IS_CHORD[classes].mean()) if full.any() else 0.0,
        "semitones on beats": float(near.mean()) if full.any() else 0.0,
        "crossings": float((both & (above < below)).sum() / max(1, both.sum())),
        "parallels in 100 changes": 100 * alike / max(1, int(changed.sum())),
        "leaps": float((moves & (moved > 7)).sum() / max(1, moves.sum())),
        "all voices": float(full.mean()),
    }


def apart(x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Each voice of rolls [n, planes, steps, pitches] from another, random one of them."""
    k = x.shape[1] // 2
    rows = np.stack([rng.permutation(len(x)) for _ in range(k)], 1)
    return np.take_along_axis(x, np.tile(rows, 2)[:, :, None, None], axis=0)


def _pairs(line: Pitches) -> list[tuple[int, int]]:
    return list(combinations(range(line.shape[1]), 2))


def table(found: dict[str, dict[str, float]]) -> list[str]:
    """The figures of several kinds of music as lines; none for none."""
    if not found:
        return []
    lines = ["", f"{'voices':25}" + "".join(f"{name:>16}" for name in found)]
    for figure in next(iter(found.values())):
        lines.append(f"{figure:25}" + "".join(f"{row[figure]:16.3f}" for row in found.values()))
    return lines
