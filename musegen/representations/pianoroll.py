"""Multi-track piano rolls: [channel, time, pitch], uint8 (Dong et al. 2018, MuseGAN, section 3).

A step is a fraction of a quarter note and follows from ticks alone, so metres, tempi and their
oddities move no note; `rolls.bar_steps` tells where the bars of the metre map begin. With k tracks
the channels 0 to k-1 are the tracks; with an onset plane channels k to 2k-1 are their onsets. Cells
are 1 or the velocity where a note sounds, its onset included, and 0 elsewhere. Drums sound for one
step a hit, however long the file holds them.

A roll without onset plane cannot tell a repeated note from a held one: notes that touch or overlap
on one key of a track become one, unless `gaps` takes the last step from the earlier, as in the Lakh
Pianoroll Dataset. With onset plane only overlaps are lost: a note ends where its key is struck
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.representations.rolls import Roll, bar_steps, check_size, fill
from musegen.representations.tracks import (
    TRACK,
    TRACKSETS,
    TrackSet,
    gather,
    nearest_step,
    to_steps,
)
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score


@dataclass(frozen=True)
class Pianoroll:
    """Segments of `bars` bars as uint8 [channels, steps, pitches], see the module's docstring.

    Attributes:
        tracks: name of a track set, a key of `TRACKSETS`.
        steps_per_beat: steps to a quarter note: 4, 12, 24, any.
        bars: bars of a segment.
        beats_per_bar: quarter notes to a bar.
        low: lowest pitch of the array.
        high: highest pitch; notes outside are left out.
        onsets: with an onset plane.
        velocities: cells hold velocities, 1-127, instead of 1; where notes of one key overlap, that
            of the later, and when decoded each note has that of its first step.
        gaps: a note whose key is struck again at its end gives up its last step, if it has two.
        velocity: of decoded notes where cells hold none.
        qpm: tempo of decoded scores, quarter notes a minute.
    """

    tracks: str = "lpd5"
    steps_per_beat: int = 4
    bars: int = 4
    beats_per_bar: int = 4
    low: int = 24
    high: int = 107
    onsets: bool = False
    velocities: bool = False
    gaps: bool = False
    velocity: int = 80
    qpm: float = 120.0

    def __post_init__(self) -> None:
        """Refuse what makes no roll.

        Raises:
            ValueError: an unknown track set, no steps, an empty range of pitches, or both ways to
                keep repeated notes apart.
        """
        if self.tracks not in TRACKSETS:
            raise ValueError(f"no track set '{self.tracks}'; there are {', '.join(TRACKSETS)}")
        if min(self.steps_per_beat, self.bars, self.beats_per_bar) < 1:
            raise ValueError("a piano roll needs at least one step to a beat, one beat and one bar")
        if not 0 <= self.low <= self.high <= 127:
            raise ValueError(f"pitches {self.low} to {self.high} are no range within 0 to 127")
        if self.onsets and self.gaps:
            raise ValueError("choose onsets or gaps, one is enough to keep repeated notes apart")

    @property
    def trackset(self) -> TrackSet:
        """The tracks."""
        return TRACKSETS[self.tracks]

    @property
    def steps(self) -> int:
        """Steps in a segment."""
        return self.bars * self.beats_per_bar * self.steps_per_beat

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, steps and pitches of a segment."""
        return self._shape(self.steps)

    def _shape(self, steps: int) -> tuple[int, int, int]:
        channels = len(self.trackset) * (2 if self.onsets else 1)
        return channels, steps, self.high - self.low + 1

    def encode(self, score: Score) -> Roll:
        """The notes that begin in a segment's steps from tick 0 on, [channels, steps, pitches]."""
        return self._encode(self._notes(score, self.steps), self.steps)

    def song(self, score: Score) -> Roll:
        """A whole score, however long, to the end of its last bar: [channels, time, pitches].

        Raises:
            ValueError: the roll would be too large, see `rolls.MAX_CELLS`.
        """
        notes = self._notes(score)
        last = int((notes[:, ONSET] + notes[:, DURATION]).max(initial=1))
        end = max(last, nearest_step(score.end, score.ppq, self.steps_per_beat))
        check_size(self._shape(end))  # before the bars are counted
        return self._encode(notes, max(end, int(bar_steps(score, self.steps_per_beat)[-1])))

    def _notes(self, score: Score, steps: int | None = None) -> Notes:
        """The notes in steps, [m, 5], that begin within a segment."""
        notes = to_steps(gather(score, self.trackset), score.ppq, self.steps_per_beat)
        return notes if steps is None else notes[notes[:, ONSET] < steps]

    def _encode(self, notes: Notes, steps: int) -> Roll:
        return self._draw(notes, np.zeros(len(notes), np.int64), 1, steps, None)[0]

    def encode_windows(
        self,
        notes: NDArray[np.integer],
        owner: NDArray[np.integer],
        n: int,
        out: Roll | None = None,
    ) -> Roll:
        """Notes of `n` segments as [n, channels, steps, pitches], all at once.

        Args:
            notes: in steps of this roll, [m, 5]; those that begin outside the segment or its range
                of pitches are left out, the others are cut at the segment's end.
            owner: which segment each note belongs to, [m].
            n: number of segments.
            out: an array of that shape to draw into instead of a new one.

        Raises:
            ValueError: the array would be too large, see `rolls.MAX_CELLS`.
        """
        return self._draw(notes, owner, n, self.steps, out)

    def _draw(
        self,
        notes: NDArray[np.integer],
        owner: NDArray[np.integer],
        n: int,
        steps: int,
        out: Roll | None,
    ) -> Roll:
        channels, _, pitches = self._shape(steps)
        columns = notes.T.astype(np.int64, order="C")
        low, high = columns[PITCH].min(initial=self.low), columns[PITCH].max(initial=self.high)
        if columns[ONSET].max(initial=0) >= steps or low < self.low or high > self.high:
            kept = np.flatnonzero(
                (columns[ONSET] < steps)
                & (columns[PITCH] >= self.low)
                & (columns[PITCH] <= self.high)
            )
            columns = np.array([c.take(kept) for c in columns])  # quicker than on both axes
            owner = owner.take(kept)
        if self.velocities:
            separate, owner = self.separate(columns.T, owner, steps)
            columns = separate.T
        if out is None:
            check_size((n, channels, steps, pitches))
            out = np.zeros((n, channels, steps, pitches), np.uint8)
        else:
            out.fill(0)
        flat = out.reshape(-1)
        onset, length, pitch, velocity, track = columns
        drum = track == self.trackset.drums
        np.minimum(length, steps - onset, out=length)
        np.putmask(length, drum, 1)
        start = track + owner * channels
        start *= steps
        start += onset
        start *= pitches
        start += pitch
        start -= self.low
        value = velocity if self.velocities else 1
        fill(flat, start, length, pitches, value)
        if self.gaps and not self.velocities:
            flat[start[(onset > 0) & ~drum] - pitches] = 0
            flat[start] = 1
        if self.onsets:
            flat[start + len(self.trackset) * steps * pitches] = value
        return out

    def decode(self, array: NDArray[Any]) -> Score:
        """A roll of any number of steps, [channels, time, pitches], as a score of the track set.

        Cells over 0 sound. With onset plane notes begin where it says so and nowhere else.

        Raises:
            ValueError: the array has not the channels and pitches of this roll.
        """
        return self._score(self.decode_steps(np.asarray(array)), np.shape(array)[1])

    def decode_steps(self, array: NDArray[Any]) -> Notes:
        """A roll as notes in steps, [m, 5], sorted by onset, track and pitch."""
        if array.ndim != 3 or array.shape != self._shape(array.shape[1]):
            channels, _, pitches = self.shape
            raise ValueError(f"expected [{channels}, time, {pitches}], got {list(array.shape)}")
        k, (_, steps, pitches) = len(self.trackset), array.shape
        sounds = array[:k] > 0
        if self.onsets:
            struck = array[k:] > 0
            sounds |= struck
        track, step, pitch = np.nonzero(sounds)
        # Key by key, a step of silence between two keys, so that a run of cells is one key's.
        place = (track * pitches + pitch) * (steps + 1) + step
        order = np.argsort(place)
        track, step, pitch, place = track[order], step[order], pitch[order], place[order]
        begins = np.ones(len(place), np.bool_)
        begins[1:] = np.diff(place) > 1
        notes = begins | (track == self.trackset.drums)
        if self.onsets:
            notes = struck[track, step, pitch]
        at = np.flatnonzero(begins | notes)
        length = np.diff(at, append=len(place))
        at, length = at[notes[at]], length[notes[at]]
        track, step, pitch = track[at], step[at], pitch[at]
        length = np.where(track == self.trackset.drums, 1, length)
        velocity = np.full(len(at), self.velocity)
        if self.velocities:
            velocity = np.clip(array[-k:][track, step, pitch], 1, 127).astype(np.int64)
        rows = np.column_stack([step, length, pitch + self.low, velocity, track])
        return rows[np.lexsort((pitch, track, step))]

    def _score(self, notes: Notes, steps: int) -> Score:
        """Notes in steps, [m, 5], as a score of `steps` steps, at about 480 ticks a quarter."""
        tick = max(1, round(480 / self.steps_per_beat))
        tracks = self.trackset.tracks(notes * np.array([tick, tick, 1, 1, 1]))
        return Score(
            tracks,
            ppq=tick * self.steps_per_beat,
            tempos=((0, self.qpm),),
            metres=((0, self.beats_per_bar, 4),),
            length=steps * tick,
        )

    def project(self, score: Score) -> Score:
        """What the roll can hold of a segment: its tracks and pitches in steps, repeated notes as
        the module's docstring says, the loudest of those that begin together.
        """
        notes = self._notes(score, self.steps)
        notes = notes[(notes[:, PITCH] >= self.low) & (notes[:, PITCH] <= self.high)]
        notes, _ = self.separate(notes, np.zeros(len(notes), np.int64), self.steps)
        if not self.velocities:
            notes[:, VELOCITY] = self.velocity
        return self._score(notes, self.steps)

    def separate(
        self, notes: NDArray[np.integer], owner: NDArray[np.integer], steps: int
    ) -> tuple[Notes, NDArray[np.integer]]:
        """Notes of segments of `steps` steps, [m, 5], and their owners, as rolls can hold them."""
        key = (owner * len(self.trackset) + notes[:, TRACK]) * 128 + notes[:, PITCH]
        # The times of all keys on one line, so that one pass over it sees each key by itself.
        start = key.astype(np.int64) * (steps + 1) + notes[:, ONSET]
        order = np.argsort(start * 128 + notes[:, VELOCITY])
        rows, owner, start = notes[order].astype(np.int64), owner[order], start[order]
        drum = rows[:, TRACK] == self.trackset.drums
        length = np.where(drum, 1, np.minimum(rows[:, DURATION], steps - rows[:, ONSET]))
        end = np.maximum.accumulate(start + length)
        kept = np.ones(len(start), np.bool_)
        kept[:-1] = start[1:] > start[:-1]
        rows, owner, drum = rows[kept], owner[kept], drum[kept]
        start, end = start[kept], end[kept]
        again = np.full(len(start), np.iinfo(np.int64).max)
        again[:-1] = start[1:]
        if self.onsets:
            end = np.minimum(end, again)
        elif self.gaps:
            end = np.where(end >= again, np.maximum(again - 1, start + 1), end)
        held = (end >= again) & ~drum & (not self.onsets)
        first = np.ones(len(start), np.bool_)
        first[1:] = ~held[:-1]
        rows, owner = rows[first], owner[first]
        rows[:, DURATION] = end[~held] - start[first]
        return rows, owner
