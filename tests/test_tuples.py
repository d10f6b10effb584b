"""Tuples of C-RNN-GAN: cells of tones, exact to a tick in both units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import drum_scores, rows

from musegen import midi
from musegen.representations.tuples import LONGEST, Tuples
from musegen.score import Score, Track

maps = st.builds(
    Tuples, st.integers(1, 30), st.integers(1, 4), st.sampled_from(["published", "even"])
)


@given(drum_scores(), maps)
def test_decoding_what_was_encoded_gives_the_projection(score: Score, tuples: Tuples) -> None:
    x = tuples.encode(score)
    assert x.shape == (tuples.cells, 1 + 3 * tuples.tones)
    assert x.dtype == np.float32
    assert tuples.decode(x) == tuples.project(score)
    assert tuples.project(tuples.project(score)) == tuples.project(score)
    assert np.array_equal(tuples.encode(tuples.decode(x)), x)
    if tuples.units == "even" and x.size:
        assert x.min() >= 0
        assert x.max() <= 1


def cells_by_hand(score: Score, cells: int, tones: int) -> list[list[float]]:
    """Note after note, at 384 ticks a quarter, published units."""
    pitched = [t.notes.tolist() for t in score.resample(384).tracks if not t.is_drum]
    notes = sorted((on, p, d, v) for t in pitched for on, d, p, v in t)
    out: list[list[float]] = []
    now = None
    at = 0
    for on, p, d, v in notes:
        if on != now or len(out[-1]) == 1 + 3 * tones:
            out.append([on - at])
            now = at = on
        out[-1] += [d, 440 * 2 ** ((p - 69) / 12), v]
    out = [c + [0] * (1 + 3 * tones - len(c)) for c in out[:cells]]
    return out + [[0] * (1 + 3 * tones)] * (cells - len(out))


@given(drum_scores(), st.integers(1, 12), st.integers(1, 4))
def test_cells_are_those_of_a_loop(score: Score, cells: int, tones: int) -> None:
    x = Tuples(cells, tones, "published").encode(score)
    assert x == pytest.approx(np.array(cells_by_hand(score, cells, tones), np.float32))


def test_three_notes_by_hand() -> None:
    notes = [(480, 480, 69, 100), (480, 960, 81, 50), (960, 240, 57, 127)]
    score = Score((Track(notes),))
    x = Tuples(4, 1, "published").encode(score)
    assert x.tolist() == [[384, 384, 440, 100], [0, 768, 880, 50], [384, 192, 220, 127], [0] * 4]
    x = Tuples(2, 3, "published").encode(score)
    expected = [384, 384, 440, 100, 768, 880, 50, 0, 0, 0], [384, 192, 220, 127, *[0] * 6]
    assert x.tolist() == list(expected)
    even = Tuples(1, 1, "even").encode(score)[0]
    assert even == pytest.approx([np.log2(385) / 16, np.log2(385) / 16, 69 / 127, 100 / 127])


@pytest.mark.parametrize("units", ["published", "even"])
def test_both_units_are_exact_for_every_time_pitch_and_velocity(units: str) -> None:
    n = 5000
    time = np.unique(np.geomspace(1, LONGEST, n).astype(int))[:, None]
    time = np.concatenate([np.arange(1, 2000)[:, None], time, [[LONGEST]]])
    other = np.arange(len(time))[:, None]
    notes = np.hstack([np.cumsum(time, axis=0), time, other % 128, 1 + other % 127])
    score = Score((Track(notes, name="Piano"),), 384)
    tuples = Tuples(len(time), 1, units)
    assert tuples.decode(tuples.encode(score)).tracks == score.tracks


def test_what_is_too_long_is_cut_and_drums_are_left_out() -> None:
    long = Track([(0, 10**6, 60, 80), (10**6, 5, 62, 80)])
    drums = Track([(0, 100, 36, 80)], is_drum=True)
    back = Tuples(9).project(Score((drums, long), 384))
    assert back.tracks[0].notes.tolist() == [[0, LONGEST, 60, 80], [LONGEST, 5, 62, 80]]


@pytest.mark.parametrize("units", ["published", "even"])
@pytest.mark.parametrize("scale", [1, 1000])
def test_what_a_network_says_becomes_music(units: str, scale: float) -> None:
    x = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32) * scale
    notes = Tuples(50, 3, units).decode(x).tracks[0].notes
    assert len(notes) <= 150
    assert len(Tuples(50, 3, units).decode(np.zeros((50, 10))).tracks[0]) == 0


@given(st.lists(rows(last=4000), min_size=1, max_size=5), maps)
def test_many_windows_at_once_equal_one_after_the_other(many: list, tuples: Tuples) -> None:
    windows = [np.array(w, np.int16).reshape(-1, 4) for w in many]
    owner = np.repeat(np.arange(len(windows)), [len(w) for w in windows])
    together = tuples.encode_windows(np.concatenate(windows), owner, len(windows))
    for x, w in zip(together, windows, strict=True):
        assert np.array_equal(x, tuples.encode(Score((Track(w),), 384)))


def test_a_piano_piece_comes_back_whole(samples: object) -> None:
    score = midi.read(samples / "mutopia_debussy_arabesque_no1.mid").resample(384)
    notes = np.concatenate([t.notes for t in score.tracks])
    back = Tuples(len(notes), 3).decode(Tuples(len(notes), 3).encode(score))
    assert back.tracks == (Track(notes, name="Piano"),)
