"""Continuous tuples of C-RNN-GAN (Mogren 2016, section 3; layout of the published code).

A cell is the time since the previous cell began, then length, frequency and intensity of each of
the tones that start together. A tone of length 0 is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from musegen.representations.tracks import TRACKSETS, gather, to_steps
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track

PPQ = 384  # ticks a quarter in the published code
LONGEST = 2**16 - 1  # ticks


@dataclass(frozen=True)
class Tuples:
    """All pitched notes as cells, float32 [cells, 1 + 3 * tones], zeros after the last.

    A score has as many cells as needed, up to `cells`. Both units are exact to a tick, a semitone
    and a velocity; times over 65,535 ticks (170 quarters) are cut.

    Attributes:
        cells: cells in a segment.
        tones: tones in a cell; 1, or 3 for C-RNN-GAN-3.
        units: "published" is ticks (384 a quarter), Hz (A4 = 440) and velocities 1 to 127;
            "even" is log2(1 + ticks) / 16, pitch / 127 and velocity / 127, all within 0 to 1.
        qpm: tempo of decoded scores.
        bars: bars of four quarters in the windows that segments are cut from; music without beats
            counts its nominal ones.
    """

    cells: int = 100
    tones: int = 1
    units: Literal["published", "even"] = "even"
    qpm: float = 120.0
    bars: int = 8

    @property
    def steps(self) -> int:
        """Steps of a network over a segment: the cells."""
        return self.cells

    def notes(self, score: Score) -> Notes:
        """The pitched notes of a segment that starts at tick 0, in ticks at 384 a quarter."""
        return to_steps(gather(score, TRACKSETS["piano"]), score.ppq, PPQ)

    def encode(self, score: Score) -> NDArray[np.float32]:
        """The first `cells` cells of a segment as float32 [cells, 1 + 3 * tones].

        When more than `tones` notes start together, the higher ones go into further cells, at time
        0 after the one before.
        """
        notes = self.notes(score)
        return self.encode_windows(notes, np.zeros(len(notes), np.int64), 1)[0]

    def encode_windows(
        self, notes: Notes, owner: NDArray[np.integer], n: int
    ) -> NDArray[np.float32]:
        """Pitched notes in ticks at 384 a quarter of `n` windows, `owner` [notes] telling whose:
        float32 [n, cells, 1 + 3 * tones].
        """
        since, tones = self._packed(notes, owner, n)
        length, pitch, velocity = np.moveaxis(tones, -1, 0)
        if self.units == "published":
            hertz = np.where(length > 0, 440 * 2 ** ((pitch - 69) / 12), 0)
            numbers = np.stack([length, hertz, velocity], -1)
            return _joined(since, numbers)
        ticks = np.log2(1 + length) / 16
        return _joined(np.log2(1 + since) / 16, np.stack([ticks, pitch / 127, velocity / 127], -1))

    def decode(self, array: NDArray[np.floating]) -> Score:
        """Cells [cells, 1 + 3 * tones] to a score of one track, rounded, at 384 ticks a quarter."""
        x = np.asarray(array, np.float64)
        since, numbers = x[:, 0], x[:, 1:].reshape(len(x), self.tones, 3)
        length, pitch, velocity = np.moveaxis(numbers, -1, 0)
        if self.units == "published":
            pitch = 69 + 12 * np.log2(np.maximum(pitch, 1) / 440)
        else:
            since, length = (2 ** (16 * v.clip(0, 1)) - 1 for v in (since, length))
            pitch, velocity = pitch * 127, velocity * 127
        since, length = (np.rint(v).clip(0, LONGEST) for v in (since, length))
        pitch, velocity = (np.rint(v).clip(0, 127) for v in (pitch, velocity))
        tones = np.stack([length, pitch, velocity], -1).astype(np.int64)
        return self._score(since.astype(np.int64), tones)

    def project(self, score: Score) -> Score:
        """The notes of the first `cells` cells on one track, times to the nearest 1/384 quarter."""
        notes = self.notes(score)
        since, tones = self._packed(notes, np.zeros(len(notes), np.int64), 1)
        return self._score(since[0], tones[0])

    def _packed(
        self, notes: Notes, owner: NDArray[np.integer], n: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ticks since the previous cell, [n, cells], and length, pitch and velocity of the tones,
        [n, cells, tones, 3].
        """
        order = np.lexsort((*notes.T[[VELOCITY, DURATION, PITCH, ONSET]], owner))
        rows, owner = notes[order].astype(np.int64), np.asarray(owner)[order]
        at = np.arange(len(rows))
        onset = rows[:, ONSET]
        alone = np.append(True, (np.diff(owner) > 0) | (np.diff(onset) > 0))[: len(rows)]
        tone = (at - np.maximum.accumulate(np.where(alone, at, 0))) % self.tones
        head = tone == 0
        cell = np.cumsum(head) - 1
        cell -= cell[np.searchsorted(owner, owner)]  # counted from the window's first
        since = np.zeros((n, self.cells), np.int64)
        tones = np.zeros((n, self.cells, self.tones, 3), np.int64)
        held = cell < self.cells
        to = (owner[held], cell[held], tone[held])
        tones[to] = rows[held][:, [DURATION, PITCH, VELOCITY]]
        before = np.append(0, onset[head][:-1])[: head.sum()]
        gap = onset[head] - np.where(cell[head] == 0, 0, before)
        first = held[head]
        since[owner[head][first], cell[head][first]] = gap[first]
        tones[..., 0] = np.minimum(tones[..., 0], LONGEST)
        return np.minimum(since, LONGEST), tones

    def _score(self, since: NDArray[np.int64], tones: NDArray[np.int64]) -> Score:
        """Cells of one segment in whole ticks, pitches and velocities as a score."""
        onset = np.broadcast_to(np.cumsum(since)[:, None, None], (*tones.shape[:2], 1))
        rows = np.concatenate([onset, tones], -1).reshape(-1, 4)
        sounds = (rows[:, DURATION] > 0) & (rows[:, VELOCITY] > 0)
        return Score((Track(rows[sounds], name="Piano"),), PPQ, tempos=((0, self.qpm),))


def _joined(since: NDArray[Any], numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Times [n, cells] and tones [n, cells, tones, 3] as float32 [n, cells, 1 + 3 * tones]."""
    flat = numbers.reshape(*since.shape, 3 * numbers.shape[2])
    return np.concatenate([since[..., None], flat], -1).astype(np.float32)
