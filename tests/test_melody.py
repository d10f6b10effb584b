"""A user's melody made ready: bars, fitting, keys, and what is said on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal_scores, one_track

from musegen import midi
from musegen.melody import Excerpt, home, into_key, melody_line, parse_key
from musegen.representations.events import Melody
from musegen.score import PITCH, Score, Track
from musegen.segment import bar_runs

BAR = 1920


def line_of(score: Score, choice: str | int | None = None) -> tuple[Excerpt, list[str]]:
    said: list[str] = []
    return melody_line(score, "x.mid", choice, said.append), said


def quarters(*pitches: int, start: int = 0) -> list[tuple]:
    return [(start + 480 * i, 480, p, 80) for i, p in enumerate(pitches)]


def test_silent_bars_around_are_left_out_and_the_track_is_told() -> None:
    score = Score(
        (
            Track(quarters(60, 62, 64, 65, 67, start=2 * BAR), 40, name="Tune"),
            Track([(0, 9 * BAR, 30, 80)], 32),
        ),
        length=9 * BAR,
    )
    line, said = line_of(score)
    assert line.bars == 2
    assert line.tracks[0].notes.tolist() == [list(r) for r in quarters(60, 62, 64, 65, 67)]
    assert said == ["x.mid: took track 1 'Tune' (the likeliest melody), left out 1 other track"]


def test_other_resolutions() -> None:
    score = one_track([(0, 96, 60, 80), (96, 96, 62, 80)], ppq=96)
    assert line_of(score)[0].tracks[0].notes.tolist() == [[0, 480, 60, 80], [480, 480, 62, 80]]


def test_triple_metre_is_refused_in_words() -> None:
    for metres, said in [(((0, 3, 4),), "is in 3/4, but"), (((0, 6, 8),), "is in 6/8, but")]:
        with pytest.raises(ValueError, match=said) as caught:
            line_of(one_track(quarters(*range(60, 72)), metres=metres))
        assert str(caught.value).endswith("give music in 4/4, 2/2 or 2/4")


@pytest.mark.parametrize("metre", [(2, 4), (2, 2), (4, 4)])
def test_duple_metres_are_regrouped(metre: tuple) -> None:
    line, said = line_of(one_track(quarters(*range(60, 70)), metres=((0, *metre),)))
    assert line.bars == 3
    assert len(said) == 1


def test_a_pickup_is_left_out_and_told() -> None:
    metres = ((0, 1, 4), (480, 4, 4))
    line, said = line_of(one_track(quarters(55, 60, 62, 64, 65), metres=metres))
    assert line.tracks[0].notes.tolist() == [list(r) for r in quarters(60, 62, 64, 65)]
    assert said[1:] == ["x.mid: left out 1 notes in pickups or bars of another metre"]


def test_a_middle_part_in_three_is_left_out_with_what_sounds_into_it() -> None:
    rows = [
        (0, 480, 60, 80),
        (1440, 9999, 62, 80),
        (BAR, 480, 70, 80),
        (BAR + 1440 + 960, 480, 64, 80),
    ]
    metres = ((0, 4, 4), (BAR, 3, 4), (BAR + 1440, 4, 4))
    line, said = line_of(one_track(rows, metres=metres))
    assert line.bars == 2
    assert line.tracks[0].notes.tolist() == [
        [0, 480, 60, 80],
        [1440, 480, 62, 80],
        [2880, 480, 64, 80],
    ]
    assert "left out 1 notes" in said[1]


def test_the_tempo_is_the_one_where_the_melody_begins() -> None:
    tempos = ((0, 60.0), (3 * BAR, 90.0), (3 * BAR + 480, 140.0), (9 * BAR, 200.0))
    rows = quarters(60, 62, 64, 65, start=3 * BAR)
    assert line_of(one_track(rows, tempos=tempos))[0].tempo == 90.0
    behind_waltz = ((0, 3, 4), (2880, 4, 4))
    rows = quarters(60, 62, 64, 65, start=2880)
    tempos = ((0, 60.0), (1440, 70.0), (2880, 90.0), (3360, 91.0))
    assert line_of(one_track(rows, tempos=tempos, metres=behind_waltz))[0].tempo == 90.0


def test_chords_are_told() -> None:
    _, said = line_of(one_track(quarters(60, 62) + quarters(64, 65)))
    assert said[1] == "x.mid: of notes that start together the top one counts (2 left out)"


@given(normal_scores())
def test_windows_are_the_melody_as_written(score: Score) -> None:
    try:
        line, _ = line_of(score)
    except ValueError:
        return
    line = line.fitted(-(-line.bars // 2) * 2, "pad")
    windows = line.windows(Melody(2))
    assert windows.shape == (line.bars // 2, 32)
    assert np.array_equal(windows.reshape(-1), Melody(line.bars).encode(line.score()))


@given(st.integers(1, 12), st.sampled_from(["pad", "loop"]))
def test_fitting_cuts_pads_or_loops(bars: int, how: str) -> None:
    rows = [*quarters(60, 62, 64, 65), (BAR, 9600, 67, 80)]
    line = Excerpt((Track([(on, min(d, 2 * BAR - on), p, v) for on, d, p, v in rows]),), 3, 100.0)
    fitted = line.fitted(bars, how)
    assert fitted.bars == bars
    assert fitted.tracks[0].end <= bars * BAR
    heard = {(on, p) for on, _, p, _ in fitted.tracks[0].notes.tolist()}
    times = range(0, bars, 3) if how == "loop" else [0]
    expected = {
        (on + t * BAR, p) for on, _, p, _ in rows for t in times if on + t * BAR < bars * BAR
    }
    assert heard == expected


def test_real_pieces_have_bars(samples: Path) -> None:
    for path in sorted(samples.glob("*.mid")):
        score = midi.read(path)
        if not bar_runs(score):
            with pytest.raises(ValueError, match="4/4, 2/2 or 2/4"):
                line_of(score)
            continue
        line, _ = line_of(score)
        assert line.bars >= 2, path.name
        assert line.tracks[0].end <= line.bars * BAR
    tune, _ = line_of(midi.read(samples / "ryan_fishers_hornpipe.mid"))
    assert tune.bars == 17


# Keys.


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("C", (0, False)),
        ("c", (0, False)),
        ("F#", (6, False)),
        ("Bb", (10, False)),
        ("bb", (10, False)),
        ("b", (11, False)),
        ("Cb", (11, False)),
        ("B#", (0, False)),
        ("D major", (2, False)),
        (" A maj ", (9, False)),
        ("Am", (9, True)),
        ("E minor", (4, True)),
        ("G min", (7, True)),
    ],
)
def test_keys_are_understood(text: str, key: Any) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize("text", ["", "H", "C##", "Cx", "minor", "A dorian", "C C", "1"])
def test_other_words_are_no_keys(text: str) -> None:
    with pytest.raises(ValueError, match="is not a key; write for example"):
        parse_key(text)


SCALE = [60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60]


@pytest.mark.parametrize(("key", "sharps"), [("C", 0), ("G", 1), ("Eb", -3), ("F#", 6), ("Db", -5)])
@pytest.mark.parametrize("start", range(0, 12, 5))
def test_a_scale_moves_into_the_key(key: str, sharps: int, start: int) -> None:
    tonic = parse_key(key)[0]
    score = one_track(quarters(*(p + start for p in SCALE)))
    moved = into_key(score, key)
    by = moved.tracks[0].notes[0, PITCH] - score.tracks[0].notes[0, PITCH]
    assert -6 <= by <= 5
    assert moved.tracks[0].notes[0, PITCH] % 12 == tonic
    assert moved.keys == ((0, sharps, False),)


@pytest.mark.parametrize(("key", "sharps"), [("Am", 0), ("Em", 1), ("Cm", -3), ("F#m", 3)])
def test_a_minor_scale_moves_into_a_minor_key(key: str, sharps: int) -> None:
    minor = [57, 59, 60, 62, 64, 65, 67, 69, 64, 60, 57]
    moved = into_key(one_track(quarters(*minor)), key)
    assert moved.tracks[0].notes[0, PITCH] % 12 == parse_key(key)[0]
    assert moved.keys == ((0, sharps, True),)


@pytest.mark.parametrize("by", range(-6, 6))
@pytest.mark.parametrize("scale", [SCALE, [57, 59, 60, 62, 64, 65, 67, 69, 64, 60, 57]])
def test_home_is_where_there_are_no_black_keys(scale: list[int], by: int) -> None:
    weights = np.bincount((np.array(scale) - by) % 12, minlength=12)
    assert home(weights) == by
    assert home(np.stack([weights, np.roll(weights, 1)])).tolist() == [by, (by + 5) % 12 - 6]


def test_silence_and_drums_stay() -> None:
    assert into_key(Score(), "D").tracks == ()
    drums = Score((Track(quarters(36, 38), is_drum=True),))
    assert into_key(drums, "D").tracks == drums.tracks
    even = one_track(quarters(*range(60, 72)))
    assert into_key(even, "D").tracks == even.tracks
