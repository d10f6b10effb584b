"""Score and Track: immutable music as arrays of notes.

Conventions: times are integer ticks (`ppq` ticks to a quarter note), pitches are MIDI numbers
0-127, velocities 1-127. A note is a row (onset, duration, pitch, velocity).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

ONSET, DURATION, PITCH, VELOCITY = range(4)
Notes = NDArray[np.int64]


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Values [n] sorted, each once, as by `np.unique`, which loads `numpy.ma` for it."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def cut(notes: Notes, until: int) -> Notes:
    """The notes that begin before a tick, none of them longer."""
    kept = notes[notes[:, ONSET] < until].copy()
    kept[:, DURATION] = np.minimum(kept[:, DURATION], until - kept[:, ONSET])
    return kept


def as_notes(rows: ArrayLike) -> Notes:
    """Rows (onset, duration, pitch, velocity), sorted by onset then pitch, read-only.

    Raises:
        ValueError: when a row cannot be a note.
    """
    notes = np.array(rows, dtype=np.int64).reshape(-1, 4)
    if len(notes):
        low, high = notes.min(axis=0), notes.max(axis=0)
        if low[ONSET] < 0 or low[DURATION] < 1:
            raise ValueError("notes need an onset of at least 0 and a duration of at least 1 tick")
        if low[PITCH] < 0 or high[PITCH] > 127 or low[VELOCITY] < 1 or high[VELOCITY] > 127:
            raise ValueError("notes need pitches of 0 to 127 and velocities of 1 to 127")
        notes = notes[np.lexsort(notes.T[[VELOCITY, DURATION, PITCH, ONSET]])]
    notes.setflags(write=False)
    return notes


def changes(events: Iterable[tuple[Any, ...]], *default: tuple[Any, ...]) -> tuple[Any, ...]:
    """Events (tick, ...) in order, the last at a tick winning, repeats dropped; before the first
    one holds the default, if there is one."""
    at = {e[0]: e for e in [*default, *sorted(events, key=lambda e: e[0])]}
    kept: list[tuple[Any, ...]] = []
    for e in at.values():
        if not kept or kept[-1][1:] != e[1:]:
            kept.append(e)
    return tuple(kept)


def metre_map(
    bars: Sequence[tuple[int, int, tuple[int, int] | None]], ppq: int
) -> tuple[tuple[int, int, int], ...]:
    """The metre map that has its bar lines where given bars begin, the inverse of `bar_lines`.

    A bar that is not as long as its metre says gets a metre of its own length (1/4 for a quarter);
    two short ones that make a whole together, as around a repeat sign, are one bar; a length that
    is no metre repeats the metre at the next bar line, since a metre change always starts a bar.

    Args:
        bars: (tick where it begins, ticks, its metre or None), in order and without gaps.
        ppq: ticks in a quarter note.
    """
    kept: list[tuple[int, int, int]] = []
    joined = False
    for i, (start, ticks, metre) in enumerate(bars):
        if joined:
            joined = False
            continue
        whole = 4 * ppq * metre[0] // metre[1] if metre else 0
        if metre and ticks < whole and i + 1 < len(bars) and bars[i + 1][2] == metre:
            joined = ticks + bars[i + 1][1] == whole
        ends = i + 1 == len(bars) and ticks < whole
        if not (metre and (joined or ends or ticks == whole)):
            metre = _as_metre(ticks, ppq) or metre or (4, 4)
        if kept and kept[-1][1:] == metre:
            bar = max(1, round(4 * ppq * metre[0] / metre[1]))
            if (start - kept[-1][0]) % bar == 0:
                continue
        kept.append((start, *metre))
    return tuple(kept) or ((0, 4, 4),)


def _as_metre(ticks: int, ppq: int) -> tuple[int, int] | None:
    for den in (4, 8, 16, 32, 64):
        num, rest = divmod(ticks * den, 4 * ppq)
        if not rest and 0 < num < 256:
            return num, den
    return None


@dataclass(frozen=True, eq=False)
class Track:
    """One instrument: `notes` int64 [n, 4] as in `as_notes`, `program` of General MIDI, 0-127."""

    notes: Notes = field(default_factory=lambda: as_notes([]))
    program: int = 0
    is_drum: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        """Sort the notes and freeze them."""
        object.__setattr__(self, "notes", as_notes(self.notes))

    @classmethod
    def of_sorted(cls, notes: Notes, program: int, is_drum: bool, name: str) -> Track:
        """A track of notes that are as `as_notes` makes them: neither checked nor copied."""
        track = cls.__new__(cls)
        track.__dict__.update(notes=notes, program=program, is_drum=is_drum, name=name)
        return track

    def __eq__(self, other: object) -> bool:
        """Same notes, program, drum flag and name."""
        if not isinstance(other, Track):
            return NotImplemented
        mine = (self.program, self.is_drum, self.name)
        theirs = (other.program, other.is_drum, other.name)
        return mine == theirs and np.array_equal(self.notes, other.notes)

    def __len__(self) -> int:
        """Number of notes."""
        return len(self.notes)

    def __repr__(self) -> str:
        """Short: name, program, notes."""
        kind = "drums" if self.is_drum else f"program {self.program}"
        return f"Track({self.name!r}, {kind}, {len(self)} notes)"

    @property
    def end(self) -> int:
        """Tick where the last note ends; 0 when empty."""
        if not len(self.notes):
            return 0
        return int((self.notes[:, ONSET] + self.notes[:, DURATION]).max())


@dataclass(frozen=True)
class Score:
    """Tracks with a tempo map, a metre map and key signatures.

    Attributes:
        tracks: the parts.
        ppq: ticks in a quarter note.
        tempos: (tick, quarter notes a minute), first at tick 0.
        metres: (tick, numerator, denominator), first at tick 0.
        keys: (tick, sharps -7..7, is_minor).
        markers: (tick, text).
        chords: (tick, label), a chord lasting to the next; labels after Harte et al. (ISMIR 2005),
            such as "C:maj", "A:min7", "N" for none. MIDI files cannot hold them.
        length: ticks of the whole, at least the end of the last note; 0 means "up to that".
        recipe: how the music was made (version, verb, model, seed, ...); empty for human music.
        remarks: what the reader of the file had to decide or mend, a sentence each.
    """

    tracks: tuple[Track, ...] = ()
    ppq: int = 480
    tempos: tuple[tuple[int, float], ...] = ((0, 120.0),)
    metres: tuple[tuple[int, int, int], ...] = ((0, 4, 4),)
    keys: tuple[tuple[int, int, bool], ...] = ()
    markers: tuple[tuple[int, str], ...] = ()
    chords: tuple[tuple[int, str], ...] = ()
    length: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict, compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        """Short: tracks, notes, bars, tempo."""
        notes = sum(map(len, self.tracks))
        bars = len(self.bar_lines()) - 1
        return (
            f"Score({len(self.tracks)} tracks, {notes} notes, {bars} bars, "
            f"{self.tempos[0][1]:g} bpm, {self.metres[0][1]}/{self.metres[0][2]})"
        )

    @property
    def end(self) -> int:
        """Tick where the music ends: the last note's end, or `length` when that is later."""
        return max([self.length, *(t.end for t in self.tracks)])

    @property
    def seconds(self) -> float:
        """Length in seconds, after the tempo map."""
        ticks = np.array([t for t, _ in self.tempos if t < self.end] + [self.end])
        qpm = np.array([q for t, q in self.tempos if t < self.end])
        return float((np.diff(ticks) / self.ppq * 60.0 / qpm).sum())

    def bar_lines(self) -> NDArray[np.int64]:
        """Ticks of the bar lines, [bars + 1]: starts of all bars and the end of the last.

        A metre change always starts a bar, so the bar before it may be short; the last is whole,
        save where the metre changes in it.
        """
        end = max(self.end, 1)
        lines, last = [], 0
        changes = [*(t for t, _, _ in self.metres[1:]), np.inf]
        for (tick, num, den), until in zip(self.metres, changes, strict=True):
            if last >= end:
                break
            bar = max(1, round(4 * self.ppq * num / den))
            bars = -(-int(min(until, end) - tick) // bar)
            lines.append(tick + bar * np.arange(bars, dtype=np.int64))
            last = int(min(tick + bar * bars, until))
        return np.append(np.concatenate(lines), last)

    def resample(self, ppq: int) -> Score:
        """The same music with `ppq` ticks to a quarter; times rounded, durations at least 1."""
        if ppq == self.ppq:
            return self

        def to(ticks: Any) -> Any:
            return (np.asarray(ticks, np.int64) * ppq * 2 + self.ppq) // (2 * self.ppq)

        def track(t: Track) -> Track:
            on, off = to(t.notes[:, ONSET]), to(t.notes[:, ONSET] + t.notes[:, DURATION])
            rows = np.column_stack([on, np.maximum(off - on, 1), t.notes[:, PITCH:]])
            return replace(t, notes=rows)

        return replace(
            self,
            ppq=ppq,
            tracks=tuple(map(track, self.tracks)),
            tempos=tuple((int(to(t)), q) for t, q in self.tempos),
            metres=tuple((int(to(t)), n, d) for t, n, d in self.metres),
            keys=tuple((int(to(t)), s, m) for t, s, m in self.keys),
            markers=tuple((int(to(t)), m) for t, m in self.markers),
            chords=tuple((int(to(t)), c) for t, c in self.chords),
            length=int(to(self.length)),
        )

    def transpose(self, semitones: int) -> Score:
        """Every pitched track moved by `semitones`; drums stay.

        Raises:
            ValueError: when a pitch would leave 0-127.
        """
        move = np.array([0, 0, semitones, 0])
        tracks = (t if t.is_drum else replace(t, notes=t.notes + move) for t in self.tracks)
        return replace(self, tracks=tuple(tracks))

    def clip(self, start: int, end: int) -> Score:
        """The notes that begin in [start, end), cut at `end`, moved so that `start` is tick 0."""

        def track(t: Track) -> Track:
            on = t.notes[:, ONSET]
            rows = t.notes[(on >= start) & (on < end)] - np.array([start, 0, 0, 0])
            rows[:, DURATION] = np.minimum(rows[:, DURATION], end - start - rows[:, ONSET])
            return replace(t, notes=rows)

        def events(items: tuple[Any, ...]) -> tuple[Any, ...]:
            before = [(0, *e[1:]) for e in items if e[0] <= start][-1:]
            return (*before, *((e[0] - start, *e[1:]) for e in items if start < e[0] < end))

        return replace(
            self,
            tracks=tuple(map(track, self.tracks)),
            tempos=events(self.tempos),
            metres=events(self.metres),
            keys=events(self.keys),
            chords=events(self.chords),
            markers=tuple((t - start, m) for t, m in self.markers if start <= t < end),
            length=end - start,
        )

    def concat(self, other: Score) -> Score:
        """This score, then `other` from the next bar line; tracks are joined by position."""
        other = other.resample(self.ppq)
        start = int(self.bar_lines()[-1])
        move = np.array([start, 0, 0, 0])
        tracks = []
        for i in range(max(len(self.tracks), len(other.tracks))):
            first = (
                self.tracks[i]
                if i < len(self.tracks)
                else replace(other.tracks[i], notes=as_notes([]))
            )
            if i < len(other.tracks):
                rows = np.concatenate([first.notes, other.tracks[i].notes + move])
                first = replace(first, notes=rows)
            tracks.append(first)

        def events(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
            kept = [e for e in mine if e[0] < start]
            for e in theirs:
                if not kept or kept[-1][1:] != e[1:]:  # say only what changes
                    kept.append((e[0] + start, *e[1:]))
            return tuple(kept)

        return replace(
            self,
            tracks=tuple(tracks),
            tempos=events(self.tempos, other.tempos),
            metres=events(self.metres, other.metres),
            keys=events(self.keys, other.keys),
            chords=events(self.chords, other.chords),
            markers=self.markers + tuple((t + start, m) for t, m in other.markers),
            length=start + other.end,
        )

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write a Standard MIDI File (see `musegen.midi.write`)."""
        from musegen import midi

        return midi.write(self, path, force=force)

    def plot(self, path: str | Path | None = None, *, title: str = "") -> Axes | Path:
        """Draw a piano roll, into a PNG or SVG when `path` is given, else on matplotlib axes."""
        from musegen import plot

        return plot.pianoroll(self, path, title=title)

    def _repr_png_(self) -> bytes:
        from musegen import plot

        return plot.png(self)

    def _repr_html_(self) -> str:
        from musegen.sound import show

        return show.to_html(self)
