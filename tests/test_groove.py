"""Groove arrays: hits, velocities and offsets, exact to a tick."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import drum_scores, rows

from musegen import midi
from musegen.representations.drums import KITS, Drums
from musegen.representations.groove import Groove
from musegen.score import Score, Track

kits = st.sampled_from(["gm", "roland", "line"])


@given(drum_scores(), kits, st.integers(1, 4))
def test_decoding_what_was_encoded_gives_the_projection(score: Score, kit: str, bars: int) -> None:
    groove = Groove(bars, kit)
    x = groove.encode(score)
    assert x.shape == (16 * bars, 3 * len(KITS[kit].classes))
    assert x.dtype == np.float32
    assert groove.decode(x) == groove.project(score)
    assert groove.project(groove.project(score)) == groove.project(score)
    assert np.array_equal(groove.encode(groove.decode(x)), x)


@given(
    arrays(np.bool_, (32, 9)),
    arrays(np.int64, (32, 9), elements=st.integers(1, 127)),
    arrays(np.int64, (32, 9), elements=st.integers(-60, 59)),
)
def test_every_canonical_array_comes_back(
    hit: np.ndarray, loud: np.ndarray, late: np.ndarray
) -> None:
    late[0] = np.maximum(late[0], 0)  # nothing is before the beginning
    x = np.hstack([hit, hit * loud / 127, hit * late / 120]).astype(np.float32)
    score = Groove(2).decode(x)
    assert np.array_equal(Groove(2).encode(score), x)
    notes = score.tracks[0].notes
    for pitch in np.unique(notes[:, 2]):  # no hit begins while its pitch sounds
        on, lasts = notes[notes[:, 2] == pitch][:, :2].T
        assert (on[1:] >= (on + lasts)[:-1]).all()


@given(drum_scores(), kits)
def test_hits_are_those_of_the_drum_symbols(score: Score, kit: str) -> None:
    score = score.resample(480)
    k = len(KITS[kit].classes)
    hits = Groove(2, kit).encode(score)[:, :k].astype(int)
    assert np.array_equal(hits @ (1 << np.arange(k)), Drums(2, kit).encode(score))


def test_a_beat_by_hand() -> None:
    hits = [(0, 60, 36, 127), (110, 60, 42, 64), (150, 60, 42, 32), (235, 60, 38, 127)]
    hits += [(125, 60, 44, 63)]  # softer than the other closed hi-hat of its step
    x = Groove(1).encode(Score((Track(hits, is_drum=True),)))
    assert np.argwhere(x[:, :9]).tolist() == [[0, 0], [1, 2], [2, 1]]
    assert x[1, 9 + 2] == np.float32(64 / 127)
    assert x[1, 18 + 2] == np.float32(-10 / 120)
    assert x[2, 18 + 1] == np.float32(-5 / 120)
    back = Groove(1).decode(x)
    assert back.tracks[0].notes.tolist() == [
        [0, 120, 36, 127],
        [110, 120, 42, 64],
        [235, 120, 38, 127],
    ]


def test_what_a_network_says_becomes_music() -> None:
    x = np.random.default_rng(0).normal(size=(32, 27)).astype(np.float32) * 3
    score = Groove(2).decode(x)
    notes = score.tracks[0].notes
    assert len(notes) == (x[:, :9] > 0.5).sum()
    assert notes[:, 0].min() >= 0
    assert score.end == score.length == 3840


@given(st.lists(rows(last=4000), min_size=1, max_size=5), kits)
def test_many_windows_at_once_equal_one_after_the_other(many: list, kit: str) -> None:
    windows = [np.array(w, np.int16).reshape(-1, 4) for w in many]
    owner = np.repeat(np.arange(len(windows)), [len(w) for w in windows])
    together = Groove(2, kit).encode_windows(np.concatenate(windows), owner, len(windows))
    for x, w in zip(together, windows, strict=True):
        score = Score((Track(w, is_drum=kit != "line"),))
        assert np.array_equal(x, Groove(2, kit).encode(score))


def test_a_melody_keeps_its_timing(samples: object) -> None:
    score = midi.read(samples / "mutopia_the_entertainer.mid")
    line = Groove(8, "line").project(score).tracks[0]
    played = np.unique(score.resample(480).tracks[0].notes[:, 0])
    assert set(line.notes[:, 0]) & set(played)
    assert set(line.notes[:, 2]) == {60}
