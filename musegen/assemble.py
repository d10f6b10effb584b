"""From what a reader has found in a file to a Score: limits, order, maps, remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.abc import MAX_QUARTERS
from musegen.errors import InputError
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track, changes

MAX_TRACKS = 1024
MAX_NOTES = 2**20
MAX_CHANGES = 2**16  # of tempo, of metre, of key; and markers

# What is mended: a noun to count, and what is said of it.
SHORT = "note", "of no length: made one tick long"
ODD = "change", "of tempo, metre or key that cannot be: left out"

Columns = Sequence[NDArray[Any]]  # onset, duration, pitch, velocity, part: all of one length


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


def check_length(name: str, last: int, ppq: int, offset: int | None = None) -> None:
    """Raises InputError when tick `last` is too late."""
    if last > MAX_QUARTERS * ppq:
        raise InputError(
            name,
            f"lasts {last // ppq:,} quarter notes, at most {MAX_QUARTERS:,} are read; "
            "look for a stray event far behind the end",
            offset=offset,
        )


def check_size(name: str, tracks: int, notes: int, changes: int) -> None:
    """Raises InputError when there are too many of something."""
    for what, count, limit in (
        ("tracks", tracks, MAX_TRACKS),
        ("notes", notes, MAX_NOTES),
        ("changes of tempo, metre or key", changes, MAX_CHANGES),
    ):
        if count > limit:
            reason = f"has {count:,} {what}, at most {limit:,} are read; split the file"
            raise InputError(name, reason)


def assemble(
    name: str,
    ppq: int,
    parts: Sequence[Part],
    columns: Columns,
    maps: Maps,
    recipe: Mapping[str, Any] | None,
    remarks: Sequence[str] = (),
    offset: int | None = None,
) -> Score:
    """A score of notes and events as read, checked and sorted all at once.

    Raises:
        InputError: too much of something.
    """
    onset, duration, _, velocity, part = columns
    said: tuple[Sequence[tuple[Any, ...]], ...] = (
        maps.tempos,
        maps.metres,
        maps.keys,
        maps.markers,
    )
    check_size(name, len(parts), len(onset), max(map(len, said)))
    rows = np.empty((len(onset), 4), np.int64)
    for column, values in zip((ONSET, DURATION, PITCH, VELOCITY), columns, strict=False):
        rows[:, column] = values
    short = int((duration < 1).sum())
    if short:
        np.maximum(rows[:, DURATION], 1, out=rows[:, DURATION])
    last = max([0, *(e[0] for events in said for e in events)])
    end = int((rows[:, ONSET] + rows[:, DURATION]).max(initial=last))
    check_length(name, end, ppq, offset)
    key = (part << 39) + (rows[:, ONSET] << 7) + rows[:, PITCH]
    if (key[1:] <= key[:-1]).any():
        rows = rows[np.lexsort((velocity, rows[:, DURATION], key))]
    rows.setflags(write=False)
    bounds = np.bincount(part, minlength=len(parts)).cumsum().tolist()
    tracks = [
        Track.of_sorted(rows[start:end], *about)
        for about, (start, end) in zip(parts, pairwise([0, *bounds]), strict=True)
        if end > start
    ]
    tempos = [(t, 6e7 / us) for t, us in maps.tempos if us > 0]
    metres = [m for m in maps.metres if m[1] > 0 and 0 < m[2] <= 64]
    keys = [(t, k, bool(mode)) for t, k, mode in maps.keys if -7 <= k <= 7 and mode in (0, 1)]
    odd = sum(map(len, said[:3])) - len(tempos) - len(metres) - len(keys)
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


def clean(text: str) -> str:
    """A name without what cannot be printed."""
    text = text.strip()
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def counted(times: int, mend: tuple[str, str]) -> str:
    """The remark on a mend."""
    return f"{times:,} {mend[0]}{'s' * (times > 1)} {mend[1]}"
