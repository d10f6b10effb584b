"""Drum patterns as one symbol a step (Roberts et al. 2018, section 4; encodings of Magenta's code).

The percussion of General MIDI goes into nine classes, and a step's symbol is the sum of 2^class
over the classes that are hit: 0 to 511. The tables of pitches are those of Magenta's MusicVAE and
GrooVAE.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from musegen.representations.events import STEPS_PER_BAR, STEPS_PER_QUARTER
from musegen.representations.tracks import Part, TrackSet, gather, to_steps
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score


@dataclass(frozen=True)
class Kit:
    """Which pitches are one class of hits.

    Attributes:
        classes: pitches of each class; the first is the one that is written.
        tracks: the one track that the hits are on, and which tracks of a score it takes in.
        names: of the classes.
    """

    classes: tuple[tuple[int, ...], ...]
    tracks: TrackSet
    names: tuple[str, ...]

    @cached_property
    def written(self) -> NDArray[np.int64]:
        """The pitch that each class is written with, [classes]."""
        return np.array([pitches[0] for pitches in self.classes])

    @cached_property
    def class_of(self) -> NDArray[np.int64]:
        """The class of each of 128 pitches, -1 for none."""
        table = np.full(128, -1)
        for i, pitches in enumerate(self.classes):
            table[list(pitches)] = i
        return table


_DRUMS = TrackSet("drums", (Part("Drums", is_drum=True),))
_LINE = TrackSet("line", (Part("Line", takes=(range(128),)),))
_NINE = (
    *("kick", "snare", "closed hi-hat", "open hi-hat", "low tom", "mid tom", "high tom"),
    *("crash", "ride"),
)
KitName = Literal["gm", "roland", "line", "octaves"]
KITS: dict[KitName, Kit] = {
    "gm": Kit(
        (
            (36, 35),
            (38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85),
            (42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 22),
            (46, 67, 72, 74, 79, 81, 26),
            (45, 29, 41, 43, 61, 64, 84),
            (48, 47, 60, 63, 77, 86, 87),
            (50, 30, 62, 76, 83),
            (49, 52, 55, 57, 58),
            (51, 53, 59, 82),
        ),
        _DRUMS,
        _NINE,
    ),
    # The electronic drum kit of GrooVAE's recordings, whose pads send other pitches.
    "roland": Kit(
        (
            (36,),
            (38, 37, 40),
            (42, 22, 44),
            (46, 26),
            (43, 58),
            (47, 45),
            (50, 48),
            (49, 52, 55, 57),
            (51, 53, 59),
        ),
        _DRUMS,
        _NINE,
    ),
    # No drums: the onsets of a pitched line, written as middle C.
    "line": Kit(((60, *range(128)),), _LINE, ("onset",)),
    # No drums: the onsets of pitched notes by octave, written as the Cs.
    "octaves": Kit(
        (
            (24, *range(24), *range(25, 36)),
            *(tuple(range(c, c + 12)) for c in (36, 48, 60, 72)),
            tuple(range(84, 128)),
        ),
        TrackSet("octaves", (Part("Keys", takes=(range(128),)),)),
        ("below C2", "C2 to B2", "C3 to B3", "C4 to B4", "C5 to B5", "C6 and above"),
    ),
}


def hits(symbols: NDArray[np.integer], classes: int = 9) -> NDArray[np.int64]:
    """Which classes of drums are hit, 0 or 1: symbols [...] to their bits [..., classes]."""
    bits: NDArray[np.int64] = np.asarray(symbols, np.int64)[..., None] >> np.arange(classes) & 1
    return bits


@dataclass(frozen=True)
class Drums:
    """Drums of `bars` bars of 4/4 as uint16 [16 * bars], values 0 to 511 (bit i: class i is hit).

    Attributes:
        bars: bars of 4/4 in a segment.
        kit: name of one of `KITS`, which pitches are which drum.
        velocity: of decoded hits, since the symbols hold none.
        qpm: quarter notes a minute of decoded scores.
    """

    bars: int = 2
    kit: KitName = "gm"
    velocity: int = 80
    qpm: float = 120.0

    @property
    def vocab(self) -> tuple[int, ...]:
        """Number of symbols."""
        return (512,)

    @property
    def steps(self) -> int:
        """Steps in a segment."""
        return self.bars * STEPS_PER_BAR

    def notes(self, score: Score) -> Notes:
        """The drum notes of a segment that starts at tick 0, in steps."""
        return to_steps(gather(score, KITS[self.kit].tracks), score.ppq, STEPS_PER_QUARTER)

    def encode(self, score: Score) -> NDArray[np.uint16]:
        """The drums of a segment as uint16 [steps]; pitches of no class are left out."""
        notes = self.notes(score)
        return self.encode_windows(notes, np.zeros(len(notes), np.int64), 1)[0]

    def encode_windows(
        self, notes: Notes, owner: NDArray[np.integer], n: int
    ) -> NDArray[np.uint16]:
        """Drum notes in steps of `n` windows, `owner` [notes] telling whose: uint16 [n, steps]."""
        hit = KITS[self.kit].class_of[notes[:, PITCH]]
        fits = (hit >= 0) & (notes[:, ONSET] < self.steps)
        symbols = np.zeros((n, self.steps), np.uint16)
        bits = (1 << hit[fits]).astype(np.uint16)
        np.bitwise_or.at(symbols, (owner[fits], notes[fits, ONSET]), bits)
        return symbols

    def decode(self, array: NDArray[np.integer]) -> Score:
        """Symbols [steps] to a score of one drum track, hits one step long, 480 ticks a quarter."""
        step, hit = np.nonzero(hits(array, len(KITS[self.kit].classes)))
        return self._score(step, hit)

    def project(self, score: Score) -> Score:
        """Hits on the grid without dynamics, rare pitches replaced by the common one."""
        notes = self.notes(score)
        hit = KITS[self.kit].class_of[notes[:, PITCH]]
        fits = (hit >= 0) & (notes[:, ONSET] < self.steps)
        once = np.unique(np.column_stack([notes[:, ONSET], hit])[fits], axis=0)
        return self._score(once[:, 0], once[:, 1])

    def _score(self, step: NDArray[np.integer], hit: NDArray[np.integer]) -> Score:
        """Hits as a score of `steps` steps."""
        kit = KITS[self.kit]
        rows = np.zeros((len(step), 5), np.int64)
        rows[:, ONSET], rows[:, PITCH] = step, kit.written[hit]
        rows[:, DURATION], rows[:, VELOCITY] = 1, self.velocity
        tracks = kit.tracks.tracks(rows)
        score = Score(tracks, STEPS_PER_QUARTER, tempos=((0, self.qpm),), length=self.steps)
        return score.resample(480)
