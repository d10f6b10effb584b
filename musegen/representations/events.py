"""Event sequences of MusicVAE (Roberts et al. 2018, section 4; encodings of the reference code).

A melody is one symbol a step, 16 steps a bar: 0 no event (hold or stay silent), 1 note-off,
2 + i the onset of pitch 21 + i. Where the paper says 130 symbols and the published code and
checkpoints 90, this follows the code (pitches 21 to 108, the piano's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track

NO_EVENT, NOTE_OFF, FIRST_ONSET = 0, 1, 2
LOWEST, HIGHEST = 21, 108
VOCAB = FIRST_ONSET + HIGHEST - LOWEST + 1  # 90
STEPS_PER_QUARTER = 4
STEPS_PER_BAR = 16


def quantise(notes: Notes, ppq: int) -> Notes:
    """Onsets and ends in ticks to the nearest of 4 steps a quarter; notes last at least a step."""
    steps = notes.copy()
    half = ppq // 2
    on = (notes[:, ONSET] * STEPS_PER_QUARTER + half) // ppq
    off = ((notes[:, ONSET] + notes[:, DURATION]) * STEPS_PER_QUARTER + half) // ppq
    steps[:, ONSET], steps[:, DURATION] = on, np.maximum(off - on, 1)
    return steps


def monophonic(notes: Notes) -> Notes:
    """One note at a time: of notes that start together the highest stays, and each ends no later
    than the next begins.
    """
    top = notes[np.lexsort((-notes[:, DURATION], -notes[:, PITCH], notes[:, ONSET]))]
    first = np.append(True, np.diff(top[:, ONSET]) > 0)[: len(top)]
    line = top[first]
    room = np.diff(line[:, ONSET])
    line[:-1, DURATION] = np.minimum(line[:-1, DURATION], room)
    return line


@dataclass(frozen=True)
class Melody:
    """Monophonic melody of `bars` bars of 4/4 as uint8 [16 * bars], values 0 to 89.

    Attributes:
        bars: bars of 4/4 in a segment.
        velocity: of decoded notes, 1 to 127, since the symbols hold none.
        qpm: tempo of decoded scores in quarter notes a minute.
    """

    bars: int = 2
    velocity: int = 80
    qpm: float = 120.0

    @property
    def vocab(self) -> tuple[int, ...]:
        """Number of symbols."""
        return (VOCAB,)

    @property
    def steps(self) -> int:
        """Steps in a segment."""
        return self.bars * STEPS_PER_BAR

    def encode(self, score: Score) -> NDArray[np.uint8]:
        """The pitched notes of a segment that starts at tick 0 as uint8 [steps].

        Notes outside the steps or pitches 21-108 are left out, the highest of a chord stays.
        """
        return self.encode_steps(self._fitting(score))

    def _fitting(self, score: Score) -> Notes:
        """The pitched notes that begin within the segment and its range of pitches, in steps."""
        rows = [t.notes for t in score.tracks if not t.is_drum]
        notes = np.concatenate(rows) if rows else np.zeros((0, 4), np.int64)
        steps = quantise(notes, score.ppq)
        return steps[self.holds(steps)]

    def holds(self, notes: Notes) -> NDArray[np.bool_]:
        """Which notes, in steps, begin within the segment and its range of pitches."""
        fits = (notes[:, ONSET] < self.steps) & (notes[:, PITCH] >= LOWEST)
        return fits & (notes[:, PITCH] <= HIGHEST)

    def encode_steps(self, notes: Notes) -> NDArray[np.uint8]:
        """Notes whose times are steps already, all within the segment, as uint8 [steps]."""
        line = monophonic(notes)
        return self.encode_windows(line, np.zeros(len(line), np.int64), 1)[0]

    def encode_windows(self, notes: Notes, owner: NDArray[np.integer], n: int) -> NDArray[np.uint8]:
        """Notes in steps of `n` monophonic windows, `owner` [notes] telling whose: [n, steps]."""
        events = np.zeros((n, self.steps + 1), np.uint8)
        ends = np.minimum(notes[:, ONSET] + notes[:, DURATION], self.steps)
        events[owner, ends] = NOTE_OFF  # an onset at the same step overwrites it
        events[owner, notes[:, ONSET]] = notes[:, PITCH] - LOWEST + FIRST_ONSET
        return events[:, :-1]

    def decode_steps(self, events: NDArray[np.integer]) -> Notes:
        """Symbols [steps] to notes in steps; each lasts to the next onset, note-off or the end."""
        events = np.asarray(events, np.int64)
        changes = np.flatnonzero(events != NO_EVENT)
        ends = np.append(changes[1:], len(events))
        is_onset = events[changes] >= FIRST_ONSET
        onsets, ends = changes[is_onset], ends[is_onset]
        velocity = np.full(len(onsets), self.velocity)
        pitch = events[onsets] - FIRST_ONSET + LOWEST
        return np.column_stack([onsets, ends - onsets, pitch, velocity]).astype(np.int64)

    def decode(self, array: NDArray[np.integer]) -> Score:
        """Symbols [steps] to a score of one track, at 480 ticks a quarter."""
        return self._score(self.decode_steps(array), len(array))

    def _score(self, notes: Notes, steps: int) -> Score:
        """Notes in steps as a score of `steps` steps."""
        ppq = 480
        tick = ppq // STEPS_PER_QUARTER
        track = Track(notes * np.array([tick, tick, 1, 1]), name="Melody")
        return Score((track,), ppq, tempos=((0, self.qpm),), length=steps * tick)

    def project(self, score: Score) -> Score:
        """What the symbols can hold of a segment: its quantised top line, without dynamics."""
        line = monophonic(self._fitting(score)).copy()
        line[:, DURATION] = np.minimum(line[:, DURATION], self.steps - line[:, ONSET])
        line[:, VELOCITY] = self.velocity
        return self._score(line, self.steps)


def canonical(events: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The same melody with note-offs that end nothing taken out, [..., steps]."""
    events = np.asarray(events)
    sounding = np.where(events != NO_EVENT, np.arange(events.shape[-1]), -1)
    last = np.maximum.accumulate(sounding, axis=-1)
    before = np.concatenate([np.full((*last.shape[:-1], 1), -1), last[..., :-1]], axis=-1)
    held = np.take_along_axis(events, np.maximum(before, 0), axis=-1)
    silent = (before < 0) | (held == NOTE_OFF)
    return np.where((events == NOTE_OFF) & silent, NO_EVENT, events).astype(np.uint8)


def transpose(events: NDArray[np.integer], semitones: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Melodies [n, steps] moved by `semitones` [n]; a melody that would leave the range stays."""
    onset = events >= FIRST_ONSET
    moved = np.where(onset, events.astype(np.int64) + semitones[:, None], events)
    inside = (~onset | ((moved >= FIRST_ONSET) & (moved < VOCAB))).all(axis=1, keepdims=True)
    return np.where(inside, moved, events).astype(np.uint8)
