"""Melody symbols: encode and decode are inverse maps, one window at a time or many at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import normal_scores, one_track, rows

from musegen.representations import REPRESENTATIONS
from musegen.representations.events import (
    FIRST_ONSET,
    HIGHEST,
    LOWEST,
    NO_EVENT,
    NOTE_OFF,
    VOCAB,
    Melody,
    canonical,
    monophonic,
    quantise,
    transpose,
)
from musegen.score import Score, Track, as_notes

melodies = st.integers(1, 4).map(Melody)
symbols = arrays(np.uint8, 32, elements=st.integers(0, VOCAB - 1) | st.sampled_from([0, 1]))


def symbol(pitch: int) -> int:
    return FIRST_ONSET + pitch - LOWEST


def steps_of(rows: list) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, 4)


@given(normal_scores(), melodies, st.sampled_from([24, 220, 480, 960]))
def test_decoding_what_was_encoded_gives_the_projection(
    score: Score, melody: Melody, ppq: int
) -> None:
    score = score.resample(ppq)
    symbols = melody.encode(score)
    assert symbols.shape == (16 * melody.bars,)
    assert symbols.dtype == np.uint8
    assert symbols.max() < VOCAB
    assert melody.decode(symbols) == melody.project(score)


@given(normal_scores(), melodies)
def test_projecting_twice_is_projecting_once(score: Score, melody: Melody) -> None:
    once = melody.project(score)
    assert melody.project(once) == once
    assert np.array_equal(melody.encode(once), melody.encode(score))


@given(symbols)
def test_encoding_what_was_decoded_gives_the_canonical_symbols(events: np.ndarray) -> None:
    melody = Melody(2)
    assert np.array_equal(melody.encode(melody.decode(events)), canonical(events))


@given(symbols)
def test_canonical_symbols_sound_the_same_and_are_canonical(events: np.ndarray) -> None:
    clean = canonical(events)
    assert np.array_equal(canonical(clean), clean)
    assert Melody().decode(clean) == Melody().decode(events)
    sounding = False  # one symbol after the other
    for before, after in zip(events.tolist(), clean.tolist(), strict=True):
        assert after == (NO_EVENT if before == NOTE_OFF and not sounding else before)
        sounding = before >= FIRST_ONSET or (sounding and before == NO_EVENT)


def test_a_melody_by_hand() -> None:
    score = one_track(
        [(0, 240, 60, 80), (480, 120, 64, 80), (720, 240, 21, 80), (960, 960, 108, 9)]
    )
    expected = [symbol(60), 0, 1, 0, symbol(64), 1, symbol(21), 0, symbol(108)] + [0] * 7
    assert Melody(1).encode(score).tolist() == expected
    assert (symbol(21), symbol(108), VOCAB) == (2, 89, 90)
    back = Melody(1, velocity=70, qpm=90.0).decode(np.array(expected))
    assert back.tracks[0].notes.tolist() == [
        [0, 240, 60, 70],
        [480, 120, 64, 70],
        [720, 240, 21, 70],
        [960, 960, 108, 70],
    ]
    assert back.tempos == ((0, 90.0),)
    assert back.length == 1920


def test_what_a_melody_cannot_hold() -> None:
    drums = Track([(0, 480, 36, 80)], is_drum=True)
    low_high = Track([(0, 480, LOWEST - 1, 80), (0, 480, HIGHEST + 1, 80)])
    late = Track([(1920, 480, 60, 80)])
    assert not Melody(1).encode(Score((drums, low_high, late))).any()
    assert not Melody(1).encode(Score()).any()
    chord = one_track([(0, 1920, 60, 80), (0, 480, 67, 80)])
    assert Melody(1).encode(chord).tolist() == [symbol(67), 0, 0, 0, 1] + [0] * 11
    beyond = one_track([(1800, 9999, 60, 80)])
    assert Melody(1).encode(beyond).tolist() == [0] * 15 + [symbol(60)]


@given(st.lists(rows(last=31, longest=40), min_size=1, max_size=6))
def test_many_windows_at_once_equal_one_after_the_other(many: list) -> None:
    melody = Melody(2)
    lines = [monophonic(steps_of(rows)) for rows in many]
    for line in lines:
        line[:, 2] = np.clip(line[:, 2], LOWEST, HIGHEST)
    owner = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    together = melody.encode_windows(np.concatenate(lines), owner, len(lines))
    assert together.dtype == np.uint8
    assert np.array_equal(together, np.stack([melody.encode_steps(line) for line in lines]))


@given(rows(last=60, longest=30))
def test_one_note_at_a_time(drawn: list) -> None:
    line = monophonic(steps_of(drawn)).tolist()
    assert [r[0] for r in line] == sorted({r[0] for r in drawn})
    for i, (onset, duration, pitch, _) in enumerate(line):
        together = [r for r in drawn if r[0] == onset]
        assert pitch == max(r[2] for r in together)
        longest = max(r[1] for r in together if r[2] == pitch)
        room = line[i + 1][0] - onset if i + 1 < len(line) else longest
        assert duration == min(longest, room)


@given(rows(), st.sampled_from([24, 96, 480, 960]))
def test_times_go_to_the_nearest_step(drawn: list, ppq: int) -> None:
    notes = as_notes(drawn)
    steps = quantise(notes, ppq)
    exact = notes[:, 0] * 4 / ppq
    assert (np.abs(steps[:, 0] - exact) <= 0.5).all()
    assert (steps[:, 1] >= 1).all()
    end = (notes[:, 0] + notes[:, 1]) * 4 / ppq
    moved = np.abs(steps[:, 0] + steps[:, 1] - end)
    assert (moved[steps[:, 1] > 1] <= 0.5).all()


@given(arrays(np.uint8, (4, 32), elements=st.integers(0, VOCAB - 1)), st.integers(-12, 12))
def test_transposing_symbols_is_transposing_the_score(events: np.ndarray, by: int) -> None:
    moved = transpose(events, np.full(4, by))
    for before, after in zip(events, moved, strict=True):
        onsets = before[before >= FIRST_ONSET].astype(int) + by
        if len(onsets) and (onsets.min() < FIRST_ONSET or onsets.max() >= VOCAB):
            assert np.array_equal(before, after)
        else:
            assert Melody().decode(after) == Melody().decode(before).transpose(by)
            assert np.array_equal(transpose(after[None], np.array([-by]))[0], before)


def test_the_table_holds_the_melody() -> None:
    assert REPRESENTATIONS["melody"]().steps == 32


def test_a_projection_is_not_the_identity() -> None:
    score = one_track([(7, 100, 60, 33)])
    assert Melody(1).project(score) != score
    with pytest.raises(AssertionError):
        assert Melody(1).encode(score).tolist() == Melody(1).encode(score.transpose(1)).tolist()
