"""Onset rolls: laws, real music under noise, and what the rule for grey cells does case by case."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SAMPLES

from musegen.midi import read
from musegen.representations.onsetroll import OnsetRoll, mended
from musegen.representations.pianoroll import Pianoroll
from musegen.score import DURATION, ONSET, PITCH, Score, Track

ROLL = OnsetRoll("duo", bars=2, low=40, high=90)
FILES = [p for p in sorted(SAMPLES.rglob("*.mid"))][:12]


@cache
def song(name: str) -> Any:
    return OnsetRoll("piano", low=0, high=127).song(read(SAMPLES / name))


def score(rows: Any, **more: Any) -> Score:
    rows = np.array(rows, np.int64).reshape(-1, 4)
    return Score((Track(rows, 0, name="MELODY"),), **more)


@given(
    st.lists(
        st.tuples(st.integers(0, 31), st.integers(1, 40), st.integers(38, 92), st.just(80)),
        max_size=30,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_laws(rows: Any, melody: bool) -> None:
    notes = np.array(rows, np.int64).reshape(-1, 4) * np.array([120, 120, 1, 1])
    one = Score((Track(notes, 0, name="MELODY" if melody else "Piano"),), length=32 * 120)
    x = ROLL.encode(one)
    assert x.dtype == np.int8
    assert set(np.unique(x)) <= {-1, 1}
    assert x.shape == (4, 32, 51)
    assert ROLL.decode(x) == ROLL.project(one)
    assert np.array_equal(ROLL.encode(ROLL.decode(x)), x)


def test_planes_are_those_of_polyffusion() -> None:
    x = OnsetRoll("piano", bars=1, low=60, high=61).encode(score([(0, 360, 60, 80)]))
    assert np.flatnonzero(x[0, :, 0] > 0).tolist() == [0]
    assert np.flatnonzero(x[1, :, 0] > 0).tolist() == [1, 2]
    assert (x[:, :, 1] == -1).all()


def test_it_agrees_with_the_pianoroll_of_the_same_notes() -> None:
    plain = Pianoroll("duo", bars=2, low=40, high=90, onsets=True)
    music = read(FILES[0])
    x, y = ROLL.encode(music) > 0, plain.encode(music) > 0
    assert np.array_equal(x[:2], y[2:])
    assert np.array_equal(x[:2] | x[2:], y[:2])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.parametrize("level", [0.2, 0.3])
def test_real_music_comes_through_noise(path: Any, level: float) -> None:
    """Noise that flips no cell changes no note, however often notes are struck again."""
    roll = OnsetRoll("piano", low=0, high=127)
    x = roll.song(read(path))[:, :512]
    noise = np.random.default_rng(1).normal(0, level, x.shape)
    grey = np.clip(x + noise, np.where(x > 0, 0.02, -2), np.where(x > 0, 2, -0.02))
    assert np.array_equal(roll.decode_steps(grey), roll.decode_steps(x))


def test_flipped_cells_leave_no_crumbs() -> None:
    """One sustain cell in 100 flipped: onsets stay what they were, and no new short notes come."""
    roll = OnsetRoll("piano", low=0, high=127)
    for path in FILES[:6]:
        x = roll.song(read(path))[:, :512].astype(np.float32)
        flips = np.random.default_rng(2).random(x.shape[1:]) < 0.01
        grey = x.copy()
        grey[1][flips & (x[0] < 0)] *= -0.3
        before, after = roll.decode_steps(x), roll.decode_steps(grey)
        assert np.array_equal(before[:, [ONSET, PITCH]], after[:, [ONSET, PITCH]])
        # A flip inside a note is a hole and closed; one behind it makes it longer.
        shorter = (after[:, DURATION] < before[:, DURATION]).mean()
        assert shorter < 0.03


def lane(onset: list[float], sustain: list[float]) -> tuple[list[int], list[int]]:
    """Steps that begin and that hold, of one key."""
    begins, held = mended(*(np.array(v, np.float32)[None, :, None] for v in (onset, sustain)))
    return np.flatnonzero(begins).tolist(), np.flatnonzero(held).tolist()


@pytest.mark.parametrize(
    ("onset", "sustain", "expected"),
    [
        # clean: a note, the same key struck again at once, and again after a rest
        ([1, -1, 1, -1, -1, 1], [-1, 1, -1, 1, -1, -1], ([0, 2, 5], [1, 3])),
        # struck at every step: no note is lost
        ([1, 0.9, 0.8, 0.7], [-1, -1, -0.5, -1], ([0, 1, 2, 3], [])),
        # smeared: the second onset is the weaker and sustain surer there
        ([0.9, 0.2, -1, -1], [-1, 0.8, 0.9, -1], ([0], [1, 2])),
        # a hole of one step is closed
        ([0.9, -1, -1, -1, -1], [-1, 0.8, -0.3, 0.7, -1], ([0], [1, 2, 3])),
        # a hole of two is an end, and what is left behind it, one unsure step, no note
        ([0.9, -1, -1, -1, -1], [-1, 0.8, -0.9, -0.9, 0.2], ([0], [1])),
        # sustain that no onset leads to: a crumb goes, what is long and sure begins a note
        ([-1, -1, -1, -1, -1], [-1, 0.9, -1, -1, -1], ([], [])),
        ([-1, -0.2, -1, -1, -1], [-1, 0.9, 0.9, 0.8, -1], ([1], [2, 3])),
        ([-1, -1, -1, -1, -1], [-1, 0.2, 0.2, 0.1, -1], ([], [])),
        # a hole where the key is struck again is none
        ([1, -1, 1, -1], [-1, -1, -1, 1], ([0, 2], [3])),
    ],
)
def test_the_rule_case_by_case(onset: Any, sustain: Any, expected: Any) -> None:
    assert lane(onset, sustain) == expected


def test_keys_and_tracks_do_not_touch() -> None:
    """What ends at the last step of a key leads to nothing at the first of the next."""
    onset = np.full((2, 3, 2), -1.0)
    sustain = onset.copy()
    onset[0, 2, 0] = 1
    sustain[0, 0, 1] = sustain[1, 0, 0] = 0.9
    begins, held = mended(onset, sustain)
    assert np.argwhere(begins).tolist() == [[0, 2, 0]]
    assert not held.any()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="onsets and no velocities"):
        OnsetRoll(onsets=False)
    with pytest.raises(ValueError, match="onsets and no velocities"):
        OnsetRoll(velocities=True)
