"""Windows of every kind against a slow and plain cutting of the same music."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal_scores, one_track
from tiny import SAMPLES

from musegen import midi
from musegen.prepare.windows import KINDS, SKETCH, Cut, Settings, check, cut
from musegen.representations.drums import KITS
from musegen.representations.tracks import TRACKSETS
from musegen.score import Score, Track
from musegen.segment import bar_runs, pick_melody

BAR = 1920
LOOSE = Settings("band", 2, 1, "lpd5", min_tracks=0)


def plain(score: Score, settings: Settings, notes: list[tuple[int, ...]]) -> list[list]:
    """All windows of `notes` (onset, duration, pitch, velocity, track) in ticks, on the grid."""
    steps = KINDS[settings.kind].steps
    found = []

    def step(tick: int) -> int:
        return floor(Fraction(tick * steps, score.ppq) + Fraction(1, 2))

    for run in bar_runs(score):
        bars = len(run) - 1
        for bar in range(0, bars - settings.bars + 1, settings.hop):
            first, last = bar * 4 * steps, (bar + settings.bars) * 4 * steps
            window = {}
            for on, duration, pitch, velocity, track in notes:
                # Notes just before the run are on its first beat.
                if on - run[0] < -score.ppq / 8:
                    continue
                early = max(on - run[0], 0)
                at, end = step(early), step(early + duration)
                if first <= at < last:
                    place = (at - first, track, pitch)
                    length = min(max(end - at, 1), last - at)
                    if place not in window or window[place][1] < length:
                        window[place] = (at - first, length, pitch, velocity, track)
            found.append([window[place] for place in sorted(window)])
    return found


def separate(pieces: Cut) -> list[list[tuple[int, ...]]]:
    ends = np.cumsum(pieces.counts)[:-1]
    return [list(map(tuple, w.tolist())) for w in np.split(pieces.notes, ends)]


def without_velocity(window: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [(*row[:3], *row[4:]) for row in window]


@given(normal_scores(), st.integers(1, 2), st.integers(1, 2))
def test_windows_of_bands_are_those_of_a_plain_cutting(score: Score, bars: int, hop: int) -> None:
    settings = Settings("band", bars, hop, "lpd5", min_tracks=0)
    place = TRACKSETS["lpd5"].assign(score).tolist()
    notes = [
        (*row, i)
        for track, i in zip(score.tracks, place, strict=True)
        for row in track.notes.tolist()
        if i >= 0
    ]
    dropped: Counter[str] = Counter()
    expected = [without_velocity(w) for w in plain(score, settings, notes)]
    try:
        found = [without_velocity(w) for w in separate(cut(score, settings, dropped))]
    except ValueError:
        found = []
    for window in found:
        assert window in expected
        assert {bar for on, d, *_ in window for bar in range(on // 96, (on + d - 1) // 96 + 1)} == (
            set(range(bars))
        )
    assert len({str(w) for w in found}) == len(found)
    if expected and any(i >= 0 for i in place):
        assert len(found) + sum(dropped.values()) == len(expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("freed*.mid"))[:3], ids=lambda p: p.stem)
def test_real_music(kind: str, path: Path) -> None:
    """What must hold of windows of any kind."""
    settings = Settings(kind, 2, 1, "lpd5" if kind == "band" else "", min_tracks=1)
    pieces = cut(midi.read(path), settings, Counter())
    grid = KINDS[kind].steps
    assert len(pieces.counts) == len(pieces.keys) == len(set(pieces.keys.tolist()))
    assert pieces.counts.sum() == len(pieces.notes)
    assert 0 < len(pieces.shapes) <= min(pieces.different, SKETCH)
    on, duration, pitch, velocity = pieces.notes.T[:4]
    assert (on >= 0).all()
    assert (duration >= 1).all()
    assert (on + duration <= 8 * grid).all()
    assert ((velocity >= 1) & (velocity <= 127)).all()
    for window in separate(pieces):
        assert window == sorted(window, key=lambda row: (row[0], *row[4:], row[2]))
        if kind in ("melody", "trio"):
            for track in (0, 1)[: 1 if kind == "melody" else 2]:
                line = [row for row in window if kind == "melody" or row[4] == track]
                assert all(a[0] + a[1] <= b[0] for a, b in pairwise(line))
    if kind in ("drums", "groove"):
        assert (KITS["gm"].class_of[pitch] >= 0).all()


@pytest.mark.parametrize("kind", ["melody", "trio", "band"])
@pytest.mark.parametrize("by", [-5, 1, 12])
def test_shapes_do_not_depend_on_the_key(kind: str, by: int) -> None:
    settings = Settings(kind, 2, 1, "lpd5" if kind == "band" else "", min_tracks=1)
    score = midi.read(SAMPLES / "freedoom_1_d_e1m1.mid")
    melody = pick_melody(score)  # named, since the choice looks at how high tracks are
    tracks = [t for t in score.tracks if t is not melody.track]
    score = replace(score, tracks=(*tracks, replace(melody.track, name="melody, vocal")))
    one, other = cut(score, settings, Counter()), cut(score.transpose(by), settings, Counter())
    shared = np.intersect1d(one.shapes, other.shapes)
    assert len(shared) >= 0.9 * len(one.shapes)  # some leave the range of pitches, or reach it
    assert one.digest != other.digest


def test_shapes_of_drums_know_which_drum() -> None:
    hits = [(120 * i, 60, 36 + 2 * (i % 4 > 2), 90) for i in range(32)]
    moved = [(on, d, p + 4, v) for on, d, p, v in hits]
    shapes = [
        cut(Score((Track(rows, is_drum=True),)), Settings("drums"), Counter()).shapes.tolist()
        for rows in (hits, moved)
    ]
    assert shapes[0] != shapes[1]


def test_a_sketch_holds_the_smallest_hashes() -> None:
    rng = np.random.default_rng(0)
    rows = [(240 * i, 240, int(p), 80) for i, p in enumerate(rng.integers(48, 84, 8 * 400))]
    long = cut(one_track(rows), Settings(), Counter())
    assert long.different > SKETCH == len(long.shapes)
    halves = [rows[:1600], [(on - 240 * 1600, d, p, v) for on, d, p, v in rows[1600:]]]
    apart = [cut(one_track(half), Settings(), Counter()).shapes for half in halves]
    every = np.unique(np.concatenate(apart))
    assert np.isin(long.shapes[long.shapes < min(a[-1] for a in apart)], every).mean() > 0.98


# Which tracks a trio takes


def part(pitch: int, program: int = 0, name: str = "", **more: bool) -> Track:
    return Track([(240 * i, 240, pitch + i % 5, 80) for i in range(32)], program, name=name, **more)


DRUMS = Track([(240 * i, 60, 36 + 2 * (i % 2), 90) for i in range(32)], is_drum=True)
LEAD = part(72, 80, "Lead")


@pytest.mark.parametrize(
    ("others", "lowest"),
    [
        ((part(52), part(36, 33)), 36),  # the program of a bass
        ((part(30), part(36, 33)), 36),  # even where another is lower
        ((part(50), part(60, 3, "E. Bass")), 60),  # its name
        ((part(50), part(44), part(60)), 44),  # or else the lowest
    ],
)
def test_the_bass_of_a_trio(others: tuple[Track, ...], lowest: int) -> None:
    pieces = cut(Score((*others, DRUMS, LEAD)), Settings("trio"), Counter())
    by_track = [pieces.notes[pieces.notes[:, 4] == i, 2] for i in range(3)]
    assert [rows.min() for rows in by_track] == [72, lowest, 36]


@pytest.mark.parametrize(
    ("kind", "tracks", "words"),
    [
        ("trio", (LEAD, DRUMS), "has no bass"),
        ("trio", (LEAD, part(40, 33)), "has no drums"),
        ("trio", (DRUMS,), "has no melody"),
        ("drums", (LEAD,), "has no drums"),
        ("drums", (Track([(0, 60, 22 - 9, 90)], is_drum=True),), "has no drums"),
        ("band", (), "has no notes for the tracks of lpd5"),
        ("band", (part(60, 120),), "has no notes for the tracks of lpd5"),
        ("band", (part(60),), r"no 2-bar window is worth keeping \(fewer than 3 tracks playing\)"),
    ],
)
def test_songs_without_what_is_asked_for(kind: str, tracks: tuple, words: str) -> None:
    settings = Settings(kind, tracks="lpd5" if kind == "band" else "")
    with pytest.raises(ValueError, match=words):
        cut(Score(tracks), settings, Counter())


def test_tracks_count_that_sound_in_half_of_the_bars() -> None:
    short = Track(part(50, 26).notes[:8], 26)
    score = Score((LEAD, part(60), DRUMS, part(40, 33), short))
    assert len(cut(score, Settings("band", 4, tracks="lpd5", min_tracks=4), Counter()).counts) == 1
    with pytest.raises(ValueError, match="fewer than 5 tracks playing"):
        cut(score, Settings("band", 4, tracks="lpd5", min_tracks=5), Counter())
    cut(score, Settings("band", 2, tracks="lpd5", min_tracks=5), Counter())  # in one of two bars


@pytest.mark.parametrize("kind", KINDS)
def test_times_fit_sixteen_bits(kind: str) -> None:
    longest = (2**15 - 1) // (4 * KINDS[kind].steps)
    tracks = "lpd5" if kind == "band" else ""
    check(Settings(kind, longest, tracks=tracks))
    rows = [(240 * i, 241, 60 + i % 7, 80) for i in range(8 * longest)]
    score = Score((Track(rows), Track(rows, 33), Track(rows, is_drum=True)))
    pieces = cut(score, Settings(kind, longest, tracks=tracks, min_tracks=1), Counter())
    ends = pieces.notes[:, 0].astype(int) + pieces.notes[:, 1]
    assert ends.max() == 4 * KINDS[kind].steps * longest


def test_a_band_of_one_track_needs_no_column_for_it() -> None:
    found = cut(midi.read(SAMPLES / "bach_bwv253.mid"), Settings("band", tracks="piano"), Counter())
    assert found.notes.shape == (found.counts.sum(), 4)


@pytest.mark.parametrize(("rests", "starts"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2, 3])])
def test_as_many_bars_may_be_silent_as_are_told(rests: int, starts: list[int]) -> None:
    """Four notes in each of bars 1 to 4 of 7: windows of four bars know up to `rests` more."""
    rows = [(bar * BAR + i * 480, 480, 60 + bar + i, 80) for bar in range(4) for i in range(4)]
    score = one_track([*rows, (6 * BAR, 480, 60, 80)])
    dropped: Counter[str] = Counter()
    pieces = cut(score, Settings(bars=4, rests=rests), dropped)
    first = [window[0][2] for window in separate(pieces)]
    assert first == [60 + start for start in starts]
    assert dropped.total() == 4 - len(starts)
    assert ("rests" in Settings(bars=4, rests=rests).told()) == (rests > 0)
