"""Whole songs as piano rolls with the tracks of the file, and how rolls are drawn.

Channels, cells and drums are those of `pianoroll`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from musegen import midi
from musegen.representations.tracks import nearest_step
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score

if TYPE_CHECKING:
    from pathlib import Path

MAX_CELLS = 2**29  # of one array; bytes
MAX_SOUNDING = 2**26  # steps of all notes together: more sounding cells than any music has
_CHUNK = 2**20  # sounding cells drawn at a time, which bounds the memory for their indices
_NO_NOTES: Notes = np.zeros((4, 0), np.int64)

Roll = NDArray[np.uint8]


def roll(
    score: Score,
    steps_per_beat: int = 4,
    *,
    low: int = 0,
    high: int = 127,
    onsets: bool = False,
    velocities: bool = False,
) -> Roll:
    """A whole score with the tracks as in the file: uint8 [channels, time, pitches].

    Channels, cells and drums are as in the module's docstring, the tracks being those of the score;
    time ends with the last note, or with the score where that is longer. Where notes of one pitch
    overlap, the later's velocity counts. In memory time runs fastest, which is what makes this
    quick: the array is a view of one with its last two axes swapped.

    Raises:
        ValueError: the roll would be too large, see `MAX_CELLS` and `MAX_SOUNDING`.
    """
    notes = [t.notes.T for t in score.tracks]
    columns = np.concatenate([_NO_NOTES, *notes], axis=1)
    columns[DURATION] += columns[ONSET]
    return _roll(
        columns[: DURATION + 1],
        columns[PITCH],
        [n.shape[1] for n in notes],
        [t.is_drum for t in score.tracks],
        (score.ppq, steps_per_beat),
        range(low, high + 1),
        onsets,
        columns[VELOCITY] if velocities else None,
        score.length,
    )


def read_roll(
    path: str | Path,
    steps_per_beat: int = 4,
    *,
    low: int = 0,
    high: int = 127,
    onsets: bool = False,
) -> Roll:
    """The same as `roll(midi.read(path, repair=False))` in half the time, without the score.

    Raises:
        InputError: see `midi.read`.
        ValueError: the roll would be too large, see `MAX_CELLS` and `MAX_SOUNDING`.
    """
    found = midi.columns(path)
    if found is None:
        score = midi.read(path, repair=False)
        return roll(score, steps_per_beat, low=low, high=high, onsets=onsets)
    ppq, drums, counts, notes = found
    times = np.empty((2, len(notes)), np.int64)
    times[0] = notes["time"]
    np.maximum(notes["duration"], 1, out=times[1])
    times[1] += times[0]
    pitches = range(low, high + 1)
    return _roll(times, notes["pitch"], counts, drums, (ppq, steps_per_beat), pitches, onsets)


def _roll(
    times: NDArray[np.int64],
    pitch: NDArray[np.integer],
    counts: Sequence[int],
    drums: Sequence[bool],
    rates: tuple[int, int],
    pitches: range,
    onsets: bool,
    velocity: NDArray[np.int64] | None = None,
    until: int = 0,
) -> Roll:
    """Notes of several tracks, one track after another, as `roll` draws them.

    Args:
        times: onsets and ends in ticks, [2, n]; made steps in place.
        pitch: [n].
        counts: how many notes each track has.
        drums: which tracks play drums.
        rates: ticks and steps to a quarter note.
        pitches: those that are drawn.
        onsets: with an onset plane.
        velocity: what cells hold, [n]; 1 if None.
        until: ticks that the roll lasts at least.
    """
    ppq, per_beat = rates
    tracks, height = len(counts), len(pitches)
    row = np.arange(0, tracks * height, height).repeat(counts)
    drum = np.repeat(drums, counts) if any(drums) else None
    if height < 128:
        inside = (pitch >= pitches.start) & (pitch < pitches.stop)
        times, pitch, row = times[:, inside], pitch[inside], row[inside]
        drum = drum[inside] if drum is not None else None
        velocity = velocity[inside] if velocity is not None else None
    times *= 2 * per_beat
    times += ppq
    times //= 2 * ppq
    onset, length = times
    length -= onset
    np.maximum(length, 1, out=length)
    if drum is not None:
        length[drum] = 1
    end = max(nearest_step(until, ppq, per_beat), int((onset + length).max(initial=0)))
    shape = (2 * tracks if onsets else tracks, height, end)
    check_size(shape)
    out = np.zeros(shape, np.uint8)
    flat, start = out.reshape(-1), row
    start += pitch
    start -= pitches.start
    start *= end
    start += onset
    value = 1 if velocity is None else velocity
    fill(flat, start, length, 1, value)
    if onsets:
        flat[start + tracks * height * end] = value
    return out.swapaxes(1, 2)


def bar_steps(score: Score, steps_per_beat: int) -> NDArray[np.int64]:
    """The steps where the bars of the metre map begin and the last one ends, [bars + 1]."""
    return nearest_step(score.bar_lines(), score.ppq, steps_per_beat)


def check_size(shape: tuple[int, ...]) -> None:
    """Refuse arrays of more than `MAX_CELLS` bytes before they are made.

    Raises:
        ValueError: the shape is larger.
    """
    if math.prod(shape) > MAX_CELLS:
        raise ValueError(
            f"a piano roll of {' x '.join(map(str, shape))} would take {math.prod(shape):,} bytes, "
            f"at most {MAX_CELLS:,} are drawn; take fewer steps to a beat or a part of the music"
        )


def fill(
    flat: Roll,
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    stride: int,
    value: NDArray[np.int64] | int,
) -> None:
    """Set `length` cells of `flat`, `stride` apart, from each `start` on, to `value`.

    Raises:
        ValueError: the lengths add up to more than `MAX_SOUNDING`.
    """
    ends = length.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    if total > MAX_SOUNDING:
        raise ValueError(
            f"the notes last {total:,} steps in all, at most {MAX_SOUNDING:,} are drawn; "
            "look for notes without end"
        )
    if total > _CHUNK and len(length) > 1:
        half = len(length) // 2
        for part in (slice(half), slice(half, None)):
            chosen = value if isinstance(value, int) else value[part]
            fill(flat, start[part], length[part], stride, chosen)
        return
    ends -= length  # what is drawn before each
    ends *= stride
    cells = (start - ends).repeat(length)
    cells += np.arange(0, stride * total, stride)
    flat[cells] = value if isinstance(value, int) else value.repeat(length)
