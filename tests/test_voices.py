"""Four voices: which track is which, every verb on chorales, the figures that count for them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FOLDER, SAMPLES

from musegen import pipeline as ways
from musegen.dataset import Windows, load
from musegen.errors import InputError
from musegen.evaluate import measure, voices
from musegen.evaluate.copies import copies
from musegen.midi import read
from musegen.models.diffusion import Denoiser
from musegen.pipeline.canvas import one_by_one
from musegen.pipeline.diffusion import DiffusionPipeline
from musegen.pipeline.voices import sung_by, voices_of
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.presets import preset
from musegen.pretrained import Bundle
from musegen.representations.tracks import TRACKSETS
from musegen.score import DURATION, ONSET, Score, Track

QUICK: dict[str, Any] = {"steps": 2, "seed": 3}
SATB = TRACKSETS["satb"]
ROLL: Any = preset("chorale_4bar").representation
CHORALE = "bach_bwv66_6.mid"


@cache
def pipeline() -> DiffusionPipeline:
    """The preset's sizes but thin, untrained, and noisy enough to write notes everywhere."""
    torch.manual_seed(0)
    usual: Any = preset("chorale_4bar").model
    model = Denoiser(replace(usual, channels=8, keys=12, heads=2, density=(0.1,) * 8))
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.12)
    assert model.keys is not None
    torch.nn.init.normal_(model.keys.last.weight, std=3.0)
    return DiffusionPipeline(Bundle("tiny", model.eval(), ROLL))


@cache
def chorale() -> Score:
    return read(SAMPLES / CHORALE)


def line(pitch: int, name: str = "", n: int = 8, **more: Any) -> Track:
    return Track(np.array([(i * 480, 480, pitch + i % 3, 70) for i in range(n)]), name=name, **more)


def song(*tracks: Track) -> Score:
    return Score(tracks, length=4 * 1920)


CHORDS = Track(
    np.array([(i * 480, 480, p, 70) for i in range(8) for p in (48, 52, 55)]), name="Pad"
)
DRUM = line(36, "Kit", is_drum=True)


@pytest.mark.parametrize(
    ("tracks", "track", "expected"),
    [
        ([line(60, "Tenor"), line(72, "Sopran"), line(45, "Basso"), line(66, "Alt")], None, "2031"),
        ([line(50), line(72), line(58), line(66)], None, "3021"),
        ([line(48)], None, "0"),
        ([line(40), line(70)], None, "30"),
        ([line(70), line(66)], None, "01"),
        ([line(70), line(50), line(66)], None, "031"),
        ([line(70), DRUM, Track(), line(50)], None, "0--3"),
        ([line(70, "Alto"), CHORDS], None, "1-"),
        ([line(70, "Flute"), CHORDS], "flute", "0-"),
        ([line(70, "Flute"), line(60, "Soprano"), line(40, "Bass")], 1, "0-3"),
        ([line(70, "Bass"), line(60, "Bass")], None, "02"),
    ],
)
def test_which_track_is_which_voice(tracks: Any, track: Any, expected: str) -> None:
    found = voices_of(song(*tracks), SATB, track, "it")
    assert found == [-1 if c == "-" else int(c) for c in expected]


def test_what_was_taken_is_told() -> None:
    score = song(line(50), line(70, "Tune"), CHORDS)
    assert sung_by(score, [3, 0, -1], SATB) == ", soprano 'Tune', bass 'track 1'; as it is: 'Pad'"


@pytest.mark.parametrize(
    ("tracks", "track", "words"),
    [
        ([line(70), CHORDS], None, "'Pad' plays chords; give each voice a track"),
        ([line(40 + 5 * i) for i in range(5)], None, "5 pitched tracks.*name them Soprano, Alto"),
        ([line(70)], "Flute", "no pitched track named 'Flute'"),
    ],
)
def test_what_cannot_be_sung_is_told(tracks: Any, track: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        voices_of(song(*tracks), SATB, track, "it")


def test_new_music_has_four_voices_of_one_note_at_a_time() -> None:
    one, two = pipeline().generate(2, bars=6, **QUICK)
    assert [t.name for t in one.tracks] == ["Soprano", "Alto", "Tenor", "Bass"]
    assert one.length == 6 * 1920
    assert one != two
    assert pipeline().generate(2, bars=6, **QUICK) == [one, two]
    assert not one.chords
    for track in (*one.tracks, *two.tracks):
        assert len(track) > 10
        notes = track.notes
        assert (notes[:-1, ONSET] + notes[:-1, DURATION] <= notes[1:, ONSET]).all()


def test_a_note_ends_where_the_next_begins() -> None:
    new = np.array([(0, 960, 60, 70), (480, 480, 62, 70), (1920, 960, 64, 70)])
    found = one_by_one(new, [Track(np.array([(720, 480, 50, 70)]))])
    assert found[:, DURATION].tolist() == [480, 240, 960]
    assert new[0, DURATION] == 960


def test_a_soprano_is_kept_and_the_others_are_made() -> None:
    tune = replace(chorale(), tracks=chorale().tracks[:1])
    made = pipeline().accompany(tune, **QUICK)[0]
    assert made.tracks[0] == tune.tracks[0]
    assert [t.name for t in made.tracks[1:]] == ["Alto", "Tenor", "Bass"]
    assert all(len(t) > 10 for t in made.tracks)


@pytest.mark.parametrize(
    ("given", "track", "kept"),
    [([0, 3], None, [0, 1]), ([0, 1, 2, 3], None, [0]), ([0, 1, 2, 3], "Bass", [3])],
)
def test_accompany_keeps_what_is_given(given: Any, track: Any, kept: Any) -> None:
    named = [replace(t, name=n) for t, n in zip(chorale().tracks, SATB.names, strict=True)]
    before = replace(chorale(), tracks=tuple(named[i] for i in given))
    after = pipeline().accompany(before, track=track, **QUICK)[0]
    assert len(after.tracks) == 4
    same = [i for i, t in enumerate(before.tracks) if after.tracks[i] == t]
    assert same == kept


def moved(score: Score, by: int) -> Score:
    tracks = (replace(t, notes=t.notes + np.array([0, 0, by, 0])) for t in score.tracks)
    return replace(score, tracks=tuple(tracks))


@pytest.mark.parametrize("by", [-1, 2])
def test_music_in_another_key_is_filled_alike(by: int) -> None:
    tune = replace(chorale(), tracks=chorale().tracks[:1])
    one, other = (pipeline().accompany(s, **QUICK)[0] for s in (tune, moved(tune, by)))
    assert moved(one, by).tracks == other.tracks


def test_new_music_is_in_keys_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[Any] = []
    monkeypatch.setattr(DiffusionPipeline, "_fill", lambda self, page, *_: pages.append(page) or [])
    for seed in range(30):
        pipeline().generate(seed=seed)
    lows = {page.roll.low for page in pages}
    assert lows == set(range(ROLL.low - 3, ROLL.low + 5))
    assert {page.roll.high - page.roll.low for page in pages} == {ROLL.high - ROLL.low}


def test_training_music_is_moved_home() -> None:
    notes = [[(0, 4, 60 + k, 80), (4, 4, 64 + k, 80), (8, 8, 67 + k, 80)] for k in (0, 2, 9)]
    offsets, song = np.array([0, 3, 6, 9]), np.arange(3)
    rows = np.array(notes, np.int16).reshape(-1, 4)
    data = Windows(rows, offsets, 0 * song, ("x",), ROLL, song=song)
    assert data.home.tolist() == [0, -2, 3]
    assert data.moved_home().notes[:, 2].tolist() == [60, 64, 67, 60, 64, 67, 72, 76, 79]
    assert data.notes[3, 2] == 62


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"part": "Alto"}, {1}),
        ({"bars": "3-4"}, {0, 1, 2, 3}),
        ({"bars": "2", "part": "bass"}, {3}),
    ],
)
def test_what_is_outside_is_kept_exactly(options: Any, changed: set[int]) -> None:
    before = chorale()
    after = pipeline().inpaint(before, **options, **QUICK)[0]
    bars = [int(b) for b in options.get("bars", "1-99").split("-")]
    bar = 4 * before.ppq
    first, last = (bars[0] - 1) * bar, bars[-1] * bar
    for i, (old, new) in enumerate(zip(before.tracks, after.tracks, strict=True)):
        inside = [(n[:, ONSET] >= first) & (n[:, ONSET] < last) for n in (old.notes, new.notes)]
        if i in changed:
            assert np.array_equal(old.notes[~inside[0]], new.notes[~inside[1]])
            assert not np.array_equal(old.notes, new.notes)
        else:
            assert old == new


def test_the_other_verbs() -> None:
    p, before = pipeline(), chorale()
    (after,) = p.continue_(before, bars=2, **QUICK)
    end = before.bar_lines()[-1]
    for old, new in zip(before.tracks, after.tracks, strict=True):
        assert np.array_equal(new.notes[new.notes[:, ONSET] < end], old.notes)
        assert (new.notes[:, ONSET] >= end).any()
    assert p.vary(before, amount=0.5, **QUICK)[0].tracks != before.tracks
    way = p.interpolate(before, read(SAMPLES / "bach_bwv347.mid"), steps=3, looks=2)
    assert [len(s.tracks) for s in way] == [4, 4, 4]
    found, figures = p.reconstruct(before, steps=4)
    assert found.length == 4 * 1920
    assert figures["bars"] == 4


def test_other_models_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also larger ones, where nobody asks for voices."""
    config = {"family": "diffusion", "model": {}, "info": {"verbs": ["accompany"]}}
    told = {n: config | {"representation": {"tracks": n}} for n in ("satb", "piano and melody")}
    monkeypatch.setattr(ways.pretrained, "names", lambda: [*told])
    monkeypatch.setattr(ways.pretrained, "locate", lambda name: name)
    monkeypatch.setattr(ways.pretrained, "read_config", lambda name: told[name])
    monkeypatch.setattr(ways.pretrained, "size", len)
    monkeypatch.setattr(ways.pretrained, "DEFAULT", "another")
    assert ways.default("accompany") == "piano and melody"
    monkeypatch.setattr(ways.pretrained, "names", lambda: ["satb"])
    assert ways.default("accompany") == "satb"


def test_no_chords_are_taken() -> None:
    assert "chords" not in DiffusionPipeline.takes("generate", {"told": 0})
    with pytest.raises(Exception, match="takes no chords"):
        pipeline().generate(chords="C", **QUICK)


def cells(*beats: tuple[int, ...]) -> Any:
    """A roll of quarters, each with a pitch for every voice."""
    x = np.full((1, 8, 64, 60), -1, np.int8)
    for b, chord in enumerate(beats):
        for voice, pitch in enumerate(chord):
            x[0, voice, 4 * b, pitch - ROLL.low] = 1
            x[0, 4 + voice, 4 * b + 1 : 4 * b + 4, pitch - ROLL.low] = 1
    return x


def test_voices_are_heard() -> None:
    x = cells((72, 67, 64, 48), (74, 67, 65, 43))
    assert voices.sounding(x, ROLL)[0, :, :9:4].T.tolist() == [
        [72, 67, 64, 48],
        [74, 67, 65, 43],
        [-1] * 4,
    ]


@pytest.mark.parametrize(
    ("beats", "figure", "expected"),
    [
        ([(72, 67, 64, 48), (72, 69, 65, 53)], "beats with a chord", 1.0),
        ([(71, 65, 62, 55), (72, 67, 62, 48)], "beats with a chord", 0.5),  # G7, then no chord
        ([(72, 71, 64, 48), (72, 67, 64, 48)], "semitones on beats", 0.5),
        ([(60, 67, 55, 48)], "crossings", 1 / 3),
        ([(72, 67, 64, 48), (74, 67, 65, 50)], "parallels in 100 changes", 100.0),  # octaves
        ([(72, 67, 64, 48), (71, 67, 62, 55)], "parallels in 100 changes", 0.0),
        ([(72, 67, 64, 48), (72, 67, 64, 48)], "parallels in 100 changes", 0.0),  # none moves
        ([(72, 67, 64, 48), (72, 67, 64, 60)], "leaps", 1.0),
        ([(72, 67, 64, 48)] * 8, "all voices", 0.5),
    ],
)
def test_figures_by_hand(beats: Any, figure: str, expected: float) -> None:
    assert voices.counts(cells(*beats), ROLL)[figure] == pytest.approx(expected)


def test_the_report_of_voices() -> None:
    folder = FOLDER / "satb"
    named = FOLDER / "chorales"
    named.mkdir()
    for path in sorted(SAMPLES.glob("bach*.mid")):
        score = read(path)
        tracks = zip(score.tracks, SATB.names, strict=True)
        replace(score, tracks=tuple(replace(t, name=n) for t, n in tracks)).write(named / path.name)
    prepare([named], folder, Settings("band", 4, 1, "satb", 4), held_out=(0.3, 0.3))
    held_out, training = (load(folder, part, ROLL) for part in ("test", "train"))
    assert not training.home.any()
    bundle = pipeline().bundle
    found = measure(bundle, held_out, training, n=40, steps=1, curve=(1,), seed=1)
    assert set(found.numbers["overlap"]) == {"made", "real", "shuffled"}
    assert found.numbers["samples"] == 40
    told = found.numbers["voices"]
    assert set(told) == {"made", "below sopranos", "real", "shuffled", "voices apart"}
    assert told["real"]["beats with a chord"] > 0.8 > told["voices apart"]["beats with a chord"]
    assert told["real"]["crossings"] < 0.05
    assert found.numbers["overlap"]["real"]["pitch"] < 1
    text = "\n".join(found.lines)
    assert "parallels in 100 changes" in text
    assert "with chords" not in text


def test_copies_in_other_keys_are_found() -> None:
    training = load(FOLDER / "satb", "train", ROLL)
    moved = np.roll(training.encode(np.arange(2)), 4, axis=-1)
    assert copies(moved, training, 6)["share over 0.8"] == 1
    assert copies(moved, training)["share over 0.8"] == 0


def test_tracks_of_choirs() -> None:
    names = ("Soprano 1", "ALTO", "Contralto", "Tenor", "Basso", "Bassoon", "Piano")
    found = SATB.assign(song(*(line(60, n) for n in names)))
    assert found.tolist() == [0, 1, 1, 2, 3, -1, -1]
