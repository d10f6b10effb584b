"""From what a reader has found in a file to a Score: limits, order, maps, remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats.abc import MAX_QUARTERS
from musegen.score import DURATION, VELOCITY, Notes, Score, Track, changes

MAX_TRACKS = 1024
MAX_NOTES = 2**20
MAX_CHANGES = 2**16  # of tempo, of metre, of key; and markers

# What is mended: a noun to count, and what is said of it.
SHORT = "note", "of no length: made one tick long"
ODD = "change", "of tempo, metre or key that cannot be: left out"


class Part(NamedTuple):
    """What becomes a track of the score if it has notes."""

    program: int
    is_drum: bool
    name: str


@dataclass
class Maps:
    """What a file says of tempo, metre, key and form: events as they stand, tick first."""

    tempos: list[tuple[int, float]] = field(default_factory=list)  # microseconds a quarter
    metres: list[tuple[int, int, int]] = field(default_factory=list)  # numerator, denominator
    keys: list[tuple[int, int, int]] = field(default_factory=list)  # sharps, mode
    markers: list[tuple[int, str]] = field(default_factory=list)


def check_length(name: str, end: int, ppq: int, offset: int | None = None) -> None:
    """Raises InputError when the last tick is too late; `offset` is the byte where that begins."""
    if end > MAX_QUARTERS * ppq:
        reason = (
            f"lasts {end // ppq:,} quarter notes, at most {MAX_QUARTERS:,} are read; "
            "look for a stray event far behind the end"
        )
        raise InputError(name, reason, offset=offset)


def check_size(name: str, tracks: int, notes: int, changes: int) -> None:
    """Raises InputError when there is too much of something."""
    for what, count, limit in (
        ("tracks", tracks, MAX_TRACKS),
        ("notes", notes, MAX_NOTES),
        ("changes of tempo, metre or key", changes, MAX_CHANGES),
    ):
        if count > limit:
            reason = f"has {count:,} {what}, at most {limit:,} are read; split the file"
            raise InputError(name, reason)


def assemble(
    ppq: int,
    parts: Sequence[Part],
    counts: Sequence[int],
    columns: Sequence[NDArray[Any]],
    maps: Maps,
    recipe: Mapping[str, Any] | None,
    remarks: Sequence[str] = (),
) -> Score:
    """A score of notes and events as they were found, sorted all at once.

    Args:
        ppq: ticks in a quarter note.
        parts: what the tracks will be; those without notes are left out.
        counts: how many notes each part has.
        columns: onsets, durations, pitches and velocities [n] of all notes, part after part, in any
            order within a part; all in range but for durations, which become 1 at least.
        maps: tempi, metres, keys and markers.
        recipe: how the music was made.
        remarks: what there is to say already.
    """
    onset, duration, pitch, velocity = columns
    short = 0
    if len(duration) and duration.min() < 1:
        short = int(np.count_nonzero(duration < 1))
        duration = np.maximum(duration, 1)
    bounds = list(accumulate(counts, initial=0))
    rows = _in_order((onset, duration, pitch, velocity), bounds)
    rows.setflags(write=False)
    tracks = [
        Track.of_sorted(rows[start:end], *part)
        for part, (start, end) in zip(parts, pairwise(bounds), strict=True)
        if start < end
    ]
    tempos = [(t, 6e7 / us) for t, us in maps.tempos if us > 0]
    metres = [m for m in maps.metres if m[1] > 0 and 0 < m[2] <= 64]
    keys = [(t, k, bool(mode)) for t, k, mode in maps.keys if -7 <= k <= 7 and mode in (0, 1)]
    odd = len(maps.tempos) + len(maps.metres) + len(maps.keys)
    odd -= len(tempos) + len(metres) + len(keys)
    return Score(
        tracks=tuple(tracks),
        ppq=ppq,
        tempos=changes(tempos, (0, 120.0)),
        metres=changes(metres, (0, 4, 4)),
        keys=changes(keys),
        markers=tuple((t, clean(text)) for t, text in sorted(maps.markers, key=lambda m: m[0])),
        recipe=recipe or {},
        remarks=(*remarks, *(counted(n, mend) for n, mend in ((odd, ODD), (short, SHORT)) if n)),
    )


def _in_order(columns: Sequence[NDArray[Any]], bounds: Sequence[int]) -> Notes:
    """Columns as rows, those between two bounds as `as_notes` puts them; in many files they come
    so."""
    onset, _, pitch, _ = columns
    key = onset.astype(np.int64)
    key <<= 7
    key += pitch
    for i, (start, end) in enumerate(pairwise(bounds)):
        part = key[start:end]
        part += i << 39
    same = np.zeros(len(key) + 1, bool)
    if np.count_nonzero(key[1:] > key[:-1]) < len(key) - 1:
        order = key.argsort(kind="stable")
        key, columns = key[order], [column[order] for column in columns]
        np.equal(key[1:], key[:-1], out=same[1:-1])
    rows = np.empty((len(key), 4), np.int64)
    for i, column in enumerate(columns):
        rows[:, i] = column
    if np.count_nonzero(same):
        at = np.flatnonzero(same[1:] | same[:-1])
        among = rows[at]
        rows[at] = among[np.lexsort((among[:, VELOCITY], among[:, DURATION], key[at]))]
    return rows


def clean(text: str) -> str:
    """A name without what cannot be printed."""
    text = text.strip()
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def counted(times: int, mend: tuple[str, str]) -> str:
    """The remark on a mend."""
    return f"{times:,} {mend[0]}{'s' * (times > 1)} {mend[1]}"
