"""Prepared windows as batches: notes stay memory-mapped, what a network sees is made per batch.

The order of windows is a function of (seed, epoch) and the transposition of (seed, step), so that a
resumed run sees what the uninterrupted one would have seen. Arrays are small integers; making
floats of them is left to the device that computes with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.melody import home
from musegen.prepare import VERSION, tables
from musegen.prepare.windows import Settings
from musegen.representations.drums import Drums
from musegen.representations.events import HIGHEST, LOWEST, STEPS_PER_QUARTER, Melody
from musegen.representations.groove import PPQ, Groove
from musegen.representations.onsetroll import OnsetRoll
from musegen.representations.pianoroll import Pianoroll
from musegen.representations.tracks import TRACK
from musegen.representations.trio import Trio
from musegen.representations.tuples import PPQ as TUPLES_PPQ
from musegen.representations.tuples import Tuples
from musegen.score import DURATION, ONSET, PITCH, Notes

Windowed: TypeAlias = Melody | Drums | Groove | Trio | Pianoroll | OnsetRoll | Tuples
_MADE_OF: dict[str, tuple[type[Windowed], ...]] = {
    "melody": (Melody,),
    "drums": (Drums, Groove),
    "groove": (Groove, Drums),
    "trio": (Trio,),
    "band": (Pianoroll, OnsetRoll),
    "performance": (Tuples, Groove),
}
# What the manifests of version 1 leave out.
_V1 = {"kind": "melody", "steps_per_quarter": 4, "drums": -1, "tracks": "", "files": {}}


@dataclass(frozen=True)
class Windows:
    """One part of a prepared folder.

    Attributes:
        notes: int16 [notes, 4 or 5] in steps.
        offsets: where each window's notes begin, int64 [n + 1].
        style: index into `styles` of each window, int64 [n].
        styles: names of the corpora, most windows of the training part first.
        representation: what turns notes into what a network sees.
        digest: SHA-256 of notes and offsets, as the manifest has it.
        steps_per_quarter: of the notes; may be others than the representation's.
        drums: index of the track that is not transposed, -1 for none.
        chords: the chord symbols in bits, uint8 [n, beats, 5], where they were kept.
        song: which song each window is of, int64 [n]; None where that is not known.
    """

    notes: NDArray[np.int16]
    offsets: NDArray[np.int64]
    style: NDArray[np.int64]
    styles: tuple[str, ...]
    representation: Windowed
    digest: str = ""
    steps_per_quarter: int = 4
    drums: int = -1
    chords: NDArray[np.uint8] | None = None
    song: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.offsets) - 1

    def window(self, i: int) -> Notes:
        """The notes of a window, in steps."""
        return np.asarray(self.notes[self.offsets[i] : self.offsets[i + 1]], np.int64)

    def of_style(self, name: str) -> NDArray[np.int64]:
        """Indices of the windows of one style."""
        return np.flatnonzero(self.style == self.styles.index(name))

    @cached_property
    def home(self) -> NDArray[np.int64]:
        """Semitones, -6 to 5, that would move each window's song into C major or A minor, [n]."""
        song = np.arange(len(self)) if self.song is None else self.song
        notes, owner = self._rows(np.arange(len(self)))
        if notes.shape[1] > TRACK:
            pitched = notes[:, TRACK] != self.drums
            notes, owner = notes[pitched], owner[pitched]
        count = int(song.max(initial=-1)) + 1
        place = 12 * song[owner] + notes[:, PITCH] % 12
        weights = np.bincount(place, notes[:, DURATION], 12 * count).reshape(count, 12)
        found: NDArray[np.int64] = home(weights)[song]
        return found

    def moved_home(self) -> Windows:
        """The same with all songs moved into C major or A minor; chord symbols are not."""
        notes = np.array(self.notes)
        move = np.repeat(self.home, np.diff(self.offsets))
        if notes.shape[1] > TRACK:
            move[notes[:, TRACK] == self.drums] = 0
        notes[:, PITCH] += move.astype(np.int16)
        return replace(self, notes=notes)

    @cached_property
    def full(self) -> NDArray[np.bool_]:
        """In which windows every track plays that plays in any, bool [n]."""
        notes, owner = self._rows(np.arange(len(self)))
        track = notes[:, TRACK] if notes.shape[1] > TRACK else np.zeros(len(notes), np.int64)
        plays = np.zeros((len(self), int(track.max(initial=0)) + 1), np.bool_)
        plays[owner, track] = True
        return np.asarray(plays.all(1))

    def keys(
        self, index: NDArray[np.integer], move: NDArray[np.integer] | int = 0
    ) -> NDArray[np.int64]:
        """The keys of the windows at `index`, moved by `move` semitones: -6 to 5 semitones above C
        major or A minor, [len(index)].
        """
        keys: NDArray[np.int64] = (move - self.home[index] + 6) % 12 - 6
        return keys

    def encode(self, index: NDArray[np.integer]) -> NDArray[Any]:
        """What the representation makes of the windows at `index`, [len(index), ...]."""
        return self._encode(*self._rows(index), len(index))

    def chord_symbols(
        self, index: NDArray[np.integer], move: NDArray[np.integer] | None = None
    ) -> NDArray[np.uint8]:
        """The chords of the windows at `index`, moved by `move` semitones [len(index)], as
        `representations.chords.Chords` has them: uint8 [len(index), beats, 36].

        Raises:
            InputError: they were not kept.
        """
        if self.chords is None:
            raise InputError("data", "holds no chords; prepare it with --chords")
        bits = np.unpackbits(self.chords[index], axis=-1, count=36)
        if move is None:
            return bits
        classes = bits.reshape(*bits.shape[:2], 3, 12)  # root, tones, bass
        moved = (np.arange(12) - np.asarray(move)[:, None]) % 12
        return np.take_along_axis(classes, moved[:, None, None], axis=-1).reshape(bits.shape)

    def draw(
        self, step: int, size: int, seed: int, shift: int = 0, balance: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which windows a step sees, and by how many semitones each wants to be moved, [size].

        Every window once an epoch, or, to `balance` the styles, windows of each as often.
        """
        epoch, place = divmod(step, len(self) // size)
        index = _order(len(self), seed, epoch)[place * size : (place + 1) * size]
        if balance:
            rng = np.random.default_rng((seed, 3, step))
            sorted_by_style = np.argsort(self.style, kind="stable")
            count = np.bincount(self.style, minlength=len(self.styles))
            some = np.flatnonzero(count)
            style = rng.choice(some, size)
            within = (rng.random(size) * count[style]).astype(np.int64)
            index = sorted_by_style[np.cumsum(count)[style] - count[style] + within]
        move = np.random.default_rng((seed, 2, step)).integers(-shift, shift + 1, size)
        return index, move

    def batch(
        self, step: int, size: int, seed: int, shift: int = 0, balance: bool = False
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
        """Windows [size, ...] of a step, moved by up to `shift` semitones, styles, moves [size].

        A window that would leave the range of pitches is not moved, and drums never are.
        """
        size = min(size, len(self))
        index, move = self.draw(step, size, seed, shift, balance)
        notes, owner = self._rows(index)
        if shift:
            track = notes[:, TRACK] if notes.shape[1] > TRACK else np.zeros(len(notes), np.int16)
            move = np.where(self._fits(notes, track, owner, move), move, 0)
            notes[:, PITCH] += np.where(track == self.drums, 0, move[owner]).astype(np.int16)
        return self._encode(notes, owner, size), self.style[index], move

    def chunks(self, size: int, limit: int | None = None) -> Iterator[tuple[Any, Any]]:
        """Windows and styles in order, all or `limit` windows spread evenly."""
        for index in self.parts(size, limit):
            yield self.encode(index), self.style[index]

    def parts(self, size: int, limit: int | None = None) -> Iterator[NDArray[np.int64]]:
        """Indices of windows in order, all or `limit` spread evenly, `size` at a time."""
        n = len(self) if limit is None else min(limit, len(self))
        index = np.linspace(0, len(self) - 1, n).astype(np.int64) if n else np.zeros(0, np.int64)
        for i in range(0, n, size):
            yield index[i : i + size]

    def _rows(self, index: NDArray[np.integer]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """The notes of the windows at `index`, copied, and whose each is, counted from 0."""
        table, offsets = np.asarray(self.notes), np.asarray(self.offsets)  # sliced quicker as such
        first, last = offsets[index], offsets[np.asarray(index) + 1]
        owner = np.repeat(np.arange(len(first)), last - first)
        rows = [table[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        return np.concatenate([table[:0], *rows]), owner

    def _fits(
        self,
        notes: NDArray[np.int16],
        track: NDArray[np.int16],
        owner: NDArray[np.int64],
        move: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Which windows have pitched notes, all of which stay in range when moved, bool [n]."""
        low, high = _range(self.representation)
        pitch = notes[:, PITCH]
        counts = (track != self.drums) & (pitch >= low) & (pitch <= high)
        some = np.bincount(owner, counts, len(move)) > 0
        begin = np.searchsorted(owner, np.flatnonzero(some))
        lowest, highest = np.full(len(move), high), np.full(len(move), low)
        if len(begin):
            lowest[some] = np.minimum.reduceat(np.where(counts, pitch, high), begin)
            highest[some] = np.maximum.reduceat(np.where(counts, pitch, low), begin)
        fits: NDArray[np.bool_] = some & (lowest + move >= low) & (highest + move <= high)
        return fits

    def _encode(self, notes: Any, owner: NDArray[np.int64], n: int) -> NDArray[Any]:
        here, there = self.steps_per_quarter, _grid(self.representation)
        if here != there:
            columns = notes.T.astype(np.int64, order="C")
            onset, length = columns[ONSET], columns[DURATION]
            length += onset  # ends, for the moment
            times = columns[: DURATION + 1]
            times *= 2 * there
            times += here
            times //= 2 * here
            length -= onset
            np.maximum(length, 1, out=length)
            # What is nearer to the start of the next window is left out.
            kept = np.flatnonzero(onset < 4 * there * self.representation.bars)
            notes, owner = columns.take(kept, axis=1).T, owner.take(kept)
        return self.representation.encode_windows(notes, owner, n)


@lru_cache(maxsize=4)
def _order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    order = np.random.default_rng((seed, 1, epoch)).permutation(n)
    order.setflags(write=False)
    return order


def _grid(representation: Windowed) -> int:
    """Steps in a quarter of the notes that it takes."""
    if isinstance(representation, Pianoroll):
        return representation.steps_per_beat
    if isinstance(representation, Tuples):
        return TUPLES_PPQ
    return PPQ if isinstance(representation, Groove) else STEPS_PER_QUARTER


def _range(representation: Windowed) -> tuple[int, int]:
    """Pitches that transposition must stay within."""
    if isinstance(representation, Pianoroll):
        return representation.low, representation.high
    return LOWEST, HIGHEST


def load(folder: str | Path, part: str, representation: Windowed | None = None) -> Windows:
    """One part ("train", "valid" or "test") of a folder that `musegen prepare` wrote.

    Sizes of files are compared with the manifest, which is quick; `verify` compares hashes.

    Args:
        folder: the prepared folder.
        part: which part.
        representation: what to make of the notes; None is what fits the kind of windows, and a
            piano roll of four steps to a quarter for the kind "band".

    Raises:
        InputError: the folder is not a prepared one, is damaged, or holds other windows.
    """
    folder = Path(folder)
    try:
        manifest = _V1 | json.loads((folder / "manifest.json").read_text())
        if manifest["version"] not in (1, VERSION):
            raise ValueError(f"version {manifest['version']}, expected {VERSION}")
        _whole(folder, tables.damaged(folder, manifest, hashes=False))
        lines = (folder / "songs.jsonl").read_text().splitlines()
        corpus = [json.loads(line)["corpus"] for line in lines]
        notes = np.load(folder / f"{part}.notes.npy", mmap_mode="r")
        offsets = np.load(folder / f"{part}.offsets.npy", mmap_mode="r")
        songs = np.load(folder / f"{part}.songs.npy", mmap_mode="r")
        chords = None
        if (folder / f"{part}.chords.npy").exists():
            chords = np.load(folder / f"{part}.chords.npy", mmap_mode="r")
        count = manifest["corpora"]["train"]
        styles = tuple(sorted(set(corpus), key=lambda c: (-count.get(c, 0), c)))
        number = {style: i for i, style in enumerate(styles)}
        place = np.array([number[c] for c in corpus], np.int64)
        if len(songs) != len(offsets) - 1 or offsets[-1] != len(notes):
            raise ValueError(f"the {part} files do not belong together")
        found = Windows(
            notes,
            offsets,
            place[songs],
            styles,
            _fitting(folder, manifest, representation),
            str(manifest["sha256"][part]),
            manifest["steps_per_quarter"],
            manifest["drums"],
            chords,
            np.asarray(songs, np.int64),
        )
        at_home = isinstance(found.representation, OnsetRoll) and found.representation.home
        return found.moved_home() if at_home else found
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            folder, f"not a prepared folder ({error}); make one with: musegen prepare"
        ) from None


def settings_for(representation: Windowed) -> Settings:
    """What `musegen.prepare` has to cut for a representation."""
    kind = next(k for k, made in _MADE_OF.items() if isinstance(representation, made[0]))
    if isinstance(representation, Groove) and representation.pitched:
        kind = "performance"
    tracks = representation.tracks if isinstance(representation, Pianoroll) else ""
    return Settings(kind, representation.bars, tracks=tracks)


def verify(folder: str | Path) -> None:
    """Compare a prepared folder with the hashes in its manifest.

    Raises:
        InputError: it is not a prepared folder, or files are damaged.
    """
    folder = Path(folder)
    load(folder, "train")
    manifest = _V1 | json.loads((folder / "manifest.json").read_text())
    _whole(folder, tables.damaged(folder, manifest))


def _whole(folder: Path, damaged: list[str]) -> None:
    if damaged:
        raise InputError(
            folder,
            f"{', '.join(damaged)} not as the manifest says; the command that made the folder "
            "repairs it",
        )


def _fitting(folder: Path, manifest: dict[str, Any], wanted: Windowed | None) -> Windowed:
    """The representation that is asked for, or the one that fits the windows of a folder.

    Raises:
        InputError: it does not fit them.
    """
    kind, bars, tracks = manifest["kind"], manifest["bars"], manifest["tracks"]
    if wanted is None:
        return Pianoroll(tracks, bars=bars) if kind == "band" else _MADE_OF[kind][0](bars=bars)
    if type(wanted) not in _MADE_OF[kind] or wanted.bars != bars:
        asked = f"{wanted.bars} bars for {type(wanted).__name__}"
        raise InputError(folder, f"holds {bars}-bar windows of the kind {kind}, not {asked}")
    if isinstance(wanted, Groove) and wanted.pitched != (kind == "performance"):
        needs = "performance" if wanted.pitched else "groove or drums"
        raise InputError(folder, f"holds windows of the kind {kind}; {wanted.kit} needs {needs}")
    if isinstance(wanted, Pianoroll) and (wanted.tracks, wanted.beats_per_bar) != (tracks, 4):
        raise InputError(folder, f"holds 4/4 and the tracks of {tracks}, not what was asked for")
    return wanted


def is_prepared(folder: str | Path) -> bool:
    """Whether `musegen prepare` wrote this folder, to its end."""
    return (Path(folder) / "manifest.json").is_file()
