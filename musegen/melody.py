"""Music of users made ready for a network: windows of whole bars, and keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from musegen.representations.drums import Drums
from musegen.representations.events import Melody
from musegen.representations.trio import Trio
from musegen.score import (
    DURATION,
    ONSET,
    PITCH,
    VELOCITY,
    Score,
    Track,
    as_notes,
    cut,
    distinct,
)
from musegen.segment import bar_runs, pick_melody, trio_tracks

Say = Callable[[str], None]
BAR = 4 * 480  # ticks of the bars of an Excerpt


@dataclass(frozen=True)
class Excerpt:
    """Music in bars of four quarters.

    Attributes:
        tracks: the notes as written, in ticks at 480 a quarter, bar 1 at tick 0.
        bars: number of bars.
        tempo: quarter notes a minute where it begins.
    """

    tracks: tuple[Track, ...]
    bars: int
    tempo: float

    def score(self) -> Score:
        """The music as written."""
        length = self.bars * BAR
        return Score(self.tracks, 480, tempos=((0, self.tempo),), length=length)

    def windows(self, representation: Melody | Drums | Trio) -> NDArray[np.integer]:
        """Symbols [windows, ..., steps]; `bars` must be a multiple of the window's bars."""
        long = replace(representation, bars=self.bars).encode(self.score())
        cut = long.reshape(*long.shape[:-1], -1, representation.steps)
        return np.moveaxis(cut, -2, 0)

    def mean_velocity(self) -> float:
        """Average velocity of the notes."""
        return float(np.concatenate([t.notes for t in self.tracks])[:, VELOCITY].mean())

    def fitted(self, bars: int, how: str) -> Excerpt:
        """Made `bars` bars long: cut, or when too short repeated ("loop") or followed by rest."""
        tracks = []
        for track in self.tracks:
            notes = track.notes
            if how == "loop" and bars > self.bars:
                times = -(-bars // self.bars)
                move = np.repeat(np.arange(times), len(notes)) * self.bars * BAR
                notes = np.tile(notes, (times, 1))
                notes[:, ONSET] += move
            tracks.append(replace(track, notes=cut(notes, bars * BAR)))
        return replace(self, tracks=tuple(tracks), bars=bars)


def excerpt(
    score: Score,
    representation: Melody | Drums | Trio,
    name: str,
    choice: str | int | None,
    say: Say,
) -> Excerpt:
    """What a representation holds of a score: its melody, its drums, or its trio.

    Args:
        score: the user's music.
        representation: what the model knows.
        name: what to call the music in remarks.
        choice: which track holds the melody, by name or number from 1.
        say: is told what was taken and what left out.

    Raises:
        ValueError: there is none of it, or no bars of four quarters; in words for the user.
    """
    if isinstance(representation, Melody):
        return melody_line(score, name, choice, say)
    if choice:
        raise ValueError("has no track to choose: this model takes all drums, or a whole trio")
    if isinstance(representation, Trio):
        score = trio_tracks(score)
        empty = [t.name.lower() for t in score.tracks if not len(t)]
        if empty:
            say(f"{name}: has no {' and no '.join(empty)}")
        taken = score.tracks
    else:
        taken = tuple(t for t in score.tracks if t.is_drum and len(t))
        if not taken:
            raise ValueError("has no drums; give a file with a drum track (channel 10)")
        others = sum(bool(len(t)) for t in score.tracks) - len(taken)
        if others:
            say(f"{name}: took the drums, left out {others} other track{'s' * (others > 1)}")
    return _in_bars(replace(score, tracks=taken), name, say)


def melody_line(score: Score, name: str, choice: str | int | None, say: Say) -> Excerpt:
    """The melody of a score, silent bars before and after it left out.

    Raises:
        ValueError: no melody, or no bars of four quarters; in words for the user.
    """
    melody = pick_melody(score, choice)
    label = f" '{melody.track.name}'" if melody.track.name else ""
    others = sum(bool(len(t)) for t in score.tracks) - 1
    said = f"{name}: took track {melody.index + 1}{label} ({melody.why})"
    say(said + (f", left out {others} other track{'s' * (others > 1)}" if others else ""))
    found = _in_bars(replace(score, tracks=(score.tracks[melody.index],)), name, say)
    notes = found.tracks[0].notes
    chords = len(notes) - len(distinct(notes[:, ONSET]))
    if chords:
        say(f"{name}: of notes that start together the top one counts ({chords} left out)")
    return found


def _in_bars(score: Score, name: str, say: Say) -> Excerpt:
    """The bars of four quarters of a score, one after the other, without silence at the ends."""
    score = score.resample(480)
    runs = bar_runs(score)
    tracks, begins, placed = [], [], 0
    for track in score.tracks:
        pieces, at = [as_notes([])], 0
        for run in runs:
            on = track.notes[:, ONSET]
            inside = track.notes[(on >= run[0] - 60) & (on < run[-1] - 60)]
            moved = inside - np.array([run[0] - at, 0, 0, 0])
            moved[:, ONSET] = np.maximum(moved[:, ONSET], at)
            at, placed = at + int(run[-1] - run[0]), placed + len(inside)
            pieces.append(cut(moved, at))
            begins += [int(np.maximum(inside[:, ONSET], run[0]).min())] if len(inside) else []
        tracks.append(replace(track, notes=np.concatenate(pieces)))
    total = sum(len(track) for track in score.tracks)
    if not placed:
        metres = sorted({f"{n}/{d}" for _, n, d in score.metres})
        raise ValueError(
            f"is in {', '.join(metres)}, but this model knows bars of four quarters; "
            "give music in 4/4, 2/2 or 2/4"
        )
    if placed < total:
        say(f"{name}: left out {total - placed} notes in pickups or bars of another metre")
    notes = np.concatenate([track.notes for track in tracks])
    first = int(notes[:, ONSET].min()) // BAR
    last = -(-int((notes[:, ONSET] + notes[:, DURATION]).max()) // BAR)
    back = np.array([first * BAR, 0, 0, 0])
    moved_back = tuple(replace(track, notes=track.notes - back) for track in tracks)
    tempo = [q for t, q in score.tempos if t <= min(begins)][-1]
    return Excerpt(moved_back, last - first, tempo)


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


def home(weights: NDArray[np.number]) -> NDArray[np.int64]:
    """Semitones, -6 to 5, that move music whose pitch classes weigh so much [..., 12] into C major
    or A minor: whichever correlates best with Krumhansl and Kessler's profiles (the algorithm of
    Krumhansl and Schmuckler).
    """
    # Keys with the same scale side by side: moving one home moves the other there too.
    profiles = np.array([_PROFILES[False], np.roll(_PROFILES[True], -3)])
    profiles = profiles - profiles.mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    moved = np.stack([np.roll(weights, s, axis=-1) for s in range(-6, 6)], axis=-2)
    fits: NDArray[np.int64] = (moved @ profiles.T).max(-1).argmax(-1) - 6
    return fits


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
