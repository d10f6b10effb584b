"""Drums for a rhythm out of loops that were never told one: what fits, what follows, the verb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from commands import FISHER, other_readers_agree
from tiny import SAMPLES, tune

from musegen import evaluate, midi, pipeline, pretrained
from musegen.errors import InputError, ModelError
from musegen.evaluate import drumify as answered
from musegen.pipeline import taps
from musegen.pipeline.drumify import AWAY, CHANCES, Rhythm, fit, followed, played, ranks, rhythm
from musegen.prepare import Settings, prepare
from musegen.representations.drums import KITS, Drums
from musegen.runtime import Draws
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track

KICK, SNARE, HAT, CRASH = 1, 2, 4, 128
BAND = str(SAMPLES / "freedoom_1_d_e1m1.mid")


@pytest.fixture(scope="module")
def drums() -> Any:
    return pipeline.load("drums-2bar")


def taps_at(*steps: int, windows: int = 1, loud: int = 80, steps_in: int = 32) -> Rhythm:
    grid = np.zeros((windows, 32), np.int64)
    grid.flat[list(steps)] = loud
    return Rhythm(grid, np.broadcast_to(np.arange(32) < steps_in, grid.shape))


class Loops:
    """A model that draws the loops that it is given, over and over."""

    def __init__(self, *loops: list[int]) -> None:
        self.loops = np.array(loops, np.uint16)

    def prior(self, n: int, draws: Draws) -> np.ndarray:
        return np.resize(np.arange(len(self.loops)), n)[:, None]

    def decode(self, z: np.ndarray, draws: Draws) -> np.ndarray:
        return self.loops[z[:, 0]]


def loop(**hits: range) -> list[int]:
    row = np.zeros(32, int)
    for name, steps in hits.items():
        row[list(steps)] |= {"kick": KICK, "snare": SNARE, "hat": HAT}[name]
    return row.tolist()


# what fits


def test_ranks_are_of_the_strongest_drum() -> None:
    steps = np.array([0, HAT, CRASH, SNARE | HAT, 16, KICK | SNARE, 256])
    assert ranks(steps).tolist() == [0, 1, 1, 2, 2, 3, 1]


def test_fit_is_the_likelihood_of_the_taps_against_silence() -> None:
    p0, p1, p2, p3 = CHANCES
    loops = np.array([loop(), loop(kick=range(1)), loop(hat=range(4, 5)), loop(snare=range(9, 10))])
    heard = taps_at(0, 4)
    log = np.log
    expected = [0, log(p3 / p0), log(p1 / p0), log((1 - p2) / (1 - p0))]
    assert fit(loops, heard)[0] == pytest.approx(expected)


def test_accents_weigh_more_and_what_is_outside_nothing() -> None:
    loops = np.array([loop(kick=range(1)), loop(kick=range(16, 32))])
    heard = taps_at(0, 4, steps_in=16)
    heard.loud[0, 0] = 120
    gain = np.log(CHANCES[3] / CHANCES[0])
    assert fit(loops, heard)[0] == pytest.approx([1.2 * gain, 0])


# what follows


def test_the_best_is_taken_at_temperature_0_and_others_above() -> None:
    quarters, eighths, off = (
        loop(kick=range(0, 32, 4)),
        loop(kick=range(0, 32, 2)),
        loop(kick=range(2, 32, 4)),
    )
    model, heard = Loops(off, eighths, quarters), taps_at(*range(0, 32, 4))
    (made,) = followed(model, heard, 1, Draws(1), 0)
    assert made.tolist() == [quarters]
    drawn = [followed(model, heard, 1, Draws(seed), 5)[0][0].tolist() for seed in range(12)]
    assert {tuple(row) for row in drawn} > {tuple(quarters)}


def test_likelier_loops_are_drawn_as_often_as_their_weights_say() -> None:
    """Two loops that differ by log 4: four of five draws."""
    a, b = loop(kick=range(1)), loop()
    p0, _, _, p3 = CHANCES
    loud = 100 * np.log(4) / np.log(p3 / p0)  # the tap at step 0 is then worth log 4
    heard = taps_at(0, 1)
    heard.loud[0, :2] = round(loud), round(200 - loud)
    assert np.diff(fit(np.array([b, a]), heard)[0]) == pytest.approx(np.log(4), abs=0.02)
    model = Loops(*[a, b] * 64)
    mains = [followed(model, heard, 1, Draws(s))[0][0, 0] for s in range(300)]
    assert np.mean(mains) == pytest.approx(0.8, abs=0.08)


def test_windows_hang_together() -> None:
    """The loop that fits most windows is played, and another only where it is worth its cost;
    the same rhythm has the same loop, silence the piece's.
    """
    eighths, gallop = loop(kick=range(0, 32, 2)), loop(kick=range(0, 32, 4), snare=range(3, 32, 4))
    near = loop(kick=range(0, 30, 2))
    own = [range(0, 32, 2)] * 3 + [sorted([*range(0, 32, 4), *range(3, 32, 4)])] * 2 + [[]]
    own.append(range(0, 30, 2))
    steps = [32 * w + step for w, row in enumerate(own) for step in row]
    heard = taps_at(*steps, windows=len(own))
    (made,) = followed(Loops(eighths, gallop, near), heard, 1, Draws(0), 0)
    assert np.log((1 - CHANCES[0]) / (1 - CHANCES[3])) > AWAY  # what a hit beside no tap costs
    assert made.tolist() == [eighths] * 3 + [gallop] * 2 + [eighths, near]


def test_pieces_are_different(drums) -> None:
    made = drums.drumify(tune([60, 64] * 8), 6, seed=4, alone=True, temperature=0)
    assert len({one.tracks[0].notes.tobytes() for one in made}) == 6


# what is played


def test_drums_begin_with_the_bar_or_with_a_pickup_and_end_with_the_last_window() -> None:
    def inside(first: int, last: int) -> np.ndarray:
        notes = np.array([[120 * first, 60, 60, 80], [120 * last, 60, 60, 80]])
        score = Score((Track(notes),), length=1920 * 7)
        heard = rhythm(score, score.tracks[0], taps.windows(score, 2), 32)
        return np.flatnonzero(heard.inside)[[0, -1]]

    assert inside(3, 40).tolist() == [0, 63]
    assert inside(18, 40).tolist() == [16, 63]  # bar 2
    assert inside(28, 40).tolist() == [28, 63]  # its last beat
    assert inside(32, 111).tolist() == [32, 111]  # the last window is of one bar


def test_hits_are_as_loud_as_the_notes_that_they_answer() -> None:
    heard = taps_at(0, 4)
    heard.loud[0, [0, 4]] = 120, 60
    track = played(
        np.array([loop(kick=range(0, 32, 4), hat=range(2, 4))]),
        heard,
        np.array([[960, 4800]]),
        480,
        Drums(2),
    )
    notes = track.notes[:3]
    assert notes[:, VELOCITY].tolist() == [120, 90, 90]
    assert notes[:, ONSET].tolist() == [960, 960 + 240, 960 + 360]
    assert notes[:, PITCH].tolist() == [36, 42, 42]
    assert set(track.notes[:, DURATION]) == {120}
    assert track.is_drum


# the verb


@pytest.mark.parametrize("file", [FISHER, BAND])
def test_real_music_is_answered_better_than_by_loops_at_random(drums, file: str) -> None:
    score = midi.read(file)
    windows, track = taps.windows(score, 2), taps.tapped(score, None, "", lambda text: None)
    heard = rhythm(score, track, windows, 32)
    free = drums.generate(64, seed=1)
    at_random = np.stack([Drums(2).encode(one) for one in free])

    def f1(symbols: np.ndarray, strong: int) -> float:
        hit = (ranks(symbols) >= strong) & heard.inside
        return 2 * (hit & heard.tapped).sum() / (hit.sum() + heard.tapped.sum())

    yardsticks = [
        np.mean([f1(np.repeat(one[None], len(windows), 0), k) for one in at_random]) for k in (1, 2)
    ]
    for seed in (1, 2):
        (made,) = drums.drumify(score, seed=seed)
        assert made.tracks[:-1] == score.tracks
        assert (made.tempos, made.metres) == (score.tempos, score.metres)
        assert score.end <= made.end <= score.bar_lines()[-1]
        notes = made.tracks[-1].notes
        assert made.tracks[-1].is_drum
        assert set(notes[:, PITCH]) <= set(KITS["gm"].written.tolist())
        at = taps.places(score, notes, windows, KITS["gm"].class_of)
        symbols = np.zeros(heard.loud.shape, np.int64)
        np.bitwise_or.at(symbols, (at.window, at.step), 1 << at.kind)
        assert len(at.row) == len(notes)
        assert f1(symbols, 1) > yardsticks[0] + 0.1
        assert f1(symbols, 2) > yardsticks[1]


def test_musegen_drumify_needs_no_model(cli, tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        done = cli("drumify", FISHER, "--seed", 5, "--alone", "-o", tmp_path / folder, "--json")
        assert done.json["model"] == "drums-2bar"
        files.append(Path(done.json["files"][0]["midi"]))
    assert files[0].read_bytes() == files[1].read_bytes()
    other_readers_agree(files[0])
    score = midi.read(files[0])
    assert [t.is_drum for t in score.tracks] == [True]
    assert score.recipe["verb"] == "drumify"
    given = midi.read(FISHER)
    assert score.tempos == given.tempos
    assert given.end <= score.end <= given.bar_lines()[-1]


def test_the_rhythm_of_a_chosen_track_and_of_drums_alone(drums) -> None:
    score = midi.read(BAND)
    said: list[str] = []
    bass = next(i for i, t in enumerate(score.tracks) if 32 <= t.program < 40)
    one = drums.drumify(score, seed=1, track=str(bass + 1), alone=True, say=said.append)[0]
    other = drums.drumify(score, seed=1, alone=True, say=said.append)[0]
    assert one.tracks != other.tracks
    assert "as asked" in said[0]
    beat = Score((Track(tune([36] * 16).tracks[0].notes, is_drum=True),))
    made = drums.drumify(beat, seed=1, say=said.append)[0]
    assert said[-1] == "input: took the rhythm of its drums"
    assert [t.is_drum for t in made.tracks] == [True, True]


@pytest.mark.parametrize(
    ("score", "options", "words"),
    [
        (Score(), {}, "has no notes; give a file with a rhythm in it"),
        (tune([60] * 9, metres=((0, 3, 4),)), {}, "is in 3/4, but this model knows bars of four"),
        (tune([60] * 8), {"track": "flute"}, "has no pitched track named 'flute'"),
    ],
)
def test_what_has_no_rhythm_is_told(drums, score: Score, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        drums.drumify(score, seed=1, **options)


def test_only_models_of_drums_can(drums, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "drumify" in drums.verbs()
    melodies = tiny.pipeline()
    assert "drumify" not in melodies.verbs()
    with pytest.raises(ModelError, match=r"cannot drumify, .*; try --model drums-2bar"):
        melodies.drumify(tune([60]), seed=1)
    monkeypatch.setattr(pretrained, "verbs", lambda name: [])
    with pytest.raises(ModelError, match="no shipped model can: train one, see musegen presets"):
        melodies.drumify(tune([60]), seed=1)
    for music in (midi.read(FISHER), midi.read(BAND)):
        assert pipeline.default("drumify", (), [music]) == "drums-2bar"


# the report


def test_the_report_counts_what_is_answered(cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare([SAMPLES], data, Settings("drums"), held_out=(0.2, 0.4), workers=0)
    done = cli("evaluate", "drums-2bar", "--data", data, "--drumify", SAMPLES, "--json")
    for rows in done.json["drumify"].values():
        own, made = rows["the song's own"], rows["drumify"]
        assert own["hits per bar"] == own["kick"] == 1
        assert made["F1"] > max(rows[row]["F1"] for row in ("loops at random", "of other songs"))
        assert all(0 <= value <= 1 for row in rows.values() for value in row.values())
    assert all(np.diff(shares)[0] > 0 for shares in done.json["chances"].values())
    for wrong, words in (
        (["--drumify", "bands"], "has none of the test songs"),
        (["--drumify", SAMPLES, "-n", 20], "--drumify goes with"),
    ):
        refused = cli("evaluate", "drums-2bar", "--data", data, *wrong)
        assert refused.code in (2, 3)
        assert words in refused.err


def test_figures_of_known_drums() -> None:
    tapped = np.zeros((2, 32), bool)
    tapped[:, [0, 8]] = True
    drums = np.zeros((2, 32), np.uint16)
    drums[:, 0], drums[:, 4], drums[1, 8] = KICK, SNARE, HAT
    real = evaluate.features.features(drums, Drums(2))
    figures = answered._figures([(tapped, drums)], real, 2)
    assert figures["answered"] == pytest.approx(3 / 4)
    assert figures["F1"] == pytest.approx(2 * 3 / (5 + 4))
    assert figures["answered, strong"] == pytest.approx(2 / 4)
    assert figures["F1, strong"] == pytest.approx(2 * 2 / (4 + 4))
    assert figures["as before"] == pytest.approx(31 / 32)
    assert figures["kick"] == 1
