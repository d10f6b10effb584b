"""Prepared windows as batches of symbols: notes stay memory-mapped, symbols are made per batch.

The order of windows is a function of (seed, epoch) and the transposition of (seed, step), so that a
resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.prepare import VERSION
from musegen.representations.events import Melody, transpose
from musegen.score import Notes


@dataclass(frozen=True)
class Windows:
    """One part of a prepared folder.

    Attributes:
        notes: int16 [notes, 4] in steps.
        offsets: where each window's notes begin, int64 [n + 1].
        style: index into `styles` of each window, int64 [n].
        styles: names of the corpora, most windows of the training part first.
        representation: what turns notes into symbols.
        digest: SHA-256 of notes and offsets, as the manifest has it.
    """

    notes: NDArray[np.int16]
    offsets: NDArray[np.int64]
    style: NDArray[np.int64]
    styles: tuple[str, ...]
    representation: Melody
    digest: str = ""

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.offsets) - 1

    def window(self, i: int) -> Notes:
        """The notes of a window, in steps."""
        return np.asarray(self.notes[self.offsets[i] : self.offsets[i + 1]], np.int64)

    def of_style(self, name: str) -> NDArray[np.int64]:
        """Indices of the windows of one style."""
        return np.flatnonzero(self.style == self.styles.index(name))

    def encode(self, index: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Symbols of the windows at `index`, uint8 [len(index), steps]."""
        first, last = self.offsets[index], self.offsets[np.asarray(index) + 1]
        count = last - first
        owner = np.repeat(np.arange(len(index)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        notes = np.asarray(self.notes[np.repeat(first, count) + row], np.int64)
        return self.representation.encode_windows(notes, owner, len(index))

    def batch(
        self, step: int, size: int, seed: int, shift: int = 0
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Symbols [size, steps] of a step, moved by up to `shift` semitones, styles, moves [size].

        A window that would leave the range of pitches is not moved.
        """
        size = min(size, len(self))
        epoch, place = divmod(step, len(self) // size)
        order = np.random.default_rng((seed, 1, epoch)).permutation(len(self))
        index = order[place * size : (place + 1) * size]
        x = self.encode(index)
        move = np.random.default_rng((seed, 2, step)).integers(-shift, shift + 1, size)
        moved = transpose(x, move)
        move[(moved == x).all(axis=1)] = 0
        return moved, self.style[index], move

    def chunks(self, size: int, limit: int | None = None) -> Iterator[tuple[Any, Any]]:
        """Symbols and styles in order, all or `limit` windows spread evenly."""
        n = len(self) if limit is None else min(limit, len(self))
        index = np.linspace(0, len(self) - 1, n).astype(np.int64) if n else np.zeros(0, np.int64)
        for i in range(0, n, size):
            part = index[i : i + size]
            yield self.encode(part), self.style[part]


def load(folder: str | Path, part: str) -> Windows:
    """One part ("train", "valid" or "test") of a folder that `musegen prepare` wrote.

    Raises:
        InputError: the folder is not a prepared one, or is broken.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        lines = (folder / "songs.jsonl").read_text().splitlines()
        corpus = [json.loads(line)["corpus"] for line in lines]
        notes = np.load(folder / f"{part}.notes.npy", mmap_mode="r")
        offsets = np.load(folder / f"{part}.offsets.npy")
        songs = np.load(folder / f"{part}.songs.npy")
        if manifest["version"] != VERSION:
            raise ValueError(f"version {manifest['version']}, expected {VERSION}")
        count = manifest["corpora"]["train"]
        styles = tuple(sorted(set(corpus), key=lambda c: (-count.get(c, 0), c)))
        place = np.array([styles.index(c) for c in corpus], np.int64)
        if len(songs) != len(offsets) - 1 or offsets[-1] != len(notes):
            raise ValueError(f"the {part} files do not belong together")
        melody, digest = Melody(manifest["bars"]), str(manifest["sha256"][part])
        return Windows(notes, offsets, place[songs], styles, melody, digest)
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            folder, f"not a prepared folder ({error}); make one with: musegen prepare"
        ) from None


def is_prepared(folder: str | Path) -> bool:
    """Whether `musegen prepare` wrote this folder."""
    return (Path(folder) / "manifest.json").is_file()
