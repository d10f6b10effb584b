"""Bar statistics against values worked out by hand, loops over the definitions, and muspy."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import normal_scores

from musegen import midi
from musegen.metrics import rolls
from musegen.metrics.rolls import BarStatistics, measure
from musegen.score import Score, Track

BEAT, BAR = 24, 96
PAPERS = ("paper", "paper-binary")


def roll(*notes: tuple[int, int, int], bars: int = 1, pitches: int = 84) -> np.ndarray:
    """One track [time, pitch] of notes (onset, duration, row)."""
    cells = np.zeros((bars * BAR, pitches), np.uint8)
    for onset, duration, row in notes:
        cells[onset : onset + duration, row] = 100
    return cells


def values(metric: str, mode: str, *tracks: np.ndarray, **rest: Any) -> Any:
    """Of one track per bar, or of a pair for TD."""
    found = measure(np.stack(tracks), BEAT, mode=mode, **rest).values[metric]
    return pytest.approx(found[:, 0].tolist(), nan_ok=True)


# By hand.


@pytest.mark.parametrize("mode", rolls.MODES)
def test_empty_bars_are_counted_over_all_bars(mode: str) -> None:
    played = roll((0, 1, 5), (3 * BAR - 1, 2, 5), bars=5)  # sounds in bars 1, 3 and 4
    silent = roll(bars=5)
    found = measure(np.stack([played, silent]), BEAT, mode=mode, drums=[1])
    assert found.values["EB"].T.tolist() == [[0, 1, 0, 0, 1], [1] * 5]
    assert found.mean("EB").tolist() == [0.4, 1]
    assert found.mean("UPC")[0] == 1  # over the bars with notes
    assert np.isnan(found.mean("DP")).all()


def test_pitch_classes_and_parts_of_the_register() -> None:
    octaves = roll((0, 9, 36), (20, 9, 48), (40, 9, 60))
    assert values("UPC", "octave", octaves) == [1]
    assert values("UPC", "paper", octaves) == [3]  # 36 // 7, 48 // 7, 60 // 7 = 5, 6, 8
    assert values("UPC", "paper-binary", octaves) == [3]  # 36 // 8, 48 // 8, 60 // 8 = 4, 6, 7
    edge = roll((0, 9, 6), (20, 9, 7))
    assert values("UPC", "octave", edge) == [2]
    assert values("UPC", "paper", edge) == [2]  # 6 // 7, 7 // 7
    assert values("UPC", "paper-binary", edge) == [1]  # 6 // 8, 7 // 8
    top = roll((0, 9, 83), (0, 9, 0), (30, 9, 11))
    assert values("UPC", "octave", top) == [2]  # 83 and 11 are the same pitch class
    assert values("UPC", "paper", top) == [3]
    assert values("UPC", "octave", roll()) == [np.nan]


def test_qualified_notes_are_a_thirty_second_long_or_two_steps() -> None:
    lengths = roll((0, 1, 10), (0, 2, 20), (0, 3, 30), (BAR - 1, 1, 40))
    assert values("QN", "octave", lengths) == [1 / 4]
    for mode in PAPERS:
        assert values("QN", mode, lengths) == [2 / 4]


def test_a_note_over_a_bar_line_is_one_note_or_two() -> None:
    tied = roll((BAR - 1, 4, 10), (2 * BAR - 3, 4, 10), bars=3)
    assert values("QN", "octave", tied) == [1, 1, np.nan]
    for mode in PAPERS:  # 1 step; 3 steps and 3 steps; 1 step
        assert values("QN", mode, tied) == [0, 1, 0]
    assert measure(tied[None], BEAT).mean("QN").tolist() == [1]
    assert measure(tied[None], BEAT, mode="paper").mean("QN") == pytest.approx([1 / 3])


def test_onsets_tell_repeated_notes_from_held_ones() -> None:
    held = roll((0, 4, 10))
    onsets = np.zeros_like(held)
    onsets[[0, 2, 50], 10] = 1  # one where nothing sounds
    assert values("QN", "octave", held) == [1]
    assert values("QN", "octave", held, onsets=onsets[None]) == [0]
    assert values("QN", "paper", held, onsets=onsets[None]) == [1]
    drums = measure(held[None], BEAT, drums=[0], onsets=onsets[None])
    assert drums.values["DP"].tolist() == [[0.5]]  # hits at 0 and 2
    assert measure(held[None], BEAT, drums=[0]).values["DP"].tolist() == [[1]]


@pytest.mark.parametrize("mode", rolls.MODES)
def test_polyphony_is_two_pitches_or_more(mode: str) -> None:
    voices = roll((0, 24, 10), (0, 12, 20), (6, 3, 30), (90, 6, 10))
    assert values("PP", mode, voices) == [12 / 96]
    assert values("PP", mode, roll((0, 9, 9))) == [0]


def test_drums_on_sixteenths() -> None:
    def pattern(*hits: int) -> dict[str, float]:
        track = roll(*((hit, 1, 30) for hit in hits))[None]
        names = rolls.MODES
        return {m: measure(track, BEAT, drums=[0], mode=m).values["DP"].item() for m in names}

    found = pattern(0, 24, 7, 3)  # on, on, a step beside, between two sixteenths
    assert found == pytest.approx({"octave": 2 / 4, "paper": 2.3 / 4, "paper-binary": 2.1 / 4})
    late = pattern(3, 9, 93)  # all on a grid that lies half a sixteenth late
    assert late == {"octave": 0, "paper": 1, "paper-binary": 1}
    last = pattern(5, 11)  # a shift by 5
    assert last == {"octave": 0, "paper": 1, "paper-binary": 1}
    two = pattern(0, 1, 2)  # best: 0.3 + 1 + 0.3; as one long hit it begins once
    assert two == {"octave": 1, "paper": 1, "paper-binary": 1}
    chord = measure(roll((0, 1, 30), (0, 1, 40), (2, 1, 50))[None], BEAT, drums=[0])
    assert chord.values["DP"].item() == pytest.approx(2 / 3)


def chord_distance(fifths: float, minor: float, major: float) -> float:
    """Two points on Harte's three circles, from the angles between them."""
    chords = 2 * np.sin(np.array([fifths, minor, major]) / 2)
    return float(np.linalg.norm(chords * [1, 1, 0.5]))


def test_tonal_distance_of_two_notes() -> None:
    c, g = roll((0, 96, 36)), roll((0, 96, 43), (0, 96, 55), (0, 96, 7))
    fifth = chord_distance(np.pi / 6, np.pi / 2, 2 * np.pi / 3)  # 7 times 7/6, 3/2, 2/3 pi
    assert values("TD", "octave", c, g) == [fifth]
    assert values("TD", "octave", c, roll((0, 96, 12))) == [0]
    semitone = chord_distance(7 * np.pi / 6, 3 * np.pi / 2, 2 * np.pi / 3)
    assert values("TD", "octave", roll((0, 96, 0)), roll((0, 96, 1))) == [semitone]
    assert values("TD", "paper", roll((0, 96, 0)), roll((0, 96, 6))) == [0]
    assert values("TD", "paper", roll((0, 96, 0)), roll((0, 96, 7))) == [semitone]
    assert values("TD", "paper-binary", roll((0, 96, 0)), roll((0, 96, 7))) == [0]


def test_chroma_is_weighted_by_time_within_a_beat() -> None:
    third = roll((0, 96, 0), *((b, 8, 4) for b in (0, 24, 48, 72)))  # C three times as long as E
    angle = 4 * np.pi * np.array([7 / 6, 3 / 2, 2 / 3])
    moved = np.abs(1 - (3 + np.exp(1j * angle)) / 4) * [1, 1, 0.5]
    assert values("TD", "octave", roll((0, 96, 0)), third) == [np.linalg.norm(moved)]


def test_beats_in_which_a_track_rests() -> None:
    c = roll((0, 96, 0), (96, 96, 0), bars=3)
    part = roll((0, 24, 0), (24, 24, 7), (96, 96, 7), bars=3)  # C, G, rest, rest | G | rest
    fifth = chord_distance(np.pi / 6, np.pi / 2, 2 * np.pi / 3)
    assert values("TD", "octave", c, part) == [fifth / 2, fifth, np.nan]
    found = values("TD", "paper", c, part).expected
    assert np.isnan(found).tolist() == [True, False, True]  # a rest spoils the bar


def test_pairs_are_those_of_pitched_tracks() -> None:
    band = np.stack([roll((0, 96, i)) for i in range(4)])
    assert measure(band, BEAT, drums=[1]).pairs == ((0, 2), (0, 3), (2, 3))
    found = measure(band, BEAT, pairs=[(3, 1)])
    assert found.values["TD"].shape == (1, 1)
    assert measure(band[:1], BEAT).values["TD"].shape == (1, 0)


def test_drums_have_no_pitch_metrics_and_pitched_tracks_no_pattern() -> None:
    band = np.stack([roll((0, 24, 12)), roll((0, 24, 12))])
    found = measure(band, BEAT, drums=[0])
    assert {k: np.isnan(v[0]).tolist() for k, v in found.values.items() if k != "TD"} == {
        "EB": [False, False],
        "UPC": [True, False],
        "QN": [True, False],
        "PP": [True, False],
        "DP": [False, True],
    }


def test_other_resolutions() -> None:
    cells = np.zeros((1, 16, 12), bool)
    cells[0, [0, 5, 10], [0, 4, 7]] = 1  # sixteenths: nothing is shorter than a thirty-second
    assert measure(cells, 4).values["QN"].tolist() == [[1]]
    assert measure(cells, 4, mode="paper").values["QN"].tolist() == [[0]]
    assert measure(cells, 4, drums=[0]).values["DP"].tolist() == [[1]]
    twelve = np.zeros((1, 48, 12), bool)
    twelve[0, [0, 13], 3] = 1
    assert measure(twelve, 12, drums=[0]).values["DP"].tolist() == [[0.5]]
    assert measure(twelve, 12, drums=[0], mode="paper").values["DP"].tolist() == [[1.3 / 2]]
    eighty = np.zeros((1, 320, 12), bool)
    eighty[0, :9, 0] = eighty[0, :10, 1] = True
    assert measure(eighty, 80).values["QN"].tolist() == [[0.5]]  # a thirty-second is 10 steps
    twelve[0, 1] = twelve[0, 0]
    assert measure(twelve, 12).values["QN"].tolist() == [[0.5]]  # a thirty-second is 1.5 steps


def test_bars_of_different_lengths() -> None:
    assert len(measure(roll()[None], BEAT, [0, 96]).values["EB"]) == 1
    cells = np.zeros((2, 3 * 24 + 2 * 24, 12), bool)  # 3/4, then 2/4
    cells[0, [0, 60, 72, 119]] = True
    cells[1, 60:80] = True
    found = measure(cells, 24, [0, 72, 120])
    assert found.values["EB"].tolist() == [[0, 0], [0, 0]]
    assert found.values["PP"].T.tolist() == [[2 / 72, 2 / 48], [12 / 72, 8 / 48]]
    hits = measure(cells[:1], 24, [0, 54, 120], drums=[0]).values["DP"]
    assert hits.tolist() == [[1], [2 / 3]]  # at 0; at 6, 18 and 65 after the second bar line
    short = measure(cells, 48, [0, 72, 120])  # a beat and a half, one beat
    assert short.values["TD"][:, 0] == pytest.approx([0, 0])


# Loops over the definitions.


def by_loops(cells: np.ndarray, beat: int, bar: int, drums: set[int], mode: str) -> dict:
    """As `measure` of rolls [n, track, time, pitch], cell by cell."""
    paper = mode != "octave"
    time, pitches = cells.shape[2:]
    pairs = list(combinations([i for i in range(cells.shape[1]) if i not in drums], 2))
    width = {"paper": -(-pitches // 12), "paper-binary": pitches // 12 + 1}.get(mode)
    found: dict[str, list] = {m: [] for m in (*rolls.TRACK_METRICS, "TD")}
    for song in cells:
        for start in range(0, time, bar):
            rows: dict[str, list] = {m: [] for m in found}
            for k, track in enumerate(song):
                inside = track[start : start + bar]
                on = {(t, p) for t, p in zip(*np.nonzero(inside), strict=True)}
                notes = []
                for t, p in sorted(on):
                    before = (t - 1, p) in on
                    if t == 0 and start and not paper:
                        before = bool(track[start - 1, p])
                    if before:
                        continue
                    end = start + t
                    while end < (start + bar if paper else time) and track[end, p]:
                        end += 1
                    notes.append((t, end - start - t))
                rows["EB"].append(float(not on))
                classes = {p // width if paper else p % 12 for _, p in on}
                least = 2 if paper else beat / 8
                good = [d >= least for _, d in notes]
                pitched = k not in drums
                rows["UPC"].append(len(classes) if on and pitched else np.nan)
                rows["QN"].append(np.mean(good) if good and pitched else np.nan)
                voices = np.count_nonzero(inside, axis=1)
                rows["PP"].append(np.mean(voices >= 2) if on and pitched else np.nan)
                weights = {"octave": {0: 1.0}, "paper": {0: 1.0, 1: 0.3}}
                weight = weights.get(mode, {0: 1.0, 1: 0.1})
                six = beat // 4
                shifts = range(six if paper else 1)
                scores = [
                    sum(weight.get(min((t - s) % six, (s - t) % six), 0) for t, _ in notes)
                    for s in shifts
                ]
                drummed = notes and not pitched
                rows["DP"].append(max(scores) / len(notes) if drummed else np.nan)
            for i, j in pairs:
                gaps = []
                for b in range(start, start + bar, beat):
                    points = []
                    for k in (i, j):
                        chroma = np.zeros(12)
                        for p in np.nonzero(song[k, b : b + beat])[1]:
                            chroma[p // width if paper else p % 12] += 1
                        r = np.arange(12)
                        circles = [np.exp(1j * np.pi * r * a) for a in (7 / 6, 3 / 2, 2 / 3)]
                        points.append([c @ chroma / chroma.sum() if any(chroma) else np.nan
                                       for c in circles])  # fmt: skip
                    away = np.abs(np.subtract(*points)) * [1, 1, 0.5]
                    gaps.append(np.sqrt((away**2).sum()))
                heard = [g for g in gaps if not np.isnan(g)]
                whole = len(heard) == len(gaps) if paper else heard
                rows["TD"].append(np.mean(heard) if whole else np.nan)
            for m, row in rows.items():
                found[m].append(row)
    return found


@given(
    st.integers(0, 2**32),
    st.sampled_from(sorted(rolls.MODES)),
    st.sampled_from([8, 16]),
    st.sampled_from([13, 24]),
)
def test_measure_is_the_definitions(seed: int, mode: str, beat: int, pitches: int) -> None:
    generator = np.random.default_rng(seed)
    cells = generator.random((2, 3, 6 * beat, pitches)) < generator.choice([0.01, 0.05, 0.2])
    stretch = generator.integers(1, 5)
    cells = np.repeat(cells[:, :, :: int(stretch)], stretch, axis=2)[:, :, : 6 * beat]
    cells[0, 0, : 3 * beat] = 0
    found = measure(cells, beat, 3 * beat, drums=[2], mode=mode)
    expected = by_loops(cells, beat, 3 * beat, {2}, mode)
    for metric, rows in expected.items():
        assert found.values[metric] == pytest.approx(np.array(rows), nan_ok=True, abs=1e-6), metric


@given(st.integers(0, 2**32), st.sampled_from(sorted(rolls.MODES)))
def test_many_rolls_are_each_alone(seed: int, mode: str) -> None:
    cells = np.random.default_rng(seed).random((3, 2, 64, 12)) < 0.1
    together = measure(cells, 8, mode=mode)
    alone = [measure(c, 8, mode=mode) for c in cells]
    for metric, found in together.values.items():
        assert np.array_equal(
            found, np.concatenate([a.values[metric] for a in alone]), equal_nan=True
        )


def test_large_sets_are_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = np.random.default_rng(0).random((7, 2, 32, 12)) < 0.1
    onsets = cells & (np.random.default_rng(1).random(cells.shape) < 0.5)
    whole = measure(cells, 8, onsets=onsets)
    sizes: list[int] = []
    part = rolls._measure

    def watched(active: np.ndarray, *rest: Any) -> Any:
        sizes.append(len(active))
        return part(active, *rest)

    monkeypatch.setattr(rolls, "_measure", watched)
    big = measure(np.broadcast_to(cells[:1], (9, 2, 32, 12)).repeat(6000, axis=0), 8)
    assert len(sizes) > 1
    assert sum(sizes) == 54000
    assert len(big.values["EB"]) == 54000
    assert np.array_equal(whole.values["QN"], measure(cells, 8, onsets=onsets).values["QN"])


# muspy, where it is right.


def test_muspy_agrees() -> None:
    import muspy

    generator = np.random.default_rng(3)
    for _ in range(6):
        bars = 5
        rows = np.column_stack(
            [
                generator.integers(0, bars * 16 - 4, 30),
                generator.integers(1, 4, 30),
                generator.integers(40, 70, 30),
            ]
        ).tolist()
        rows = [r for r in rows if r[0] // 16 != 2 and (r[0] + r[1]) // 16 != 2]
        rows.append([bars * 16 - 3, 2, 50])  # ends in the last bar: muspy counts bars by the end
        cells = np.zeros((1, bars * 16, 128), bool)
        for onset, duration, pitch in rows:
            cells[0, onset : onset + duration, pitch] = True
        notes = [muspy.Note(t, p, d) for t, d, p in rows]
        piece = muspy.Music(resolution=4, tracks=[muspy.Track(notes=notes)])
        found = measure(cells, 4)
        assert found.mean("EB")[0] == pytest.approx(muspy.empty_measure_rate(piece, 16))
        for b in range(bars):
            inside = muspy.Track(
                notes=[n for n in notes if n.time < 16 * (b + 1) and n.end > 16 * b]
            )
            classes = muspy.n_pitch_classes_used(muspy.Music(tracks=[inside]))
            value = found.values["UPC"][b, 0]
            assert np.isnan(value) if classes == 0 else value == classes
        share = np.where(np.isnan(found.values["PP"][:, 0]), 0, found.values["PP"][:, 0]).sum()
        length = max(n.end for n in notes)
        assert share * 16 == pytest.approx(muspy.polyphony_rate(piece, threshold=1) * length)
        once = sorted({(t, p) for t, _, p in rows})
        hits = [muspy.Note(t, p, 1) for t, p in once]
        kit = muspy.Music(resolution=12, tracks=[muspy.Track(is_drum=True, notes=hits)])
        fine = np.zeros((1, 12 * 8, 128), bool)
        fine[0, [t for t, _ in once], [p for _, p in once]] = True
        whole = measure(fine, 12, 96, drums=[0], onsets=fine).values["DP"].item()
        assert whole == pytest.approx(muspy.drum_in_pattern_rate(kit, "duple"))


def test_pypianoroll_agrees_on_polyphony() -> None:
    import pypianoroll

    cells = np.random.default_rng(1).random((96, 128)) < 0.01
    rate = pypianoroll.polyphonic_rate(cells, threshold=1)  # its default asks for three pitches
    assert measure(cells[None], BEAT).values["PP"].item() == pytest.approx(rate)


# The result.


def band() -> BarStatistics:
    tracks = [roll((0, 9, 36), (96, 9, 40), bars=2), roll(bars=2), roll((0, 1, 36), bars=2)]
    return measure(np.stack(tracks), BEAT, names=["Piano", "Bass", "Drums"], drums=[2])


def test_a_lost_track_is_named() -> None:
    assert band().dead() == ("Bass",)
    assert band().dead(0.5) == ("Bass", "Drums")
    assert measure(roll((0, 1, 1))[None], BEAT).dead() == ()


def test_as_a_table_and_as_json() -> None:
    lines = band().table()
    assert lines[0].split() == ["track", "EB", "UPC", "QN", "PP", "DP", "TD", "2"]
    assert lines[1].split() == ["1", "Piano", "0.000", "1.000", "1.000", "0.000", "-", "-"]
    assert lines[3].split() == ["3", "Drums", "0.500", "-", "-", "-", "1.000", "-"]
    assert len({len(line) for line in lines}) == 1
    three = measure(np.stack([roll((0, 96, i)) for i in (0, 7, 12)]), BEAT).table()
    assert three[0].split()[-4:] == ["TD", "2", "TD", "3"]
    assert three[1].split()[-2:] == ["1.737", "0.000"]  # a fifth, an octave
    assert three[2].split()[-2:] == ["-", "1.737"]
    one = measure(roll((0, 96, 1))[None], BEAT).table()
    assert one[0].split() == ["track", "EB", "UPC", "QN", "PP", "DP"]
    data = json.loads(json.dumps(band().as_dict()))
    assert data["tracks"] == ["Piano", "Bass", "Drums"]
    assert data["mode"] == "octave"
    assert data["bars"] == 2
    assert data["EB"] == [0, 1, 0.5]
    assert data["UPC"] == [1, None, None]
    assert data["pairs"] == [[0, 1]]
    assert data["TD"] == [None]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"mode": "chroma"}, "no mode 'chroma'; there are octave, paper, paper-binary"),
        ({"bar": 7}, "96 steps are not whole bars of 7"),
        ({"bar": [0, 50]}, "bar lines must rise from 0 to the 96 steps"),
        ({"bar": [0, 50, 50, 96]}, "bar lines must rise"),
        ({"onsets": np.zeros((2, 1, 96, 84))}, "onsets must have the shape"),
        ({"beat": 6, "mode": "paper"}, "take a multiple of 4"),
    ],
)
def test_what_cannot_be_measured_is_said(settings: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        measure(**{"rolls": roll((0, 1, 1))[None], "beat": BEAT} | settings)


# Scores.


def test_of_a_score_in_its_own_bars() -> None:
    lead = Track([(0, 480, 60, 80), (480, 480, 60, 80), (1440, 960, 72, 80)], name="Lead")
    kit = Track([(0, 5, 36, 80), (130, 900, 38, 80)], is_drum=True)
    score = Score((lead, kit, Track()), ppq=480, metres=((0, 3, 4), (1440, 2, 4)), length=4320)
    found = rolls.of_score(score)
    assert found.names == ("Lead", "track 2", "track 3")
    assert found.values["EB"].T.tolist() == [[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]
    assert found.mean("UPC").tolist()[0] == 1
    assert found.mean("QN").tolist()[0] == 1
    assert found.mean("DP")[1] == 0.5  # one at 6.5 steps, half up 7
    assert found.dead() == ("track 3",)
    assert found.pairs == ((0, 2),)
    paper = rolls.of_score(score, "paper")
    assert paper.values["UPC"][:2, 0].tolist() == [1, 1]
    assert paper.mean("DP")[1] == 1.3 / 2


def test_published_code_knows_84_pitches() -> None:
    score = Score((Track([(0, 480, 23, 80), (1920, 480, 24, 80), (3840, 480, 107, 80)]),))
    high = Score((Track([(0, 480, 24, 80), (1920, 480, 108, 80)]),))
    assert rolls.of_score(score).mean("EB") == [0]
    assert rolls.of_score(score, "paper").values["EB"].ravel().tolist() == [1, 0, 0]
    assert rolls.of_score(high, "paper").values["EB"].ravel().tolist() == [0, 1]


@settings(max_examples=20)
@given(normal_scores())
def test_any_score_is_measured(score: Score) -> None:
    found = rolls.of_score(score, beat=4)
    bars = np.unique(score.bar_lines() * 8 // score.ppq)
    assert 1 <= len(found.values["EB"]) <= len(bars)
    assert ((found.values["EB"] == 0).any(axis=0)).all()


def test_a_real_band(samples: Path) -> None:
    found = rolls.of_score(midi.read(samples / "freedoom_1_d_e1m1.mid"))
    assert len(found.values["EB"]) == 72
    assert found.dead() == ()
    assert 0.9 < found.mean("DP")[-1] < 1
    assert not np.isnan(found.mean("TD")).any()


# Bars with each other.


def test_self_similarity_by_hand() -> None:
    cells = np.zeros((2, 5 * 4, 3), np.uint8)  # bars of 4 steps
    cells[0, 0:4, 0] = 90  # four cells
    cells[0, 4:6, 0] = 10  # two of them
    cells[1, 8:12, 0] = 90  # the same on the other track
    found = rolls.self_similarity(cells, 4)
    half = 2 / np.sqrt(4 * 2)
    expected = [
        [1, half, 0, 0, 0],
        [half, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1],
    ]
    assert found == pytest.approx(np.array(expected))


def test_self_similarity_of_bars_of_different_lengths() -> None:
    cells = np.zeros((7, 2), bool)
    cells[[0, 1, 3, 4], 1] = True
    assert rolls.self_similarity(cells, [0, 3, 7]) == pytest.approx(np.ones((2, 2)))
    assert rolls.self_similarity(np.eye(3, dtype=bool), 1) == pytest.approx(np.eye(3))


@given(st.integers(0, 2**32))
def test_self_similarity_is_symmetric_and_a_share(seed: int) -> None:
    cells = np.random.default_rng(seed).random((2, 24, 5)) < 0.2
    found = rolls.self_similarity(cells, 4)
    assert np.array_equal(found, found.T)
    assert np.diag(found) == pytest.approx(np.ones(6))
    assert (found >= 0).all()
    assert (found <= 1 + 1e-9).all()


@pytest.mark.parametrize("mode", ["octave", "paper"])
@pytest.mark.parametrize("bar", [16, 10])  # beats alike, and a short last one
def test_tonal_distances_alone_are_those_of_measure(mode: str, bar: int) -> None:
    x = (np.random.default_rng(0).random((6, 4, 80, 30)) < 0.03).astype(np.uint8)
    pairs = [(1, 2), (2, 3)]
    alone = rolls.tonal_distances(x, 4, bar, pairs, mode)
    assert alone.shape == (6, 2, 80 // bar)
    whole = measure(x, 4, bar, drums=[0], mode=mode, pairs=pairs).values["TD"]
    assert np.isfinite(whole).any()
    assert np.array_equal(np.moveaxis(alone, 1, 2).reshape(-1, 2), whole, equal_nan=True)
