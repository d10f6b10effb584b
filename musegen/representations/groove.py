"""Hits, velocities and offsets from the grid (Gillick et al. 2019, GrooVAE).

Offsets are shares of a step, late is positive: -0.5 to 0.5. (The published code has the opposite
sign and twice the size: theirs = -2 * ours.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musegen.representations.drums import KITS, KitName
from musegen.representations.events import STEPS_PER_BAR, STEPS_PER_QUARTER
from musegen.representations.tracks import gather, to_steps
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score

PPQ = 480
STEP = PPQ // STEPS_PER_QUARTER  # ticks


@dataclass(frozen=True)
class Groove:
    """Played drums of `bars` bars of 4/4 as float32 [16 * bars, 27]: for nine classes of hits,
    first whether (0 or 1), then how loud (0 to 1), then how late (-0.5 to 0.5 of a step).

    What is not hit has velocity and offset 0. Times are exact to 1/480 quarter and velocities to
    1/127. With the kit "line" it holds the onsets of a pitched line, [16 * bars, 3], with the kit
    "octaves" those of each of six octaves, [16 * bars, 18].

    Attributes:
        bars: bars of 4/4.
        kit: which pitches are which class, one of `drums.KITS`.
        qpm: tempo of decoded scores.
    """

    bars: int = 2
    kit: KitName = "gm"
    qpm: float = 120.0

    @property
    def pitched(self) -> bool:
        """Whether it holds pitched notes, not drums."""
        return KITS[self.kit].tracks.drums < 0

    @property
    def steps(self) -> int:
        """Steps in a segment."""
        return self.bars * STEPS_PER_BAR

    def notes(self, score: Score) -> Notes:
        """The drum notes of a segment that starts at tick 0, in ticks at 480 a quarter."""
        return to_steps(gather(score, KITS[self.kit].tracks), score.ppq, PPQ)

    def encode(self, score: Score) -> NDArray[np.float32]:
        """The drums of a segment as float32 [steps, 27]; the loudest of several hits of a class in
        a step stays.
        """
        notes = self.notes(score)
        return self.encode_windows(notes, np.zeros(len(notes), np.int64), 1)[0]

    def encode_windows(
        self, notes: Notes, owner: NDArray[np.integer], n: int
    ) -> NDArray[np.float32]:
        """Drum notes in ticks at 480 a quarter of `n` windows, `owner` [notes] telling whose:
        float32 [n, steps, 27].
        """
        step, late, hit = self._placed(notes)
        order = np.lexsort((-late, notes[:, VELOCITY]))  # what is written last, stays
        order = order[(hit[order] >= 0) & (step[order] < self.steps)]
        classes = len(KITS[self.kit].classes)
        grid = np.zeros((n, self.steps, 3, classes), np.float32)
        velocity = notes[order, VELOCITY] / 127
        values = np.stack([np.ones(len(order)), velocity, late[order] / STEP], axis=1)
        grid[owner[order], step[order], :, hit[order]] = values
        return grid.reshape(n, self.steps, 3 * classes)

    def decode(self, array: NDArray[np.floating]) -> Score:
        """Hits [steps, 27] (whatever is above 0.5) to a score of one track, 480 ticks a quarter."""
        hits, velocities, offsets = np.moveaxis(array.reshape(self.steps, 3, -1), 1, 0)
        step, hit = np.nonzero(hits > 0.5)
        velocity = np.rint(velocities[step, hit] * 127).clip(1, 127).astype(np.int64)
        late = np.rint(offsets[step, hit] * STEP).clip(-STEP // 2, STEP // 2 - 1).astype(np.int64)
        return self._score(step * STEP + late, hit, velocity)

    def project(self, score: Score) -> Score:
        """One hit a class and step, the loudest, one step long or up to the next."""
        notes = self.notes(score)
        step, late, hit = self._placed(notes)
        rows = np.column_stack([hit, step, -notes[:, VELOCITY], late])
        rows = rows[(hit >= 0) & (step < self.steps)]
        rows = rows[np.lexsort(rows.T[::-1])]
        kept = rows[np.unique(rows[:, :2], axis=0, return_index=True)[1]]
        return self._score(kept[:, 1] * STEP + kept[:, 3], kept[:, 0], -kept[:, 2])

    def _placed(self, notes: Notes) -> tuple[NDArray[np.int64], ...]:
        """Of notes in ticks: the nearest step, ticks after it (-60 to 59), class (-1: none)."""
        onset = notes[:, ONSET].astype(np.int64)
        step = (onset + STEP // 2) // STEP
        return step, onset - step * STEP, KITS[self.kit].class_of[notes[:, PITCH]]

    def _score(
        self, onset: NDArray[np.int64], hit: NDArray[np.int64], velocity: NDArray[np.int64]
    ) -> Score:
        """Hits, onsets in ticks, as a score of `steps` steps."""
        kit = KITS[self.kit]
        length = self.steps * STEP
        order = np.lexsort((onset, hit))
        onset, hit = np.maximum(onset, 0)[order], hit[order]
        # A hit ends where its class is hit again, so that a MIDI file keeps them apart.
        until = np.full(len(onset), length)
        until[:-1] = np.where(hit[1:] == hit[:-1], onset[1:], length)
        rows = np.zeros((len(onset), 5), np.int64)
        rows[:, ONSET], rows[:, DURATION] = onset, np.minimum(until - onset, STEP)
        rows[:, PITCH], rows[:, VELOCITY] = kit.written[hit], velocity[order]
        return Score(kit.tracks.tracks(rows), PPQ, tempos=((0, self.qpm),), length=length)
