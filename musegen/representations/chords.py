"""Chord symbols after Harte et al. (ISMIR 2005), and as arrays of one row a beat.

A label is a root, a shorthand, more or fewer degrees in parentheses, and a bass degree:
"C:maj", "Gb:maj(9)", "B:min7", "G:sus4(b7)", "E:maj/3", "A:min(*5)", "D:(3,b7)"; "N" is no chord.
The bass always sounds, whether the chord has it or not (as mir_eval counts).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.representations.tracks import TRACK, TRACKSETS, gather, to_steps
from musegen.score import DURATION, ONSET, PITCH, Notes, Score, Track, as_notes

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SHORTHANDS = {  # Harte's, then those that mir_eval adds; what sounds above the root
    "maj": "3 5",
    "min": "b3 5",
    "dim": "b3 b5",
    "aug": "3 #5",
    "sus4": "4 5",
    "sus2": "2 5",
    "maj7": "3 5 7",
    "min7": "b3 5 b7",
    "7": "3 5 b7",
    "dim7": "b3 b5 bb7",
    "hdim7": "b3 b5 b7",
    "minmaj7": "b3 5 7",
    "maj6": "3 5 6",
    "min6": "b3 5 6",
    "9": "3 5 b7 9",
    "maj9": "3 5 7 9",
    "min9": "b3 5 b7 9",
    "5": "5",
    "1": "",
    "11": "3 5 b7 9 11",
    "min11": "b3 5 b7 9 11",
    "13": "3 5 b7 9 11 13",
    "maj13": "3 5 7 9 11 13",
    "min13": "b3 5 b7 9 11 13",
}
_ROOTS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_DEGREE = r"[b#]*(?:1[0-3]|[1-9])"
_LABEL = re.compile(
    r"(?P<letter>[A-G])(?P<accidentals>[b#]*)"
    rf"(:(?!/|$)(?P<shorthand>{'|'.join(SHORTHANDS)})?"
    rf"(\((?P<degrees>\*?{_DEGREE}(,\*?{_DEGREE})*)\))?)?(/(?P<bass>{_DEGREE}))?"
)
# How canonical labels name the semitones above a root, as additions and as bass notes.
_ADDED = ("1", "b9", "9", "#9", "3", "11", "#11", "5", "b13", "13", "b7", "7")
_BASS = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")


class Chord(NamedTuple):
    """Root and bass as pitch classes 0-11, and the set of pitch classes that sound."""

    root: int
    tones: frozenset[int]
    bass: int


@cache
def parse(label: str) -> Chord | None:
    """A label in Harte's syntax; None for "N", and for "X", which mir_eval has for unknown ones.

    Raises:
        ValueError: it is not a label.
    """
    if label in ("N", "X"):
        return None
    found = _LABEL.fullmatch(label)
    if not found:
        raise ValueError(
            f"{label!r} is not a chord; write for example C:maj, Bb:min7, G:sus4(b7), E:maj/3 or N"
        )
    shorthand = found["shorthand"] or ("1" if found["degrees"] else "maj")
    degrees = set(_SEMITONES[shorthand])
    for degree in (found["degrees"] or "").split(","):
        if degree.startswith("*"):
            degrees.discard(_semitones(degree[1:]))
        elif degree:
            degrees.add(_semitones(degree))
    root = _ROOTS[found["letter"]] + _accidentals(found["accidentals"])
    bass = _semitones(found["bass"] or "1")
    degrees.add(bass)
    return Chord(root % 12, frozenset((root + d) % 12 for d in degrees), (root + bass) % 12)


def _accidentals(marks: str) -> int:
    return marks.count("#") - marks.count("b")


def _semitones(degree: str) -> int:
    """A degree as semitones above the root: "b3" is 3, "9" is 2."""
    number = degree.lstrip("b#")
    return (_MAJOR[(int(number) - 1) % 7] + _accidentals(degree)) % 12


# How lead sheets write what Harte's shorthands name.
_SHEET = {
    "": "maj",
    "M": "maj",
    "m": "min",
    "-": "min",
    "M7": "maj7",
    "m7": "min7",
    "-7": "min7",
    "m6": "min6",
    "6": "maj6",
    "m9": "min9",
    "M9": "maj9",
    "mM7": "minmaj7",
    "o": "dim",
    "o7": "dim7",
    "+": "aug",
    "sus": "sus4",
    "m7b5": "hdim7",
    "m11": "min11",
    "add9": "maj(9)",
    "madd9": "min(9)",
    "7sus4": "sus4(b7)",
    "7b9": "7(b9)",
    "7#9": "7(#9)",
} | {short: short for short in SHORTHANDS}
_SYMBOL = re.compile(r"([A-G][b#]*)([^/]*)(?:/([A-G][b#]*))?")


def from_sheet(text: str) -> tuple[str, ...]:
    """Labels of the chord symbols of a lead sheet, "C Am7 F/A | G7 N.C.", in their order.

    Symbols stand between blanks, commas or bars ("|"); labels in Harte's syntax are taken, too.

    Raises:
        ValueError: there are none, or one is neither.
    """
    labels = []
    for symbol in re.split(r"[\s,|]+", text.strip(" \t\n,|")):
        if symbol in ("N.C.", "NC"):
            symbol = "N"
        found = _SYMBOL.fullmatch(symbol)
        if ":" not in symbol and found and found[2] in _SHEET:
            root, bass = _note(found[1]), _note(found[3] or found[1])
            slash = f"/{_BASS[(bass - root) % 12]}" if bass != root else ""
            symbol = f"{found[1]}:{_SHEET[found[2]]}{slash}"
        try:
            parse(symbol)
        except ValueError:
            raise ValueError(
                f"{symbol!r} is not a chord; write for example C, Am, F#m7, Bbmaj7, G7/B or N.C."
            ) from None
        labels.append(symbol)
    return tuple(labels)


def _note(name: str) -> int:
    return _ROOTS[name[0]] + _accidentals(name[1:])


@cache
def name(chord: Chord | None) -> str:
    """The canonical label: the largest shorthand within the chord, and what it lacks as degrees."""
    if chord is None:
        return "N"
    root, tones, bass = chord
    degrees = {(t - root) % 12 for t in tones | {bass}}
    within = [s for s, held in _SEMITONES.items() if held <= degrees | {0}]
    shorthand = max(within, key=lambda s: len(_SEMITONES[s]))
    more = ["*1"] * (0 not in degrees)
    more += [_ADDED[d] for d in sorted(degrees - _SEMITONES[shorthand])]
    listed = f"({','.join(more)})" if more else ""
    slash = f"/{_BASS[(bass - root) % 12]}" if bass != root else ""
    return f"{NAMES[root]}:{shorthand}{listed}{slash}"


_SEMITONES = {s: {0, *map(_semitones, held.split())} for s, held in SHORTHANDS.items()}


@dataclass(frozen=True)
class Chords:
    """The chord symbols of `beats` quarters as uint8 [beats, 36] or [beats, 13], values 0 and 1.

    Attributes:
        beats: quarters in a segment.
        layout: "full" is root, tones and bass, 12 pitch classes from C each, as Polyffusion has
            them (Min et al. 2023); "triad" is the root and whether the chord is minor, as MidiNet
            has them (Yang et al. 2017). No chord is all zeros.
        qpm: tempo of decoded scores.
    """

    beats: int = 32
    layout: Literal["full", "triad"] = "full"
    qpm: float = 120.0

    def notes(self, score: Score) -> Notes:
        """The chord symbols of a segment that starts at tick 0 as notes [m, 5] in quarters: track 0
        has the roots, 1 the tones and 2 the basses, pitches are pitch classes, velocity is 1.
        """
        rows = []
        for (start, label), (end, _) in pairwise([*self._changes(score), (self.beats, "N")]):
            chord = parse(label)
            if chord:
                sounding = [
                    (chord.root, 0),
                    *((t, 1) for t in sorted(chord.tones)),
                    (chord.bass, 2),
                ]
                rows += [(start, end - start, pitch, 1, track) for pitch, track in sounding]
        return np.array(rows, np.int64).reshape(-1, 5)

    def _changes(self, score: Score) -> list[tuple[int, str]]:
        """Symbols at the nearest quarters, from 0 on; of two at one quarter the last counts."""
        at = {0: "N"}
        for tick, label in score.chords:
            at[(2 * tick + score.ppq) // (2 * score.ppq)] = label
        return [(beat, label) for beat, label in sorted(at.items()) if beat < self.beats]

    def encode(self, score: Score) -> NDArray[np.uint8]:
        """The chord symbols of a segment as uint8 [beats, 36] or [beats, 13].

        Raises:
            ValueError: a label is not in Harte's syntax.
        """
        notes = self.notes(score)
        return self.encode_windows(notes, np.zeros(len(notes), np.int64), 1)[0]

    def encode_windows(self, notes: Notes, owner: NDArray[np.integer], n: int) -> NDArray[np.uint8]:
        """Rows of `notes` of `n` windows, `owner` [m] telling whose: uint8 [n, beats, 36 or 13]."""
        rows, owner = np.asarray(notes, np.int64), np.asarray(owner)
        first, last = (rows[:, ONSET] + held for held in (0, rows[:, DURATION]))
        lasts = np.maximum(np.minimum(last, self.beats) - first, 0)
        row = np.repeat(np.arange(len(rows)), lasts)
        beat = first[row] + np.arange(len(row)) - (np.cumsum(lasts) - lasts)[row]
        x = np.zeros((n, self.beats, 36), np.uint8)
        x[owner[row], beat, 12 * rows[row, TRACK] + rows[row, PITCH]] = 1
        if self.layout == "full":
            return x
        of, root = np.nonzero(x[:, :, :12].reshape(-1, 12))
        tones = x[:, :, 12:24].reshape(-1, 12)
        minor = np.zeros(n * self.beats, np.uint8)
        minor[of] = tones[of, (root + 3) % 12] & ~tones[of, (root + 4) % 12]
        return np.concatenate([x[:, :, :12], minor.reshape(n, self.beats, 1)], -1)

    def decode(self, array: NDArray[np.integer]) -> Score:
        """Rows [beats, 36] or [beats, 13] to a score of chord symbols without notes, 480 ticks a
        quarter. A row without a root is no chord, one without a bass has its root there.
        """
        x = np.asarray(array) != 0
        changes = np.flatnonzero(np.append(True, (x[1:] != x[:-1]).any(axis=1))[: len(x)])
        return self._score((int(beat), name(self._chord(x[beat]))) for beat in changes)

    def _chord(self, row: NDArray[np.bool_]) -> Chord | None:
        """The chord of one row."""
        if not row[:12].any():
            return None
        root = int(row[:12].argmax())
        if self.layout == "triad":
            return parse(f"{NAMES[root]}:{'min' if row[12] else 'maj'}")
        bass = int(row[24:].argmax()) if row[24:].any() else root
        return Chord(root, frozenset(np.flatnonzero(row[12:24]).tolist()), bass)

    def project(self, score: Score) -> Score:
        """Canonical labels at the nearest quarters; major and minor triads alone for "triad"."""
        return self._score((at, self._canonical(label)) for at, label in self._changes(score))

    def _canonical(self, label: str) -> str:
        chord = parse(label)
        if chord is None or self.layout == "full":
            return name(chord)
        above = {(t - chord.root) % 12 for t in chord.tones}
        return f"{NAMES[chord.root]}:{'min' if 3 in above and 4 not in above else 'maj'}"

    def _score(self, changes: Iterable[tuple[int, str]]) -> Score:
        """Labels at quarters as a score of `beats` quarters; what says nothing new is left out."""
        chords: list[tuple[int, str]] = []
        for beat, label in changes:
            if not chords or chords[-1][1] != label:
                chords.append((beat * 480, label))
        length = self.beats * 480
        return Score(tempos=((0, self.qpm),), chords=tuple(chords), length=length)


# How well a chord fits a stretch of music: of what sounds the share that is in it less the share
# that is not, less the share of its tones that do not sound, plus the share of time with its root
# as the lowest note, times a number. The numbers were chosen on every fourth song of POP909.
_QUALITIES = ("maj", "min", "7", "maj7", "min7", "sus4", "sus2", "dim", "hdim7", "aug")
_ROOT_LOWEST = 0.75
_RARE = 0.3  # what all qualities but the first two cost
_CHANGE = 1.1  # what a change of chord costs,
_CHANGE_AT_BAR = 0.22  # and at a bar line


def estimate(score: Score, every: Literal["beat", "bar"] = "beat") -> Score:
    """The score with chord symbols as heard in its pitched notes, a change at quarters or bars.

    Templates are matched with what sounds; a chord changes where that explains more than it costs
    (Viterbi). The bass is the note that is lowest most of the time, if it is in the chord.
    """
    notes = to_steps(gather(score, TRACKSETS["piano"]), score.ppq, 4)
    if not len(notes):
        return replace(score, chords=((0, "N"),))
    sounds, lowest = _sounding(notes)
    bars = (8 * score.bar_lines()[:-1] + score.ppq) // (2 * score.ppq)
    bars = np.unique(bars[bars < len(sounds)])
    starts = bars if every == "bar" else np.arange(0, len(sounds), 4)
    change = np.where(np.isin(starts, bars), _CHANGE_AT_BAR, _CHANGE)
    path = _path(_fit(sounds, lowest, starts), change)
    begins = np.flatnonzero(np.append(True, np.diff(path) != 0))
    basses = np.add.reduceat(lowest, starts[begins]).argmax(axis=1).tolist()
    chords = []
    for start, i, bass in zip(starts[begins].tolist(), path[begins].tolist(), basses, strict=True):
        chord = _STATES[i]
        if chord and bass in chord.tones:
            chord = chord._replace(bass=bass)
        chords.append((start * score.ppq // 4, name(chord)))
    return replace(score, chords=tuple(chords))


_STATES = [parse(f"{root}:{quality}") for quality in _QUALITIES for root in NAMES] + [None]


def _sounding(notes: Notes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How often each pitch class sounds in each sixteenth, and which is the lowest, [steps, 12]."""
    ends = notes[:, ONSET] + notes[:, DURATION]
    count = np.zeros((int(ends.max()) + 1, 11 * 12), np.int32)
    np.add.at(count, (notes[:, ONSET], notes[:, PITCH]), 1)
    np.add.at(count, (ends, notes[:, PITCH]), -1)
    on = np.cumsum(count, axis=0, out=count)[:-1] > 0
    lowest = np.eye(12, dtype=np.int64)[on.argmax(axis=1) % 12] * on.any(axis=1, keepdims=True)
    return on.reshape(-1, 11, 12).sum(axis=1), lowest


def _fit(
    sounds: NDArray[np.int64], lowest: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How well each state fits each stretch, [stretches, states]; 0 for no chord."""
    heard = np.add.reduceat(sounds, starts)
    share = heard / np.maximum(heard.sum(axis=1, keepdims=True), 1)
    low = np.add.reduceat(lowest, starts) / np.diff(starts, append=len(lowest))[:, None]
    chords = [c for c in _STATES if c]
    held = np.array([[pc in c.tones for c in chords] for pc in range(12)], float)
    root = np.array([[pc == c.root for c in chords] for pc in range(12)], float)
    fit = share @ (2 * held - 1) + _ROOT_LOWEST * low @ root
    fit -= (heard == 0) @ held / held.sum(axis=0)
    fit[:, 24:] -= _RARE
    return np.concatenate([fit, np.zeros((len(fit), 1))], axis=1)


def _path(fit: NDArray[np.float64], change: NDArray[np.float64]) -> NDArray[np.int64]:
    """The states that fit best, [stretches], when a change of state before t costs change[t]."""
    best, origin = fit[0], np.zeros(len(fit), np.int64)
    stays = np.ones(fit.shape, np.bool_)
    for t in range(1, len(fit)):
        origin[t] = best.argmax()
        moved = best[origin[t]] - change[t]
        stays[t] = best >= moved
        best = np.maximum(best, moved) + fit[t]
    path = np.full(len(fit), best.argmax())
    for t in range(len(fit) - 1, 0, -1):
        path[t - 1] = path[t] if stays[t, path[t]] else origin[t]
    return path


def render(score: Score, *, program: int = 0, velocity: int = 64) -> Track:
    """The chord symbols of a score as block chords from middle C upwards, basses below, in ticks.

    A chord lasts to the next, the last to the score's end.
    """
    ends = [*(tick for tick, _ in score.chords[1:]), score.end]
    rows = []
    for (start, label), end in zip(score.chords, ends, strict=True):
        chord = parse(label)
        if chord and end > start:
            pitches = [36 + chord.bass, *(60 + tone for tone in sorted(chord.tones))]
            rows += [(start, end - start, pitch, velocity) for pitch in pitches]
    return Track(as_notes(rows), program, name="Chords")
