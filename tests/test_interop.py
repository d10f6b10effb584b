"""To and from pretty_midi, pypianoroll and muspy: what both sides can hold comes back."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import muspy
import numpy as np
import pretty_midi
import pypianoroll
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import normal_scores, one_track, rows

from musegen import interop, midi
from musegen.errors import InputError
from musegen.score import Score, Track, changes

LABELS = st.sampled_from(["C:maj", "A:min7", "F#:sus4(b7)/5", "N"])


@st.composite
def scores(draw: st.DrawFn) -> Score:
    """Scores with chords, in any resolution, with short decimals among their tempos."""
    score = draw(normal_scores(fewest=0))
    chords = changes(draw(st.lists(st.tuples(st.integers(0, 9000), LABELS), max_size=3)))
    if draw(st.booleans()):
        qpm = draw(st.floats(3, 900).map(lambda q: round(q, 3)))
        score = replace(score, tempos=changes([*score.tempos[1:]], (0, qpm)))
    return replace(score, ppq=draw(st.sampled_from([24, 220, 480, 10_080])), chords=chords)


# pretty_midi


def as_pretty_midi(score: Score) -> Score:
    """What pretty_midi holds of a score: twelve roots, no chords."""
    keys = [(t, (sharps + 5) % 12 - 5, minor) for t, sharps, minor in score.keys]
    return replace(score, keys=changes(keys), chords=())


@settings(max_examples=40)
@given(scores())
def test_pretty_midi_gives_back_what_it_holds(score: Score) -> None:
    there = interop.to_pretty_midi(score)
    back = interop.from_pretty_midi(there)
    assert back == as_pretty_midi(score)
    assert interop.from_pretty_midi(interop.to_pretty_midi(back)) == back


@settings(max_examples=30)
@given(normal_scores())
def test_pretty_midi_counts_the_same_seconds_and_ticks(score: Score) -> None:
    there = interop.to_pretty_midi(score)
    ends = [note.end for part in there.instruments for note in part.notes]
    assert max(ends) == pytest.approx(score.seconds)
    times, tempos = there.get_tempo_changes()
    assert [there.time_to_tick(t) for t in times] == [t for t, _ in score.tempos]
    assert tempos == pytest.approx([q for _, q in score.tempos])
    for part, track in zip(there.instruments, score.tracks, strict=True):
        found = [[there.time_to_tick(n.start), there.time_to_tick(n.end)] for n in part.notes]
        assert found == [[on, on + length] for on, length, _, _ in track.notes.tolist()]


@settings(max_examples=30)
@given(normal_scores())
def test_what_pretty_midi_writes_is_the_same_music(score: Score) -> None:
    file = io.BytesIO()
    interop.to_pretty_midi(score).write(file)
    file.seek(0)
    back = interop.from_pretty_midi(pretty_midi.PrettyMIDI(file, charset="utf-8"))
    assert [t.notes.tolist() for t in back.tracks] == [t.notes.tolist() for t in score.tracks]
    assert back.metres == score.metres


def test_pretty_midi_does_not_drift_over_hours() -> None:
    # A third of a microsecond cannot be told in binary; ten thousand tempo changes add up.
    tempos = tuple((480 * i, 6e7 / (500_000 + i % 7)) for i in range(10_000))
    notes = [(480 * i + 1, 479, 60, 80) for i in range(10_000)]
    score = one_track(notes, tempos=tempos)
    assert interop.from_pretty_midi(interop.to_pretty_midi(score)) == score


def test_beyond_ten_million_ticks_the_score_is_resampled() -> None:
    score = one_track([(0, 10_080, 60, 80), (10_080 * 2000, 10_080, 62, 80)], ppq=10_080)
    there = interop.to_pretty_midi(score)
    assert there.resolution < 10_080
    assert [n.start for n in there.instruments[0].notes] == pytest.approx([0, 1000])
    assert there.get_end_time() == pytest.approx(1000.5)


def test_the_recipe_goes_through_pretty_midis_files() -> None:
    score = one_track([(0, 480, 60, 80)], recipe={"seed": 1, "model": "m"}, markers=((0, "a"),))
    file = io.BytesIO()
    interop.to_pretty_midi(score).write(file)
    assert midi.read(io.BytesIO(file.getvalue())).recipe == score.recipe
    back = interop.from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(file.getvalue())))
    assert (back.recipe, back.markers) == (score.recipe, score.markers)
    back = interop.from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(midi.to_bytes(score))))
    assert (back.recipe, back.markers) == (score.recipe, ())


def test_odd_objects_of_pretty_midi() -> None:
    there = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=100)
    there.instruments.append(pretty_midi.Instrument(0, name=" x "))
    there.instruments[0].notes = [
        pretty_midi.Note(0, 60, 0.0, 1.0),
        pretty_midi.Note(64, 61, 0.6, 0.6),
        pretty_midi.Note(64, 62, 0.60001, 1.2),
    ]
    score = interop.from_pretty_midi(there)
    assert score.tracks == (Track([(480, 1, 61, 64), (480, 480, 62, 64)], name="x"),)
    assert score.tempos == ((0, 100.0),)
    assert score.metres == ((0, 4, 4),)


# pypianoroll


def on_roll(score: Score) -> Score:
    """What a roll holds of a score on its grid, cell by cell."""
    tracks = []
    for track in score.tracks:
        cells = {}
        notes = sorted(track.notes.tolist(), key=lambda n: (n[2], n[0], n[1], n[3]))
        for note, following in [*pairwise(notes), *((n, None) for n in notes[-1:])]:
            onset, length, pitch, velocity = note
            if following and following[2] == pitch:
                length = max(1, min(length, following[0] - 1 - onset))
            cells.update({(pitch, onset + i): (velocity, note) for i in range(length)})
        kept: list[list[int]] = []
        before = None
        for (pitch, step), (velocity, _) in sorted(cells.items()):
            if before == (pitch, step - 1, velocity):
                kept[-1][1] += 1
            else:
                kept.append([step, 1, pitch, velocity])
            before = pitch, step, velocity
        tracks.append(replace(track, notes=kept))
    end = score.end if score.tracks else 0
    tempos = changes((min(t, max(end, 1)), q) for t, q in score.tempos)
    tempos = changes([(t, q) for t, q in tempos if t < max(end, 1)]) if end else ((0, 120.0),)
    return Score(tuple(tracks), score.ppq, tempos, length=end)


@settings(max_examples=50)
@given(normal_scores(fewest=0), st.sampled_from([1, 4, 12, 24]))
def test_pypianoroll_gives_back_what_it_holds(score: Score, resolution: int) -> None:
    there = interop.to_pypianoroll(score, resolution)
    there.validate()
    back = interop.from_pypianoroll(there)
    expected = on_roll(score.resample(resolution))
    assert replace(back, metres=expected.metres) == expected
    again = interop.from_pypianoroll(interop.to_pypianoroll(back, resolution))
    assert again.tracks == on_roll(back).tracks
    assert again.tempos == back.tempos


@settings(max_examples=40)
@given(
    rows(last=300, longest=90, fewest=1),
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 4, 8])), max_size=3
    ),
)
def test_pypianoroll_keeps_the_bars(notes: list, parts: list) -> None:
    metres, tick = [(0, 4, 4)], 96
    for bars, num, den in parts:
        metres.append((tick, num, den))
        tick += bars * 96 * num // den
    score = one_track(notes, ppq=24, metres=changes(metres))
    back = interop.from_pypianoroll(interop.to_pypianoroll(score))
    # How long the last bar is cannot be seen, only that it goes on.
    lines, expected = back.bar_lines(), score.bar_lines()
    expected = expected[expected < score.end]
    assert lines[: len(expected)].tolist() == expected.tolist()


def test_repeated_notes_stay_apart_as_in_pypianoroll(tmp_path: Path) -> None:
    score = one_track([(0, 24, 60, 80), (24, 24, 60, 80), (48, 1, 60, 80), (49, 2, 60, 80)], ppq=24)
    path = midi.write(replace(score, tempos=((0, 120.0),)), tmp_path / "x.mid")
    ours, theirs = interop.to_pypianoroll(score), pypianoroll.read(path)
    assert ours.tracks[0].pianoroll[:47].tolist() == theirs.tracks[0].pianoroll[:47].tolist()
    back = interop.from_pypianoroll(ours)
    assert back.tracks[0].notes.tolist() == [[0, 23, 60, 80], [24, 23, 60, 80], [48, 3, 60, 80]]


def test_the_roll_is_pypianorolls_own_where_that_is_right(samples: Path) -> None:
    for name in ("bach_bwv66_6", "bach_bwv253", "aird_white_cockade"):
        path = samples / f"{name}.mid"
        ours, theirs = interop.to_pypianoroll(midi.read(path)), pypianoroll.read(path)
        pitched = [
            (a.pianoroll, b.pianoroll)
            for a, b in zip(ours.tracks, theirs.tracks, strict=True)
            if not a.is_drum
        ]
        assert pitched
        for mine, other in pitched:
            steps = min(len(mine), len(other))
            assert not mine[steps:].any()
            assert not other[steps:].any()
            mine, other = mine[:steps], other[:steps]
            assert ((mine == other) | (other == 0)).all()
            # It rounds ends down, some of them just below their step.
            early = np.argwhere(mine != other)
            assert all(s + 1 == steps or not mine[s + 1, p] for s, p in early)


def test_pypianoroll_can_write_and_plot_what_it_gets(samples: Path, tmp_path: Path) -> None:
    score = midi.read(samples / "freedm_d_shawn3.mid")
    there = interop.to_pypianoroll(score)
    there.write(str(tmp_path / "x.mid"))
    there.save(str(tmp_path / "x.npz"))
    assert len(midi.read(tmp_path / "x.mid").tracks) == len(score.tracks)
    loaded = pypianoroll.load(tmp_path / "x.npz")
    assert interop.from_pypianoroll(loaded) == interop.from_pypianoroll(there)


def test_rolls_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="over 1 GB"):
        interop.to_pypianoroll(one_track([(0, 480 * 400_000, 60, 80)]))


def test_binary_and_odd_rolls() -> None:
    roll = np.zeros((8, 128), bool)
    roll[2:5, 60] = True
    tracks = [pypianoroll.BinaryTrack("x", 3, False, roll), pypianoroll.Track()]
    tracks[1].pianoroll = np.where(roll, 200.0, 0)
    back = interop.from_pypianoroll(pypianoroll.Multitrack(resolution=4, tracks=tracks))
    assert [t.notes.tolist() for t in back.tracks] == [[[2, 3, 60, 64]], [[2, 3, 60, 127]]]
    assert back.remarks == ("velocities over 127 became 127",)
    tracks[1].pianoroll = -tracks[1].pianoroll
    with pytest.raises(InputError, match=r"pypianoroll\.Multitrack: a velocity below 0"):
        interop.from_pypianoroll(pypianoroll.Multitrack(resolution=4, tracks=tracks))


# muspy


@settings(max_examples=30)
@given(scores())
def test_muspy_gives_back_all(score: Score) -> None:
    there = interop.to_muspy(score)
    there.validate()
    back = interop.from_muspy(there)
    assert back == score
    assert interop.to_muspy(back) == there


@settings(max_examples=20)
@given(normal_scores())
def test_muspys_barlines_and_beats_are_the_scores(score: Score) -> None:
    there = interop.to_muspy(replace(score, metres=((0, 3, 4),)))
    ours = [b.time for b in there.barlines], [b.time for b in there.beats]
    there.infer_barlines_and_beats(overwrite=True)
    end = score.end
    theirs = [b.time for b in there.barlines], [b.time for b in there.beats]
    assert [[t for t in times if t < end] for times in ours] == [
        [t for t in times if t < end] for times in theirs
    ]


def test_muspy_can_work_with_what_it_gets(samples: Path, tmp_path: Path) -> None:
    score = midi.read(samples / "bach_bwv66_6.mid")
    there = interop.to_muspy(score)
    there.write_midi(tmp_path / "x.mid")
    assert [t.notes.tolist() for t in midi.read(tmp_path / "x.mid").tracks] == [
        t.notes.tolist() for t in score.tracks
    ]
    assert muspy.polyphony(there) > 1
    assert len(muspy.to_remi_event_representation(there.adjust_resolution(4)))


def test_muspys_impossible_values_are_said() -> None:
    music = muspy.Music(tracks=[muspy.Track(notes=[muspy.Note(0, 200, 10)])])
    with pytest.raises(
        InputError, match=r"muspy\.Music: the pitch of a note is not a whole number"
    ):
        interop.from_muspy(music)


def test_what_the_three_read_is_what_we_read(samples: Path) -> None:
    for path in sorted(samples.glob("*.mid"))[:8]:
        score = midi.read(path)
        ours = sorted(n for t in score.tracks for n in t.notes.tolist())
        for other in (
            interop.from_pretty_midi(pretty_midi.PrettyMIDI(str(path))),
            interop.from_muspy(muspy.read_midi(path)),
        ):
            assert sorted(n for t in other.tracks for n in t.notes.tolist()) == ours
            assert other.metres == score.metres
            assert [t for t, _ in other.tempos] == [t for t, _ in score.tempos]
