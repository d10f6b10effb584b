"""Find the melody in a score, its bars of four quarters, and cut windows of notes.

"First segment, then encode": everything here acts on Scores and note arrays; what a window means
to a network is the business of `musegen.representations`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from musegen.representations.events import STEPS_PER_BAR, monophonic, quantise
from musegen.representations.trio import TRIO
from musegen.score import DURATION, ONSET, PITCH, Notes, Score, Track, as_notes, distinct

_MELODY_NAME = re.compile(r"melod|vocal|voice|lead|sopran|sing|flute|violin|\bright\b|upper|^up\b")
_OTHER_NAME = re.compile(r"bass|drum|perc|chord|pad|accomp|rhythm|bridge|piano left|\bleft\b|lower")


@dataclass(frozen=True)
class MelodyChoice:
    """Which track is taken as the melody and why; `index` counts the score's tracks from 0."""

    index: int
    track: Track
    why: str


def pick_melody(score: Score, choice: str | int | None = None) -> MelodyChoice:
    """The melody track: by number (from 1), by name (part of it, any case), or the likeliest.

    Raises:
        ValueError: no pitched notes, or no track with that name or number; says which there are.
    """
    pitched = [i for i, t in enumerate(score.tracks) if not t.is_drum and len(t)]
    if not score.tracks or not any(len(t) for t in score.tracks):
        raise ValueError("has no notes; give a file with a melody in it")
    if not pitched:
        raise ValueError("has only drums; give a file with a melody in it")
    if choice is None or choice == "":
        if len(pitched) == 1:
            return MelodyChoice(pitched[0], score.tracks[pitched[0]], "the only pitched track")
        best = max(pitched, key=lambda i: _likelihood(score, score.tracks[i]))
        return MelodyChoice(best, score.tracks[best], "the likeliest melody")
    names = ", ".join(f"{i + 1} '{score.tracks[i].name}'" for i in pitched)
    if str(choice).isdecimal():
        i = int(choice) - 1
        if i not in pitched:
            raise ValueError(f"has no pitched track {choice}; there are {names}")
        return MelodyChoice(i, score.tracks[i], "as asked")
    hits = [i for i in pitched if str(choice).lower() in score.tracks[i].name.lower()]
    if not hits:
        raise ValueError(f"has no pitched track named '{choice}'; there are {names}")
    return MelodyChoice(hits[0], score.tracks[hits[0]], "as asked")


def _likelihood(score: Score, track: Track) -> float:
    """How much a track looks like a melody: named so, one note at a time, high, always there."""
    line = monophonic(track.notes)
    alone = len(line) / len(track)
    held = line[:, DURATION].sum() / max(1, track.notes[:, DURATION].sum())
    active = _active(score, track)
    height = -abs(line[:, PITCH].mean() - 74) / 12
    name = track.name.lower()
    named = 2.0 * bool(_MELODY_NAME.search(name)) - 2.0 * bool(_OTHER_NAME.search(name))
    bass = -1.5 * (32 <= track.program < 40)
    variety = min(len(distinct(line[:, PITCH])), 8) / 8
    return named + bass + alone + held + 1.5 * active + height + variety


def _active(score: Score, track: Track) -> float:
    """The share of bars in which a track begins a note."""
    lines = score.bar_lines()
    bars = distinct(np.searchsorted(lines, track.notes[:, ONSET], "right"))
    return len(bars) / (len(lines) - 1)


def trio_tracks(score: Score) -> Score:
    """A song as melody, bass and drums, the tracks of `Trio`; what there is none of stays empty.

    The bass is the lowest note of each sixteenth in the tracks with the program (32-39) or the name
    of a bass, where there are none in the track that is lowest on the whole. The melody is the
    likeliest of the other tracks that play one note at a time (nine onsets of ten) in half of the
    bars, else the highest note of each sixteenth in all of them. Notes keep their times.
    """
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    bass = [t for t in pitched if TRIO.place(t) == 1 or "bass" in t.name.lower()]
    if not bass and len(pitched) > 1:
        bass = [min(pitched, key=lambda t: float(np.median(t.notes[:, PITCH])))]
    others = [t for t in pitched if not any(t is b for b in bass)]
    lines = [
        t for t in others if len(monophonic(t.notes)) >= 0.9 * len(t) and _active(score, t) >= 0.5
    ]
    melody = [max(lines, key=lambda t: _likelihood(score, t))] if lines else others
    drums = [t.notes for t in score.tracks if t.is_drum]
    parts = (
        _edge(melody, score.ppq, 1),
        _edge(bass, score.ppq, -1),
        np.concatenate([as_notes([]), *drums]),
    )
    named = zip(TRIO.parts, parts, strict=True)
    return replace(score, tracks=tuple(Track(n, p.program, p.is_drum, p.name) for p, n in named))


def _edge(tracks: list[Track], ppq: int, side: int) -> Notes:
    """The highest (`side` 1) or lowest (-1) note of each sixteenth, the longest of equals."""
    notes = np.concatenate([as_notes([]), *(t.notes for t in tracks)])
    step = quantise(notes, ppq)[:, ONSET]
    order = np.lexsort((-notes[:, DURATION], -side * notes[:, PITCH], step))
    return notes[order[np.unique(step[order], return_index=True)[1]]]


def bar_runs(score: Score) -> list[NDArray[np.int64]]:
    """Runs of adjoining bars of four quarters: each the ticks of their bar lines, [bars + 1].

    Metres that divide or multiply four quarters (2/2, 2/4, 4/2) are regrouped from where they
    begin; bars of 3/4, 6/8 and so on, and bars cut short by a metre change, are left out.
    """
    whole = 4 * score.ppq
    lines = score.bar_lines()
    metres = [m for m in score.metres if m[0] < lines[-1]]
    tick = [t for t, _, _ in metres]
    runs: list[NDArray[np.int64]] = []
    for i, (start, num, den) in enumerate(metres):
        until = tick[i + 1] if i + 1 < len(tick) else int(lines[-1])
        if num % den and den % num:
            continue
        if i + 1 == len(tick):  # the last bar is always made whole
            until = start + -(-(until - start) // whole) * whole
        run = np.arange(start, until + 1, whole, dtype=np.int64)
        if len(run) < 2:
            continue
        if runs and runs[-1][-1] == run[0]:
            runs[-1] = np.concatenate([runs[-1], run[1:]])
        else:
            runs.append(run)
    return runs


def step_runs(score: Score, track: Track) -> list[tuple[Notes, int]]:
    """The melody line of each run of four-quarter bars: notes in steps from its start, and bars."""
    found = []
    for run in bar_runs(score):
        notes = track.notes - np.array([run[0], 0, 0, 0])
        notes = notes[notes[:, ONSET] >= -score.ppq // 8]  # a note just early belongs to the bar
        steps = quantise(np.maximum(notes, 0), score.ppq)
        bars = len(run) - 1
        line = monophonic(steps[steps[:, ONSET] < bars * STEPS_PER_BAR])
        found.append((line, bars))
    return found


def windows(
    line: Notes, bars: int, size: int = 2, hop: int = 1, bar: int = STEPS_PER_BAR
) -> tuple[Notes, NDArray[np.int64]]:
    """Windows of `size` bars every `hop` bars of notes of `bars` bars of `bar` steps each.

    A note belongs where it begins and is cut at the window's end.

    Returns:
        The notes of one window after the other, times in steps from its start, and how many notes
        each has.
    """
    starts, length = np.arange(0, bars - size + 1, hop) * bar, size * bar
    first = np.searchsorted(line[:, ONSET], starts)
    count = np.searchsorted(line[:, ONSET], starts + length) - first
    begin = np.cumsum(count) - count
    rows = line[np.arange(count.sum()) + np.repeat(first - begin, count)]
    rows[:, ONSET] -= np.repeat(starts, count)
    rows[:, DURATION] = np.minimum(rows[:, DURATION], length - rows[:, ONSET])
    return rows, count
