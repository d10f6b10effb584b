"""Trio symbols: melody, bass and drums of a score side by side."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pretty_midi
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import drum_scores, rows

import musegen
from musegen import midi
from musegen.representations.drums import Drums
from musegen.representations.events import VOCAB, Melody, canonical
from musegen.representations.tracks import TRACKSETS
from musegen.representations.trio import TRIO, Trio
from musegen.score import PITCH, Score, Track
from musegen.segment import trio_tracks

lines = arrays(np.uint16, (2, 32), elements=st.integers(0, VOCAB - 1) | st.sampled_from([0, 1]))
drums = arrays(np.uint16, (1, 32), elements=st.integers(0, 511))


@given(drum_scores(), st.integers(1, 4))
def test_decoding_what_was_encoded_gives_the_projection(score: Score, bars: int) -> None:
    trio = Trio(bars)
    x = trio.encode(score)
    assert x.shape == (3, 16 * bars)
    assert x.dtype == np.uint16
    assert trio.decode(x) == trio.project(score)
    assert trio.project(trio.project(score)) == trio.project(score)


@given(lines, drums)
def test_every_canonical_array_comes_back(pitched: np.ndarray, hits: np.ndarray) -> None:
    x = np.concatenate([canonical(pitched), hits])
    assert np.array_equal(Trio(2).encode(Trio(2).decode(x)), x)


@given(drum_scores())
def test_each_part_is_what_its_own_representation_says(score: Score) -> None:
    melody, bass, drums = Trio(2).encode(score)
    pitched = [t for t in score.tracks if not t.is_drum]
    low = tuple(t for t in pitched if 32 <= t.program <= 39)
    rest = tuple(t for t in pitched if not 32 <= t.program <= 39)
    assert np.array_equal(melody, Melody(2).encode(Score(rest, score.ppq)))
    assert np.array_equal(bass, Melody(2).encode(Score(low, score.ppq)))
    assert np.array_equal(drums, Drums(2).encode(score))


part = st.integers(0, 2)


@given(st.lists(st.tuples(rows(last=40, longest=50), st.lists(part)), min_size=1, max_size=5))
def test_many_windows_at_once_equal_one_after_the_other(many: list) -> None:
    windows = []
    for drawn, parts in many:
        notes = np.array(drawn, np.int64).reshape(-1, 4)
        column = np.resize(np.array([*parts, 0]), len(notes))
        windows.append(np.column_stack([notes, column]))
    owner = np.repeat(np.arange(len(windows)), [len(w) for w in windows])
    together = Trio(2).encode_windows(np.concatenate(windows).astype(np.int16), owner, len(windows))
    assert together.dtype == np.uint16
    for x, w in zip(together, windows, strict=True):
        assert np.array_equal(x, Trio(2).encode(Score(TRIO.tracks(w), ppq=4)))


def test_a_bar_by_hand() -> None:
    fiddle = Track([(0, 480, 60, 80), (0, 480, 64, 80), (480, 480, 67, 80)], 40)
    bass = Track([(0, 960, 36, 80)], 33)
    kit = Track([(960, 10, 36, 80)], is_drum=True)
    melody, low, hits = Trio(1).encode(Score((kit, bass, fiddle))).tolist()
    assert melody == [45, 0, 0, 0, 48, 0, 0, 0, 1] + [0] * 7
    assert low == [17, 0, 0, 0, 0, 0, 0, 0, 1] + [0] * 7
    assert hits == [0] * 8 + [1] + [0] * 7
    back = Trio(1).decode(np.array([melody, low, hits]))
    assert [(t.name, t.program, t.is_drum) for t in back.tracks] == [
        ("Melody", 0, False),
        ("Bass", 33, False),
        ("Drums", 0, True),
    ]


def test_a_song_as_a_trio_takes_a_line_as_melody_and_programs_as_bass(samples: object) -> None:
    score = midi.read(samples / "freedoom_1_d_e1m1.mid")
    trio = trio_tracks(score)
    assert [t.name for t in trio.tracks] == ["Melody", "Bass", "Drums"]
    melody, bass, drums = trio.tracks
    assert np.array_equal(drums.notes, score.tracks[-1].notes)
    assert set(bass.notes[:, 2]) <= set(score.tracks[2].notes[:, 2])
    assert (np.diff(bass.notes[:, 0]) > 0).all()
    assert (np.diff(melody.notes[:, 0]) > 0).all()
    assert Trio(72).encode(trio).any(axis=1).all()


def test_without_a_bass_the_lowest_track_is_one_and_without_a_line_the_top_notes_are() -> None:
    chords = Track([(t, 480, p, 80) for t in range(0, 1920, 480) for p in (60, 64, 67)], 0)
    pads = Track([(t, 480, p, 80) for t in range(240, 1920, 480) for p in (62, 65)], 88)
    low = Track([(t, 480, p, 80) for t in range(0, 1920, 480) for p in (40, 47)], 0)
    melody, bass, drums = trio_tracks(Score((chords, low, pads))).tracks
    assert bass.notes[:, 2].tolist() == [40] * 4
    assert melody.notes[:, 2].tolist() == [67, 65] * 4
    assert not len(drums)
    alone = trio_tracks(Score((chords,)))
    assert [len(t) for t in alone.tracks] == [4, 0, 0]
    assert [len(t) for t in trio_tracks(Score()).tracks] == [0, 0, 0]
    assert TRIO.place(alone.tracks[0]) == 0
    assert "trio" not in TRACKSETS


def test_the_shipped_trio_plays_in_all_voices_and_in_the_key_that_is_asked() -> None:
    """Read again by pretty_midi: names and programs for a DAW, drums on their channel."""
    trio = musegen.load("trio-4bar")
    made = trio.generate(8, seed=4, key="D")
    for score in made:
        there = pretty_midi.PrettyMIDI(BytesIO(midi.to_bytes(score)))
        named = [(i.name, i.program, i.is_drum) for i in there.instruments]
        assert named == [("Melody", 0, False), ("Bass", 33, False), ("Drums", 0, True)]
        assert score.length == 4 * 4 * score.ppq
    notes = [np.concatenate([t.notes for t in s.tracks if not t.is_drum]) for s in made]
    major = np.isin(np.concatenate(notes)[:, PITCH] % 12, [2, 4, 6, 7, 9, 11, 1])
    assert major.mean() > 0.8  # seven of twelve by chance: 0.58
    bass, melody = ([float(s.tracks[i].notes[:, PITCH].mean()) for s in made] for i in (1, 0))
    assert np.mean(bass) < 50 < np.mean(melody)


def test_the_way_between_two_real_trios_begins_and_ends_with_them(samples: Path) -> None:
    a, b = (
        trio_tracks(midi.read(samples / name))
        for name in ("freedoom_1_d_e1m1.mid", "freedm_d_shawn3.mid")
    )
    trio = musegen.load("trio-4bar")
    steps = trio.interpolate(a, b, steps=4, seed=0, bars=4)
    assert all(len(track) for score in steps for track in score.tracks)
    ends = [s.clip(*s.bar_lines()[[first, first + 4]].tolist()) for s, first in ((a, 0), (b, 0))]
    for mine, theirs in zip((steps[0], steps[-1]), ends, strict=True):
        x, y = Trio(4).encode(mine), Trio(4).encode(theirs)
        assert (x == y).mean() > 0.9  # the ends are the user's notes, silent bars before them cut
    between = [(Trio(4).encode(s) != Trio(4).encode(steps[0])).mean() for s in steps]
    assert between == sorted(between)
