"""A score as a roll to be painted on: which cells are kept, and new notes put back into the score.

Notes that are kept never go through the roll on their way out: they are those of the input, tick by
tick. New notes are all that the roll gives beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError, OptionError
from musegen.melody import home
from musegen.pipeline.voices import chordal, sung_by, voices_of
from musegen.representations.chords import Chords, estimate
from musegen.representations.onsetroll import OnsetRoll
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track, as_notes
from musegen.segment import bar_runs, pick_melody

BEATS = 4  # to a bar
STEP = 4  # to a beat
BAR = BEATS * STEP
LONGEST = 512  # bars: half a million cells a bar's worth of noise and features must fit into memory


@dataclass(frozen=True)
class Canvas:
    """A run of bars of four quarters of a score.

    Attributes:
        score: the whole piece, its ticks a multiple of 4 to a quarter.
        start: tick where the run begins.
        bars: of the run, and those that will be added.
        parts: which plane (0 the melody, 1 the rest; or a voice each) each of its tracks is on; -1
            for drums and for what is no voice.
        roll: of the run.
        kept: for each track, which notes stay, bool.
        added: bars of the run that are behind the piece.
    """

    score: Score
    start: int
    bars: int
    parts: tuple[int, ...]
    roll: OnsetRoll
    kept: tuple[NDArray[np.bool_], ...]
    added: int = 0

    @property
    def tick(self) -> int:
        """Ticks of a step."""
        return self.score.ppq // STEP

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.bars * BAR

    @property
    def present(self) -> tuple[int, ...]:
        """The parts that some of the tracks are."""
        last = len(self.roll.trackset) - 1
        there = zip(self.score.tracks, self.parts, strict=True)
        return tuple(sorted({min(part, last) for track, part in there if len(track) and part >= 0}))

    def wanted(self, track: str | int | None) -> tuple[Canvas, tuple[int, ...]]:
        """The page as music to accompany, and the parts that do: the second below the first; of
        voices those that are not there, or all but the soprano (or the track asked for) where all
        are.
        """
        if not self.roll.sung:
            page = self
            if 0 not in self.parts:
                page = replace(self, parts=tuple(min(p, 0) for p in self.parts))
            return page, (1,)
        kept = self.present
        if track is not None:
            kept = (self.parts[pick_melody(self.score, track).index],)
        elif len(kept) == len(self.roll.trackset):
            kept = (0,)
        return self, tuple(p for p in range(len(self.roll.trackset)) if p not in kept)

    def selecting(self, region: NDArray[np.bool_]) -> tuple[Canvas, NDArray[np.bool_]]:
        """Without the notes that begin in a region, bool [tracks, steps, pitches]; and the cells
        that are free then: those of the region that no kept note sounds in, [planes, ...].
        """
        kept = []
        for i, (track, part) in enumerate(zip(self.score.tracks, self.parts, strict=True)):
            mine = self.kept[i].copy()
            if part >= 0:
                rows, inside = self.places(track.notes)
                mine[inside] &= ~region[part, rows[inside, ONSET], rows[inside, PITCH]]
            kept.append(mine)
        canvas = replace(self, kept=tuple(kept))
        free = np.concatenate([region, region]) & ~(canvas.encode() > 0)
        return canvas, free

    def places(self, notes: Notes) -> tuple[Notes, NDArray[np.bool_]]:
        """Notes with onset, end and pitch as places of the roll, and which are on it."""
        rows = notes.copy()
        ends = rows[:, ONSET] + rows[:, DURATION]
        rows[:, ONSET] = (2 * (rows[:, ONSET] - self.start) + self.tick) // (2 * self.tick)
        ends = (2 * (ends - self.start) + self.tick) // (2 * self.tick)
        rows[:, DURATION] = np.maximum(ends - rows[:, ONSET], 1)
        rows[:, PITCH] -= self.roll.low
        high = self.roll.high - self.roll.low
        inside = (rows[:, ONSET] >= 0) & (rows[:, ONSET] < self.steps)
        return rows, inside & (rows[:, PITCH] >= 0) & (rows[:, PITCH] <= high)

    def encode(self) -> NDArray[np.int8]:
        """The kept notes as cells [planes, steps, pitches]."""
        found = []
        for track, part, kept in zip(self.score.tracks, self.parts, self.kept, strict=True):
            if part < 0:
                continue
            rows, inside = self.places(track.notes)
            rows = rows[inside & kept] + np.array([0, 0, self.roll.low, 0])
            found.append(np.column_stack([rows, np.full(len(rows), part)]))
        notes = np.concatenate([np.zeros((0, 5), np.int64), *found])
        # A roll of one track has all on it.
        notes[:, 4] = np.minimum(notes[:, 4], len(self.roll.trackset) - 1)
        return self.roll.encode_windows(notes, np.zeros(len(notes), np.int64), 1)[0]

    def chords(self) -> NDArray[np.uint8]:
        """The chord symbols of the run [beats, 36]: those written, else as heard in its notes, one
        a bar. Bars that are added have those of the last four bars again.
        """
        written = any(label not in ("N", "X") for _, label in self.score.chords)
        score = self.score if written else estimate(self.score, every="bar")
        old = (self.bars - self.added) * BEATS
        run = score.clip(self.start, self.start + old * self.score.ppq)
        rows = Chords(old).encode(run)
        again = rows[-min(old, 4 * BEATS) :]
        return np.concatenate([rows, np.resize(again, (self.added * BEATS, rows.shape[1]))])

    def paint(
        self, cells: NDArray[np.floating], free: NDArray[np.bool_], recipe: dict[str, object]
    ) -> Score:
        """The score with what cells [planes, steps, pitches] have beside the kept notes."""
        k = len(self.roll.trackset)
        notes = self.roll.decode_steps(cells)
        new = free[notes[:, 4], notes[:, ONSET], notes[:, PITCH] - self.roll.low]
        notes = notes[new]
        notes[:, :2] *= self.tick
        notes[:, ONSET] += self.start
        tracks = [
            replace(track, notes=track.notes[kept])
            for track, kept in zip(self.score.tracks, self.kept, strict=True)
        ]
        for part in range(k):
            mine = notes[notes[:, 4] == part][:, :4]
            if not len(mine):
                continue
            if self.roll.sung:
                there = [tracks[i] for i, p in enumerate(self.parts) if p == part]
                mine = one_by_one(mine, there)
            on = [i for i, p in enumerate(self.parts) if min(p, k - 1) == part]
            loud = [
                self.score.tracks[i].notes[:, VELOCITY] for i in on if len(self.score.tracks[i])
            ]
            mine[:, VELOCITY] = np.concatenate(loud).mean() if loud else VELOCITIES[part]
            if on:
                # The track that has most of the notes of this part.
                at = max(on, key=lambda i: len(self.score.tracks[i]))
                rows = np.concatenate([tracks[at].notes, mine])
                tracks[at] = replace(tracks[at], notes=as_notes(rows))
            else:
                name = self.roll.trackset.parts[part]
                tracks.append(Track(as_notes(mine), name.program, name=name.name))
        length = max(self.score.length, self.start + self.bars * BEATS * self.score.ppq)
        return replace(self.score, tracks=tuple(tracks), length=length, recipe=recipe)


VELOCITIES = (90, 70, 70, 70)  # of new notes of each part where there are none to go by


def one_by_one(notes: Notes, others: Sequence[Track]) -> Notes:
    """New notes of a voice, which end where its next one begins, new or in the tracks it has."""
    onsets = np.unique(np.concatenate([notes[:, ONSET], *(t.notes[:, ONSET] for t in others)]))
    after = np.append(onsets, np.iinfo(np.int64).max)
    room = after[np.searchsorted(onsets, notes[:, ONSET], "right")] - notes[:, ONSET]
    notes = notes.copy()
    notes[:, DURATION] = np.minimum(notes[:, DURATION], room)
    return notes


def canvas(
    score: Score, roll: OnsetRoll, *, track: str | int | None, name: str, more: int = 0
) -> tuple[Canvas, str]:
    """The longest run of bars of four quarters of a score, and a sentence on what was taken.

    Args:
        score: the piece.
        roll: of the model.
        track: the melody's; None for the likeliest, or the one that is named so.
        name: what to call the piece in errors.
        more: bars to add behind it; the run is the last one then.

    Raises:
        InputError: no notes, no such bars, or more than memory allows.
    """
    runs = bar_runs(score)
    if not any(len(t) and not t.is_drum for t in score.tracks):
        raise InputError(name, "has no pitched notes; give a file with some")
    if not runs or (more and runs[-1][-1] < score.bar_lines()[-1]):
        metres = ", ".join(sorted({f"{n}/{d}" for _, n, d in score.metres}))
        where = "at its end " if runs else ""
        raise InputError(name, f"has no bars of four quarters {where}(metre {metres}); give 4/4")
    if score.ppq % STEP:
        score = score.resample(480)
        runs = bar_runs(score)
    run = runs[-1] if more else max(runs, key=len)
    bars = len(run) - 1 + more
    if bars > LONGEST:
        raise InputError(name, f"has {bars} bars, at most {LONGEST} fit; give a part of it")
    parts = [0] * len(score.tracks)
    if roll.sung:
        parts = voices_of(score, roll.trackset, track, name)
    elif len(roll.trackset) > 1:
        parts = parts_of(score, track, name)
    parts = [-1 if t.is_drum else p for t, p in zip(score.tracks, parts, strict=True)]
    kept = tuple(np.ones(len(t), np.bool_) for t in score.tracks)
    long = replace(at_home(roll, to_home(score)) if roll.home else roll, bars=bars)
    first = int(np.searchsorted(score.bar_lines(), run[0])) + 1
    said = f"bars {first} to {first + len(run) - 2} of {name}"
    if roll.sung:
        said += sung_by(score, parts, roll.trackset)
    elif 0 in parts and len(roll.trackset) > 1:
        said += f", melody '{score.tracks[parts.index(0)].name}'"
    return Canvas(score, int(run[0]), bars, tuple(parts), long, kept, more), said


def at_home(roll: OnsetRoll, move: int) -> OnsetRoll:
    """A roll of C major or A minor as one of music that `move` semitones, -6 to 5, bring there."""
    return replace(roll, low=roll.low - move, high=roll.high - move)


def to_home(score: Score) -> int:
    """Semitones, -6 to 5, that would move a piece into C major or A minor, as it is estimated."""
    notes = np.concatenate([t.notes for t in score.tracks if not t.is_drum])
    return int(home(np.bincount(notes[:, PITCH] % 12, notes[:, DURATION], 12)))


def parts_of(score: Score, track: str | int | None, name: str) -> list[int]:
    """0 for the melody's track and 1 for all others.

    Raises:
        InputError: there is no such track.
    """
    named = [i for i, t in enumerate(score.tracks) if "melody" in t.name.lower() and len(t)]
    if track is None and named:
        return [0 if i == named[0] else 1 for i in range(len(score.tracks))]
    try:
        choice = pick_melody(score, track)
    except ValueError as error:
        raise InputError(name, str(error)) from None
    alone = track is None and choice.why == "the only pitched track" and chordal(choice.track)
    return [0 if i == choice.index and not alone else 1 for i in range(len(score.tracks))]


def region(
    canvas: Canvas,
    *,
    bars: tuple[int, int] | None = None,
    pitches: tuple[int, int] | None = None,
    parts: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """Cells [tracks, steps, pitches] of bars from 1 on (both ends in), pitches and parts; None is
    all of them.

    Raises:
        InputError: nothing is left to fill.
    """
    k, roll = len(canvas.roll.trackset), canvas.roll
    chosen = np.zeros((k, canvas.steps, roll.high - roll.low + 1), np.bool_)
    first, last = bars or (1, canvas.bars)
    if not 1 <= first <= last <= canvas.bars:
        raise InputError(
            "bars", f"{first}-{last} are not in the piece; it has bars 1-{canvas.bars} in 4/4"
        )
    low, high = pitches or (roll.low, roll.high)
    if low > high or high < roll.low or low > roll.high:
        raise OptionError(
            "pitch", f"{low}-{high} is empty; the model knows MIDI pitches {roll.low}-{roll.high}"
        )
    of = range(k) if parts is None else parts
    low, high = max(low, roll.low) - roll.low, min(high, roll.high) - roll.low
    for part in of:
        chosen[part, (first - 1) * BAR : last * BAR, low : high + 1] = True
    return chosen
