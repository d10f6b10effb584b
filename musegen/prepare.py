"""Songs to shards of notes: pick the melody, split by song, cut windows, drop duplicates.

A prepared folder holds, for each part of the split (train, valid, test), `PART.notes.npy` (int16
[n, 4]: onset, duration, pitch, velocity; times in steps of a 16th), `PART.offsets.npy` (int64
[windows + 1]) and `PART.songs.npy` (int32 [windows]: line of `songs.jsonl`), and `manifest.json`
with the counts, the rejects by reason and the hashes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musegen import corpora
from musegen.corpora import Reject, Song
from musegen.errors import InputError, MusegenError
from musegen.representations.events import HIGHEST, LOWEST, STEPS_PER_BAR
from musegen.score import DURATION, ONSET, PITCH, Notes
from musegen.segment import pick_melody, step_runs, windows

PARTS = ("train", "valid", "test")
VERSION = 1


@dataclass(frozen=True)
class _Piece:
    """A song's windows before the split."""

    song: Song
    digest: str
    windows: list[Notes]
    shapes: frozenset[bytes]


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    bars: int = 2,
    hop: int = 1,
    held_out: tuple[float, float] = (0.05, 0.05),
    everything: str | None = None,
    force: bool = False,
    report: Callable[[int, str], None] = lambda done, name: None,
) -> dict[str, Any]:
    """Read every source and write a prepared folder; returns its manifest.

    Args:
        sources: corpora as `musegen.corpora.songs` takes them.
        out: the folder to write, whole or not at all.
        bars: length of a window.
        hop: bars from one window to the next.
        held_out: shares of songs for valid and test.
        everything: put all songs into this part instead.
        force: replace an existing folder.
        report: called with the count of songs read and the name of the last.

    Raises:
        InputError: a source is missing or nothing usable is in it.
        MusegenError: `out` exists without `force`, or cannot be written.
    """
    out = Path(out)
    if out.exists() and not force:
        raise MusegenError(f"{out}: exists already; choose another folder or use --force")
    if out.is_file() or (
        out.is_dir() and any(out.iterdir()) and not (out / "manifest.json").is_file()
    ):
        # perhaps somebody's music
        raise MusegenError(f"{out}: is no prepared folder and stays as it is; choose another")
    pieces: list[_Piece] = []
    rejects: list[Reject] = []
    dropped: Counter[str] = Counter()
    read = 0
    for source in sources:
        for item in corpora.songs(source):
            read += 1
            report(read, item.name)
            piece = item if isinstance(item, Reject) else _piece(item, bars, hop, dropped)
            (rejects if isinstance(piece, Reject) else pieces).append(piece)  # type: ignore[arg-type]
    if not pieces:
        reasons = Counter(r.reason for r in rejects).most_common(3)
        said = "; ".join(f"{n} x {reason}" for reason, n in reasons) or "no songs"
        raise InputError(", ".join(map(str, sources)), f"gives no {bars}-bar windows ({said})")
    clusters = _clusters(pieces)
    place = _split(set(clusters), held_out)
    parts = [everything or place[c] for c in clusters]
    manifest: dict[str, Any] = {
        "version": VERSION,
        "sources": [Path(s).name for s in sources],
        "bars": bars,
        "hop": hop,
        "steps_per_bar": STEPS_PER_BAR,
        "held_out": list(held_out),
        "songs": {},
        "windows": {},
        "corpora": {},
        "clusters": len(set(clusters)),
        "dropped_windows": dict(dropped),
        "rejects": dict(Counter(r.reason for r in rejects).most_common()),
        "sha256": {},
    }
    temporary = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        _write(temporary, pieces, clusters, parts, rejects, manifest)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        raise MusegenError(f"{out}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _piece(song: Song, bars: int, hop: int, dropped: Counter[str]) -> _Piece | Reject:
    try:
        melody = pick_melody(song.score)
    except ValueError as error:
        return Reject(song.name, str(error).split(";")[0])
    runs = step_runs(song.score, melody.track)
    if not runs:
        metre = "{1}/{2}".format(*song.score.metres[0])
        return Reject(song.name, f"no bars of four quarters (metre {metre})")
    kept: list[Notes] = []
    seen: set[bytes] = set()
    for line, length in runs:
        for window in windows(line, length, bars, hop):
            reason = _unsuitable(window, bars)
            key = window[:, :3].tobytes()
            if reason or key in seen:
                dropped[reason or "repeated in its song"] += 1
                continue
            seen.add(key)
            kept.append(window)
    if not kept:
        return Reject(song.name, f"no {bars}-bar window with sound in every bar")
    shapes = frozenset(_shape(w) for w in kept)
    digest = hashlib.sha256(b"".join(sorted(seen))).hexdigest()
    return _Piece(song, digest, kept, shapes)


def _unsuitable(window: Notes, bars: int) -> str:
    if len(window) < 3:
        return "fewer than 3 notes"
    sounding = np.zeros(bars * STEPS_PER_BAR + 1, np.int64)
    np.add.at(sounding, window[:, ONSET], 1)
    np.add.at(sounding, window[:, ONSET] + window[:, DURATION], -1)
    if not np.cumsum(sounding)[:-1].reshape(bars, -1).any(axis=1).all():
        return "a silent bar"
    if len(np.unique(window[:, PITCH])) < 2:
        return "one pitch only"
    if window[:, PITCH].min() < LOWEST or window[:, PITCH].max() > HIGHEST:
        return "outside the piano's range"
    return ""


def _shape(window: Notes) -> bytes:
    """A window without its key."""
    return np.column_stack([window[:, :2], window[:, PITCH] - window[0, PITCH]]).tobytes()


def _clusters(pieces: list[_Piece]) -> list[str]:
    """A name for each piece, equal for variants of one tune.

    Variants share a title, or at least 2 and a quarter of the smaller one's transposition-invariant
    windows.
    """
    parent = list(range(len(pieces)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    holders: dict[bytes | str, list[int]] = defaultdict(list)
    for i, piece in enumerate(pieces):
        for shape in piece.shapes:
            holders[shape].append(i)
    shared: Counter[tuple[int, int]] = Counter()
    for who in holders.values():
        if 1 < len(who) <= 50:  # a window that everybody has tells nothing
            shared.update((a, b) for n, a in enumerate(who) for b in who[n + 1 :])
    for (a, b), n in shared.items():
        if n >= 2 and 4 * n >= min(len(pieces[a].shapes), len(pieces[b].shapes)):
            parent[root(a)] = root(b)
    titles: dict[str, int] = {}
    for i, piece in enumerate(pieces):
        for title in normal_titles(piece.song.title):
            parent[root(i)] = root(titles.setdefault(title, i))
    names = [min(pieces[j].digest for j in group) for group in _groups(parent, root).values()]
    by_root = dict(zip(_groups(parent, root), names, strict=True))
    samples = {root(i) for i, p in enumerate(pieces) if _is_sample(p.song)}
    return [
        ("sample-" if root(i) in samples else "") + by_root[root(i)] for i in range(len(pieces))
    ]


def _groups(parent: list[int], root: Callable[[int], int]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(parent)):
        groups[root(i)].append(i)
    return groups


def normal_titles(title: str) -> list[str]:
    """The titles of a song (" / " between them) without case, articles, punctuation, and what
    stands in brackets or behind a dash (a setting, the kind of dance).
    """
    found = []
    for one in title.lower().split(" / "):
        bare = re.sub(r"\(.*?\)|--.*", "", one).replace("-", " ")
        words = re.sub(r"[^a-z0-9 ]", "", bare).split()
        found.append(" ".join(w for w in words if w not in ("the", "a", "an")))
    return [t for t in found if t]


def _is_sample(song: Song) -> bool:
    titles = normal_titles(song.title)
    return song.corpus == "fiddle" and any(t in corpora.SAMPLE_TITLES for t in titles)


def _split(clusters: Iterable[str], held_out: tuple[float, float]) -> dict[str, str]:
    """The part of each cluster, from its hash; of three and more, each part that is asked for gets
    at least one, so that a small folder can be trained on."""

    def place(cluster: str) -> float:
        return int(hashlib.sha256(cluster.encode()).hexdigest()[:8], 16) / 2**32

    parts = {}
    for cluster in clusters:
        at = place(cluster)
        part = "valid" if at < held_out[0] else "test" if at < sum(held_out) else "train"
        parts[cluster] = "test" if cluster.startswith("sample-") else part
    for part, share in zip(PARTS[1:], held_out, strict=True):
        free = sorted((c for c in parts if parts[c] == "train"), key=place)
        if share and part not in parts.values() and len(free) > 1:
            parts[free[0]] = part
    return parts


def _write(
    folder: Path,
    pieces: list[_Piece],
    clusters: list[str],
    parts: list[str],
    rejects: Iterable[Reject],
    manifest: dict[str, Any],
) -> None:
    lines = []
    for part in PARTS:
        notes, owners, seen = [], [], set()
        for i, piece in enumerate(pieces):
            if parts[i] != part:
                continue
            for window in piece.windows:
                key = window[:, :3].tobytes()
                if key not in seen:
                    seen.add(key)
                    notes.append(window.astype(np.int16))
                    owners.append(i)
        offsets = np.cumsum([0, *map(len, notes)]).astype(np.int64)
        table = np.concatenate(notes) if notes else np.zeros((0, 4), np.int16)
        np.save(folder / f"{part}.notes.npy", table)
        np.save(folder / f"{part}.offsets.npy", offsets)
        np.save(folder / f"{part}.songs.npy", np.array(owners, np.int32))
        manifest["songs"][part] = sum(p == part for p in parts)
        manifest["windows"][part] = len(notes)
        manifest["corpora"][part] = dict(Counter(pieces[i].song.corpus for i in owners))
        digest = hashlib.sha256(table.tobytes() + offsets.tobytes()).hexdigest()
        manifest["sha256"][part] = digest
    for piece, cluster, part in zip(pieces, clusters, parts, strict=True):
        row = {"name": piece.song.name, "corpus": piece.song.corpus, "title": piece.song.title}
        lines.append(json.dumps(row | {"part": part, "cluster": cluster[:23]}))
    (folder / "songs.jsonl").write_text("\n".join(lines) + "\n")
    rejected = [json.dumps({"name": r.name, "reason": r.reason}) for r in rejects]
    (folder / "rejects.jsonl").write_text("".join(line + "\n" for line in rejected))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
