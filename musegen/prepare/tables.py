"""The tables of a prepared folder: written from its shards, in bounded memory, and compared again.

Shards are read one after the other and rows appended to files that get their names when they are
whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from musegen.prepare import shards
from musegen.prepare.split import PARTS, Songs
from musegen.prepare.windows import KINDS, Settings, tracks_of

_BATCH = 2**23  # hashes looked at together
F = TypeVar("F", bound="_File")
_HEADER = 128  # bytes before the data of any .npy file with few dimensions


def keep(
    paths: Sequence[Path], part: NDArray[np.integer], apart: bool
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which windows to keep: of equal ones in a part the first.

    Args:
        paths: the shards.
        part: index in `PARTS` of each window [n].
        apart: also drop held-out windows that the training part has.

    Returns:
        What is kept, bool [n], and how many are not, by reason.
    """
    n = len(part)
    first, leaked = np.zeros(n, bool), np.zeros(n, bool)
    ranges = -(-n // _BATCH)
    for i in range(ranges):
        low, high = i * 2**64 // ranges, (i + 1) * 2**64 // ranges - 1
        keys, places, at = [], [], 0
        for path in paths:
            (mine,) = shards.load(path, "keys")
            inside = np.flatnonzero((mine >= low) & (mine <= high))
            keys.append(mine[inside])
            places.append(inside + at)
            at += len(mine)
        key, place = np.concatenate(keys), np.concatenate(places)
        order = np.lexsort((place, part[place], key))
        key, place = key[order], place[order]
        new_key = np.append(True, key[1:] != key[:-1])[: len(key)]
        new_part = np.append(True, np.diff(part[place]) != 0)[: len(key)]
        first[place] = new_key | new_part
        trained = part[place][new_key][np.cumsum(new_key) - 1] == 0
        leaked[place] = trained & (part[place] > 0) & apart
    dropped = {"repeated in its part": ~first, "also in the training part": first & leaked}
    return first & ~leaked, {why: int(which.sum()) for why, which in dropped.items() if which.any()}


def write(
    folder: Path,
    paths: Sequence[Path],
    songs: Songs,
    names: NDArray[np.bytes_],
    part: NDArray[np.integer],
    settings: Settings,
) -> dict[str, Any]:
    """Write tables and lists of a prepared folder; returns what the manifest says of them.

    Args:
        folder: the prepared folder.
        paths: its shards.
        songs: what is known of the songs in them, [n].
        names: cluster of each song, [n].
        part: index in `PARTS` of each song, [n].
        settings: what was cut.

    Raises:
        OSError: they cannot be written.
    """
    part = part.astype(np.int8)
    kept, repeated = keep(paths, np.repeat(part, songs.windows), KINDS[settings.kind].apart)
    dropped, reasons = Counter[str](), Counter[str]()
    inputs = Counter(used=0, duplicate=0, rejected=0)
    by_corpus = [Counter[str]() for _ in PARTS]
    with ExitStack() as stack:
        parts = [_Part(folder, name, settings, stack) for name in PARTS]
        listed = stack.enter_context(_File(folder / "songs.jsonl"))
        rejects = stack.enter_context(_File(folder / "rejects.jsonl"))
        song = window = 0
        for path in paths:
            dropped.update(shards.about(path)["dropped"])
            arrays = shards.load(path, "notes", "counts", *["chords"] * settings.chords)
            rows = list(shards.songs(path))
            used = [row for row in rows if "reason" not in row]
            owner = np.repeat(np.arange(len(used)), [row["windows"] for row in used])
            here = kept[window : window + len(owner)]
            for i in range(len(PARTS)):
                parts[i].append(here & (part[song + owner] == i), song + owner, *arrays)
            left = np.bincount(owner[here], minlength=len(used)).tolist()
            for row, n, i, name in zip(used, left, part[song:], names[song:], strict=False):
                inputs["used" if n else "duplicate"] += 1
                by_corpus[i] += Counter({row["corpus"]: n})
                said = {key: row[key] for key in ("name", "corpus", "title")}
                said |= {"part": PARTS[i], "cluster": name[:23].decode(), "windows": n}
                listed.write(json.dumps(said).encode() + b"\n")
            for row in rows:
                if "reason" in row:
                    inputs["rejected"] += 1
                    reasons[row["reason"]] += 1
                    rejects.write(json.dumps(row).encode() + b"\n")
            song, window = song + len(used), window + len(owner)
    files = [*(f"{p}.{table}.npy" for p in PARTS for table in parts[0].tables)]
    files += ["songs.jsonl", "rejects.jsonl"]
    return {
        "inputs": dict(inputs),
        "songs": {p: int((part == i).sum()) for i, p in enumerate(PARTS)},
        "windows": {p: parts[i].windows for i, p in enumerate(PARTS)},
        "corpora": dict(zip(PARTS, map(dict, by_corpus), strict=True)),
        "clusters": len(np.unique(names)),
        "dropped_windows": dict(dropped + Counter(repeated)),
        "rejects": _shortened(reasons),
        "sha256": {p: _digest(folder, p) for p in PARTS},
        "files": {name: [(folder / name).stat().st_size, _hash(folder / name)] for name in files},
    }


def _shortened(reasons: Counter[str]) -> dict[str, int]:
    """The most common reasons; the rest, such as those that name a byte, together."""
    common = dict(reasons.most_common(100))
    others = reasons.total() - sum(common.values())
    return common | ({"other reasons, see rejects.jsonl": others} if others else {})


def damaged(folder: Path, manifest: Mapping[str, Any], *, hashes: bool = True) -> list[str]:
    """The files of a finished folder that are not as its manifest says.

    Args:
        folder: the prepared folder.
        manifest: what `manifest.json` holds.
        hashes: compare contents; otherwise sizes only.
    """
    found = []
    for name, (size, digest) in dict(manifest["files"]).items():
        path = folder / name
        try:
            whole = path.stat().st_size == size and (not hashes or _hash(path) == digest)
        except OSError:
            whole = False
        if not whole:
            found.append(name)
    return found


def _hash(*paths: Path, skip: int = 0) -> str:
    """SHA-256 of files one after the other, each without its first `skip` bytes."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            file.seek(skip)
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _digest(folder: Path, part: str) -> str:
    """SHA-256 of a part's notes and offsets."""
    return _hash(folder / f"{part}.notes.npy", folder / f"{part}.offsets.npy", skip=_HEADER)


class _Part:
    """The tables of a part of the split."""

    def __init__(self, folder: Path, name: str, settings: Settings, stack: ExitStack) -> None:
        rows = {
            "notes": (np.int16, (4 + (tracks_of(settings) > 1),)),
            "offsets": (np.int64, ()),
            "songs": (np.int32, ()),
        }
        if settings.chords:
            rows["chords"] = (np.uint8, (4 * settings.bars, 5))
        self.tables = {
            table: stack.enter_context(_Table(folder / f"{name}.{table}.npy", dtype, shape))
            for table, (dtype, shape) in rows.items()
        }
        self.tables["offsets"].append(np.zeros(1))
        self.windows = 0

    def append(
        self,
        which: NDArray[np.bool_],
        owner: NDArray[np.int64],
        notes: NDArray[np.int16],
        counts: NDArray[np.int64],
        *chords: NDArray[np.uint8],
    ) -> None:
        """Windows of a shard: those of `which` [n], their songs, notes and perhaps chords."""
        tables = self.tables
        tables["offsets"].append(tables["notes"].rows + np.cumsum(counts[which]))
        tables["notes"].append(notes[np.repeat(which, counts)])
        tables["songs"].append(owner[which])
        for bits in chords:
            tables["chords"].append(bits[which])
        self.windows += int(which.sum())


class _File:
    """A file that gets its name when it is whole."""

    file: BinaryIO

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, path.with_name(f"{shards.UNFINISHED}{path.name}")

    def __enter__(self: F) -> F:
        self.file = self.temporary.open("wb")
        return self

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def __exit__(self, kind: object, *error: object) -> None:
        try:
            with self.file:
                if kind is None:
                    self.finish()
                    self.file.flush()
                    os.fsync(self.file.fileno())
            if kind is None:
                self.temporary.replace(self.path)
        finally:
            self.temporary.unlink(missing_ok=True)

    def finish(self) -> None:
        """What is written last."""


class _Table(_File):
    """An array in a .npy file that grows by rows, as `numpy.save` would write it."""

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        super().__init__(path)
        self.dtype, self.shape, self.rows = np.dtype(dtype), shape, 0

    def __enter__(self) -> _Table:
        super().__enter__()
        self.write(bytes(_HEADER))
        return self

    def append(self, rows: NDArray[Any]) -> None:
        self.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self.rows += len(rows)

    def finish(self) -> None:
        """The header, which has the number of rows."""
        shape = (self.rows, *self.shape)
        kind = np.lib.format.dtype_to_descr(self.dtype)
        self.file.seek(0)
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)
