"""Shards: the windows of a fixed number of songs, one file each, made by many processes.

`shards/00012.npz` holds the twelfth lot of entries as arrays (see `process_shard`); `numpy.load`
opens it. It is stored without compression or dates and ends with the SHA-256 of all that stands
before, so the same songs give the same bytes, and damage is seen. It is written beside and renamed,
so it is there whole or not at all; whoever makes shards again keeps those that are.

An entry that ends the process which reads it, or keeps it longer than a limit, is set aside the
second time: beside each shard in work lies `00012.reading`, a byte for each entry, which counts how
often it was begun and not finished.
"""

from __future__ import annotations

import errno
import faulthandler
import hashlib
import io
import json
import os
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from musegen import corpora
from musegen.corpora import Entry, Reject
from musegen.errors import MusegenError
from musegen.prepare.windows import Cut, Settings, cut, tracks_of

ENTRIES = 32  # entries in a shard
LIMIT = 20.0  # seconds for an entry
ATTEMPTS = 2
VERSION = 1
UNFINISHED = ".part-"  # how names of files begin that are being written
_DIGEST = 64  # characters at the end of a shard


class Task(NamedTuple):
    """A shard to be made: its number from 0 and what goes into it."""

    k: int
    entries: tuple[Entry, ...]


def path_of(folder: Path, k: int) -> Path:
    """The file of shard `k`."""
    return folder / "shards" / f"{k:05d}.npz"


def process_shard(
    k: int,
    entries: Sequence[Entry],
    settings: Settings,
    folder: str | Path,
    limit: float | None = None,
) -> bool:
    """Make a shard of `entries` unless it is there already; returns whether it was made.

    Its arrays: notes [m, 4 or 5], counts [windows], keys [windows] and chords as in `windows.Cut`,
    shapes of all songs, and as JSON in bytes: `songs`, a line for each entry with its name and
    either why it was set aside or what `corpora.Song` says of it, its digest, and how many windows
    and shapes are its, and `about`, with the identity of the entries and the dropped windows by
    reason.

    Args:
        k: number of the shard.
        entries: what goes into it.
        settings: what to cut.
        folder: the prepared folder; `shards` in it is there.
        limit: seconds for an entry, after which this process ends itself; None is no limit.

    Raises:
        MusegenError: the shard cannot be written.
    """
    path = path_of(Path(folder), k)
    identity = identify(entries, settings)
    if is_whole(path, identity):
        return False
    rows, cuts, dropped = [], [], Counter[str]()
    marks = path.with_suffix(".reading")
    try:
        with _lock, _attempts(marks, len(entries), limit) as attempts:
            for i, entry in enumerate(entries):
                row: dict[str, Any] = {"name": entry.name}
                if attempts.begin(i):
                    found = _read(entry, settings, dropped)
                    attempts.finish(i)
                else:
                    found = f"it ended or blocked its reader {ATTEMPTS} times"
                if isinstance(found, str):
                    row["reason"] = found
                else:
                    song, pieces = found
                    row |= {"corpus": song.corpus, "title": song.title, "digest": pieces.digest}
                    row |= {"split": song.split, "cluster": song.cluster}
                    row |= {"windows": len(pieces.counts), "shapes": len(pieces.shapes)}
                    row["different"] = pieces.different
                    cuts.append(pieces)
                rows.append(row)
        publish(path, _pack(rows, cuts, settings, {"identity": identity, "dropped": dropped}))
        marks.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    return True


_lock = threading.Lock()  # the limit is one of the process


def _read(
    entry: Entry, settings: Settings, dropped: Counter[str]
) -> tuple[corpora.Song, Cut] | str:
    """A song and its windows, or why there are none."""
    mine: Counter[str] = Counter()
    try:
        song = corpora.read(entry)
        if isinstance(song, Reject):
            return song.reason
        pieces = cut(song.score, settings, mine)
    except ValueError as error:
        return str(error).split(";")[0]
    except Exception as error:  # one strange file must not stop a million others
        return f"cannot be used ({type(error).__name__}: {error})"
    finally:
        dropped.update(mine)
    return song, pieces


class _Attempts:
    """How often each entry was begun and not finished, in a file that outlives this process."""

    def __init__(self, file: BinaryIO, n: int, limit: float | None, nowhere: TextIO) -> None:
        self.file, self.limit, self.nowhere = file, limit, nowhere
        self.counts = bytearray(file.read(n).ljust(n, b"\0"))
        self.armed = float("-inf")

    def begin(self, i: int) -> bool:
        """Say that entry `i` is read now; False when it has been tried often enough."""
        if self.counts[i] >= ATTEMPTS:
            return False
        self._write(i, self.counts[i] + 1)
        now = time.monotonic()
        if self.limit and now - self.armed > 1:  # it needs no lock of the interpreter to fire
            faulthandler.dump_traceback_later(self.limit + 1, exit=True, file=self.nowhere)
            self.armed = now
        return True

    def finish(self, i: int) -> None:
        """Say that this process has survived entry `i`."""
        self._write(i, 0)

    def _write(self, i: int, count: int) -> None:
        self.counts[i] = count
        self.file.seek(i)
        self.file.write(bytes([count]))


@contextmanager
def _attempts(path: Path, n: int, limit: float | None) -> Iterator[_Attempts]:
    path.touch()
    with path.open("r+b", buffering=0) as file, Path(os.devnull).open("w") as nowhere:
        try:
            yield _Attempts(file, n, limit, nowhere)
        finally:
            if limit:
                faulthandler.cancel_dump_traceback_later()


def identify(entries: Sequence[Entry], settings: Settings) -> str:
    """A hash of what a shard is made from: names and sizes of the entries, and the settings."""
    lines = [json.dumps([VERSION, settings.told()])]
    lines += [json.dumps([e.corpus, e.name, e.title, _size(e)]) for e in entries]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _size(entry: Entry) -> int:
    if entry.data is not None:
        return len(entry.data)
    if entry.span:
        return entry.span[1]
    for path in (Path(entry.container, entry.member), Path(entry.container)):
        with suppress(OSError, ValueError):
            return path.stat().st_size
    return -1


def _pack(
    rows: list[dict[str, Any]], cuts: list[Cut], settings: Settings, about: Mapping[str, Any]
) -> bytes:
    arrays: dict[str, NDArray[Any]] = {
        "notes": np.zeros((0, 4 + (tracks_of(settings) > 1)), np.int16),
        "counts": np.zeros(0, np.int64),
        "keys": np.zeros(0, np.uint64),
        "shapes": np.zeros(0, np.uint64),
    }
    if settings.chords:
        arrays["chords"] = np.zeros((0, 4 * settings.bars, 5), np.uint8)
    arrays = {n: np.concatenate([a, *(getattr(c, n) for c in cuts)]) for n, a in arrays.items()}
    texts = {"songs": "".join(json.dumps(r) + "\n" for r in rows), "about": json.dumps(about)}
    arrays |= {n: np.frombuffer(text.encode(), np.uint8) for n, text in texts.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.save(data, array)
            info = zipfile.ZipInfo(f"{name}.npy")  # of 1980, always
            info.create_system = 3
            archive.writestr(info, data.getvalue())
        archive.comment = bytes(_DIGEST)
    packed = file.getvalue()[:-_DIGEST]
    return packed + hashlib.sha256(packed).hexdigest().encode()


def is_whole(path: Path, identity: str | None = None) -> bool:
    """Whether the shard is there as it was written, and made from `identity`."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[:-_DIGEST]).hexdigest().encode() != data[-_DIGEST:]:
            return False
        return identity in (None, about(path)["identity"])
    except (OSError, ValueError, LookupError):
        return False


def load(path: Path, *names: str) -> list[NDArray[Any]]:
    """Arrays of a shard that is whole."""
    with np.load(path) as arrays:
        return [arrays[name] for name in names]


def about(path: Path) -> dict[str, Any]:
    """Identity and dropped windows of a shard."""
    found: dict[str, Any] = json.loads(load(path, "about")[0].tobytes())
    return found


def songs(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard, one for each entry."""
    return map(json.loads, load(path, "songs")[0].tobytes().splitlines())


def publish(path: Path, data: bytes) -> None:
    """Write a file beside and rename it, so that it is there whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{UNFINISHED}{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep(path: Path) -> None:
    """Remove what a process left that was killed while it wrote the file."""
    for rest in path.parent.glob(f"{UNFINISHED}{path.name}-*"):
        rest.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> MusegenError:
    """The error for a file that cannot be written."""
    if error.errno == errno.ENOENT:
        return MusegenError(f"{path}: its folder is gone, or no disk that all machines share")
    return MusegenError(
        f"{path}: cannot be written ({error.strerror}); finished shards are kept: "
        "make room there and give the same command again"
    )
