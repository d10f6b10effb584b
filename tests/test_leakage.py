"""Leakage: the shares that a count by hand gives, and less of it than by chance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musegen import corpora
from musegen.corpora import Song
from musegen.errors import InputError
from musegen.prepare import leakage, prepare
from musegen.prepare.leakage import Leak, measure
from musegen.prepare.windows import Settings
from musegen.score import DURATION, ONSET, PITCH, Score, Track


def tune(seed: int, key: int = 0, bars: int = 8, tail: int | None = None) -> Score:
    """A tune of eighths; with `tail` its second half is that of another seed."""
    steps = np.random.default_rng(seed).integers(0, 12, 8 * bars)
    if tail is not None:
        steps[4 * bars :] = np.random.default_rng(tail).integers(0, 12, 8 * bars)[4 * bars :]
    return Score((Track([(240 * i, 240, 60 + key + int(p), 80) for i, p in enumerate(steps)]),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """Forty tunes of two corpora: a third come again in another key, and some share a window."""
    made = [(f"{i}", tune(i), "one" if i % 2 else "two") for i in range(30)]
    made += [(f"{i} again", tune(i, 3), "two") for i in range(0, 30, 3)]
    # Two bars that only songs of different clusters have: one window in seven.
    for i in range(10):
        rows = tune(100 + i).tracks[0].notes.copy()
        rows[:16] = tune(100).tracks[0].notes[:16]
        made.append((f"opening {i}", Score((Track(rows),)), "one"))
    songs = {name: Song(name, corpus, score) for name, score, corpus in made}
    out = tmp_path_factory.mktemp("leakage") / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        rows = [corpora.Entry("midi", name, "", name) for name in songs]
        patch.setattr(corpora, "entries", lambda source: iter(rows))
        patch.setattr(corpora, "read", lambda entry: songs[entry.name])
        prepare(["made"], out, Settings(), held_out=(0.2, 0.2), workers=0)
    return out


def by_hand(folder: Path, corpus: str, transposed: bool) -> float:
    """Windows of held-out songs that are in a song of train, from the tunes themselves."""
    rows = [json.loads(line) for line in (folder / "songs.jsonl").read_text().splitlines()]

    def windows(name: str) -> set[tuple]:
        seed = int(name.split()[-1] if "opening" in name else name.split()[0])
        score = tune(100 + seed) if "opening" in name else tune(seed, 3 * ("again" in name))
        notes = score.tracks[0].notes.copy()
        if "opening" in name:
            notes[:16] = tune(100).tracks[0].notes[:16]
        pitches = notes[:, PITCH].tolist()
        cut = [pitches[8 * i : 8 * i + 16] for i in range(7)]
        return {tuple(p - min(w) * transposed for p in w) for w in cut}

    trained = {w for r in rows if r["part"] == "train" for w in windows(r["name"])}
    held = [r for r in rows if r["part"] != "train" and corpus in ("all", r["corpus"])]
    found = [w in trained for r in held for w in windows(r["name"])]
    return sum(found) / len(found)


def test_shares_are_those_of_a_count_by_hand(folder: Path) -> None:
    leaks = {leak.corpus: leak for leak in measure(folder)}
    assert list(leaks) == ["all", "one", "two"]
    for name, leak in leaks.items():
        assert leak.exact == pytest.approx(by_hand(folder, name, False))
        assert leak.any_key == pytest.approx(by_hand(folder, name, True))
        assert leak.windows == 7 * leak.songs
    assert leaks["all"].of_songs == 50
    assert leaks["all"].songs == leaks["one"].songs + leaks["two"].songs
    assert leaks["one"].exact > 0  # the opening, which is no reason to keep tunes together


def test_chance_leaks_more(folder: Path) -> None:
    every, *_ = measure(folder)
    assert every.random_any_key > every.any_key + 0.1  # variants are in both parts
    assert every.random_exact <= every.random_any_key
    assert measure(folder) == measure(folder, seed=0) != measure(folder, seed=1)


notes = st.lists(
    st.tuples(st.integers(0, 31), st.integers(1, 8), st.integers(0, 90), st.integers(0, 4)),
    min_size=1,
    max_size=12,
    unique_by=lambda row: (row[0], row[2], row[3]),
)


@given(st.lists(notes, min_size=1, max_size=5), st.integers(0, 37), st.sampled_from([-1, 0]))
def test_shapes_do_not_change_with_the_key(rows: list, key: int, drums: int) -> None:
    """Of pitched tracks, whatever the order of the notes; of drums they do."""
    counts = np.array([len(window) for window in rows])
    flat = np.array([(o, d, p, 80, t) for window in rows for o, d, p, t in window], np.int16)
    shapes = leakage._shapes(flat, counts, (0, 1, 2, 4), drums)
    moved = flat.copy()
    moved[moved[:, 4] != drums, PITCH] += key
    assert (leakage._shapes(moved, counts, (0, 1, 2, 4), drums) == shapes).all()
    last = len(flat) - counts[-1]
    turned = np.concatenate([flat[:last], flat[last:][::-1]])
    assert (leakage._shapes(turned, counts, (0, 1, 2, 4), drums) == shapes).all()
    for column in (ONSET, DURATION):
        other = flat.copy()
        other[-1, column] += 1
        changed = leakage._shapes(other, counts, (0, 1, 2, 4), drums) != shapes
        assert changed.tolist() == [False] * (len(rows) - 1) + [True]
    if drums == 0 and (flat[last:, 4] == 0).all():
        other = flat.copy()
        other[last:, PITCH] += 1
        assert leakage._shapes(other, counts, (0, 1, 2, 4), drums)[-1] != shapes[-1]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), min_size=1), st.integers(0, 9))
def test_a_random_split_holds_out_as_many_of_each_corpus(rows: list, seed: int) -> None:
    held, names = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    drawn = leakage._at_random(held, names, np.random.default_rng(seed))
    assert all(drawn[names == n].sum() == held[names == n].sum() for n in "abc")


def test_folders_that_cannot_be_measured(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (shard, *_) = sorted((copy / "shards").glob("*.npz"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"00000\.npz in it is damaged"):
        measure(copy)
    shard.unlink()
    with pytest.raises(InputError, match="its shards are not those of its songs"):
        measure(copy)
    shard.write_bytes(whole)
    lines = (copy / "songs.jsonl").read_text().replace('"valid"', '"train"')
    (copy / "songs.jsonl").write_text(lines.replace('"test"', '"train"'))
    with pytest.raises(InputError, match="holds nothing out"):
        measure(copy)
    (copy / "manifest.json").write_text('{"version": 1}')
    with pytest.raises(InputError, match="not a prepared folder"):
        measure(copy)
    with pytest.raises(InputError, match="not a prepared folder"):
        measure(tmp_path)


def test_the_verb_prints_a_table(cli: Any, folder: Path) -> None:
    done = cli("leakage", folder)
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split()[:3] == ["corpus", "songs", "held"]
    assert [row.split()[0] for row in rows] == ["all", "one", "two"]
    every, *_ = measure(folder)
    assert f"{every.exact:.2%}" in rows[0]
    told = json.loads(cli("leakage", folder, "--json").out)["leaks"]
    assert Leak(**told[0]) == every
    assert cli("leakage", folder / "none").code == 3
