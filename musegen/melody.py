"""Melodies of users made ready for a network: windows of whole bars, and keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from musegen.representations.events import (
    HIGHEST,
    LOWEST,
    STEPS_PER_BAR,
    Melody,
    monophonic,
    quantise,
)
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track, as_notes
from musegen.segment import bar_runs, pick_melody

Say = Callable[[str], None]
BAR = 4 * 480  # ticks of the bars of a Line


@dataclass(frozen=True)
class Line:
    """A melody in bars of four quarters.

    Attributes:
        track: the notes as written, in ticks at 480 a quarter, bar 1 at tick 0.
        bars: number of bars.
        tempo: quarter notes a minute where it begins.
    """

    track: Track
    bars: int
    tempo: float

    def score(self) -> Score:
        """The melody as written."""
        length = self.bars * BAR
        return Score((self.track,), 480, tempos=((0, self.tempo),), length=length)

    def windows(self, representation: Melody) -> NDArray[np.uint8]:
        """Symbols [windows, steps]; `bars` must be a multiple of the window's bars."""
        steps = quantise(self.track.notes, 480)
        total = self.bars * STEPS_PER_BAR
        fits = (steps[:, PITCH] >= LOWEST) & (steps[:, PITCH] <= HIGHEST)
        line = monophonic(steps[fits & (steps[:, ONSET] < total)])
        long = Melody(self.bars).encode_steps(line)
        return long.reshape(-1, representation.steps)

    def mean_velocity(self) -> float:
        """Average velocity of the notes."""
        return float(self.track.notes[:, VELOCITY].mean())

    def fitted(self, bars: int, how: str) -> Line:
        """Made `bars` bars long: cut, or when too short repeated ("loop") or followed by rest."""
        notes = self.track.notes
        if how == "loop" and bars > self.bars:
            times = -(-bars // self.bars)
            move = np.repeat(np.arange(times), len(notes)) * self.bars * BAR
            notes = np.tile(notes, (times, 1))
            notes[:, ONSET] += move
        return replace(self, track=replace(self.track, notes=_cut(notes, bars * BAR)), bars=bars)


def _cut(notes: Notes, length: int) -> Notes:
    rows = notes[notes[:, ONSET] < length].copy()
    rows[:, DURATION] = np.minimum(rows[:, DURATION], length - rows[:, ONSET])
    return rows


def melody_line(score: Score, name: str, choice: str | int | None, say: Say) -> Line:
    """The melody of a score, silent bars before and after it left out.

    Raises:
        ValueError: no melody, or no bars of four quarters; in words for the user.
    """
    melody = pick_melody(score, choice)
    label = f" '{melody.track.name}'" if melody.track.name else ""
    others = sum(bool(len(t)) for t in score.tracks) - 1
    said = f"{name}: took track {melody.index + 1}{label} ({melody.why})"
    say(said + (f", left out {others} other track{'s' * (others > 1)}" if others else ""))
    score = score.resample(480)
    track = score.tracks[melody.index]
    pieces, starts, at, placed = [], [], 0, 0
    for run in bar_runs(score):
        on = track.notes[:, ONSET]
        inside = track.notes[(on >= run[0] - 60) & (on < run[-1] - 60)]
        moved = inside - np.array([run[0] - at, 0, 0, 0])
        moved[:, ONSET] = np.maximum(moved[:, ONSET], at)
        at, placed = at + int(run[-1] - run[0]), placed + len(inside)
        pieces.append(_cut(moved, at))
        starts.append(np.maximum(inside[:, ONSET], run[0]))
    if not placed:
        metres = sorted({f"{n}/{d}" for _, n, d in score.metres})
        raise ValueError(
            f"is in {', '.join(metres)}, but this model knows bars of four quarters; "
            "give music in 4/4, 2/2 or 2/4"
        )
    if placed < len(track):
        say(f"{name}: left out {len(track) - placed} notes in pickups or bars of another metre")
    notes = np.concatenate(pieces)
    first = int(notes[:, ONSET].min()) // BAR
    last = -(-int((notes[:, ONSET] + notes[:, DURATION]).max()) // BAR)
    notes = notes - np.array([first * BAR, 0, 0, 0])
    chords = len(notes) - len(np.unique(notes[:, ONSET]))
    if chords:
        say(f"{name}: of notes that start together the top one counts ({chords} left out)")
    begins = int(np.concatenate(starts).min())
    tempo = [q for t, q in score.tempos if t <= begins][-1]
    return Line(replace(track, notes=notes), last - first, tempo)


_PROFILES = {  # Krumhansl and Kessler 1982
    False: (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    True: (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def parse_key(text: str) -> tuple[int, bool]:
    """A key as "C", "F#", "Bbm" or "A minor" to (tonic pitch class, is minor).

    Raises:
        ValueError: not a key.
    """
    found = re.fullmatch(r"\s*([A-Ga-g])([#b]?)\s*(m|min|minor|maj|major)?\s*", text)
    if not found:
        raise ValueError(f"{text!r} is not a key; write for example C, F#, Bb, Am or 'E minor'")
    tonic = _TONICS[found[1].upper()] + {"#": 1, "b": -1, "": 0}[found[2]]
    minor = (found[3] or "").startswith("m") and not (found[3] or "").startswith("maj")
    return tonic % 12, minor


def into_key(score: Score, key: str) -> Score:
    """The score transposed by -6 to 5 semitones to where its pitch classes fit the key best."""
    tonic, minor = parse_key(key)
    notes = np.concatenate([as_notes([]), *(t.notes for t in score.tracks if not t.is_drum)])
    weights = np.bincount(notes[:, PITCH] % 12, notes[:, DURATION], minlength=12)
    profile = np.roll(_PROFILES[minor], tonic)
    shifts = sorted(range(-6, 6), key=abs)
    # The best correlation too, since a roll changes neither mean nor deviation.
    shift = shifts[int(np.argmax([np.roll(weights, s) @ profile for s in shifts]))]
    sharps = (7 * (tonic + 3 * minor) + 5) % 12 - 5  # on the circle of fifths, -5 to 6
    return replace(score.transpose(shift), keys=((0, sharps, minor),))
