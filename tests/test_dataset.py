"""Batches: a function of (seed, step), every window once an epoch, moved within the range."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_prepare import many, song, walk

from musegen import corpora, dataset
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.prepare import prepare
from musegen.representations.events import FIRST_ONSET, VOCAB, Melody


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A small prepared folder of two corpora."""
    items = [*many(24), *(song(f"p{i}", walk(500 + i), corpus="pop909") for i in range(8))]
    out = tmp_path_factory.mktemp("data") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "songs", lambda source: iter(items))
        prepare(["made"], out, held_out=(0.2, 0.2))
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


def test_what_is_no_prepared_folder(tmp_path: Path, folder: Path) -> None:
    assert dataset.is_prepared(folder)
    assert not dataset.is_prepared(tmp_path)
    for path, part in [(tmp_path, "train"), (tmp_path / "none", "train"), (folder, "exam")]:
        with pytest.raises(InputError, match=r"not a prepared folder .*musegen prepare"):
            dataset.load(path, part)


def other_version(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))


DAMAGE = {
    "no manifest": lambda p: (p / "manifest.json").unlink(),
    "empty manifest": lambda p: (p / "manifest.json").write_text(""),
    "manifest of another kind": lambda p: (p / "manifest.json").write_text("[1]"),
    "manifest without counts": lambda p: (p / "manifest.json").write_text('{"version": 1}'),
    "other version": other_version,
    "empty notes": lambda p: (p / "train.notes.npy").write_bytes(b""),
    "cut notes": lambda p: (p / "train.notes.npy").write_bytes(
        (p / "train.notes.npy").read_bytes()[:-8]
    ),
    "empty offsets": lambda p: (p / "train.offsets.npy").write_bytes(b""),
    "no offsets": lambda p: np.save(p / "train.offsets.npy", np.zeros(0, np.int64)),
    "notes of another part": lambda p: (p / "train.notes.npy").write_bytes(
        (p / "valid.notes.npy").read_bytes()
    ),
    "songs of another part": lambda p: (p / "train.songs.npy").write_bytes(
        (p / "valid.songs.npy").read_bytes()
    ),
    "songs missing": lambda p: (p / "songs.jsonl").write_text(""),
    "text for an array": lambda p: (p / "train.songs.npy").write_text("songs"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_folders_are_refused_in_words(kind: str, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    dataset.load(copy, "train")
    DAMAGE[kind](copy)
    with pytest.raises(InputError, match="not a prepared folder"):
        dataset.load(copy, "train")
