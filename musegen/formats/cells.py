"""Piano rolls as other toolkits keep them, as scores.

In one pitch a run of one velocity is a note, so a change of velocity begins another; cells that are
only on or off sound with velocity 64, as pypianoroll plays them. Bars go from downbeat to downbeat.
Tempo arrays that pypianoroll's reader wrote tiled instead of repeated are put right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats.abc import MAX_QUARTERS
from musegen.formats.marks import LONGEST, Broken
from musegen.score import Notes, Score, Track, metre_map

MAX_TRACKS = 1024
MAX_NOTES = 2**20
MAX_PPQ = 2**16
MAX_CHANGES = 2**16  # of tempo
MIN_TEMPO, MAX_TEMPO = 1e-3, 1e8  # quarters a minute; MIDI files hold 3.6 to 60 million
VELOCITY = 64  # of cells and of muspy's notes that have none
LONGEST_BAR = 16  # quarters between downbeats; farther apart, some are not marked
NEARLY = 1e-9  # tempos that beat times gave differ so little
TILES = 24  # times that pypianoroll tiles its tempo array, whatever the resolution


class Roll(NamedTuple):
    """The cells of a track that sound: step, pitch and velocity, [cells] each."""

    steps: NDArray[Any]
    pitches: NDArray[Any]
    values: NDArray[Any]
    program: Any = 0
    is_drum: Any = False
    name: Any = ""


def from_rolls(
    rolls: Sequence[Roll],
    resolution: Any,
    tempo: NDArray[Any] | None,
    downbeat: NDArray[Any] | None,
    length: int,
    name: str,
) -> Score:
    """The score of piano rolls.

    Args:
        rolls: a track each.
        resolution: steps in a quarter, the ticks of the score.
        tempo: quarters a minute at each step, [steps] or [steps, 1].
        downbeat: whether a bar begins at each step, of the same shapes.
        length: steps of the whole.
        name: what to call it in errors.

    Raises:
        InputError: sizes or values are impossible.
    """
    try:
        ppq = whole(resolution, "the resolution", 1, MAX_PPQ)
        if not 0 <= length <= MAX_QUARTERS * ppq or len(rolls) > MAX_TRACKS:
            raise Broken(f"over {MAX_QUARTERS:,} quarters long or {MAX_TRACKS} tracks")
        notes = list(map(_roll_notes, rolls))
        if sum(map(len, notes)) > MAX_NOTES:
            raise Broken(f"over {MAX_NOTES:,} notes")
        tempos, tiled = _tempos(tempo, ppq, length)
        bars = np.flatnonzero(downbeat) if downbeat is not None else np.empty(0, np.int64)
        loud = any((roll.values > 127).any() for roll in rolls if roll.values.dtype.kind != "b")
        remarks = {
            "the tempo array was tiled instead of repeated, and was put right": tiled,
            "velocities over 127 became 127": loud,
        }
        return Score(
            tracks=tuple(map(_roll_track, rolls, notes)),
            ppq=ppq,
            tempos=tempos,
            metres=metres_of(bars[bars < length][: MAX_QUARTERS + 1].tolist(), ppq, length),
            length=length,
            remarks=tuple(text for text, holds in remarks.items() if holds),
        )
    except Broken as error:
        raise InputError(name, f"{error}; expected what pypianoroll holds") from None


def _roll_notes(roll: Roll) -> Notes:
    values = roll.values
    if values.dtype.kind == "b":
        values = values * np.uint8(VELOCITY)
    if not np.isfinite(values).all() or (values < 0).any():
        raise Broken("a velocity below 0 or not a number")
    velocity = np.ceil(np.minimum(values, 127)).astype(np.int64)
    return _runs(roll.steps.astype(np.int64), roll.pitches.astype(np.int64), velocity)


def _roll_track(roll: Roll, notes: Notes) -> Track:
    program = whole(roll.program or 0, "the program of a track", 0, 127)
    return Track(notes, program, bool(roll.is_drum), clean(roll.name))


def _runs(
    steps: NDArray[np.int64], pitches: NDArray[np.int64], velocity: NDArray[np.int64]
) -> Notes:
    """Notes from cells: in one pitch, step after step of one velocity."""
    sounds = velocity > 0
    cell, velocity = ((pitches << 40) + steps)[sounds], velocity[sounds]
    if (np.diff(cell) <= 0).any():
        order = np.argsort(cell)
        cell, velocity = cell[order], velocity[order]
    gap = np.diff(cell)
    if (gap == 0).any():
        raise Broken("a cell of a piano roll is given twice")
    begins = np.flatnonzero(np.append(True, (gap > 1) | (np.diff(velocity) != 0))[: len(cell)])
    lengths = np.diff(begins, append=len(cell))
    onsets, pitches = cell[begins] & (2**40 - 1), cell[begins] >> 40
    return np.stack([onsets, lengths, pitches, velocity[begins]], axis=1)


def _tempos(
    tempo: NDArray[Any] | None, ppq: int, length: int
) -> tuple[tuple[tuple[int, float], ...], bool]:
    """The tempo map of an array with a value a step, and whether the array was tiled."""
    values = np.ravel(tempo if tempo is not None else []).astype(np.float64)
    steps = np.arange(len(values))
    rows = values.reshape(TILES, -1) if len(values) and len(values) % TILES == 0 else values[None]
    tiled = len(rows) > 1 and bool((rows == rows[0]).all())
    if tiled := tiled and rows[0].max() > rows[0].min() + NEARLY:
        values, steps = rows[0], steps[: len(rows[0])] * ppq
    sane = (values >= MIN_TEMPO) & (values <= MAX_TEMPO) & (steps < max(length, 1))
    values, steps = values[sane], steps[sane]
    new = np.append(True, np.abs(np.diff(values)) > NEARLY * values[1:])[: len(values)]
    if new.sum() > MAX_CHANGES:
        raise Broken(f"over {MAX_CHANGES:,} changes of tempo")
    found = list(zip(steps[new].tolist(), values[new].tolist(), strict=True))
    found[:1] = [(0, qpm) for _, qpm in found[:1]]
    return tuple(found) or ((0, 120.0),), tiled


def metres_of(downbeats: Sequence[int], ppq: int, end: int) -> tuple[tuple[int, int, int], ...]:
    """The metre map of bars that begin at these ticks; the last is as long as the one before, or
    longer when the music goes on. Where nothing else is said, bars are of 4/4."""
    edges = sorted({0, *downbeats})
    if len(edges) > MAX_QUARTERS:
        raise Broken(f"over {MAX_QUARTERS:,} bars")
    lengths = np.diff(edges).tolist()
    if len(lengths) > 1 or (lengths and 0 in downbeats):  # more than a pickup
        lengths.append(max(lengths[-1], end - edges[-1]))
    bars: list[tuple[int, int, tuple[int, int] | None]] = [
        (start, ticks, None) if ticks <= LONGEST_BAR * ppq else (start, 4 * ppq, (4, 4))
        for start, ticks in zip(edges, lengths, strict=False)
    ]
    return metre_map(bars, ppq)


def column(values: Sequence[Any], what: str, low: int, high: int) -> NDArray[np.int64]:
    """Numbers of a file as whole numbers within bounds."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise Broken(f"{what} is not a number") from None
    inside = found.ndim == 1 and bool(((found >= low) & (found <= high)).all())  # not NaN
    if not inside or (found % 1).any():
        raise Broken(f"{what} is not a whole number of {low:,} to {high:,}")
    return found.astype(np.int64)


def whole(value: Any, what: str, low: int, high: int) -> int:
    """A number of a file as a whole number within bounds."""
    return int(column([value], what, low, high)[0])


def clean(name: Any) -> str:
    """A track's name, printable; empty when it is no text."""
    name = name.strip()[:LONGEST] if isinstance(name, str) else ""
    return "".join(c for c in name if c.isprintable())
