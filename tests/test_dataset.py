"""Batches: a function of (seed, step), every window once an epoch, moved within the range."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_prepare import make_up, many, song, walk
from tiny import SAMPLES

from musegen import dataset
from musegen.corpora import Song
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.representations.chords import Chords
from musegen.representations.drums import KITS, Drums
from musegen.representations.events import FIRST_ONSET, VOCAB, Melody, transpose
from musegen.representations.groove import Groove
from musegen.representations.pianoroll import Pianoroll
from musegen.representations.tracks import TRACK, TRACKSETS
from musegen.representations.trio import TRIO, Trio
from musegen.score import PITCH, Score, Track


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A small prepared folder of two corpora."""
    items = [*many(24), *(song(f"p{i}", walk(500 + i), corpus="pop909") for i in range(8))]
    out = tmp_path_factory.mktemp("data") / "out"
    with pytest.MonkeyPatch.context() as patch:
        make_up(patch, items)
        prepare(["made"], out, held_out=(0.2, 0.2), workers=0)
    return out


@pytest.fixture(scope="module")
def train(folder: Path) -> Windows:
    return dataset.load(folder, "train")


def test_symbols_are_those_of_each_window(train: Windows) -> None:
    index = np.array([3, 0, 3, len(train) - 1])
    expected = [Melody(2).encode_steps(train.window(i)) for i in index]
    assert np.array_equal(train.encode(index), np.stack(expected))
    assert train.encode(np.zeros(0, int)).shape == (0, 32)


def test_notes_stay_on_disk(train: Windows) -> None:
    assert isinstance(train.notes, np.memmap)


def test_styles_are_the_corpora_most_windows_first(train: Windows, folder: Path) -> None:
    counts = json.loads((folder / "manifest.json").read_text())["corpora"]["train"]
    assert train.styles == ("midi", "pop909")
    assert [len(train.of_style(s)) for s in train.styles] == [counts[s] for s in train.styles]
    both = np.sort(np.concatenate([train.of_style(s) for s in train.styles]))
    assert both.tolist() == list(range(len(train)))


def test_a_batch_is_a_function_of_seed_and_step(train: Windows, folder: Path) -> None:
    again = dataset.load(folder, "train")
    for step in (0, 1, 7, 1000):
        for one, two in zip(train.batch(step, 16, 5, 6), again.batch(step, 16, 5, 6), strict=True):
            assert np.array_equal(one, two)
    first, _, moves = train.batch(3, 16, 5, 6)
    assert moves.tolist() != train.batch(3, 16, 6, 6)[2].tolist()
    assert not np.array_equal(first, train.batch(3, 16, 6, 6)[0])
    assert not np.array_equal(first, train.batch(4, 16, 5, 6)[0])


@pytest.mark.parametrize("size", [1, 16, 10**6])
def test_every_window_comes_once_an_epoch(train: Windows, size: int) -> None:
    whole = train.encode(np.arange(len(train)))
    size = min(size, len(train))
    steps = len(train) // size
    for epoch in (0, 1):
        batches = [train.batch(epoch * steps + i, size, 5)[0] for i in range(steps)]
        seen = np.concatenate(batches)
        assert len({x.tobytes() for x in seen}) == len(seen) == steps * size
        assert {x.tobytes() for x in seen} <= {x.tobytes() for x in whole}
    assert not np.array_equal(train.batch(0, size, 5)[0], train.batch(steps, size, 5)[0])


def test_balanced_styles_come_as_often(train: Windows) -> None:
    drawn = np.concatenate([train.draw(s, 64, 0, balance=True)[0] for s in range(40)])
    share = np.bincount(train.style[drawn], minlength=len(train.styles)) / len(drawn)
    assert abs(share - 1 / len(train.styles)).max() < 0.05
    assert set(drawn) == set(range(len(train)))
    plain = np.bincount(train.style, minlength=len(train.styles)) / len(train)
    assert abs(plain - 1 / len(train.styles)).max() > 0.1


def test_windows_left_over_come_in_another_epoch(train: Windows) -> None:
    size = len(train) // 2 + 1
    seen = {x.tobytes() for step in range(30) for x in train.batch(step, size, 5)[0]}
    assert len(seen) == len(train)


def test_moves_stay_within_the_shift_and_are_told(train: Windows) -> None:
    moves = []
    for step in range(20):
        plain, style, none = train.batch(step, 32, 5)
        moved, same_style, move = train.batch(step, 32, 5, 6)
        assert np.array_equal(style, same_style)
        assert not none.any()
        onset = plain >= FIRST_ONSET
        difference = moved.astype(int) - plain
        assert (difference[onset] == np.broadcast_to(move[:, None], plain.shape)[onset]).all()
        assert not difference[~onset].any()
        moves += move.tolist()
    assert set(moves) == set(range(-6, 7))


def test_what_would_leave_the_range_is_not_moved() -> None:
    notes = np.array([[0, 4, 21, 80], [4, 4, 108, 80], [8, 4, 60, 80]], np.int16)
    windows = Windows(notes, np.array([0, 3]), np.zeros(1, int), ("a",), Melody(2))
    for step in range(20):
        x, _, move = windows.batch(step, 1, 0, 12)
        assert move.tolist() == [0]
        assert x.max() == VOCAB - 1


@pytest.mark.parametrize("limit", [None, 1, 10, 10**6])
def test_chunks_are_in_order_and_spread(train: Windows, limit: int | None) -> None:
    pairs = list(train.chunks(7, limit))
    x = np.concatenate([x for x, _ in pairs])
    whole = train.encode(np.arange(len(train)))
    n = len(train) if limit is None else min(limit, len(train))
    assert len(x) == n
    assert all(len(c) == 7 for c, _ in pairs[:-1])
    place = {w.tobytes(): i for i, w in enumerate(whole)}
    found = [place[row.tobytes()] for row in x]
    assert found == sorted(set(found))
    if n > 1:
        assert (found[0], found[-1]) == (0, len(train) - 1)
    assert np.concatenate([s for _, s in pairs]).tolist() == train.style[found].tolist()


# Other kinds


GRIDS = {"drums": 4, "groove": 480, "trio": 4, "band": 24}
WANTED = {
    "drums": [Drums(2), Groove(2)],
    "groove": [Groove(2), Drums(2)],
    "trio": [Trio(2)],
    "band": [
        Pianoroll("lpd5", bars=2),
        Pianoroll("lpd5", 12, 2, onsets=True),
        Pianoroll("lpd5", 24, 2, velocities=True),
    ],
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: Any) -> Path:
    """The sample pieces as windows of each kind."""
    out = tmp_path_factory.mktemp("kinds")
    for kind in GRIDS:
        settings = Settings(kind, tracks="lpd5" if kind == "band" else "", min_tracks=1)
        prepare([SAMPLES], out / kind, settings, everything="train", workers=0)
    return out


@pytest.mark.parametrize(
    ("kind", "representation"), [(kind, r) for kind, rs in WANTED.items() for r in rs]
)
def test_windows_become_what_each_of_them_is_alone(
    kinds: Path, kind: str, representation: dataset.Windowed
) -> None:
    """Against Scores of single windows, which the representation puts on its grid itself."""
    windows = dataset.load(kinds / kind, "train", representation)
    tracks = {"band": TRACKSETS["lpd5"], "trio": TRIO}.get(kind, KITS["gm"].tracks)
    index = np.random.default_rng(0).permutation(len(windows))[:20]
    x = windows.encode(index)
    assert x.dtype == representation.encode(Score()).dtype
    for row, i in zip(x, index, strict=True):
        notes = windows.window(i)
        if notes.shape[1] == 4:
            notes = np.insert(notes, TRACK, 0, axis=1)
        score = Score(tracks.tracks(notes), GRIDS[kind])
        assert np.array_equal(row, representation.encode(score))


def test_each_kind_has_a_representation_by_itself(kinds: Path) -> None:
    found = {kind: dataset.load(kinds / kind, "train").representation for kind in GRIDS}
    expected = {"drums": Drums(2), "groove": Groove(2), "trio": Trio(2)}
    assert found == expected | {"band": Pianoroll("lpd5", bars=2)}


def test_keys_are_those_of_songs_moved(train: Windows, kinds: Path) -> None:
    """Windows of a song have its key; moving music moves its key, around the circle of 12."""
    assert train.song is not None
    for one in np.unique(train.song):
        assert len(np.unique(train.home[train.song == one])) == 1
    for trio in (replace(train, song=None), dataset.load(kinds / "trio", "train")):
        some = np.arange(min(20, len(trio)))
        keys, notes = trio.keys(some), np.array(trio.notes)
        moved = np.arange(len(some)) % 13 - 6
        expected = (keys + moved + 6) % 12 - 6
        assert np.array_equal(trio.keys(some, moved), expected)
        pitched = slice(None) if notes.shape[1] == 4 else notes[:, TRACK] != trio.drums
        notes[pitched, PITCH] += 3
        later = replace(trio, notes=notes)
        assert np.array_equal(later.keys(some), (keys + 3 + 6) % 12 - 6)


def test_full_windows_have_every_track(kinds: Path) -> None:
    trio = dataset.load(kinds / "trio", "train")
    tracks = [set(trio.window(i)[:, TRACK].tolist()) for i in range(len(trio))]
    assert trio.full.tolist() == [t == {0, 1, 2} for t in tracks]
    notes = np.array(trio.notes)
    notes[trio.offsets[0] : trio.offsets[1], TRACK] = 0
    assert replace(trio, notes=notes).full.tolist() == [False, *trio.full[1:]]


@pytest.mark.parametrize("representation", [Melody(3), *(rs[0] for rs in WANTED.values())])
def test_what_to_cut_for_a_representation(
    tmp_path: Path, samples: Path, representation: dataset.Windowed
) -> None:
    settings = dataset.settings_for(representation)
    prepare([samples], tmp_path / "out", settings, everything="train", workers=0)
    assert dataset.load(tmp_path / "out", "train", representation).encode(np.arange(2)).any()


@pytest.mark.parametrize(
    ("kind", "representation"),
    [
        ("drums", Melody(2)),
        ("drums", Drums(4)),
        ("trio", Pianoroll("lpd5", bars=2)),
        ("band", Pianoroll("lpd17", bars=2)),
        ("band", Pianoroll("lpd5", bars=2, beats_per_bar=3)),
    ],
)
def test_what_does_not_fit_the_windows_is_refused(
    kinds: Path, kind: str, representation: dataset.Windowed
) -> None:
    with pytest.raises(InputError, match=r"holds .*, not "):
        dataset.load(kinds / kind, "train", representation)


def test_drums_stay_where_pitched_tracks_are_moved(kinds: Path) -> None:
    roll = Pianoroll("lpd5", bars=2, low=0, high=127)
    windows = dataset.load(kinds / "band", "train", roll)
    moves = []
    for step in range(10):
        plain, *_ = windows.batch(step, 16, 5)
        moved, _, move = windows.batch(step, 16, 5, 6)
        assert np.array_equal(plain[:, 0], moved[:, 0])
        for one, other, by in zip(plain[:, 1:], moved[:, 1:], move, strict=True):
            assert np.array_equal(np.roll(one, by, axis=-1), other)
        moves += move.tolist()
    assert set(moves) == set(range(-6, 7))
    drums = dataset.load(kinds / "drums", "train")
    assert np.array_equal(drums.batch(0, 16, 5)[0], drums.batch(0, 16, 5, 6)[0])


def test_moves_are_those_of_symbols_that_are_moved(train: Windows) -> None:
    """As the shipped weights were trained: symbols made first, then moved."""
    for step in range(20):
        plain, *_ = train.batch(step, 32, 3)
        index, wanted = train.draw(step, 32, 3, 24)
        assert np.array_equal(plain, train.encode(index))
        moved, _, move = train.batch(step, 32, 3, 24)
        assert np.array_equal(moved, transpose(plain, wanted))
        assert np.array_equal(move, np.where((moved == plain).all(axis=1), 0, wanted))


def test_chords_come_with_the_windows(tmp_path: Path) -> None:
    """Each window has the chords of its own beats, moved as the notes are."""
    labels = ["C:maj", "A:min", "F:maj7/3", "N", "G:7", "Eb:maj", "D:min7", "B:dim"]
    chords = tuple((960 * i, label) for i, label in enumerate(labels))
    score = Score((Track(walk(1, 4)),), chords=chords)
    items = [Song("with", "midi", score), song("without", walk(2, 4))]
    with pytest.MonkeyPatch.context() as patch:
        make_up(patch, items)
        settings = Settings(chords=True)
        prepare(["made"], tmp_path / "out", settings, everything="train", workers=0)
    windows = dataset.load(tmp_path / "out", "train")
    assert windows.chords is not None
    assert windows.chords.shape == (6, 8, 5)
    expected = Chords(16).encode(score)
    symbols = windows.chord_symbols(np.arange(6))
    for i in range(3):
        assert np.array_equal(symbols[i], expected[4 * i : 4 * i + 8])
    assert not symbols[3:].any()
    moved = windows.chord_symbols(np.array([0, 1]), np.array([1, -3]))
    up = Chords(16).encode(Score(chords=tuple((t, UP.get(label, label)) for t, label in chords)))
    assert np.array_equal(moved[0], up[:8])
    assert np.array_equal(
        np.roll(symbols[1].reshape(8, 3, 12), -3, axis=-1), moved[1].reshape(8, 3, 12)
    )
    with pytest.raises(InputError, match="prepare it with --chords"):
        replace(windows, chords=None).chord_symbols(np.arange(2))


UP = {"C:maj": "C#:maj", "A:min": "Bb:min", "F:maj7/3": "F#:maj7/3", "G:7": "Ab:7"}
UP |= {"Eb:maj": "E:maj", "D:min7": "Eb:min7", "B:dim": "C:dim"}


# Folders that are none, or damaged


def test_what_is_no_prepared_folder(tmp_path: Path, folder: Path) -> None:
    assert dataset.is_prepared(folder)
    assert not dataset.is_prepared(tmp_path)
    for path, part in [(tmp_path, "train"), (tmp_path / "none", "train"), (folder, "exam")]:
        with pytest.raises(InputError, match=r"not a prepared folder .*musegen prepare"):
            dataset.load(path, part)


def change(path: Path, **fields: Any) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | fields))


def swap(path: Path, table: str) -> None:
    (path / f"train.{table}.npy").write_bytes((path / f"valid.{table}.npy").read_bytes())


def cut(path: Path, name: str, by: int) -> None:
    (path / name).write_bytes((path / name).read_bytes()[:-by])


NONE = {
    "no manifest": lambda p: (p / "manifest.json").unlink(),
    "empty manifest": lambda p: (p / "manifest.json").write_text(""),
    "manifest of another kind": lambda p: (p / "manifest.json").write_text("[1]"),
    "manifest without counts": lambda p: (p / "manifest.json").write_text('{"version": 2}'),
    "other version": partial(change, version=99),
    "a list of files that is none": partial(change, files=[1]),
    "songs missing, and an older manifest": lambda p: (
        change(p, files={}),
        (p / "songs.jsonl").write_text(""),
    ),
    "text for an array, and an older manifest": lambda p: (
        change(p, files={}),
        (p / "train.songs.npy").write_text("songs"),
    ),
}
DAMAGED = {
    "train.notes.npy": lambda p: cut(p, "train.notes.npy", 8),
    "valid.notes.npy": lambda p: (p / "valid.notes.npy").write_bytes(b""),
    "train.offsets.npy": lambda p: np.save(p / "train.offsets.npy", np.zeros(0, np.int64)),
    "train.songs.npy": partial(swap, table="songs"),
    "songs.jsonl": lambda p: cut(p, "songs.jsonl", 1),
    "rejects.jsonl": lambda p: (p / "rejects.jsonl").write_text("{}"),
    "test.songs.npy": lambda p: (p / "test.songs.npy").unlink(),
}


@pytest.mark.parametrize("kind", NONE)
def test_folders_without_a_manifest_to_go_by(kind: str, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    dataset.load(copy, "train")
    NONE[kind](copy)
    with pytest.raises(InputError, match="not a prepared folder"):
        dataset.load(copy, "train")


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named(name: str, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    DAMAGED[name](copy)
    with pytest.raises(InputError, match=rf"{name} not as the manifest says; .* repairs it"):
        dataset.load(copy, "train")


def test_a_changed_byte_is_seen_by_its_hash(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    dataset.verify(copy)
    data = bytearray((copy / "test.notes.npy").read_bytes())
    data[-1] ^= 1
    (copy / "test.notes.npy").write_bytes(data)
    dataset.load(copy, "train")
    with pytest.raises(InputError, match=r"test\.notes\.npy not as the manifest says"):
        dataset.verify(copy)


def test_folders_of_the_first_version_are_read(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    old = ("bars", "hop", "songs", "windows", "corpora", "sha256")
    (copy / "manifest.json").write_text(json.dumps({"version": 1} | {k: manifest[k] for k in old}))
    ours, theirs = dataset.load(folder, "train"), dataset.load(copy, "train")
    assert np.array_equal(ours.batch(3, 8, 1, 6)[0], theirs.batch(3, 8, 1, 6)[0])
