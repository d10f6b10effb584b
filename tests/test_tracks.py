"""Track sets: where programs, drums and names go, and notes with a track column."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal_scores, rows

from musegen.representations.tracks import TRACK, TRACKSETS, gather, to_steps
from musegen.score import Score, Track, as_notes

NOTE = [(0, 480, 60, 80)]


def where(name: str, program: int, is_drum: bool = False, track: str = "") -> int:
    return TRACKSETS[name].assign(Score((Track(as_notes(NOTE), program, is_drum, track),)))[0]


def test_lpd5_has_the_order_and_programs_of_musegan() -> None:
    lpd5 = TRACKSETS["lpd5"]
    assert lpd5.names == ("Drums", "Piano", "Guitar", "Bass", "Strings")
    assert lpd5.programs == (0, 0, 25, 33, 48)
    assert (lpd5.drums, len(lpd5)) == (0, 5)


@pytest.mark.parametrize(
    ("program", "ours", "strict"),
    [
        *((0, 1, 1), (7, 1, 1), (8, 1, 4), (16, 1, 4), (23, 1, 4), (24, 2, 2), (31, 2, 2)),
        *((32, 3, 3), (39, 3, 3), (40, 4, 4), (56, 4, 4), (111, 4, 4), (112, -1, 4), (127, -1, 4)),
    ],
)
def test_programs_of_lpd5(program: int, ours: int, strict: int) -> None:
    assert (where("lpd5", program), where("lpd5-strict", program)) == (ours, strict)


def test_lpd17_is_drums_and_the_families_of_general_midi() -> None:
    lpd17 = TRACKSETS["lpd17"]
    assert lpd17.of_program == tuple(1 + p // 8 for p in range(128))
    assert lpd17.names[:3] == ("Drums", "Piano", "Chromatic Percussion")
    assert lpd17.names[-1] == "Sound Effects"
    assert lpd17.programs[1:] == tuple(range(0, 128, 8))


def test_drums_go_by_their_flag_alone() -> None:
    assert where("lpd5", 33, is_drum=True) == 0
    assert where("lpd17", 33, is_drum=True) == 0
    assert where("piano", 0, is_drum=True) == -1
    assert where("pop909", 0, is_drum=True, track="PIANO") == -1


def test_pop909_goes_by_name() -> None:
    assert [where("pop909", 0, track=n) for n in ("MELODY", "bridge", "PIANO", "Flute", "")] == [
        0,
        1,
        2,
        -1,
        -1,
    ]


@pytest.mark.parametrize("tracks", TRACKSETS.values(), ids=TRACKSETS)
def test_what_is_written_is_read_back_to_its_track(tracks) -> None:  # type: ignore[no-untyped-def]
    notes = np.array([[0, 1, 60, 80, i] for i in range(len(tracks))])
    written = Score(tracks.tracks(notes))
    assert tracks.assign(written).tolist() == list(range(len(tracks)))


@given(normal_scores(), st.sampled_from(sorted(TRACKSETS)))
def test_gather_keeps_every_note_that_has_a_place(score: Score, name: str) -> None:
    tracks = TRACKSETS[name]
    notes = gather(score, tracks)
    expected = sorted(
        (*map(int, row), i)
        for t, i in zip(score.tracks, tracks.assign(score), strict=True)
        for row in t.notes
        if i >= 0
    )
    assert sorted(map(tuple, notes.tolist())) == expected
    order = notes[:, [0, TRACK, 2]].tolist()
    assert order == sorted(order)
    split = tracks.tracks(notes)
    assert np.array_equal(gather(Score(split), tracks)[:, [0, 2, 4]], notes[:, [0, 2, 4]])


def test_an_empty_score_gathers_to_no_rows() -> None:
    assert gather(Score(), TRACKSETS["lpd5"]).shape == (0, 5)


@given(rows(), st.integers(1, 2000), st.integers(1, 48))
def test_steps_round_like_fractions(notes, ppq: int, per_beat: int) -> None:  # type: ignore[no-untyped-def]
    def nearest(tick: int) -> int:
        return floor(Fraction(tick * per_beat, ppq) + Fraction(1, 2))

    notes = as_notes(notes)
    expected = [
        [nearest(on), max(nearest(on + length) - nearest(on), 1), pitch, velocity]
        for on, length, pitch, velocity in notes.tolist()
    ]
    assert to_steps(notes, ppq, per_beat).tolist() == expected
