"""Choosing the melody, bars of four quarters, windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal_scores, one_track, rows

from musegen import midi
from musegen.representations.events import monophonic
from musegen.score import Score, Track
from musegen.segment import bar_runs, pick_melody, step_runs, windows

BAR = 1920
TUNE = [(i * 480, 480, p, 80) for i, p in enumerate([67, 69, 71, 72, 74, 72, 71, 69])]
LOW = [(i * 480, 480, p - 36, 80) for i, (_, _, p, _) in enumerate(TUNE)]
CHORDS = [(i * 960, 960, p, 80) for i in range(4) for p in (60, 64, 67, 72)]
BEAT = [(i * 240, 120, 42, 80) for i in range(16)]


def band(*names: str) -> Score:
    """Drums, bass, chords and a tune, so named."""
    names = names or ("", "", "", "")
    kinds = [(BEAT, 0, True), (LOW, 33, False), (CHORDS, 0, False), (TUNE, 73, False)]
    return Score(
        tuple(Track(r, p, d, n) for (r, p, d), n in zip(kinds, names, strict=True)),
    )


def test_the_likeliest_melody_is_high_alone_and_no_drum() -> None:
    choice = pick_melody(band())
    assert (choice.index, choice.why) == (3, "the likeliest melody")
    assert choice.track == band().tracks[3]


def test_a_bass_is_not_taken_even_where_it_comes_first() -> None:
    high_bass = Score((Track(TUNE, 33), Track(TUNE, 0)))
    assert pick_melody(high_bass).index == 1
    assert pick_melody(Score((Track(LOW), Track(TUNE)))).index == 1


def test_names_count() -> None:
    for name, other in [("Lead vocal", ""), ("", "Bridge"), ("MELODY", "Piano left")]:
        same = Score((Track(TUNE, name=other), Track(TUNE, name=name)))
        assert pick_melody(same).index == 1
    assert pick_melody(band("melody", "", "", "")).index == 3  # a name makes drums no melody


def test_the_only_pitched_track() -> None:
    score = Score((Track(BEAT, is_drum=True), Track([]), Track(LOW, 33, name="bass")))
    choice = pick_melody(score)
    assert (choice.index, choice.why) == (2, "the only pitched track")


@pytest.mark.parametrize("choice", [2, "2", "lead", "LEAD v", "Lead vocal"])
def test_by_number_and_name(choice: str | int) -> None:
    score = band("Drum kit", "Lead vocal", "Chords", "Flute")
    assert pick_melody(score, choice).index == 1
    assert pick_melody(score, choice).why == "as asked"


@pytest.mark.parametrize("choice", ["1", 0, 5, "9999", "drum", "tuba", "²", "-1"])
def test_what_is_not_there_is_told_with_what_is(choice: str | int) -> None:
    score = band("Drum kit", "Lead vocal", "Chords", "Flute")
    with pytest.raises(ValueError, match=r"has no pitched track") as caught:
        pick_melody(score, choice)
    assert str(caught.value).endswith("there are 2 'Lead vocal', 3 'Chords', 4 'Flute'")


@pytest.mark.parametrize("choice", [None, "", "1", "melody"])
def test_no_notes_and_only_drums(choice: str | None) -> None:
    for score in (Score(), Score((Track([]),))):
        with pytest.raises(ValueError, match="has no notes; give a file"):
            pick_melody(score, choice)
    with pytest.raises(ValueError, match="has only drums; give a file"):
        pick_melody(Score((Track(BEAT, is_drum=True), Track([]))), choice)


def test_real_pieces(samples: Path) -> None:
    expected = {"bach_bwv66_6": 1, "mutopia_the_entertainer": 1, "freedm_d_runnin": None}
    for name, number in expected.items():
        choice = pick_melody(midi.read(samples / f"{name}.mid"))
        assert not choice.track.is_drum
        assert number in (None, choice.index + 1), name


# Bars of four quarters.


def bars(metres: tuple, quarters: int = 24, ppq: int = 480) -> list[list[float]]:
    score = one_track([(0, quarters * ppq, 60, 80)], metres=metres, ppq=ppq)
    return [(run / ppq).tolist() for run in bar_runs(score)]


@pytest.mark.parametrize("metre", [(4, 4), (2, 2), (2, 4), (4, 2), (1, 4), (8, 8), (1, 1), (1, 64)])
@pytest.mark.parametrize("ppq", [1, 24, 480])
def test_duple_metres_become_bars_of_four_quarters(metre: tuple, ppq: int) -> None:
    assert bars(((0, *metre),), 9, ppq)[0][:3] == [0, 4, 8]


@pytest.mark.parametrize("metre", [(3, 4), (6, 8), (5, 4), (7, 8), (3, 2), (12, 8), (9, 16)])
@pytest.mark.parametrize("ppq", [1, 24, 480])
def test_other_metres_have_none(metre: tuple, ppq: int) -> None:
    assert bars(((0, *metre),), 9, ppq) == []


def test_runs_join_across_duple_metres_and_break_at_others() -> None:
    assert bars(((0, 4, 4), (3840, 2, 2)), 16) == [[0, 4, 8, 12, 16]]
    three = ((0, 4, 4), (8 * 480, 3, 4), (11 * 480, 4, 4))
    assert bars(three, 17) == [[0, 4, 8], [11, 15, 19]]


def test_pickups_are_left_out() -> None:
    assert bars(((0, 1, 4), (480, 4, 4)), 9) == [[1, 5, 9]]
    assert bars(((0, 3, 4), (1440, 4, 4)), 9) == [[3, 7, 11]]
    assert bars(((0, 2, 4), (960, 4, 4)), 9) == [[2, 6, 10]]  # half a bar, cut by the change


def test_a_metre_behind_the_end_makes_no_bars() -> None:
    assert bars(((0, 4, 4), (480 * 999, 2, 4)), 4) == [[0, 4]]


@given(normal_scores())
def test_runs_are_true_bars(score: Score) -> None:
    lines = set(score.bar_lines().tolist())
    for run in bar_runs(score):
        assert (np.diff(run) == BAR).all()
        assert run[0] in lines
        assert run[-1] < score.bar_lines()[-1] + BAR


@given(normal_scores())
def test_lines_are_in_steps_and_within_their_bars(score: Score) -> None:
    for line, count in step_runs(score, score.tracks[0]):
        assert np.array_equal(monophonic(line), line)
        assert ((line[:, 0] >= 0) & (line[:, 0] < 16 * count)).all()


def test_a_note_just_before_the_bar_belongs_to_it() -> None:
    metres = ((0, 3, 4), (1440, 4, 4))
    score = one_track([(1400, 480, 60, 80), (1920, 480, 62, 80), (480, 480, 64, 80)], metres=metres)
    ((line, count),) = step_runs(score, score.tracks[0])
    assert count == 1
    assert line[:, [0, 2]].tolist() == [[0, 60], [4, 62]]


@given(rows(last=127, longest=60), st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
def test_windows_hold_the_notes_that_begin_in_them(
    drawn: list, bars: int, size: int, hop: int
) -> None:
    line = monophonic(np.array([r for r in drawn if r[0] < 16 * bars], np.int64).reshape(-1, 4))
    whole, counts = windows(line, bars, size, hop)
    cut = np.split(whole, np.cumsum(counts)[:-1])[: len(counts)]
    starts = [16 * bar for bar in range(0, bars - size + 1, hop)]
    assert len(cut) == len(starts)
    for start, window in zip(starts, cut, strict=True):
        expected = [
            [on - start, min(d, start + 16 * size - on), p, v]
            for on, d, p, v in line.tolist()
            if start <= on < start + 16 * size
        ]
        assert window.tolist() == expected


def test_cutting_leaves_the_line_as_it_was() -> None:
    line = np.array([[0, 99, 60, 80]])
    windows(line, 4, 2)
    assert line.tolist() == [[0, 99, 60, 80]]
