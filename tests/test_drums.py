"""Drum symbols: classes of pitches, and encode and decode as inverse maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import drum_scores, rows

from musegen import midi
from musegen.representations.drums import KITS, Drums
from musegen.score import Score, Track

symbols = arrays(np.uint16, 32, elements=st.integers(0, 511))
kits = st.sampled_from(["gm", "roland", "line"])


@given(drum_scores(), kits, st.integers(1, 4))
def test_decoding_what_was_encoded_gives_the_projection(score: Score, kit: str, bars: int) -> None:
    drums = Drums(bars, kit)
    x = drums.encode(score)
    assert x.shape == (16 * bars,)
    assert x.dtype == np.uint16
    assert drums.decode(x) == drums.project(score)
    assert drums.project(drums.project(score)) == drums.project(score)


@given(symbols)
def test_every_symbol_comes_back(x: np.ndarray) -> None:
    assert np.array_equal(Drums().encode(Drums().decode(x)), x)


def test_a_beat_by_hand() -> None:
    hits = [(0, 60, 35, 99), (0, 480, 42, 50), (240, 10, 42, 50), (480, 1, 40, 90), (490, 1, 85, 9)]
    score = Score((Track(hits, is_drum=True),))
    expected = [0b101, 0, 0b100, 0, 0b10] + [0] * 11
    assert Drums(1).encode(score).tolist() == expected
    back = Drums(1, velocity=70).decode(np.array(expected))
    assert back.tracks[0].is_drum
    assert back.tracks[0].notes.tolist() == [
        [0, 120, 36, 70],
        [0, 120, 42, 70],
        [240, 120, 42, 70],
        [480, 120, 38, 70],
    ]
    assert (back.ppq, back.length) == (480, 1920)


def test_what_drums_cannot_hold() -> None:
    pitched = Track([(0, 480, 36, 80)])
    no_class = Track([(0, 480, p, 80) for p in (0, 21, 88, 127)], is_drum=True)
    late = Track([(1860, 480, 36, 80)], is_drum=True)  # nearer to the next bar
    assert not Drums(1).encode(Score((pitched, no_class, late))).any()
    assert not Drums(1).encode(Score()).any()


@pytest.mark.parametrize("kit", KITS.values(), ids=KITS)
def test_classes_share_no_pitch_but_for_the_line(kit: object) -> None:
    flat = [p for pitches in kit.classes for p in pitches]
    assert len(kit.names) == len(kit.classes)
    if len(kit.classes) > 1:
        assert len(flat) == len(set(flat))
    for i, pitches in enumerate(kit.classes):
        assert set(np.flatnonzero(kit.class_of == i)) == set(pitches)


def test_general_midi_percussion_all_has_a_class() -> None:
    assert (KITS["gm"].class_of[35:82] >= 0).sum() == 47  # all of General MIDI's, 35 to 81
    names = dict(zip(KITS["gm"].names, KITS["gm"].written.tolist(), strict=True))
    assert names == {
        "kick": 36,
        "snare": 38,
        "closed hi-hat": 42,
        "open hi-hat": 46,
        "low tom": 45,
        "mid tom": 48,
        "high tom": 50,
        "crash": 49,
        "ride": 51,
    }


@given(st.lists(rows(last=40), min_size=1, max_size=5), kits)
def test_many_windows_at_once_equal_one_after_the_other(many: list, kit: str) -> None:
    windows = [np.array(w, np.int64).reshape(-1, 4) for w in many]
    owner = np.repeat(np.arange(len(windows)), [len(w) for w in windows])
    together = Drums(2, kit).encode_windows(np.concatenate(windows), owner, len(windows))
    assert together.shape == (len(windows), 32)
    is_drum = kit != "line"
    for x, w in zip(together, windows, strict=True):
        score = Score((Track(w, is_drum=is_drum),), ppq=4)
        assert np.array_equal(x, Drums(2, kit).encode(score))


def test_real_drums_survive(samples: object) -> None:
    score = midi.read(samples / "freedoom_1_d_e1m1.mid")
    drums = Drums(len(score.bar_lines()) - 1)
    kept = drums.project(score)
    assert drums.decode(drums.encode(score)) == kept
    assert len(kept.tracks[0]) > 1000
