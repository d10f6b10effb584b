"""Beats found again: performed songs on their beats, songs on the grid that their notes keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import normal_scores, one_track

from musegen import midi
from musegen.corpora import grid
from musegen.corpora.grid import find_grid, on_beats, regrid
from musegen.score import Score, Track

# Performed music: beat i at a known time, notes at known beats.

gaps = st.lists(st.floats(0.3, 1.2), min_size=4, max_size=20)


def performed(beats: np.ndarray, quarters: list[float], qpm: float) -> Score:
    """One-quarter notes at `quarters`, played where the beats are, in a file of steady `qpm`."""
    at = np.interp([q for x in quarters for q in (x, x + 1)], np.arange(len(beats)), beats)
    ticks = np.rint(at * qpm / 60 * 480).astype(int).reshape(-1, 2)
    rows = [(on, off - on, 60 + i % 12, 80) for i, (on, off) in enumerate(ticks.tolist())]
    return one_track(rows, tempos=((0, qpm),))


@given(gaps, st.floats(0, 2), st.sampled_from([60.0, 120.0, 200.0]))
def test_notes_played_on_beats_land_on_quarters(gaps: list, begin: float, qpm: float) -> None:
    beats = begin + np.concatenate([[0], np.cumsum(gaps)])
    quarters = [float(i) for i in range(len(gaps))]
    score = on_beats(performed(beats, quarters, qpm), beats, np.arange(len(beats)) % 4 == 0)
    # The file's ticks round a time by up to half of one; a beat of 0.3 s is fewer ticks than 480.
    near = 2 + 480 / (0.3 * qpm / 60 * 480)
    found = score.tracks[0].notes
    assert np.abs(found[:, 0] - 480 * np.array(quarters)).max() <= near
    assert np.abs(found[:, 1] - 480).max() <= 2 * near
    assert score.metres == ((0, 4, 4),)
    assert score.tempos[0][1] == pytest.approx(60 / np.median(np.diff(beats)), abs=1e-3)


def test_an_exact_grid_lands_exactly() -> None:
    beats = np.array([1.0, 1.5, 2.5, 3.0, 3.25])  # at 120 bpm: ticks 960, 1440, 2400, 2880, 3120
    rows = [(960, 480, 60, 80), (1440, 960, 62, 80), (1920, 480, 64, 80), (2880, 240, 65, 80)]
    rows += [(3120, 240, 67, 80), (3360, 480, 69, 80), (480, 480, 50, 80)]
    score = on_beats(one_track(rows), beats, np.array([1, 0, 0, 0, 1]) > 0)
    assert score.tracks[0].notes.tolist() == [
        [0, 480, 60, 80],
        [480, 480, 62, 80],
        [720, 240, 64, 80],
        [1440, 480, 65, 80],
        [1920, 480, 67, 80],  # behind the last beat its pace goes on
        [2400, 960, 69, 80],
    ]  # the note before the first beat has no place


def test_beats_follow_the_tempo_map() -> None:
    tempos = ((0, 120.0), (960, 60.0), (1920, 240.0))  # the changes are at 1 and 3 seconds
    rows = [(0, 480, 60, 80), (480, 480, 62, 80), (960, 480, 64, 80), (1440, 480, 65, 80)]
    rows.append((2400, 480, 67, 80))
    score = one_track(rows, tempos=tempos)
    there = on_beats(score, [0, 0.5, 1, 2, 3, 3.25, 3.5], np.arange(7) % 4 == 0)
    assert there.tracks[0].notes.tolist() == [list(r) for r in rows]


def test_metres_come_from_the_downbeats() -> None:
    score = one_track([(0, 9600, 60, 80)])
    beats = np.arange(14) * 0.5
    down = np.isin(np.arange(14), [2, 6, 10, 12])
    assert on_beats(score, beats, down).metres == ((0, 2, 4), (960, 4, 4), (4800, 2, 4))


@pytest.mark.parametrize(
    ("seconds", "down"),
    [
        ([], []),
        ([1.0], [True]),
        ([1, 1], [True, True]),
        ([2, 1], [True, True]),
        ([0, 1], [False, False]),
        ([0, float("nan"), 1], [True, True, True]),
    ],
)
def test_useless_beats_are_refused(seconds: list, down: list) -> None:
    with pytest.raises(ValueError, match="needs at least two rising beat times and a downbeat"):
        on_beats(one_track([(0, 480, 60, 80)]), seconds, np.array(down, bool))


def test_chords_land_on_their_beats() -> None:
    beats = [1.0, 1.5, 2.5, 3.0, 3.25]
    chords = ((0.0, "N"), (1.0, "C:maj"), (2.5, "A:min7/b3"), (3.25, "N"))
    score = on_beats(one_track([(960, 480, 60, 80)]), beats, np.ones(5, bool), chords)
    assert score.chords == ((0, "C:maj"), (960, "A:min7/b3"), (1920, "N"))


@given(normal_scores(), st.lists(st.integers(0, 20_000), max_size=9))
def test_seconds_and_ticks_are_inverse(score: Score, ticks: list[int]) -> None:
    seconds = grid.seconds_at(score, ticks)
    assert grid.ticks_at(score, seconds) == pytest.approx(np.array(ticks, float), abs=1e-6)
    if score.end:
        assert grid.seconds_at(score, [score.end])[0] == pytest.approx(score.seconds)


# A band that plays bars of `metre` sixteenths, as a file with a false grid holds it.


def band(bars: int = 24, per_bar: int = 16, seed: int = 0) -> Score:
    """Kick on the first beat, snares between, hats on eighths, a long note a bar, a busy line."""
    rng = np.random.default_rng(seed)
    riff = np.flatnonzero(rng.random(per_bar) < 0.6)
    drums, long, line = [], [], []
    for bar in range(bars):
        at = bar * per_bar
        drums += [(at, 36), (at + per_bar // 2, 36)]
        drums += [(at + q, 38) for q in (4, 12) if q < per_bar and per_bar != 12]
        drums += [(at + q, 42) for q in range(0, per_bar, 2)]
        long.append((120 * at, 120 * per_bar, 48 + bar % 4, 80))
        line += [(120 * (at + int(q)), 120, 60 + int(q) % 7, 80) for q in riff]
    hits = [(120 * at, 60, pitch, 90) for at, pitch in drums]
    return Score((Track(hits, is_drum=True), Track(long, 34), Track(line, 30)), 480)


def moved(score: Score, step: float, phase: float = 0, ppq: int = 480, jitter: float = 0) -> Score:
    """The score with sixteenth n at tick `(n + phase + noise) * step` of another file."""
    rng = np.random.default_rng(1)
    tracks = []
    for track in score.tracks:
        rows = track.notes.copy()
        off = rng.uniform(-jitter, jitter, len(rows)) + phase
        rows[:, 0] = np.maximum(np.rint((rows[:, 0] / 120 + off) * step), 0)
        rows[:, 1] = np.maximum(np.rint(rows[:, 1] / 120 * step), 1)
        tracks.append(replace(track, notes=rows))
    return replace(score, tracks=tuple(tracks), ppq=ppq)


def onsets(score: Score) -> list[list[list[int]]]:
    """Sixteenth and pitch of every note; fails where an onset is off the grid."""
    notes = [t.notes for t in score.resample(480).tracks]
    assert not any((n[:, 0] % 120).any() for n in notes)
    return [(n[:, [0, 2]] // [120, 1]).tolist() for n in notes]


@pytest.mark.parametrize("tempo", [100, 117, 120, 125, 140, 150, 159])
def test_a_made_up_tempo_is_found_in_the_notes(tempo: int) -> None:
    there = replace(moved(band(), 2100 / tempo, ppq=89), tempos=((0, 95.0),))
    back = regrid(there)
    assert onsets(back) == onsets(band())
    assert back.tempos == ((0, float(tempo)),)
    assert back.metres == ((0, 4, 4),)
    assert back.remarks[0] == f"sixteenths of {tempo} beats a minute, found in the notes"
    assert back.remarks[-1] == "100% of the onsets on sixteenths"


def test_a_slow_song_with_snares_between_the_beats_is_a_fast_one() -> None:
    back = regrid(moved(band(), 2100 / 90 / 2, ppq=89))  # eighths of 180 are sixteenths of 90
    assert onsets(back) == onsets(band())
    assert back.tempos == ((0, 180.0),)


@settings(max_examples=25)
@given(st.floats(-0.4, 0.4), st.sampled_from([96, 480, 1024]), st.integers(0, 99))
def test_a_shifted_and_shaken_song_is_set_right(phase: float, ppq: int, seed: int) -> None:
    song = band(seed=seed)
    later = replace(
        song,
        tracks=tuple(replace(t, notes=t.notes + np.array([1920, 0, 0, 0])) for t in song.tracks),
    )
    there = moved(later, ppq / 4, phase, ppq, jitter=0.04)
    back = regrid(there)
    assert back.metres == ((0, 4, 4),)
    for mine, track in zip(later.tracks, back.tracks, strict=True):
        at = track.notes[:, 0] / 120
        assert np.abs(at - np.rint(at)).max() <= 0.11  # a tenth, and what ticks round
        found = np.column_stack([np.rint(at), track.notes[:, 2]])
        assert sorted(found.tolist()) == sorted((mine.notes[:, [0, 2]] / [120, 1]).tolist())


def test_a_true_grid_is_left_alone() -> None:
    song = band()
    back = regrid(song)
    assert back == song
    assert back.remarks == ("100% of the onsets on sixteenths",)
    free = one_track([(7 * i * i + 13 * i, 50, 60, 80) for i in range(40)])
    assert find_grid(free).share < 0.5
    assert regrid(free).metres == ((0, 4, 4),)


def test_thirty_seconds_and_triplets() -> None:
    fast = regrid(moved(band(), 60))  # written half as long as it is meant
    assert onsets(fast) == onsets(band())
    assert (fast.tempos, fast.metres) == (((0, 240.0),), ((0, 4, 4),))
    triplets = regrid(moved(band(per_bar=12), 160))  # twelve triplet eighths in a bar
    assert onsets(triplets) == onsets(band(per_bar=12))
    assert (triplets.tempos, triplets.metres) == (((0, 90.0),), ((0, 12, 16),))


@pytest.mark.parametrize(("steps", "metre"), [(16, (4, 4)), (12, (3, 4)), (14, (7, 8))])
@pytest.mark.parametrize("seed", range(4))
def test_bars_are_found_where_the_file_says_nothing(steps: int, metre: Any, seed: int) -> None:
    assert regrid(band(per_bar=steps, seed=seed)).metres == ((0, *metre),)


@pytest.mark.parametrize("upbeat", [2, 4, 7, 10, 14])
def test_a_song_that_begins_inside_a_bar_gets_an_upbeat(upbeat: int) -> None:
    song = band()
    late = moved(song, 120, phase=upbeat)
    back = regrid(late)
    assert back.remarks[0] == f"an upbeat of {upbeat} sixteenths, found in the notes"
    assert all(line % 1920 == 0 for line in back.tracks[1].notes[:, 0])


def test_events_move_with_the_notes() -> None:
    song = replace(
        moved(band(), 60),
        tempos=((0, 100.0), (960, 50.0)),
        keys=((0, 2, False), (960, 3, False)),
        markers=((960, "verse"),),
        metres=((0, 4, 4), (960, 3, 4)),
        length=3000,
    )
    back = regrid(song)
    assert back.tempos == ((0, 200.0), (1920, 100.0))
    assert back.keys == ((0, 2, False), (1920, 3, False))
    assert back.markers == ((1920, "verse"),)
    assert back.metres == ((0, 4, 4), (1920, 3, 4))  # what the file says of metre is believed
    assert back.length == 6000
    assert back.seconds == pytest.approx(song.seconds)


def test_no_notes_no_grid() -> None:
    with pytest.raises(ValueError, match="no notes"):
        regrid(Score((Track(),)))


def test_bars_found_in_the_notes_agree_with_time_signatures() -> None:
    """Songs that say 4/4 in so many words, and those that say something else."""
    folder = Path(__file__).parents[1] / "data" / "bands"
    said = {
        p: midi.read(p) for p in sorted(folder.glob("*/*.mid")) if b"\xff\x58\x04" in p.read_bytes()
    }
    found = {}
    for path, score in said.items():
        there = grid._moved(score, *((g := find_grid(score)).step, g.phase))
        layers = grid._layers(there)
        found[path] = grid._bar(layers)
    four = [p for p in said if said[p].metres == ((0, 4, 4),)]
    assert len(four) > 40
    # One is in triplets, one on no grid at all.
    assert {p.stem for p in four if found[p] != 16} == {"D_MESSAG", "freedoom1_D_BUNNY"}
    others = {p.stem: found[p] for p in said if p not in four}
    assert others["D_COUNT2"] == 14
    assert all(others[f"freedoom{i}"] == 12 for i in ("1_D_E1M8", "1_D_E2M9", "2_D_AMPIE"))
