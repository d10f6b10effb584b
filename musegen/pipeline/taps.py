"""Rhythms that users give: whose onsets are tapped, and where in windows of whole bars they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError, NothingGeneratedError
from musegen.melody import Say
from musegen.representations.events import STEPS_PER_QUARTER
from musegen.score import ONSET, PITCH, Notes, Score, Track
from musegen.segment import bar_runs, pick_melody


class Places(NamedTuple):
    """Where notes are in windows: those that are in bars of four quarters [m], their window, step
    and class there.
    """

    row: NDArray[np.int64]
    window: NDArray[np.int64]
    step: NDArray[np.int64]
    kind: NDArray[np.int64]


def tapped(score: Score, choice: str | None, name: str, say: Say) -> Track:
    """The track whose onsets are tapped: by name or number from 1, else the likeliest melody, or
    the drums where there is nothing else.

    Raises:
        InputError: no notes, or no such track; in words.
    """
    if not any(map(len, score.tracks)):
        raise InputError(name, "has no notes; give a file with a rhythm in it")
    drums = [i for i, t in enumerate(score.tracks) if t.is_drum and len(t)]
    if choice is not None:
        named = [i for i in drums if called(score, i, choice)]
        if named:
            return score.tracks[named[0]]
    if choice is None and len(drums) == sum(map(bool, map(len, score.tracks))):
        say(f"{name}: took the rhythm of its drums")
        return score.tracks[drums[0]]
    try:
        found = pick_melody(score, choice)
    except ValueError as error:
        raise InputError(name, str(error)) from None
    label = f" '{found.track.name}'" if found.track.name else ""
    say(f"{name}: took the rhythm of track {found.index + 1}{label} ({found.why})")
    return found.track


def called(score: Score, i: int, choice: str) -> bool:
    """Whether a track is meant by a number from 1 or a part of its name."""
    if choice.isdecimal():
        return i == int(choice) - 1
    return choice.lower() in score.tracks[i].name.lower()


def windows(score: Score, bars: int) -> NDArray[np.int64]:
    """First and last tick of the windows of `bars` bars of a score, [n, 2]; the last of a run of
    bars of four quarters may be short.
    """
    found = []
    for run in bar_runs(score):
        starts = run[:-1:bars]
        found.append(np.column_stack([starts, np.append(starts[1:], run[-1])]))
    return np.concatenate([np.zeros((0, 2), np.int64), *found])


def lengths(score: Score, windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps of each window, [n]."""
    return (windows[:, 1] - windows[:, 0]) * STEPS_PER_QUARTER // score.ppq


def places(
    score: Score,
    notes: Notes,
    windows: NDArray[np.int64],
    class_of: NDArray[np.int64] | None = None,
) -> Places:
    """Where notes in ticks are in windows; those whose pitch has no class (-1) are nowhere.

    Args:
        score: whose notes they are.
        notes: [m, 4].
        windows: their first and last tick, [n, 2].
        class_of: the class of each of 128 pitches; all are of class 0 by default.
    """
    quarter, half = score.ppq, score.ppq // (2 * STEPS_PER_QUARTER)
    onset = notes[:, ONSET]
    kind = np.zeros(len(notes), np.int64) if class_of is None else class_of[notes[:, PITCH]]
    window = np.searchsorted(windows[:, 0], onset + half, "right") - 1
    index = np.flatnonzero((window >= 0) & (kind >= 0))
    window = window[index]
    step = ((onset[index] - windows[window, 0]) * STEPS_PER_QUARTER + quarter // 2) // quarter
    step = np.maximum(step, 0)
    fits = step < lengths(score, windows)[window]
    return Places(index[fits], window[fits], step[fits], kind[index[fits]])


def with_drums(
    score: Score, parts: list[Track], alone: bool, recipe: dict[str, Any]
) -> list[Score]:
    """The music with each of some drum tracks, or the drums `alone`.

    Raises:
        NothingGeneratedError: none of them has a hit.
    """
    if not any(map(len, parts)):
        raise NothingGeneratedError("no drum is hit; try another --seed or --temperature 1")
    made = []
    for i, part in enumerate(parts):
        tracks = (part,) if alone else (*score.tracks, part)
        length = max(score.end, part.end)
        made.append(replace(score, tracks=tracks, length=length, recipe=recipe | {"index": i}))
    return made


def strange(score: Score) -> str:
    """Why there is nothing to do."""
    metres = sorted({f"{n}/{d}" for _, n, d in score.metres})
    return (
        f"is in {', '.join(metres)}, but this model knows bars of four quarters; give music in "
        "4/4, 2/2 or 2/4"
    )
