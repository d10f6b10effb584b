"""How much of the held-out music a model has seen in training: shares of windows in both.

A split by song alone leaks where variants of one tune are apart. What `musegen prepare` keeps
together is compared with a random split of the same songs, with as many held out of each corpus.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.prepare import shards
from musegen.prepare.split import PARTS
from musegen.prepare.windows import KINDS
from musegen.representations.tracks import TRACK
from musegen.score import PITCH

DRAWS = 5  # random splits that are averaged


@dataclass(frozen=True)
class Leak:
    """Shares, 0 to 1, of the held-out windows of a corpus that the training part has, too.

    Attributes:
        corpus: its name, or "all".
        songs: how many are held out, of `of_songs`.
        of_songs: all songs of the corpus.
        windows: held-out windows, each once a song.
        exact: the same notes, velocities aside.
        any_key: the same notes in any transposition; drums stay.
        random_exact: as `exact`, if songs were held out at random.
        random_any_key: as `any_key`, if songs were held out at random.
    """

    corpus: str
    songs: int
    of_songs: int
    windows: int
    exact: float
    any_key: float
    random_exact: float
    random_any_key: float


def measure(folder: str | Path, *, seed: int = 0) -> list[Leak]:
    """The leaks of a prepared folder, all corpora together and each.

    Windows are counted before those are dropped that held-out parts share with the training part,
    which `prepare` does for most kinds: what is measured is the split.

    Args:
        folder: what `musegen prepare` wrote, with its shards.
        seed: of the random splits.

    Raises:
        InputError: not a prepared folder, its shards are gone, or nothing in it is held out.
    """
    folder = Path(folder)
    manifest, songs = _songs(folder)
    counts, ids = _windows(folder, manifest)
    if len(counts) != len(songs):
        raise InputError(folder, "its shards are not those of its songs; prepare it again")
    owner = np.repeat(np.arange(len(songs)), counts)
    corpora = np.array([row["corpus"] for row in songs])
    held = np.array([row["part"] != PARTS[0] for row in songs])
    if not held.any():
        raise InputError(folder, "holds nothing out; prepare it with valid and test parts")
    rng = np.random.default_rng(seed)
    drawn = [_at_random(held, corpora, rng) for _ in range(DRAWS)]
    leaks = []
    names = np.unique(corpora[held]).tolist()
    for name in ["all", *names] if len(names) > 1 else names:
        mine = (corpora == name) | (name == "all")
        leaks.append(
            Leak(
                name,
                int((held & mine).sum()),
                int(mine.sum()),
                int((held & mine)[owner].sum()),
                *(_share(held, mine, owner, keys) for keys in ids),
                *(float(np.mean([_share(d, mine, owner, k) for d in drawn])) for k in ids),
            )
        )
    return leaks


def _songs(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        lines = (folder / "songs.jsonl").read_text().splitlines()
        songs = [json.loads(line) for line in lines]
        if not songs or not {"kind", "drums"} <= set(manifest):
            raise ValueError("of an older version")
        return manifest, songs
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            folder, f"not a prepared folder ({error}); make one with: musegen prepare"
        ) from None


def _windows(folder: Path, manifest: dict[str, Any]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """How many windows each song has, and numbers for each window, equal for equal ones: as they
    are, and up to transposition.
    """
    counts: list[int] = []
    exact, shapes = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for path in sorted((folder / "shards").glob("*.npz")):
        if not shards.is_whole(path):
            raise InputError(folder, f"{path.name} in it is damaged; prepare it again")
        counts += [row["windows"] for row in shards.songs(path) if "reason" not in row]
        keys, notes, sizes = shards.load(path, "keys", "notes", "counts")
        exact.append(keys)
        shapes.append(_shapes(notes, sizes, KINDS[manifest["kind"]].same, manifest["drums"]))
    both = (np.concatenate(exact), np.concatenate(shapes))
    return counts, [np.unique(keys, return_inverse=True)[1] for keys in both]


def _shapes(
    notes: NDArray[np.int16], counts: NDArray[np.int64], same: tuple[int, ...], drums: int
) -> NDArray[np.uint64]:
    """A hash of each window, equal for those that are equal up to transposition, uint64 [n].

    The sum of a hash of each note, so that the order of notes plays no part.
    """
    if not len(counts):
        return np.zeros(0, np.uint64)
    begin = np.cumsum(counts) - counts
    pitch = notes[:, PITCH].astype(np.int64)
    pitched = notes[:, TRACK] != drums if notes.shape[1] > TRACK else np.full(len(notes), drums < 0)
    lowest = np.minimum.reduceat(np.where(pitched, pitch, 128), begin)
    columns = dict(enumerate(notes.T.astype(np.int64)))
    columns[PITCH] = pitch - np.repeat(lowest, counts) * pitched
    note = np.zeros(len(notes), np.uint64)
    for column in same:
        if column in columns:
            note = _mixed(note ^ columns[column].astype(np.uint64))
    shapes: NDArray[np.uint64] = np.add.reduceat(note, begin)
    return shapes


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits spread over all 64 (the finaliser of splitmix64, Steele et al., OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _at_random(
    held: NDArray[np.bool_], corpora: NDArray[np.str_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """As many songs of each corpus as `held` holds out, drawn."""
    order = np.lexsort((rng.random(len(held)), corpora))
    drawn = np.empty_like(held)
    drawn[order] = held[np.lexsort((np.arange(len(held)), corpora))]
    return drawn


def _share(
    held: NDArray[np.bool_],
    mine: NDArray[np.bool_],
    owner: NDArray[np.int64],
    ids: NDArray[np.int64],
) -> float:
    """Of the windows of the held-out songs of a corpus, the share that a song in training has."""
    trained = np.zeros(ids.max(initial=-1) + 1, bool)
    trained[ids[~held[owner]]] = True
    return float(trained[ids[(held & mine)[owner]]].mean())
