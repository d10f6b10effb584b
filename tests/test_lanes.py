"""What is shown where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal_scores

from musegen.plot.lanes import (
    COLOURS,
    DRUM_COLOUR,
    DRUM_ROW,
    Lane,
    bars_a_row,
    colour,
    excerpt,
    label,
    lanes,
    octaves,
)
from musegen.score import Score, Track


def part(*pitches: int, drums: bool = False, name: str = "", program: int = 0) -> Track:
    rows = [(480 * i, 480, p, 80) for i, p in enumerate(pitches)]
    return Track(rows, program=program, is_drum=drums, name=name)


def test_a_few_pitched_tracks_share_a_lane() -> None:
    four = Score((part(60), part(72), part(), part(40), part(64)))
    assert lanes(four) == [Lane((0, 1, 3, 4), 38, 74)]
    five = Score((*four.tracks, part(65)))
    assert [lane.tracks for lane in lanes(five)] == [(0,), (1,), (3,), (4,), (5,)]


def test_drums_make_lanes() -> None:
    band = lanes(Score((part(60, 70), part(36, 42, 36, 38, drums=True))))
    assert [lane.tracks for lane in band] == [(0,), (1,)]
    pitched, drums = band
    assert (pitched.low, pitched.high, pitched.keys, pitched.height) == (58, 72, (), 14)
    assert pitched.heights(np.array([60, 72])).tolist() == [2, 14]
    assert drums.keys == (36, 38, 42)
    assert drums.height == pytest.approx(3 * DRUM_ROW)
    assert drums.heights(np.array([42, 36])) == pytest.approx([2.5 * DRUM_ROW, 0.5 * DRUM_ROW])


def test_a_lane_has_an_octave_at_least() -> None:
    assert lanes(Score((part(60),))) == [Lane((0,), 54, 66)]
    assert lanes(Score((part(60, 67),))) == [Lane((0,), 58, 70)]
    assert lanes(Score((part(60, 80),))) == [Lane((0,), 58, 82)]
    assert lanes(Score()) == [Lane((), 60, 72)]


def test_colours_and_names() -> None:
    tracks = [part(60, name=" a\n lead  "), part(36, drums=True), *[part(60)] * 9]
    score = Score(tuple(tracks))
    assert colour(score, 1) == DRUM_COLOUR
    assert [colour(score, i) for i in (0, 2, 3)] == list(COLOURS[:3])
    assert colour(score, 9) == COLOURS[0]
    assert label(score, 0) == "a lead"
    assert label(score, 1) == "Drums"
    assert label(Score((part(60, program=40),)), 0) == "Violin"
    assert label(Score((part(60, name="x" * 23),)), 0) == "x" * 21 + "…"


def test_an_excerpt_holds_what_sounds() -> None:
    notes = [(0, 960, 60, 80), (400, 80, 61, 80), (480, 10, 62, 80), (900, 200, 63, 80)]
    score = Score((Track(notes), Track(notes, is_drum=True)), ppq=480, length=1920)
    found = excerpt(score, 480, 960)
    assert found.tracks[0].notes[:, :3].tolist() == [[0, 480, 60], [0, 10, 62], [420, 60, 63]]
    assert found.tracks[1].notes[:, :3].tolist() == [[0, 10, 62], [420, 60, 63]]
    assert found.end == 480


@given(normal_scores(), st.integers(0, 9000))
def test_excerpts_make_up_the_whole(score: Score, cut: int) -> None:
    end = max(score.end, cut + 1)
    first, second = excerpt(score, 0, max(1, cut)), excerpt(score, max(1, cut), end + 1)
    for track, a, b in zip(score.tracks, first.tracks, second.tracks, strict=True):
        if not track.is_drum:
            assert a.notes[:, 1].sum() + b.notes[:, 1].sum() == track.notes[:, 1].sum()
        else:
            assert len(a) + len(b) == len(track)


@pytest.mark.parametrize(
    ("bars", "rows", "expected"),
    [(1, 9, 16), (17, 9, 17), (18, 9, 18), (19, 9, 16), (33, 9, 17), (72, 3, 24), (640, 99, 20)],
)
def test_bars_in_a_row(bars: int, rows: int, expected: int) -> None:
    assert bars_a_row(bars, rows) == expected


def test_pitches_that_are_named() -> None:
    assert octaves(58, 74) == {60: "C4", 72: "C5"}
    assert octaves(60, 72) == {60: "C4"}
    assert octaves(58, 74, fine=True) == {60: "C4", 67: "G4", 72: "C5"}
    assert octaves(61, 66) == {62: "D4"}
