"""Which songs are variants of one tune, and into which part of the split each tune goes.

Everything is arrays over songs, so that a million of them fit: a song weighs at most
`windows.SKETCH` hashes of 8 bytes and about 100 bytes more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen import corpora
from musegen.errors import InputError
from musegen.prepare import shards
from musegen.prepare.windows import SKETCH

PARTS = ("train", "valid", "test")
COMMON = 50  # a shape that more songs have tells nothing
_BATCH = 2**22  # hashes looked at together


@dataclass(frozen=True)
class Songs:
    """What is known of each song.

    Attributes:
        digest: SHA-256 of its windows, in hex, bytes [n].
        marks: hashes of titles and of what its corpus says that keeps songs together, uint64 [m].
        marked: the song of each mark, int64 [m].
        sketch: hashes of shapes, song by song and rising, uint64 [s].
        shapes: how many of those each song has, int64 [n].
        different: how many shapes it has, of which the sketch holds the first, int64 [n].
        part: index in `PARTS` where its corpus has a split of its own, -1 where not, int64 [n].
        before: index in `PARTS` that folders split earlier have it in, -1 where none, int64 [n].
        sample: whether it is one of the tunes that come with musegen, bool [n].
        windows: how many it has, int64 [n].
    """

    digest: NDArray[np.bytes_]
    marks: NDArray[np.uint64]
    marked: NDArray[np.int64]
    sketch: NDArray[np.uint64]
    shapes: NDArray[np.int64]
    different: NDArray[np.int64]
    part: NDArray[np.int64]
    before: NDArray[np.int64]
    sample: NDArray[np.bool_]
    windows: NDArray[np.int64]


def known(folders: Iterable[Path]) -> dict[tuple[str, str], int]:
    """The index in `PARTS` of the songs of prepared folders; the first part of several counts, so
    that nothing is held out that one of them has to train on.

    Raises:
        InputError: not a prepared folder.
    """
    found: dict[tuple[str, str], int] = {}
    for folder in folders:
        try:
            rows = [json.loads(line) for line in (folder / "songs.jsonl").read_text().splitlines()]
            for row in rows:
                part = PARTS.index(row["part"])
                found[_key(row)] = min(part, found.get(_key(row), part))
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(folder, "is no folder that musegen prepare made") from None
    return found


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    """What a song is called wherever its corpus lies: folders may be given from further above."""
    return row["corpus"], "/".join(row["name"].split("/")[-2:])


def collect(paths: Iterable[Path], before: Mapping[tuple[str, str], int] | None = None) -> Songs:
    """The songs of shards, in order, with the parts that are `known` from before."""
    before = before or {}
    digests: list[bytes] = []
    marks: list[bytes] = []
    marked: list[int] = []
    counts: list[tuple[int, int, int, int, int, bool]] = []
    sketches = [np.zeros(0, np.uint64)]
    for path in paths:
        sketches.append(shards.load(path, "shapes")[0])
        for row in shards.songs(path):
            if "reason" in row:
                continue
            mine = _marks(row)
            marks += mine
            marked += [len(digests)] * len(mine)
            digests.append(row["digest"].encode())
            part = PARTS.index(row["split"]) if row["split"] else -1
            numbers = (row["shapes"], row["different"], row["windows"], part)
            counts.append((*numbers, before.get(_key(row), -1), _is_sample(row)))
    shapes, different, windows, part, old, sample = np.array(counts, np.int64).reshape(-1, 6).T
    return Songs(
        np.array(digests, "S64"),
        np.frombuffer(b"".join(marks), np.uint64),
        np.array(marked, np.int64),
        np.concatenate(sketches),
        shapes,
        different,
        part,
        old,
        sample.astype(bool),
        windows,
    )


def _marks(row: Mapping[str, Any]) -> list[bytes]:
    marks = [f"title {title}" for title in normal_titles(row["title"])]
    if row["cluster"]:
        marks.append(f"cluster {row['corpus']} {row['cluster']}")
    return [hashlib.blake2b(m.encode(), digest_size=8).digest() for m in marks]


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


def _is_sample(row: Mapping[str, Any]) -> bool:
    titles = normal_titles(row["title"])
    return row["corpus"] == "fiddle" and any(t in corpora.SAMPLE_TITLES for t in titles)


def clusters(songs: Songs) -> NDArray[np.bytes_]:
    """A name for each song, equal for variants of one tune, bytes [n].

    Variants share a title or a mark of their corpus, or at least 2 and a quarter of the smaller
    one's transposition-invariant windows. With more than `SKETCH` of those the share is estimated
    from the smallest hashes of both (a bottom-k sketch, Cohen and Kaplan 2007).
    """
    group = np.arange(len(songs.digest))
    order = np.argsort(songs.marks, kind="stable")
    equal = songs.marks[order][1:] == songs.marks[order][:-1]
    _join(group, songs.marked[order][1:][equal], songs.marked[order][:-1][equal])
    _join_variants(group, songs)
    first = np.lexsort((songs.digest, group))
    first = first[np.append(True, np.diff(group[first]) > 0)[: len(first)]]
    name = np.empty(len(group), "S71")
    name[group[first]] = songs.digest[first]
    with_sample = group[songs.sample]
    name[with_sample] = np.char.add(b"sample-", name[with_sample])
    return name[group]


def _join(group: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    """Put `a[i]` and `b[i]` into one group, for all i; a group is named by its first member."""
    while True:
        one, other = group[a], group[b]
        if np.array_equal(one, other):
            return
        np.minimum.at(group, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(up := group[group], group):
            group[:] = up


def _join_variants(group: NDArray[np.int64], songs: Songs) -> None:
    """Put songs into one group that share enough shapes.

    Hashes are looked at in ranges, and pairs of songs that are in one group already are forgotten,
    which is most of them as soon as copies have found each other.
    """
    n = len(group)
    ends = np.cumsum(songs.shapes)
    pairs, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Of a song with more shapes than its sketch has, hashes up to here are known.
    reach = np.ones(n)
    more = songs.different > SKETCH
    reach[more] = songs.sketch[ends[more] - 1] / 2.0**64
    ranges = -(-len(songs.sketch) // _BATCH)
    for i in range(ranges):
        low, high = i * 2**64 // ranges, (i + 1) * 2**64 // ranges - 1
        inside = np.flatnonzero((songs.sketch >= low) & (songs.sketch <= high))
        owner = np.searchsorted(ends, inside, "right")
        new = _sharing(songs.sketch[inside], owner, group, n)
        pairs, where = np.unique(np.concatenate([pairs, new]), return_inverse=True)
        weights = np.append(counts, np.ones(len(new), np.int64))
        counts = np.bincount(where, weights, len(pairs)).astype(np.int64)
        a, b = np.divmod(pairs, n)
        least = np.minimum(songs.different[a], songs.different[b]) * np.minimum(reach[a], reach[b])
        enough = (counts >= 2) & (4 * counts >= least)
        _join(group, a[enough], b[enough])
        apart = group[a] != group[b]
        pairs, counts = pairs[apart], counts[apart]


def _sharing(
    hashes: NDArray[np.uint64], owner: NDArray[np.int64], group: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Pairs (a * n + b, a < b) of songs of different groups, once for each shape they share."""
    order = np.lexsort((owner, hashes))
    hashes, owner = hashes[order], owner[order]
    start = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
    size = np.diff(np.append(start, len(hashes)))
    telling = np.repeat((size > 1) & (size <= COMMON), size)
    hashes, owner = hashes[telling], owner[telling]
    found = [np.zeros(0, np.int64)]
    for apart in range(1, COMMON):
        same = hashes[apart:] == hashes[:-apart]
        if not same.any():
            break
        a, b = owner[:-apart][same], owner[apart:][same]
        differ = group[a] != group[b]
        found.append(a[differ] * n + b[differ])
    return np.concatenate(found)


def assign(
    names: NDArray[np.bytes_], songs: Songs, held_out: tuple[float, float]
) -> NDArray[np.int64]:
    """The index in `PARTS` of each song, from the hash of its cluster, the split of its corpus, or
    before both the part that is known: of variants in several parts the first counts.

    Of three clusters and more, each part that is asked for gets at least one, so that a small
    folder can be trained on.
    """
    cluster, of = np.unique(names, return_inverse=True)
    place = np.array([int(hashlib.sha256(c).hexdigest()[:8], 16) / 2**32 for c in cluster])
    part = np.where(place < held_out[0], 1, np.where(place < sum(held_out), 2, 0))
    given = np.full(len(cluster), -1)
    np.maximum.at(given, of, songs.part)
    part = np.where(given < 0, part, given)
    old, none = songs.before >= 0, len(PARTS)
    before = np.full(len(cluster), none)
    np.minimum.at(before, of[old], songs.before[old])
    part = np.where(before < none, before, part)
    part[np.char.startswith(cluster, b"sample-")] = 2
    for i, share in enumerate(held_out, 1):
        free = np.flatnonzero((part == 0) & (given < 0) & (before == none))
        if share and not (part == i).any() and len(free) > 1:
            part[free[np.argmin(place[free])]] = i
    # A variant of a sample may have been trained on when other windows made other clusters.
    return np.where(songs.before == 0, 0, part[of])
