"""Which tracks of a score a picture shows where: lanes, from the top of the page down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.names import instrument_name, pitch_name, plain
from musegen.score import DURATION, ONSET, PITCH, Score, Track

COLOURS = ("#2f6f9f", "#d1603d", "#5b8c5a", "#8e5ea2", "#c9a227", "#3f8f8b", "#b0446e", "#7a6a53")
DRUM_COLOUR = "#3d3d3d"
OVERLAID = 4  # so many pitched tracks are drawn over each other; more, or drums, get a lane each
BARS_A_ROW, MOST_ROWS = 16, 32
DRUM_ROW = 2.6  # height of a drum's row in semitones, the unit of height


@dataclass(frozen=True)
class Lane:
    """A strip of a piano roll: some tracks over each other, or one of drums.

    Attributes:
        tracks: their numbers in the score, from 0.
        low: lowest pitch shown.
        high: highest pitch shown.
        keys: of drums, from the bottom; empty for pitched tracks.
    """

    tracks: tuple[int, ...]
    low: int
    high: int
    keys: tuple[int, ...] = ()

    @property
    def height(self) -> float:
        """In semitones."""
        return DRUM_ROW * len(self.keys) if self.keys else self.high - self.low

    def heights(self, pitches: NDArray[Any]) -> NDArray[Any]:
        """Of pitches above the bottom of the lane, in semitones."""
        if self.keys:
            return DRUM_ROW * (np.searchsorted(self.keys, pitches) + 0.5)
        return pitches - self.low


def lanes(score: Score) -> list[Lane]:
    """One lane for a few pitched tracks, else one a track; tracks without notes have none."""
    sounding = tuple(i for i, t in enumerate(score.tracks) if len(t))
    drums = any(score.tracks[i].is_drum for i in sounding)
    if len(sounding) <= OVERLAID and not drums:
        notes = [score.tracks[i].notes[:, PITCH] for i in sounding]
        pitches = np.concatenate(notes) if notes else np.array([62, 70])
        return [_lane(sounding, pitches)]
    return [_lane((i,), score.tracks[i].notes[:, PITCH], score) for i in sounding]


def _lane(tracks: tuple[int, ...], pitches: NDArray[Any], score: Score | None = None) -> Lane:
    low, high = int(pitches.min()) - 2, int(pitches.max()) + 2
    room = max(0, 12 - (high - low))  # at least an octave is shown
    low, high = low - room // 2, high + room - room // 2
    drums = score is not None and score.tracks[tracks[0]].is_drum
    return Lane(tracks, low, high, tuple(np.unique(pitches).tolist()) if drums else ())


def excerpt(score: Score, start: int, end: int) -> Score:
    """What sounds from tick `start` to `end`; notes that began before begin at `start`."""

    def moved(track: Track) -> Track:
        on, off = track.notes[:, ONSET], track.notes[:, ONSET] + track.notes[:, DURATION]
        held = (on < start) & (off > start) & (not track.is_drum)
        rows = track.notes.copy()
        rows[held, ONSET], rows[held, DURATION] = start, off[held] - start
        return replace(track, notes=rows)

    return replace(score, tracks=tuple(map(moved, score.tracks))).clip(start, end)


def colour(score: Score, track: int) -> str:
    """Of a track; drums have their own."""
    if score.tracks[track].is_drum:
        return DRUM_COLOUR
    pitched = sum(not t.is_drum for t in score.tracks[:track])
    return COLOURS[pitched % len(COLOURS)]


def label(score: Score, track: int) -> str:
    """A track's name, else its instrument's, in at most 22 letters."""
    t = score.tracks[track]
    return plain(t.name, 22) or instrument_name(t.program, t.is_drum)


def octaves(low: int, high: int, *, fine: bool = False) -> dict[int, str]:
    """Names of Cs, if `fine` of Gs too, from `low` to below `high`; of one pitch at the least."""
    found = {p: pitch_name(p) for p in range(low, high) if p % 12 in (0, 7 * fine)}
    return found or {low + 1: pitch_name(low + 1)}


def bars_a_row(bars: int, rows: int) -> int:
    """Sixteen, more when they would not fit into so many rows, or would leave a bar or two over."""
    row = max(BARS_A_ROW, -(-bars // max(1, min(MOST_ROWS, rows))))
    if bars > row and 0 < bars % row <= 2:
        row = -(-bars // (bars // row))
    return row
