"""Laws of scores: sorting, bar lines, resampling, transposition, cutting and joining."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import normal_scores, one_track, rows

from musegen.score import ONSET, PITCH, Score, Track, as_notes, changes, distinct, metre_map

BAR = 1920


@given(rows())
def test_notes_are_sorted_and_none_is_lost(drawn: list) -> None:
    notes = as_notes(drawn)
    assert sorted(map(tuple, notes.tolist())) == sorted(drawn)
    assert [r[:1] + r[2:3] for r in notes.tolist()] == sorted([r[0], r[2]] for r in drawn)
    assert not notes.flags.writeable


@given(st.lists(st.integers(-3, 3)))
def test_distinct_values_are_those_of_numpy(values: list[int]) -> None:
    array = np.array(values, np.int64)
    assert np.array_equal(distinct(array), np.unique(array))


@pytest.mark.parametrize(
    "row",
    [
        (-1, 1, 60, 80),
        (0, 0, 60, 80),
        (0, 1, 128, 80),
        (0, 1, -1, 80),
        (0, 1, 60, 0),
        (0, 1, 60, 128),
    ],
)
def test_rows_that_are_no_notes_are_refused(row: tuple) -> None:
    as_notes([(0, 1, 60, 80)])
    with pytest.raises(ValueError, match="notes need"):
        as_notes([(0, 1, 60, 80), row])


def test_what_was_given_is_not_frozen_or_shared() -> None:
    mine = np.array([[0, 10, 60, 80]])
    track = Track(mine)
    mine[0, PITCH] = 61
    assert track.notes[0, PITCH] == 60
    with pytest.raises(ValueError, match="read-only"):
        track.notes[0, 0] = 1


def test_equality_sees_notes_program_drums_and_name() -> None:
    row = [(0, 10, 60, 80)]
    track = Track(row, 5, False, "a")
    assert track == Track(np.array(row), 5, False, "a")
    others = [Track([], 5, False, "a"), Track(row, 6, False, "a")]
    others += [Track(row, 5, True, "a"), Track(row, 5, False, "b"), "a"]
    assert all(track != other for other in others)


def test_the_recipe_is_not_music() -> None:
    assert Score(recipe={"seed": 1}) == Score()


@given(normal_scores())
def test_every_note_lies_between_the_bar_lines(score: Score) -> None:
    lines = score.bar_lines()
    assert lines[0] == 0
    assert (np.diff(lines) > 0).all()
    assert lines[-1] >= score.end
    changes = [t for t, _, _ in score.metres if t <= lines[-1]]
    assert set(changes) <= set(lines.tolist())  # a metre change starts a bar
    for start, end in pairwise(lines):
        _, num, den = [m for m in score.metres if m[0] <= start][-1]
        whole = 4 * 480 * num // den
        assert end - start == whole or (end in changes and end - start < whole)


def test_bar_lines_of_a_piece_with_a_pickup_and_a_change() -> None:
    score = one_track([(0, 6000, 60, 80)], metres=((0, 1, 4), (480, 3, 4), (3360, 4, 4)))
    assert score.bar_lines().tolist() == [0, 480, 1920, 3360, 5280, 7200]
    assert "5 bars" in repr(score)


def test_a_score_without_notes_is_one_bar() -> None:
    assert Score().bar_lines().tolist() == [0, BAR]
    assert Score().end == 0
    assert Score().seconds == 0


def test_seconds_follow_the_tempo_map() -> None:
    score = one_track([(0, 960 + 240, 60, 80)], tempos=((0, 60.0), (480, 120.0), (9600, 1.0)))
    assert score.seconds == pytest.approx(1 + 1.5 * 0.5)


@given(normal_scores(), st.integers(1, 6))
def test_finer_ticks_and_back_change_nothing(score: Score, times: int) -> None:
    assert score.resample(480 * times).resample(480) == score


@given(normal_scores(), st.integers(1, 2000))
def test_resampled_times_are_the_nearest(score: Score, ppq: int) -> None:
    there = score.resample(ppq)
    for before, after in zip(score.tracks, there.tracks, strict=True):
        # Rounding may reorder notes, so sorted onsets are compared.
        exact = np.sort(before.notes[:, ONSET]) * ppq / 480
        assert np.abs(exact - after.notes[:, ONSET]).max() <= 0.5
        assert (after.notes[:, 1] >= 1).all()
        assert abs(before.end * ppq / 480 - after.end) <= 1.5  # half a tick, and a note of one
    assert there.ppq == ppq


def test_a_lost_note_keeps_one_tick() -> None:
    assert one_track([(0, 1, 60, 80)]).resample(4).tracks[0].notes.tolist() == [[0, 1, 60, 80]]


@given(normal_scores(), st.integers(-127, 127))
def test_transposing_and_back_changes_nothing(score: Score, by: int) -> None:
    pitches = [t.notes[:, PITCH] for t in score.tracks if not t.is_drum]
    if any((p + by < 0).any() or (p + by > 127).any() for p in pitches):
        with pytest.raises(ValueError, match="pitches of 0 to 127"):
            score.transpose(by)
        return
    moved = score.transpose(by)
    for before, after in zip(score.tracks, moved.tracks, strict=True):
        distance = np.array([0, 0, 0 if before.is_drum else by, 0])
        assert np.array_equal(before.notes + distance, after.notes)
    assert moved.transpose(-by) == score


@given(normal_scores(), st.integers(0, 9000), st.integers(1, 9000))
def test_a_clip_holds_the_notes_that_begin_in_it(score: Score, start: int, size: int) -> None:
    part = score.clip(start, start + size)
    for whole, cut in zip(score.tracks, part.tracks, strict=True):
        expected = [
            [on - start, min(d, start + size - on), p, v]
            for on, d, p, v in whole.notes.tolist()
            if start <= on < start + size
        ]
        assert sorted(cut.notes.tolist()) == sorted(expected)
    assert part.end == part.length == size
    assert part.tempos[0] == (0, [q for t, q in score.tempos if t <= start][-1])
    assert part.metres[0] == (0, *[m for m in score.metres if m[0] <= start][-1][1:])
    assert all(0 <= e[0] < size for e in (*part.tempos, *part.metres, *part.keys, *part.markers))


@given(normal_scores(), st.integers(0, 9000), st.integers(1, 4000), st.integers(1, 4000))
def test_a_clip_of_a_clip_is_a_clip(score: Score, start: int, skip: int, size: int) -> None:
    outer = score.clip(start, start + skip + size)
    inner = outer.clip(skip, skip + size)
    assert inner == score.clip(start + skip, start + skip + size)


@given(normal_scores(), normal_scores())
def test_joining_puts_the_second_on_the_next_bar_line(one: Score, two: Score) -> None:
    both = one.concat(two)
    start = int(one.bar_lines()[-1])
    assert both.length == start + two.end
    assert len(both.tracks) == max(len(one.tracks), len(two.tracks))
    for i, track in enumerate(both.tracks):
        first = one.tracks[i].notes.tolist() if i < len(one.tracks) else []
        second = two.tracks[i].notes.tolist() if i < len(two.tracks) else []
        moved = [[on + start, d, p, v] for on, d, p, v in second]
        assert sorted(track.notes.tolist()) == sorted(first + moved)
    back = both.clip(start, start + two.end)
    for whole, cut in zip(two.tracks, back.tracks, strict=False):
        assert np.array_equal(whole.notes, cut.notes)
    for name in ("tempos", "metres"):  # as far as the second's music goes
        within = [e for e in getattr(two, name) if e[0] < two.end]
        assert list(getattr(back, name)) == within


@settings(max_examples=30)
@given(normal_scores(), normal_scores(), normal_scores())
def test_joining_is_associative_in_its_notes(a: Score, b: Score, c: Score) -> None:
    left, right = a.concat(b).concat(c), a.concat(b.concat(c))
    assert left.length == right.length
    for one, two in zip(left.tracks, right.tracks, strict=True):
        assert np.array_equal(one.notes, two.notes)


def test_joining_adapts_the_ticks() -> None:
    fine = one_track([(0, 480, 60, 80)])
    coarse = one_track([(0, 24, 62, 80)], ppq=24)
    assert fine.concat(coarse).tracks[0].notes.tolist() == [[0, 480, 60, 80], [BAR, 480, 62, 80]]


bars = st.lists(
    st.tuples(
        st.integers(1, 4000), st.none() | st.tuples(st.integers(1, 12), st.sampled_from([4, 8]))
    ),
    min_size=1,
    max_size=12,
)


@given(bars, st.booleans())
def test_the_metre_map_of_bars_has_their_bar_lines(drawn: list, exact: bool) -> None:
    """Bars of any length; where they are as long as their metre says, nothing else is said."""
    spans, start = [], 0
    for ticks, metre in drawn:
        if exact:
            metre = metre or (4, 4)
            ticks = BAR * metre[0] // metre[1]
        spans.append((start, ticks, metre))
        start += ticks
    score = Score(metres=metre_map(spans, 480), length=start)
    lines = set(score.bar_lines().tolist())
    joined = {b[0] for a, b in pairwise(spans) if a[2] == b[2] and a[2] and a[1] + b[1] == whole(a)}
    assert {s for s, _, _ in spans} - joined <= lines
    if exact:
        assert [m[1:] for m in score.metres] == [m for m, _ in groupby(m for _, _, m in spans)]
        assert lines == {start, *(s for s, _, _ in spans)}


def whole(span: tuple) -> int:
    return BAR * span[2][0] // span[2][1]


def test_changes_are_in_order_and_say_something_new() -> None:
    events = [(8, "b"), (4, "a"), (8, "c"), (9, "c"), (0, "a")]
    assert changes(events) == ((0, "a"), (8, "c"))
    assert changes(events[1:2], (0, "x")) == ((0, "x"), (4, "a"))
    assert changes([]) == ()
