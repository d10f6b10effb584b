"""Piano rolls: against a picture drawn cell by cell, against other libraries; what they refuse."""

from __future__ import annotations

import time
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pypianoroll
import pytest
import symusic
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import one_track

from musegen import midi
from musegen.formats import quick
from musegen.representations.pianoroll import Pianoroll
from musegen.representations.rolls import MAX_CELLS, bar_steps, read_roll, roll
from musegen.representations.tracks import gather, to_steps
from musegen.score import Score, Track, as_notes

KINDS = [
    {},
    {"onsets": True},
    {"gaps": True},
    {"velocities": True},
    {"velocities": True, "onsets": True},
    {"velocities": True, "gaps": True},
]
kinds = st.sampled_from(KINDS)


@st.composite
def crowded(draw: st.DrawFn) -> Score:
    """Few keys and short times, so that notes meet: five programs and drums, any resolution."""
    ppq = draw(st.sampled_from([24, 89, 480]))
    tick = st.integers(0, 5 * ppq)
    row = st.tuples(tick, tick.map(lambda t: t + 1), st.integers(58, 62), st.integers(1, 127))
    tracks = st.builds(
        Track,
        st.lists(row, max_size=8).map(as_notes),
        st.sampled_from([0, 1, 25, 33, 60, 120]),
        st.booleans(),
    )
    return Score(tuple(draw(st.lists(tracks, max_size=5))), ppq)


def small(**kind: bool) -> Pianoroll:
    return Pianoroll(bars=1, low=59, high=61, **kind)


def nearest(tick: int, ppq: int, per_beat: int) -> int:
    return floor(Fraction(tick * per_beat, ppq) + Fraction(1, 2))


def picture(rep: Pianoroll, score: Score) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Cells (track, step, pitch) that sound, with the loudest onset there (0 for none), and whether
    a repeated note was kept apart before it; by loops and fractions."""
    sounding: dict[tuple[int, int, int], int] = {}
    struck: dict[tuple[int, int, int], int] = {}
    for part, track in zip(rep.trackset.assign(score).tolist(), score.tracks, strict=True):
        for onset, duration, pitch, velocity in track.notes.tolist():
            on = nearest(onset, score.ppq, rep.steps_per_beat)
            off = max(nearest(onset + duration, score.ppq, rep.steps_per_beat), on + 1)
            if part < 0 or on >= rep.steps or not rep.low <= pitch <= rep.high:
                continue
            off = on + 1 if track.is_drum else min(off, rep.steps)
            for step in range(on, off):
                sounding.setdefault((part, step, pitch), 0)
            struck[part, on, pitch] = max(struck.get((part, on, pitch), 0), velocity)
    if rep.gaps:
        for part, step, pitch in struck:
            if part != rep.trackset.drums:
                sounding.pop((part, step - 1, pitch), None)
    return {**sounding, **struck}  # type: ignore[dict-item]


def drawn(rep: Pianoroll, score: Score) -> np.ndarray:
    """The roll of a score, cell by cell."""
    cells = picture(rep, score)
    out = np.zeros(rep.shape, np.uint8)
    now: dict[tuple[int, int], int] = {}
    for part, step, pitch in sorted(cells):
        velocity = cells[part, step, pitch]
        held = (part, step - 1, pitch) in cells and part != rep.trackset.drums
        if velocity and (rep.onsets or not held):  # else a note that goes on, or joins it
            now[part, pitch] = velocity
        value = now[part, pitch] if rep.velocities else 1
        out[part, step, pitch - rep.low] = value
        if rep.onsets and velocity:
            out[part + len(rep.trackset), step, pitch - rep.low] = value
    return out


@given(crowded(), kinds)
def test_a_roll_is_what_drawing_cell_by_cell_gives(score: Score, kind: dict[str, bool]) -> None:
    rep = small(**kind)
    encoded = rep.encode(score)
    assert (encoded.dtype, encoded.shape) == (np.uint8, rep.shape)
    assert np.array_equal(encoded, drawn(rep, score))


@given(crowded(), kinds)
def test_round_trips(score: Score, kind: dict[str, bool]) -> None:
    rep = small(**kind)
    x = rep.encode(score)
    assert rep.decode(x) == rep.project(score)
    assert np.array_equal(rep.encode(rep.decode(x)), x)
    assert rep.project(rep.project(score)) == rep.project(score)


@given(st.binary(min_size=240, max_size=240), kinds)
def test_any_array_decodes_and_from_then_on_stays(data: bytes, kind: dict[str, bool]) -> None:
    rep = small(**kind)
    x = np.frombuffer(data, np.uint8).reshape(5, 16, 3) % 3 * 60
    if rep.onsets:
        x = np.concatenate([x, np.where(x > 60, x, 0)])
    once = rep.encode(rep.decode(x))
    assert np.array_equal(rep.encode(rep.decode(once)), once)
    if not (rep.onsets or rep.gaps):
        assert np.array_equal(once > 0, x > 0)
    if not (rep.onsets or rep.velocities or rep.gaps):
        assert rep.decode(x > 0) == rep.decode(x)


@given(st.lists(crowded(), min_size=1, max_size=4), kinds)
def test_windows_are_the_segments_side_by_side(scores: list[Score], kind: dict[str, bool]) -> None:
    rep = small(**kind)
    rows = [to_steps(gather(s, rep.trackset), s.ppq, 4) for s in scores]
    notes = np.concatenate(rows).astype(np.int16)
    owner = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    expected = np.stack([rep.encode(s) for s in scores])
    assert np.array_equal(rep.encode_windows(notes, owner, len(rows)), expected)
    used = np.full_like(expected, 7)
    assert rep.encode_windows(notes, owner, len(rows), out=used) is used
    assert np.array_equal(used, expected)


@given(crowded(), kinds)
def test_a_whole_song_begins_as_its_segment_does(score: Score, kind: dict[str, bool]) -> None:
    rep = small(**kind)
    song = rep.song(score)
    bars = bar_steps(score, rep.steps_per_beat)[-1]
    assert song.shape[1] >= bars
    inside = [t.notes[t.notes[:, 0] < 4 * score.ppq - score.ppq // 8 - 1] for t in score.tracks]
    assume(all(len(i) == len(t) for i, t in zip(inside, score.tracks, strict=True)))
    steps = min(rep.steps, song.shape[1])
    assert np.array_equal(rep.encode(score)[:, :steps], song[:, :steps])


def test_with_an_onset_plane_repeated_notes_stay_and_without_they_join() -> None:
    twice = one_track(as_notes([(0, 480, 60, 80), (480, 480, 60, 80)]))

    def lengths(**kind: bool) -> list[list[int]]:
        rep = Pianoroll("piano", bars=1, **kind)
        return rep.decode(rep.encode(twice)).tracks[0].notes[:, :2].tolist()

    assert lengths(onsets=True) == [[0, 480], [480, 480]]
    assert lengths() == [[0, 960]]
    assert lengths(gaps=True) == [[0, 360], [480, 480]]  # the rule of the Lakh Pianoroll Dataset


def test_drums_are_hits_of_one_step() -> None:
    rep = Pianoroll(bars=1)
    hits = Score((Track(as_notes([(0, 960, 36, 90), (120, 1, 36, 90)]), is_drum=True),))
    assert rep.encode(hits)[0, :, 36 - rep.low].tolist() == [1, 1] + [0] * 14
    assert rep.decode(rep.encode(hits)).tracks[0].notes[:, :2].tolist() == [[0, 120], [120, 120]]


@pytest.mark.parametrize("per_beat", [1, 3, 4, 7, 12, 24, 480])
def test_any_resolution_round_trips(per_beat: int, samples: Path) -> None:
    rep = Pianoroll(steps_per_beat=per_beat, bars=2, velocities=True, onsets=True)
    score = midi.read(samples / "freedoom_1_d_e2m3.mid")
    x = rep.encode(score.clip(19200, 30720))
    assert x.any()
    assert np.array_equal(rep.encode(rep.decode(x)), x)
    assert rep.shape == (10, 8 * per_beat, 84)


def test_with_an_onset_plane_only_onsets_begin_notes() -> None:
    rep = Pianoroll("piano", bars=1, low=60, high=60, onsets=True)
    sounds, onsets = np.zeros((2, 1, 16, 1), np.uint8)
    sounds[0, 2:8] = 1  # nothing struck until step 5
    onsets[0, [5, 12]] = 1  # step 12 does not sound, but is struck
    notes = rep.decode_steps(np.concatenate([sounds, onsets]))
    assert notes[:, :3].tolist() == [[5, 3, 60], [12, 1, 60]]


def test_decoded_scores_carry_tempo_metre_and_length() -> None:
    rep = Pianoroll(bars=2, beats_per_bar=3, qpm=90.0, velocity=64)
    score = rep.decode(np.ones(rep.shape, np.uint8))
    assert (score.tempos, score.metres) == (((0, 90.0),), ((0, 3, 4),))
    assert (score.ppq, score.length, len(score.bar_lines())) == (480, 2880, 3)
    assert [t.name for t in score.tracks] == list(rep.trackset.names)
    assert set(score.tracks[1].notes[:, 3].tolist()) == {64}


# Against other libraries, on real music.


def pieces(samples: Path) -> list[Path]:
    found = sorted(samples.glob("*.mid"))
    assert len(found) > 15
    return found


@pytest.mark.parametrize("per_beat", [4, 24])
def test_onsets_are_those_of_symusic(per_beat: int, samples: Path) -> None:
    for path in pieces(samples):
        score, theirs = midi.read(path), symusic.Score(str(path)).resample(per_beat, 1)
        k = len(score.tracks)
        mine = roll(score, per_beat, onsets=True)
        onsets, frames = theirs.pianoroll(modes=["onset", "frame"]).swapaxes(2, 3)
        assert onsets.shape[0] == k
        steps = min(mine.shape[1], onsets.shape[1])
        assert not onsets[:, steps:].any()
        assert np.array_equal(mine[k:, :steps], onsets[:, :steps])
        # They round durations and we round ends; drums are hits here.
        pitched = np.array([not t.is_drum for t in score.tracks])
        differ = mine[:k][pitched, :steps] != frames[pitched, :steps]
        assert differ.sum() <= 0.05 * frames.sum()


@pytest.mark.parametrize("packed", [True, False])
def test_a_roll_read_at_once_is_that_of_the_score(
    packed: bool, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether symusic's notes lie in memory as they are known to, or not."""
    if not packed:
        monkeypatch.setattr(quick, "_state_is_packed", lambda kind: False)
    files, quickly = pieces(samples)[::2], 0
    rng = np.random.default_rng(0)
    for i, path in enumerate(files[:4]):  # broken ones, and another format
        data = bytearray(path.read_bytes())
        data[int(rng.integers(20, len(data)))] ^= 0x80
        files.append(tmp_path / f"{i}.mid")
        files[-1].write_bytes(data[: int(rng.integers(100, len(data)))] if i % 2 else data)
    (tmp_path / "empty.mid").write_bytes(midi.to_bytes(Score()))
    for path in [*files, tmp_path / "empty.mid", samples / "ryan_durangs_hornpipe.abc"]:
        score = midi.read(path, repair=False)
        quickly += midi.columns(path) is not None
        for kind in ({}, {"low": 50, "high": 70}, {"onsets": True}, {"low": 60, "onsets": True}):
            for per_beat in (4, 24):
                assert np.array_equal(
                    read_roll(path, per_beat, **kind), roll(score, per_beat, **kind)
                )
    assert 8 < quickly < len(files)


def test_symusics_notes_lie_in_memory_as_they_are_known_to(samples: Path) -> None:
    """Else reading is right still, but slower: time to look at what symusic has changed."""
    (notes, *_) = [t.notes for t in symusic.Score(str(pieces(samples)[0])).tracks if len(t.notes)]
    assert quick._state_is_packed(type(notes))


@pytest.mark.parametrize("per_beat", [4, 24])
def test_rolls_have_the_exact_cells(per_beat: int, samples: Path) -> None:
    for path in pieces(samples)[::3]:
        score = midi.read(path)
        mine = roll(score, per_beat, velocities=True)
        slow = np.zeros_like(mine)
        for i, track in enumerate(score.tracks):
            for onset, duration, pitch, velocity in track.notes.tolist():
                on = nearest(onset, score.ppq, per_beat)
                off = max(nearest(onset + duration, score.ppq, per_beat), on + 1)
                slow[i, on : on + 1 if track.is_drum else off, pitch] = velocity
        assert np.array_equal(mine, slow)
        assert np.array_equal(roll(score, per_beat), slow > 0)
        part = roll(score, per_beat, low=40, high=70)
        assert np.array_equal(part, roll(score, per_beat)[:, : part.shape[1], 40:71])


@pytest.mark.filterwarnings("ignore::RuntimeWarning:pretty_midi")
def test_rolls_are_those_of_pypianoroll_where_it_is_right(samples: Path) -> None:
    """That is where the file has one metre of n/4, at tick 0. It rounds halves to even and ends
    down, and takes a step from notes whose key is struck again.
    """
    compared = 0
    for path in pieces(samples):
        score = midi.read(path)
        signatures = symusic.Score(str(path)).time_signatures
        if len(signatures) != 1 or signatures[0].denominator != 4 or signatures[0].time:
            continue
        theirs = pypianoroll.read(path, resolution=24)
        struck = pypianoroll.read(path, resolution=24, collect_onsets_only=True)
        assert len(theirs.tracks) == len(score.tracks)
        mine = roll(score, 24, onsets=True)
        sounding, onsets = np.split(mine, 2)
        for i, track in enumerate(score.tracks):
            a, b = (set(zip(*np.nonzero(x), strict=True)) for x in (onsets[i], struck[i].pianoroll))
            moved = {(t + d, p) for t, p in a ^ b for d in (-1, 1)}
            assert a ^ b <= moved
            assert len(a ^ b) <= 0.01 * len(a)
            if track.is_drum:
                continue
            steps = to_steps(track.notes, score.ppq, 24)
            edges = np.zeros((len(sounding[i]) + 1, 128), bool)
            for end in (steps[:, 0] - 1, steps[:, 0] + steps[:, 1] - 1, steps[:, 0] + steps[:, 1]):
                edges[np.maximum(end, 0), steps[:, 2]] = True
            until = min(len(sounding[i]), len(theirs[i].pianoroll))
            differ = sounding[i, :until] != (theirs[i].pianoroll[:until] > 0)
            assert not (differ & ~edges[:until]).any()
        compared += 1
    assert compared > 15


def test_metres_and_tempi_move_no_note(samples: Path) -> None:
    score = midi.read(samples / "freedoom_1_d_e1m1.mid")
    odd = Score(
        score.tracks,
        score.ppq,
        tempos=((0, 30.0), (1000, 400.0)),
        metres=((0, 4, 4), (700, 6, 8), (9000, 4, 4), (9001, 3, 4)),
    )
    for rep in (Pianoroll(bars=16), Pianoroll(bars=16, onsets=True)):
        assert np.array_equal(rep.encode(score), rep.encode(odd))
    assert np.array_equal(roll(score), roll(odd))


def test_bars_follow_the_metre_map() -> None:
    score = Score(metres=((0, 4, 4), (3840, 3, 4), (5280, 6, 8)), length=8160)
    assert bar_steps(score, 4).tolist() == [0, 16, 32, 44, 56, 68]
    assert bar_steps(score, 12).tolist() == [0, 48, 96, 132, 168, 204]


# What is refused.


def test_sizes_are_checked_before_anything_is_allocated() -> None:
    start = time.perf_counter()
    far = one_track(as_notes([(2**40, 1, 60, 80)]))
    for make in (lambda: roll(far, 24), lambda: Pianoroll(steps_per_beat=24).song(far)):
        with pytest.raises(ValueError, match=r"would take [\d,]+ bytes, at most 536,870,912"):
            make()
    with pytest.raises(ValueError, match="at most"):
        Pianoroll().encode_windows(np.zeros((0, 5), np.int64), np.zeros(0, int), MAX_CELLS)
    crowd = one_track(as_notes([(0, 40_000, 60, 80)] * 20_000), ppq=1)
    with pytest.raises(ValueError, match="look for notes without end"):
        roll(crowd, 1)
    assert time.perf_counter() - start < 30


def test_many_long_notes_are_drawn_in_parts() -> None:
    crowd = one_track(as_notes([(i, 3000, 60 + i % 5, 1 + i % 127) for i in range(1000)]), ppq=1)
    assert roll(crowd, 1).sum() == sum(3000 + 995 for _ in range(5))
    assert roll(crowd, 1, velocities=True)[0, 999, 64] == 1 + 999 % 127


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tracks": "lpd6"}, "no track set 'lpd6'; there are lpd5"),
        ({"bars": 0}, "at least one step"),
        ({"low": 90, "high": 80}, "no range"),
        ({"high": 128}, "no range"),
        ({"onsets": True, "gaps": True}, "choose onsets or gaps"),
    ],
)
def test_what_makes_no_roll_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pianoroll(**config)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(5, 64, 83), (4, 64, 84), (10, 64, 84), (64, 84)])
def test_arrays_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[5, time, 84\], got"):
        Pianoroll().decode(np.zeros(shape, np.uint8))


def test_nothing_gives_silence() -> None:
    assert not Pianoroll().encode(Score()).any()
    assert roll(Score()).shape == (0, 0, 128)
    assert Pianoroll().decode(np.zeros((5, 0, 84), np.uint8)).end == 0
    empty = Pianoroll().encode_windows(np.zeros((0, 5), np.int16), np.zeros(0, np.int64), 0)
    assert empty.shape == (0, 5, 64, 84)
