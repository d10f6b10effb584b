"""The corpora that are at hand, read: fiddle tunes, chorales, bands."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from musegen import corpora, midi
from musegen.corpora import Entry, Reject, Song
from musegen.corpora.catalogue import CORPORA
from musegen.score import Score, Track


def test_the_fiddle_corpus_has_hundreds_of_tunes() -> None:
    found = list(islice(corpora.songs("fiddle"), 60))
    songs = [i for i in found if isinstance(i, Song)]
    assert len(songs) > 20
    assert all(s.title and s.score.metres == ((0, 4, 4),) for s in songs)
    assert len({i.name for i in found}) == 60


def share(song: Song) -> float:
    onsets = np.concatenate([t.notes[:, 0] for t in song.score.tracks]) / (song.score.ppq / 4)
    return float((np.abs(onsets - np.rint(onsets)) <= 0.1).mean())


# POP909, whatever lies beside a song.

SONG = midi.to_bytes(Score((Track([(480 * i, 480, 60 + i % 5, 90) for i in range(32)]),)))
numbers = st.floats() | st.integers(-3, 40) | st.just("x")
lines = st.lists(st.lists(numbers, max_size=4).map(lambda row: " ".join(map(str, row))), max_size=8)
texts = st.binary(max_size=60) | lines.map(lambda rows: "\n".join(rows).encode())


@given(texts, texts, st.sampled_from(["pop909", "pop909-performed"]))
@example(b"0 1 1\n1e-300 0 0\n", b"", "pop909")
@example(b"0 1 1\ninf 0 0\n", b"", "pop909")
@example(b"0 1 1\n1 0 0\n", b"0 1e300 C\n", "pop909-performed")
def test_strange_beats_and_chords_do_no_harm(beats: bytes, chords: bytes, corpus: str) -> None:
    beside = (("001/beat_midi.txt", beats), ("001/chord_midi.txt", chords))
    entry = Entry(corpus, "001/001.mid", "x.tar", "001/001.mid", data=SONG, beside=beside)
    item = corpora.read(entry)
    if isinstance(item, Reject):
        assert item.reason.startswith("beat_midi.txt cannot be used")
    else:
        assert len(item.score.bar_lines()) < 60_000
        assert all(0 <= tick < 2**40 for tick, _ in item.score.chords)


# Chorales.


@pytest.fixture(scope="module")
def chorales() -> dict[str, Song | Reject]:
    """One in nine, and those that lie in data/samples."""
    found = list(corpora.entries("chorales"))
    kept = [e for i, e in enumerate(found) if i % 9 == 0 or e.split]
    return {e.name: corpora.read(e) for e in kept}


def test_chorales_have_four_named_parts(chorales: dict[str, Song | Reject]) -> None:
    songs = [s for s in chorales.values() if isinstance(s, Song)]
    rejects = [r for r in chorales.values() if isinstance(r, Reject)]
    assert len(songs) > 35
    assert {tuple(t.name for t in s.score.tracks) for s in songs} == {
        ("Soprano", "Alto", "Tenor", "Bass")
    }
    assert rejects
    assert all(r.reason.endswith("parts, not four") for r in rejects)
    for song in songs:
        assert share(song) > 0.99
        heights = [t.notes[:, 2].mean() for t in song.score.tracks]
        assert heights == sorted(heights, reverse=True)


def test_chorales_agree_with_the_samples(chorales: dict[str, Song | Reject], samples: Path) -> None:
    for name, sample in [("bwv66.6", "bwv66_6"), ("bwv253", "bwv253"), ("bwv347", "bwv347")]:
        song = chorales[f"bach/{name}"]
        assert isinstance(song, Song)
        assert song.split == "test"  # demos must not be trained on
        known = midi.read(samples / f"bach_{sample}.mid")
        for mine, theirs in zip(song.score.tracks, known.tracks, strict=True):
            assert mine.notes[:, 2].tolist() == theirs.notes[:, 2].tolist()


def test_chorales_on_one_tune_stay_together() -> None:
    named = {e.name: e for e in corpora.entries("chorales")}
    one, other, third = (
        corpora.read(named[f"bach/{n}"]) for n in ("bwv13.6", "bwv244.10", "bwv111.6")
    )
    assert isinstance(one, Song)
    assert isinstance(other, Song)
    assert isinstance(third, Song)
    assert one.cluster == other.cluster != third.cluster
    assert len(one.cluster.split()) == 10
    assert all(name.startswith("bach/bwv") for name in named)


# Bands.


@pytest.fixture(scope="module")
def bands() -> list[Song | Reject]:
    return list(corpora.songs("bands"))


def test_bands_stand_on_sixteenths(bands: list[Song | Reject]) -> None:
    songs = [s for s in bands if isinstance(s, Song)]
    (reject,) = [r for r in bands if isinstance(r, Reject)]
    assert len(songs) == 84
    assert reject.name == "freedoom/freedoom1_D_BUNNY.mid"
    assert reject.reason == "no grid of sixteenths fits it (38% of its onsets)"
    shares = {s.name.split("/")[1][:-4]: share(s) for s in songs}
    below = {n for n, on in shares.items() if on < 0.9}
    assert below == {"D_STALKS", "D_STLKS2", "D_TENSE", "freedoom2_D_DOOM2"}
    assert min(shares.values()) > 0.7
    assert np.median(list(shares.values())) == 1
    for song in songs:  # a share that is low is said
        said = int(song.score.remarks[-1].split("%")[0])
        assert abs(said - 100 * shares[song.name.split("/")[1][:-4]]) < 5
    metres = Counter(s.score.metres[0][1:] for s in songs)
    assert metres[4, 4] >= 70


def test_snares_of_the_songs_with_a_false_grid_are_on_beats(bands: list[Song | Reject]) -> None:
    """Drums that nothing was tuned by: of the snares that fall on eighths in songs converted by
    QMUS2MID, most are on the second and fourth quarter."""
    found = []
    for song in bands:
        if isinstance(song, Song) and "beats a minute" in " ".join(song.score.remarks):
            drums = [t.notes for t in song.score.tracks if t.is_drum]
            snares = [n[np.isin(n[:, 2], [38, 40]), 0] for n in drums]
            at = np.concatenate([np.zeros(0, int), *snares])
            if song.score.metres == ((0, 4, 4),) and len(at) > 50:
                place = np.bincount(at[at % 120 == 0] // 120 % 16, minlength=16)
                found.append(place[[4, 12]].sum() / place[::2].sum())
    assert len(found) >= 6
    assert np.mean(found) > 0.6


def test_samples_of_the_bands_are_never_trained_on(
    bands: list[Song | Reject], samples: Path
) -> None:
    mine = {e.name: (corpora.BANDS / e.member).read_bytes() for e in corpora.entries("bands")}
    theirs = [p.read_bytes() for p in samples.glob("freed*.mid")]
    held = {s.name for s in bands if isinstance(s, Song) and s.split == "test"}
    assert held == {name for name, data in mine.items() if data in theirs}
    assert len(held) == len(theirs) == 7
    assert all(any(n.endswith(s) for n in mine) for s in CORPORA["bands"].samples)
