"""Track sets: which tracks an array has, and which track of a song goes where. Tables, not code.

"lpd5" and "lpd17" have the names and the order of the Lakh Pianoroll Dataset (Dong et al. 2018,
https://salu133445.github.io/lakh-pianoroll-dataset/). General MIDI counts its 128 programs in 16
families of eight; numbers here begin at 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.score import DURATION, ONSET, PITCH, Notes, Score, Track

TRACK = 4  # the column after score.VELOCITY in arrays of notes with tracks, [m, 5]


@dataclass(frozen=True)
class Part:
    """One track of a set.

    Attributes:
        name: its name.
        program: the General MIDI program that it is written with, 0-127.
        takes: ranges of the programs that it takes in.
        named: a regular expression; a pitched track in whose name it is found (in any case) goes
            here, whatever its program.
        is_drum: it takes in the drum tracks and nothing else.
    """

    name: str
    program: int = 0
    takes: tuple[range, ...] = ()
    named: str = ""
    is_drum: bool = False


@dataclass(frozen=True)
class TrackSet:
    """A fixed list of tracks, and which of them a track of a song belongs to."""

    name: str
    parts: tuple[Part, ...]

    def __len__(self) -> int:
        """Number of tracks."""
        return len(self.parts)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the tracks."""
        return tuple(p.name for p in self.parts)

    @cached_property
    def programs(self) -> tuple[int, ...]:
        """General MIDI program that each track is written with."""
        return tuple(p.program for p in self.parts)

    @cached_property
    def drums(self) -> int:
        """Index of the drum track, -1 when there is none."""
        return next((i for i, p in enumerate(self.parts) if p.is_drum), -1)

    @cached_property
    def of_program(self) -> tuple[int, ...]:
        """Index of the track that takes in each of the 128 programs, -1 for none."""
        return tuple(
            next((i for i, p in enumerate(self.parts) if any(n in r for r in p.takes)), -1)
            for n in range(128)
        )

    @cached_property
    def _named(self) -> tuple[tuple[int, re.Pattern[str]], ...]:
        found = [(i, p.named) for i, p in enumerate(self.parts) if p.named]
        return tuple((i, re.compile(pattern, re.IGNORECASE)) for i, pattern in found)

    def place(self, track: Track) -> int:
        """Index of the track of the set that takes `track` in, -1 when it is left out."""
        if track.is_drum:
            return self.drums
        for i, pattern in self._named:
            if pattern.search(track.name):
                return i
        return self.of_program[track.program]

    def assign(self, score: Score) -> NDArray[np.int64]:
        """Where each track of a score goes: indices into the set, -1 = left out, [tracks]."""
        return np.array([self.place(t) for t in score.tracks], np.int64)

    def tracks(self, notes: Notes) -> tuple[Track, ...]:
        """Notes with a track column, [m, 5], as the tracks of the set; also those without notes."""
        return tuple(
            Track(notes[notes[:, TRACK] == i, :TRACK], p.program, p.is_drum, p.name)
            for i, p in enumerate(self.parts)
        )


def gather(score: Score, tracks: TrackSet) -> Notes:
    """All notes that `tracks` takes in, in ticks: onset, duration, pitch, velocity, track, [m, 5].

    Sorted by onset, track and pitch; what several tracks of the score play alike is kept as often.
    """
    place = tracks.assign(score).tolist()
    kept = [(t.notes, i) for t, i in zip(score.tracks, place, strict=True) if i >= 0]
    notes = np.empty((sum(len(rows) for rows, _ in kept), 5), np.int64)
    if kept:
        np.concatenate([rows for rows, _ in kept], out=notes[:, :TRACK])
        notes[:, TRACK] = np.repeat([i for _, i in kept], [len(rows) for rows, _ in kept])
    return notes[np.lexsort((notes[:, PITCH], notes[:, TRACK], notes[:, ONSET]))]


def nearest_step(ticks: Any, ppq: int, steps_per_beat: int) -> Any:
    """Ticks, an integer or an array, as the nearest of `steps_per_beat` steps to a quarter note,
    halves up.
    """
    return (2 * steps_per_beat * ticks + ppq) // (2 * ppq)


def to_steps(notes: Notes, ppq: int, steps_per_beat: int) -> Notes:
    """Onsets and ends from ticks to the nearest steps; notes last at least a step. Other columns
    stay.
    """
    steps = notes.copy()
    on = nearest_step(notes[:, ONSET], ppq, steps_per_beat)
    off = nearest_step(notes[:, ONSET] + notes[:, DURATION], ppq, steps_per_beat)
    steps[:, ONSET], steps[:, DURATION] = on, np.maximum(off - on, 1)
    return steps


_DRUMS = Part("Drums", is_drum=True)
_FAMILIES = (
    *("Piano", "Chromatic Percussion", "Organ", "Guitar", "Bass", "Strings", "Ensemble", "Brass"),
    *("Reed", "Pipe", "Synth Lead", "Synth Pad", "Synth Effects", "Ethnic", "Percussive"),
    "Sound Effects",
)

TRACKSETS: dict[str, TrackSet] = {
    s.name: s
    for s in (
        # Keyboards and mallets (8-23) are Piano, which is near empty in band music otherwise;
        # percussive programs and sound effects (112-127) are left out.
        TrackSet(
            "lpd5",
            (
                _DRUMS,
                Part("Piano", 0, (range(0, 24),)),
                Part("Guitar", 25, (range(24, 32),)),
                Part("Bass", 33, (range(32, 40),)),
                Part("Strings", 48, (range(40, 112),)),
            ),
        ),
        # As the data set itself was made: whatever is no piano, guitar or bass is Strings.
        TrackSet(
            "lpd5-strict",
            (
                _DRUMS,
                Part("Piano", 0, (range(0, 8),)),
                Part("Guitar", 25, (range(24, 32),)),
                Part("Bass", 33, (range(32, 40),)),
                Part("Strings", 48, (range(8, 24), range(40, 128))),
            ),
        ),
        TrackSet(
            "lpd17",
            (
                _DRUMS,
                *(Part(f, 8 * i, (range(8 * i, 8 * i + 8),)) for i, f in enumerate(_FAMILIES)),
            ),
        ),
        TrackSet("piano", (Part("Piano", 0, (range(128),)),)),
        # What is no melody by name plays below it.
        TrackSet("duo", (Part("Melody", named=r"\bMELODY\b"), Part("Piano", 0, (range(128),)))),
        TrackSet(
            "pop909", tuple(Part(n, named=rf"\b{n}\b") for n in ("MELODY", "BRIDGE", "PIANO"))
        ),
        # The four voices of a choir, by name alone: programs tell none of them from another.
        TrackSet(
            "satb",
            (
                Part("Soprano", 52, named=r"\bsopran"),
                Part("Alto", 52, named=r"\b(contr)?alto?\b"),
                Part("Tenor", 52, named=r"\btenor"),
                Part("Bass", 52, named=r"\bbas(s|so)?\b"),
            ),
        ),
    )
}
