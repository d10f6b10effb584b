"""Bands as a user meets them: what is given stays; seeds, phrases, tracks; refusals in words."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tiny import FOLDER, INFO

from musegen import pretrained
from musegen.errors import InputError, ModelError, MusegenError, NothingGeneratedError
from musegen.models.musegan import MuseGAN, MuseGANConfig
from musegen.models.musegan_critic import CriticConfig
from musegen.pipeline.musegan import MuseGANPipeline
from musegen.representations.pianoroll import Pianoroll
from musegen.score import ONSET, PITCH, Score, Track

ROLL = Pianoroll("lpd5", 4, bars=2, low=36, high=59, onsets=True)
BAR = 4 * 480


@cache
def band(given: str = "some", density: float = 0.1) -> MuseGANPipeline:
    """A band of random weights with notes enough."""
    torch.manual_seed(0)
    config = MuseGANConfig(
        bars=2,
        pitches=24,
        latent=16,
        temporal=12,
        hidden=20,
        start=(4, 2, 6),
        density=(density,),
        given=given,
        critic=CriticConfig(private=(((6, 4, 12),),), bar=12, phrase=(12, 2)),
    )
    model = MuseGAN(config).eval()
    info = INFO | {"thresholds": {"guitar": 0.4}}
    return MuseGANPipeline(
        pretrained.load(pretrained.save(FOLDER / f"band-{given}-{density}", model, ROLL, info))
    )


def walk(bars: int, *, program: int = 0, name: str = "", ppq: int = 480) -> Track:
    """A note a beat, a little off the grid, as people play."""
    rows = [(i * ppq + i % 3, ppq - 40, 40 + i * 5 % 17, 30 + i % 90) for i in range(4 * bars)]
    return Track(np.array(rows), program, name=name)


def test_bands_have_named_tracks_with_programs() -> None:
    score = band().generate(seed=1, tempo=99)[0]
    assert [t.name for t in score.tracks] == ["Drums", "Piano", "Guitar", "Bass", "Strings"]
    assert [t.program for t in score.tracks] == [0, 0, 25, 33, 48]
    assert [t.is_drum for t in score.tracks] == [True, False, False, False, False]
    assert score.tempos == ((0, 99.0),)
    assert score.recipe["verb"] == "generate"
    assert all(len(t) for t in score.tracks)


def test_the_seed_alone_decides() -> None:
    first, again = band().generate(2, seed=3), band().generate(2, seed=3)
    assert [s.tracks for s in first] == [s.tracks for s in again]
    assert first[0].tracks != first[1].tracks
    assert first[0].tracks != band().generate(1, seed=4)[0].tracks


def test_longer_music_has_more_phrases_that_belong_together() -> None:
    long = band().generate(seed=1, bars=7)[0]
    assert long.length == 7 * BAR
    short = band().generate(seed=1)[0]
    assert [t.notes.tolist() for t in long.clip(0, BAR).tracks] == [
        t.notes.tolist() for t in short.clip(0, BAR).tracks
    ]
    pipeline = band()
    generator = torch.Generator().manual_seed(0)
    z, _ = pipeline._phrases(1, 4, generator)
    still = ~pipeline.model.moving()
    assert (z[:, :, still] == z[:1, :, still]).all()
    near, far = (z[i] - z[0] for i in (1, 2))
    assert 0 < float(near.norm()) < float(far.norm())


def picky(of: int = 3) -> MuseGANPipeline:
    """The band, with a choice of phrases whose tracks agree."""
    d = 2 * 6  # pairs, counted in two ways
    kept = {"of": of, "means": [1.0] * d, "weights": [-1.0] * d}
    bundle = band().bundle
    return MuseGANPipeline(replace(bundle, info={**bundle.info, "choice": kept}))


def test_phrases_are_chosen_among_those_drawn() -> None:
    """Each is a candidate, oftener one whose tracks agree; without a choice, the first."""
    chooser, n = picky(), 48
    generator = torch.Generator().manual_seed(5)
    z = chooser.model.prior(3 * n, generator)
    drawn = chooser._decode(z, generator).reshape(3, n, *ROLL.shape)
    x = chooser.rolls(n, seed=5)
    same = (drawn == x).all((2, 3, 4))  # [candidates, n]
    assert same.any(0).all()
    assert 0 < same[0].mean() < 0.7  # a third, but for the weights
    first = torch.Generator().manual_seed(5)
    z = band().model.prior(n, first)
    assert np.array_equal(band().rolls(n, seed=5), band()._decode(z, first))
    scores = np.stack([chooser.choice.scores(each, ROLL) for each in drawn])
    mean, kept = scores.mean(), chooser.choice.scores(x, ROLL).mean()
    assert mean + 0.3 * scores.std() < kept < scores.max(0).mean()
    alone = np.zeros_like(x[:2])
    alone[1, [2, 7], :, 5] = 1
    assert chooser.choice.scores(alone, ROLL).tolist() == [0, 0]  # nobody disagrees


def test_a_seed_is_the_same_phrase_in_all_verbs_that_choose() -> None:
    chooser = picky()
    found, bars = [], 5
    for seed in range(4):
        one = chooser.generate(seed=seed)[0]
        assert one.tracks == chooser.generate(seed=seed)[0].tracks
        assert one.tracks == ROLL.decode(chooser.rolls(1, seed=seed)[0]).tracks
        found.append(one.tracks != band().generate(seed=seed)[0].tracks)
        long = chooser.generate(seed=seed, bars=bars)[0].clip(0, BAR)
        assert [t.notes.tolist() for t in long.tracks] == [
            t.notes.tolist() for t in one.clip(0, BAR).tracks
        ]
    assert any(found)
    way = chooser.interpolate(3, 2, steps=3, bars=bars)
    plane = chooser.grid([1, 2, 3, 0], size=2, bars=bars)
    for score, seed in zip((way[0], way[-1], *plane), (3, 2, 1, 2, 3, 0), strict=True):
        assert score.tracks == chooser.generate(seed=seed, bars=bars)[0].tracks


def test_options_do_not_change_which_phrases_are_chosen() -> None:
    chooser = picky()
    x = chooser.rolls(16, seed=2)
    other = chooser.rolls(16, seed=2, threshold={"bass": 0.9})
    assert (x[:, 3] != other[:, 3]).any()
    rest = [0, 1, 2, 4]
    assert np.array_equal(x[:, rest], other[:, rest])
    warm = chooser.rolls(16, seed=2, temperature=1e-4)
    assert (x == warm).mean() > 0.99
    given = np.full(x.shape, -1, np.int8)
    given[:, [1, 6]] = x[:, [1, 6]]
    assert np.array_equal(
        chooser.rolls(16, seed=2, given=given), band().rolls(16, seed=2, given=given)
    )


def test_tracks_can_be_muted_and_have_other_programs() -> None:
    plain = band().generate(seed=1)[0]
    score = band().generate(seed=1, mute=["drums", "Piano"], programs={"bass": 38})[0]
    assert [t.name for t in score.tracks] == ["Guitar", "Bass", "Strings"]
    assert [t.program for t in score.tracks] == [25, 38, 48]
    assert np.array_equal(score.tracks[1].notes, plain.tracks[3].notes)


def test_a_threshold_for_each_track() -> None:
    count = [len(t) for t in band().generate(seed=1, threshold={"bass": 0.99})[0].tracks]
    usual = [len(t) for t in band().generate(seed=1)[0].tracks]
    assert count[3] < usual[3]
    assert count[:3] + count[4:] == usual[:3] + usual[4:]
    assert np.allclose(band()._thresholds(None), [0.5, 0.5, 0.4, 0.5, 0.5])
    two = band()._thresholds({"bass": (0.2, 0.3)})  # of what is held and what is struck
    assert np.allclose(two, [[0.5, 0.5, 0.4, 0.2, 0.5], [0.5, 0.5, 0.4, 0.3, 0.5]])


def test_rolls_are_what_is_written() -> None:
    """Nothing is held that was not struck, so nothing is lost on the way to notes."""
    rolls = band().rolls(6, seed=1, threshold={"piano": (0.1, 0.4), "guitar": (0.1, 0.7)})
    for x in rolls:
        assert np.array_equal(ROLL.encode(ROLL.decode(x)), x)
    assert rolls[:, 1:3].sum() > rolls[:, 6:8].sum()  # some notes are long


def test_interpolation_ends_at_its_seeds() -> None:
    scores = band().interpolate(3, 9, steps=4)
    assert len(scores) == 4
    for score, seed in ((scores[0], 3), (scores[-1], 9)):
        assert score.tracks == band().generate(seed=seed)[0].tracks
    assert len({s.tracks[4].notes.tobytes() for s in scores}) == 4


def test_a_grid_has_its_seeds_in_the_corners() -> None:
    scores = band().grid([1, 2, 3, 4], size=3, bars=3)
    assert len(scores) == 9
    for place, seed in zip((0, 2, 6, 8), (1, 2, 3, 4), strict=True):
        assert scores[place].tracks == band().generate(seed=seed, bars=3)[0].tracks


@pytest.mark.parametrize("bars", [1, 2, 5])
@pytest.mark.parametrize("ppq", [480, 96])
def test_a_given_track_stays_note_for_note(bars: int, ppq: int) -> None:
    mine = walk(bars, ppq=ppq, name="My piano")
    score = Score((mine,), ppq, tempos=((0, 87.5), (ppq, 90.0)))
    made = band().accompany(score, 2, seed=1, given="piano", overlap=1)
    for one in made:
        assert one.tracks[0] == mine
        assert one.tempos == score.tempos
        assert one.ppq == ppq
        assert [t.name for t in one.tracks[1:]] == ["Drums", "Guitar", "Bass", "Strings"]
        onsets = np.concatenate([t.notes[:, ONSET] for t in one.tracks[1:]])
        assert onsets.max() < bars * 4 * ppq
        assert onsets.max() >= (bars - 1) * 4 * ppq
        assert not (onsets % (ppq // 4)).any()
    assert made[0].tracks[1:] != made[1].tracks[1:]
    again = band().accompany(score, 2, seed=1, given="piano", overlap=1)
    assert [s.tracks for s in again] == [s.tracks for s in made]


def test_windows_go_on_with_what_was_played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those drawn for a window the one that plays most of the bar before, not the emptiest."""
    played = np.zeros((2, *ROLL.shape), np.uint8)
    played[:, [3, 8], 16:, 4] = 1  # the bass holds a note in the second bar
    silent, alike, other = (played[:1].copy() for _ in range(3))
    silent[:] = 0
    alike[:, [3, 8], :16] = 0
    alike[:, [3, 8], :12, 4] = 1
    alike[:, 3, :, 9] = alike[:, 8, :, 9] = 1
    other[:, [3, 8], :, 4] = 0
    other[:, [3, 8], :, 2] = 1
    drawn = iter([played[:1], np.concatenate([silent, other, alike, *[silent] * 5])])
    monkeypatch.setattr(MuseGANPipeline, "_decode", lambda *_: next(drawn))
    made = band().accompany(Score((walk(3),)), seed=1, given="piano")[0]
    bass = made.tracks[3]
    assert bass.name == "Bass"
    assert ROLL.low + 9 in bass.notes[:, PITCH].tolist()


def test_several_tracks_can_be_given() -> None:
    drums = Track([(0, 10, 36, 90), (960, 10, 38, 90)], is_drum=True)
    score = Score((drums, walk(2, program=33, name="Bass"), walk(2, program=48, name="Choir")))
    said: list[str] = []
    made = band().accompany(score, seed=1, given="drums, bass", say=said.append)[0]
    assert made.tracks[:2] == score.tracks[:2]
    assert [t.name for t in made.tracks[2:]] == ["Piano", "Guitar", "Strings"]
    assert any("left out 1 other track" in s for s in said)


def test_what_is_given_is_heard() -> None:
    low = walk(2)
    high = replace(low, notes=low.notes + np.array([0, 0, 2, 0]))
    made = [band().accompany(Score((t,)), seed=1)[0].tracks[1:] for t in (low, high)]
    assert made[0] != made[1]


def test_what_is_given_is_told_by_the_tracks_when_nobody_says() -> None:
    drums = Track([[i * 480, 120, 36, 90] for i in range(16)], 0, True)
    for track, given in ((drums, "drums"), (walk(2, program=33), "bass"), (walk(2), "piano")):
        made = band().accompany(Score((track,)), seed=1)[0]
        assert made.recipe["given"] == given
        assert made.tracks[0] == track
        assert given.title() not in [t.name for t in made.tracks[1:]]


def test_only_a_track_by_itself_may_have_another_program() -> None:
    flute = walk(2, program=73, name="Flute")
    assert band().accompany(Score((flute,)), seed=1, given="piano")[0].tracks[0] == flute
    two = Score((flute, walk(2, program=60, name="Horn")))
    with pytest.raises(InputError, match=r"has no piano; say which --track it is of 1 'Flute'"):
        band().accompany(two, seed=1, given="piano")
    assert band().accompany(two, seed=1, given="piano", track="horn")[0].tracks[0].name == "Horn"


def test_bars_of_other_metres_stay_as_they_are() -> None:
    mine = walk(3)
    score = Score((mine,), metres=((0, 4, 4), (BAR, 3, 4), (BAR + 4320, 4, 4)))
    said: list[str] = []
    made = band().accompany(score, seed=1, say=said.append)[0]
    assert made.tracks[0] == mine
    assert made.metres == score.metres
    assert any("another metre" in s for s in said)
    onsets = np.concatenate([t.notes[:, ONSET] for t in made.tracks[1:]])
    assert onsets.max() < BAR


@pytest.mark.parametrize(
    ("score", "options", "words"),
    [
        (Score(), {}, "has no notes"),
        (Score((Track(),)), {}, "has no notes"),
        (Score((walk(2),), metres=((0, 3, 4),)), {}, "is in 3/4, but"),
        (Score((walk(2),), metres=((0, 6, 8),)), {}, "is in 6/8, but"),
        (Score((walk(2),)), {"track": "cello"}, "has no track 'cello'; there are 1"),
        (Score((walk(2),)), {"given": "drums"}, "must be drums"),
        (Score((walk(2), walk(2, program=48))), {"given": "bass"}, "has no bass"),
    ],
)
def test_music_that_cannot_be_accompanied(
    score: Score, options: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        band().accompany(score, seed=1, name="my.mid", **options)


def test_what_the_band_lacks() -> None:
    score = Score((walk(2),))
    with pytest.raises(ModelError, match="no track 'pino', did you mean 'piano'"):
        band().accompany(score, seed=1, given="pino")
    with pytest.raises(ModelError, match="give one to 4 tracks"):
        band().accompany(score, seed=1, given="drums,piano,guitar,bass,strings")
    with pytest.raises(ModelError, match="from noise alone"):
        band("none").accompany(score, seed=1)
    with pytest.raises(ModelError, match="no track 'kazoo'"):
        band().generate(seed=1, mute=["kazoo"])
    with pytest.raises(ModelError, match="cannot reconstruct"):
        band().reconstruct(score, seed=1)


def test_numbers_out_of_range() -> None:
    for options in (
        {"threshold": 1.5},
        {"temperature": -1.0},
        {"programs": {"bass": 128}},
        {"n": 0},
        {"bars": 10**6},
    ):
        with pytest.raises(MusegenError):
            band().generate(**{"seed": 1} | options)
    with pytest.raises(MusegenError, match="overlap"):
        band().accompany(Score((walk(2),)), seed=1, overlap=2)
    with pytest.raises(NothingGeneratedError):
        band().generate(seed=1, threshold=0.999999)
    with pytest.raises(ValueError, match="at least 2"):
        band().interpolate(1, 2, steps=1)
    with pytest.raises(ValueError, match="four seeds"):
        band().grid([1, 2], size=3)


def test_windows_agree_where_they_overlap() -> None:
    """Of several candidates for a window that is taken which has most of the bars before."""
    pipeline, mine = band(), walk(5)
    x = pipeline.accompany(Score((mine,)), seed=2, overlap=1, n=6)
    alone = [pipeline.accompany(Score((mine,)), seed=2, overlap=0, n=6)[i] for i in range(6)]
    assert [s.tracks[0] for s in x] == [mine] * 6
    assert [s.tracks[1:] for s in x] != [s.tracks[1:] for s in alone]
    assert all(s.tracks[1].notes[:, PITCH].max() <= ROLL.high for s in x)
