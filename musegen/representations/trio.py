"""Melody, bass and drums side by side (Roberts et al. 2018, section 5.3; Magenta's trio models)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from musegen.representations.drums import Drums, KitName
from musegen.representations.events import STEPS_PER_QUARTER, Melody, monophonic
from musegen.representations.tracks import TRACK, Part, TrackSet, gather, to_steps
from musegen.score import ONSET, Notes, Score, Track

# Which part a track is. Choosing among the many tracks of a song is `segment.trio_tracks`.
TRIO = TrackSet(
    "trio",
    (
        Part("Melody", 0, (range(0, 32), range(40, 128))),
        Part("Bass", 33, (range(32, 40),)),
        Part("Drums", is_drum=True),
    ),
)


@dataclass(frozen=True)
class Trio:
    """`bars` bars of 4/4 as uint16 [3, 16 * bars]: melody and bass (0-89), drums (0-511).

    Melody and bass are symbols of `Melody`, drums those of `Drums` with `kit`.

    Attributes:
        bars: bars of 4/4 in a segment.
        kit: name of one of `KITS`, which pitches are which drum.
        velocity: of decoded notes, since the symbols hold none.
        qpm: quarter notes a minute of decoded scores.
    """

    bars: int = 16
    kit: KitName = "gm"
    velocity: int = 80
    qpm: float = 120.0

    @property
    def vocab(self) -> tuple[int, ...]:
        """Number of symbols of melody, bass and drums."""
        return (*self.line.vocab, *self.line.vocab, *self.drums.vocab)

    @property
    def steps(self) -> int:
        """Steps in a segment."""
        return self.line.steps

    @property
    def line(self) -> Melody:
        """The representation of melody and bass."""
        return Melody(self.bars, self.velocity, self.qpm)

    @property
    def drums(self) -> Drums:
        """The representation of the drums."""
        return Drums(self.bars, self.kit, self.velocity, self.qpm)

    def notes(self, score: Score) -> Notes:
        """The notes of a segment that starts at tick 0, in steps with parts, [m, 5]."""
        return to_steps(gather(score, TRIO), score.ppq, STEPS_PER_QUARTER)

    def encode(self, score: Score) -> NDArray[np.uint16]:
        """Drum tracks, tracks with the program of a bass (32-39), and all others as the melody, as
        uint16 [3, steps]; the highest note of a chord stays.
        """
        notes = self.notes(score)
        return self.encode_windows(notes, np.zeros(len(notes), np.int64), 1)[0]

    def encode_windows(
        self, notes: Notes, owner: NDArray[np.integer], n: int
    ) -> NDArray[np.uint16]:
        """Notes in steps with parts, [m, 5], of `n` windows, `owner` [m] telling whose:
        uint16 [n, 3, steps].
        """
        symbols = np.empty((n, 3, self.steps), np.uint16)
        for part in range(2):
            mine = (notes[:, TRACK] == part) & self.line.holds(notes)
            # One long line holds all windows, so that one call leaves the top notes of each.
            long = notes[mine, :TRACK].astype(np.int64)
            long[:, ONSET] += owner[mine] * self.steps
            top = monophonic(long)
            whose, top[:, ONSET] = np.divmod(top[:, ONSET], self.steps)
            symbols[:, part] = self.line.encode_windows(top, whose, n)
        mine = notes[:, TRACK] == 2
        symbols[:, 2] = self.drums.encode_windows(notes[mine], owner[mine], n)
        return symbols

    def decode(self, array: NDArray[np.integer]) -> Score:
        """Symbols [3, steps] to a score of the tracks Melody, Bass and Drums."""
        melody, bass, drums = np.asarray(array)
        parts = (self.line.decode(melody), self.line.decode(bass), self.drums.decode(drums))
        return self._together(parts)

    def project(self, score: Score) -> Score:
        """The quantised top lines of melody and bass and the hits of the drums, no dynamics."""
        place = TRIO.assign(score).tolist()

        def part(i: int) -> Score:
            tracks = (t for t, p in zip(score.tracks, place, strict=True) if p == i)
            return replace(score, tracks=tuple(tracks))

        parts = (self.line.project(part(0)), self.line.project(part(1)))
        return self._together((*parts, self.drums.project(part(2))))

    def _together(self, scores: Iterable[Score]) -> Score:
        """Scores of one track each as the parts of one."""
        parts = [
            Track(score.tracks[0].notes, p.program, p.is_drum, p.name)
            for score, p in zip(scores, TRIO.parts, strict=True)
        ]
        return Score(tuple(parts), 480, tempos=((0, self.qpm),), length=self.steps * 120)
