"""GrooVAE: what is shown to it, its decoder, its loss, and the verbs groove and drumify."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import INFO, SAMPLES, tune

from musegen import dataset, midi, pretrained
from musegen.errors import InputError, ModelError, MusegenError
from musegen.evaluate import groovae
from musegen.models.groovae import GrooVAE, GrooVAEConfig, shown
from musegen.objectives import Batch
from musegen.objectives.groove import GrooveELBO, thinned
from musegen.pipeline import load
from musegen.pipeline.groove import GroovePipeline
from musegen.prepare import prepare
from musegen.presets import check, preset
from musegen.representations.drums import KITS
from musegen.representations.groove import Groove
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track

BAND = SAMPLES / "freedoom_1_d_e1m1.mid"
HORNPIPE = SAMPLES / "ryan_fishers_hornpipe.mid"


def network(**more: object) -> GrooVAE:
    """Untrained, with weights far enough from 0 to play in many ways."""
    torch.manual_seed(0)
    sizes = {"latent": 4, "encoder": 6, "decoder": (8, 6), "bar": 16, "ahead": 2, "dropout": 0.2}
    model = GrooVAE(GrooVAEConfig(**(sizes | more)))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    torch.nn.init.constant_(model.spread, -3.0)
    return model.eval()


PLAYER = {"classes": 6, "reads": "groove", "control": "hits"}
DRUMMER = {"reads": "groove", "control": "hits"}
TAPPER = {"reads": "tap", "control": "tap"}


@cache
def pipeline(kind: str, folder: Path) -> GroovePipeline:
    sizes = {"player": PLAYER, "drummer": DRUMMER, "tapper": TAPPER, "plain": {"ahead": 0}}[kind]
    verbs = {"verbs": ["drumify" if kind == "tapper" else "groove"]}
    kit = "octaves" if kind == "player" else "gm"
    path = pretrained.save(folder / kind, network(**sizes), Groove(2, kit), INFO | verbs)
    found = load(str(path))
    assert isinstance(found, GroovePipeline)
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grooves")


def grooves(n: int, classes: int = 9, steps: int = 32, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    hits = (torch.rand(n, steps, classes, generator=g) < 0.3).float()
    loud = hits * torch.rand(hits.shape, generator=g).clamp(min=0.01)
    late = hits * (torch.rand(hits.shape, generator=g) - 0.5)
    return torch.cat([hits, loud, late], dim=-1)


# network


def test_what_is_shown_of_a_groove() -> None:
    x = torch.zeros(1, 2, 6)  # two classes: hits, velocities, offsets
    x[0, 0] = torch.tensor([1, 1, 0.5, 0.9, 0.2, -0.1])
    x[0, 1] = torch.tensor([0, 1, 0, 0.4, 0, 0.3])
    assert shown(x, "hits").tolist() == [[[1, 1], [0, 1]]]
    assert torch.allclose(shown(x, "tap"), torch.tensor([[[1, 0.05], [1, 0.3]]]))
    assert shown(x, "groove") is x


@pytest.mark.parametrize("sizes", [DRUMMER, TAPPER, {"ahead": 0}, {"reads": "tap", "bar": 0}])
def test_step_by_step_is_what_forward_says(sizes: dict[str, object]) -> None:
    """The decoder's loop gives velocities and offsets of `forward` after its own output."""
    model, x = network(**sizes), grooves(3)
    z = model.prior(3, torch.Generator().manual_seed(1))
    made = model.decode(z, torch.Generator(), 0.0, given=x)
    logits, loud, late = model(z, made, model.given(x))
    hits = made[..., :9] > 0
    if model.config.source == "hits":
        assert torch.equal(made[..., :9], x[..., :9])
    else:
        assert torch.equal(hits, logits > 0)
    assert torch.allclose(made[..., 9:18], loud.clamp(min=1 / 127) * hits, atol=1e-5)
    assert torch.allclose(made[..., 18:], late * hits, atol=1e-5)


def test_what_is_drawn_strays_by_its_spread() -> None:
    model = network(**DRUMMER)
    x, z = torch.zeros(400, 2, 27), torch.zeros(400, 4)
    x[:, :, 0] = 1
    drawn = model.decode(z, torch.Generator().manual_seed(0), 1.0, given=x)[:, 0, 18]
    assert drawn.std() == pytest.approx(float(model.spreads()[1, 0].detach()), rel=0.15)
    assert torch.equal(
        drawn, model.decode(z, torch.Generator().manual_seed(0), 1.0, given=x)[:, 0, 18]
    )


def test_later_steps_are_seen_as_far_as_ahead_says() -> None:
    x = grooves(1)
    seen = network(**DRUMMER).given(x)
    assert seen.shape == (1, 32, 16 + 3 * 9)
    assert torch.equal(seen[0, 5, 16:], x[0, 5:8, :9].flatten())
    assert seen[0, 21, :16].argmax() == 5
    assert not seen[0, 31, 25:].any()  # nothing is known after the end


# loss


def test_published_costs_by_hand() -> None:
    """Cross-entropy of hits, squared errors of velocities, and of offsets in twice a step."""
    model = network()
    x = torch.zeros(1, 32, 27)
    x[0, 0, [0, 9, 18]] = torch.tensor([1, 0.75, 0.25])
    zero = torch.zeros(1, 32, 9)
    hits, errors = GrooveELBO().costs(model, (zero, zero + 0.5, zero), x)
    assert float(hits) == pytest.approx(32 * 9 * np.log(2), rel=1e-5)
    assert float(errors) == pytest.approx(287 * 0.25 + 0.25**2 + 0.5**2, rel=1e-5)


def test_likelihood_of_what_is_hit_by_hand() -> None:
    model = network(**DRUMMER)
    torch.nn.init.constant_(model.spread, float(np.log(0.2)))
    x, zero = torch.zeros(1, 32, 27), torch.zeros(1, 32, 9)
    x[0, 3, [1, 10, 19]] = torch.tensor([1, 0.75, 0.25])
    hits, errors = GrooveELBO(errors="gaussian").costs(model, (zero, zero + 0.5, zero), x)
    # Both lie 1.25 widths off.
    expected = 1.25**2 + 2 * np.log(0.2) + np.log(2 * np.pi)
    assert float(errors.detach()) == pytest.approx(expected, rel=1e-4)
    assert not hits.any()  # they are shown


def test_thinned_windows_keep_whole_classes() -> None:
    x = grooves(200)
    y = thinned(x, 0.5, torch.Generator().manual_seed(0))
    same = (y == x).all(dim=(1, 2))
    assert 0.4 < same.float().mean() < 0.75
    parts = y.unflatten(-1, (3, 9)).transpose(2, 3).flatten(3)  # [b, t, class, 3]
    truth = x.unflatten(-1, (3, 9)).transpose(2, 3).flatten(3)
    kept = (parts == truth).all(dim=(1, 3))
    assert (kept | ~parts.any(dim=3).any(dim=1)).all()
    assert kept.any(dim=1).all()


@pytest.mark.parametrize("sizes", [DRUMMER, TAPPER])
def test_a_few_steps_learn_how_loud_each_drum_is(sizes: dict[str, object]) -> None:
    x = grooves(16)
    x[..., 9:18] = x[..., :9] * torch.linspace(0.2, 0.9, 9)
    model, loss = network(**sizes), GrooveELBO(0.1, 0.0, 0.0, "gaussian", thin=0.3)
    (phase,) = loss.phases(model)
    adam = torch.optim.Adam(phase.parameters, 4e-2)
    batch = Batch(x, torch.zeros(16), torch.zeros(16))
    with torch.no_grad():
        before = loss.held_out(model, batch, torch.Generator().manual_seed(0))
    for step in range(30):
        adam.zero_grad()
        phase.loss(batch, step, torch.Generator().manual_seed(step))["loss"].backward()
        adam.step()
    with torch.no_grad():
        after = loss.held_out(model, batch, torch.Generator().manual_seed(0))
    assert after["loss"] < before["loss"]
    assert after["velocity"] < 0.5 * before["velocity"]


# groove


def cut(score: Score, bars: int) -> Score:
    rows = [
        replace(t, notes=t.notes[t.notes[:, ONSET] < bars * 4 * score.ppq]) for t in score.tracks
    ]
    return replace(score, tracks=tuple(rows), length=0)


def test_the_notes_stay_the_users(folder: Path) -> None:
    score = cut(midi.read(BAND), 6)
    made = pipeline("player", folder).groove(score, 2, seed=3)
    for one in made:
        assert one.tempos == score.tempos
        assert one.metres == score.metres
        assert one.end <= score.end
        for mine, theirs in zip(score.tracks, one.tracks, strict=True):
            assert (mine.name, mine.program, len(mine)) == (
                theirs.name,
                theirs.program,
                len(theirs),
            )
            if mine.is_drum:
                assert mine == theirs
                continue
            a, b = (
                t.notes[np.lexsort((t.notes[:, ONSET], t.notes[:, PITCH]))] for t in (mine, theirs)
            )
            assert np.array_equal(a[:, PITCH], b[:, PITCH])
            assert (np.abs(a[:, ONSET] - b[:, ONSET]) <= score.ppq // 8 + 1).all()
            if len(mine):
                close = abs(a[:, VELOCITY].mean() - b[:, VELOCITY].mean())
                assert close < 12  # as loud as before, but for those that would leave 1 to 127
    assert made[0] != made[1]
    assert made[0] == pipeline("player", folder).groove(score, 1, seed=3)[0]


def test_amounts_reach_from_the_users_playing_to_the_models(folder: Path) -> None:
    p, score = pipeline("player", folder), tune([60, 64, 67, 72] * 4)
    still = p.groove(score, seed=1, amount=0)[0]
    assert still.tracks == score.tracks
    louder = p.groove(score, seed=1, timing=0)[0]
    assert np.array_equal(louder.tracks[0].notes[:, ONSET], score.tracks[0].notes[:, ONSET])
    whole = p.groove(score, seed=1)[0].tracks[0].notes
    half = p.groove(score, seed=1, amount=0.5)[0].tracks[0].notes
    assert whole[:, VELOCITY].std() > 3
    assert np.abs(whole[:, VELOCITY] + 70 - 2 * half[:, VELOCITY]).max() <= 2
    with pytest.raises(ValueError, match="amount must be from 0 to 1, not 2"):
        p.groove(score, seed=1, amount=2)


def test_all_windows_are_played_alike_where_they_are_alike(folder: Path) -> None:
    """Longer pieces by windows with one z: at temperature 0 what returns sounds the same."""
    notes = pipeline("player", folder).groove(tune([60, 64, 67, 72] * 16), seed=1, temperature=0)[0]
    rows = notes.tracks[0].notes.reshape(4, 16, 4)  # windows of two bars, eighths
    assert np.array_equal(rows[0, 1:, VELOCITY], rows[2, 1:, VELOCITY])


def test_notes_of_a_pitch_never_meet(folder: Path) -> None:
    rows = [(30 * i, 30, 60, 80) for i in range(200)]
    notes = pipeline("player", folder).groove(Score((Track(rows),)), seed=2, temperature=3)[0]
    on, lasts = notes.tracks[0].notes[:, : DURATION + 1].T
    late = np.flatnonzero(on[1:] > on[:-1])
    assert (on[:-1] + lasts[:-1] <= np.maximum(on[1:], on[:-1] + 1))[late].all()


def test_without_control_z_tells_the_score(folder: Path) -> None:
    score = cut(midi.read(BAND), 4)
    (made,) = pipeline("plain", folder).groove(score, seed=1)
    drums = [(a, b) for a, b in zip(score.tracks, made.tracks, strict=True) if a.is_drum]
    assert all(len(a) == len(b) for a, b in drums)
    assert any(a != b for a, b in drums)


def test_only_the_track_that_is_asked_for(folder: Path) -> None:
    score = cut(midi.read(BAND), 4)
    pitched = [i for i, t in enumerate(score.tracks) if len(t) and not t.is_drum]
    (made,) = pipeline("player", folder).groove(score, seed=1, track=str(pitched[1] + 1))
    changed = [i for i, t in enumerate(made.tracks) if t != score.tracks[i]]
    assert changed == [pitched[1]]


@pytest.mark.parametrize(
    ("kind", "score", "words"),
    [
        ("player", Score((Track([(0, 480, 36, 90)], is_drum=True),)), "has no pitched notes"),
        ("drummer", tune([60, 62, 64]), "has no drums, which drummer plays"),
        ("player", tune([60] * 9, metres=((0, 3, 4),)), "is in 3/4, but this model knows bars of"),
        ("player", Score(), "has no pitched notes"),
    ],
)
def test_what_cannot_be_played_is_told(folder: Path, kind: str, score: Score, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pipeline(kind, folder).groove(score, seed=1)


def test_other_metres_stay_as_they_are(folder: Path) -> None:
    score = tune([60, 62, 64, 65] * 6, metres=((0, 4, 4), (3840, 3, 4)))
    said: list[str] = []
    (made,) = pipeline("player", folder).groove(score, seed=1, say=said.append)
    outside = score.tracks[0].notes[:, ONSET] >= 3840
    assert np.array_equal(made.tracks[0].notes[outside], score.tracks[0].notes[outside])
    assert not np.array_equal(made.tracks[0].notes, score.tracks[0].notes)
    assert said == ["input: 8 notes outside bars of four quarters stay as they are"]


# drumify


def test_drums_join_the_music_or_stand_alone(folder: Path) -> None:
    p, score = pipeline("tapper", folder), midi.read(HORNPIPE)
    (made,) = p.drumify(score, seed=2)
    assert made.tracks[:-1] == score.tracks
    assert made.tracks[-1].is_drum
    (alone,) = p.drumify(score, seed=2, alone=True)
    assert alone.tracks == made.tracks[-1:]
    assert alone.tempos == score.tempos
    pitches = np.unique(alone.tracks[0].notes[:, PITCH])
    assert set(pitches) <= set(KITS["gm"].written.tolist())
    assert p.drumify(score, 2, seed=2)[0] == made


def test_rhythms_are_told_by_onsets_alone(folder: Path) -> None:
    """Pitches, lengths and velocities of the taps are not heard; where they are, is."""
    p = pipeline("tapper", folder)
    same = (tune([60] * 16), tune([50, 70] * 8, velocity=20))
    drums = [p.drumify(score, seed=2, alone=True)[0].tracks for score in same]
    assert drums[0] == drums[1]
    other = p.drumify(tune([60] * 16, each=480), seed=2, alone=True)[0].tracks
    assert other != drums[0]


def test_hits_stay_within_the_bars_of_the_music(folder: Path) -> None:
    score = tune([60] * 8)  # one bar, half a window
    (made,) = pipeline("tapper", folder).drumify(score, seed=2, alone=True)
    assert made.tracks[0].notes[:, ONSET].max() < 1920 + 60


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (Score(), "has no notes"),
        (tune([60] * 9, metres=((0, 6, 8),)), "is in 6/8"),
    ],
)
def test_what_has_no_rhythm_is_told(folder: Path, score: Score, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pipeline("tapper", folder).drumify(score, seed=1)


def test_models_say_what_they_cannot(folder: Path) -> None:
    assert pipeline("tapper", folder).verbs() == ("drumify",)
    assert pipeline("player", folder).verbs() == ("groove",)
    with pytest.raises(ModelError, match="tapper cannot groove, it can drumify"):
        pipeline("tapper", folder).groove(tune([60]), seed=1)
    with pytest.raises(ModelError, match="player cannot generate, it can groove"):
        _ = pipeline("player", folder).generate


# reports


def as_windows(x: torch.Tensor) -> np.ndarray:
    return x.unflatten(-1, (3, -1)).numpy()


def test_playing_as_it_was_is_perfect_and_averages_are_what_they_are() -> None:
    real = as_windows(grooves(40))
    same = groovae.playing(real, real)
    assert same["velocity error"] == same["timing error"] == 0
    assert same["r"] == pytest.approx(1)
    assert same["r in window"] == pytest.approx(1)
    assert same["velocity overlap"] == pytest.approx(1)
    every = groovae.averages(real)[:, 0]
    hit = real[:, :, 0] > 0
    assert every == pytest.approx([real[:, :, i][hit].mean() for i in (1, 2)], rel=1e-5)
    placed = groovae.averages(real, True)
    here = real[:, [3, 19]][:, :, :, 4]  # the fourth sixteenth of both bars, class 4
    count, total = here[:, :, 0].sum(), here[:, :, 1].sum()
    assert placed[3, 0, 4] == pytest.approx((total + 8 * every[0]) / (count + 8), rel=1e-5)
    plain = groovae.playing(real, groovae._like(real, every[:, None]))
    assert plain["r"] == 0
    assert plain["velocity error"] > 10


def test_chances_of_drums_where_something_is_tapped() -> None:
    real = np.zeros((4, 32, 3, 9))
    real[:, ::4, 0, 0] = 1  # a kick on each quarter
    chance = groovae.tapped(real)
    assert chance[0, 0] == pytest.approx(1)
    assert chance[0, 1] == 0
    told = groovae._told(real, chance)
    assert told[:, ::4, 0] == pytest.approx(1)
    assert not told[:, 1::4].any()
    assert groovae._nats(real, told) == pytest.approx(0, abs=1e-6)
    assert groovae.drumming(real, real)["hits right"] == 1
    half = real.copy()
    half[:, ::8] = 0
    assert groovae.drumming(real, half)["hits right"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", ["player", "tapper"])
def test_reports_stand_beside_plain_averages(folder: Path, kind: str, tmp_path: Path) -> None:
    pipeline(kind, folder)
    bundle = pretrained.load(folder / kind)
    prepare([SAMPLES], tmp_path, dataset.settings_for(bundle.representation), workers=0)
    data = dataset.load(tmp_path, "train", bundle.representation)
    found = groovae.measure(bundle, data, data, n=32)
    text = "\n".join(found.lines)
    assert "model, drawn at 1" in text
    assert ("by place and class" if kind == "player" else "by place and tap") in text
    again = groovae.measure(bundle, data, data, n=32)
    assert again.lines == found.lines
    assert all(np.isfinite(list(row.values())).all() for row in found.numbers["playing"].values())


# presets and the command line


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("groovae_2bar_humanize", {"reads": "groove"}, "reads must be hits or tap"),
        ("groovae_2bar_humanize", {"classes": 3}, "classes must be 9"),
        ("drumify_2bar_small", {"reads": "hits"}, "model.control must be hits, or what"),
    ],
)
def test_settings_that_cannot_be(name: str, change: dict[str, object], words: str) -> None:
    wanted = preset(name)
    with pytest.raises(MusegenError, match=words):
        check(replace(wanted, model=replace(wanted.model, **change)))


def test_published_sizes() -> None:
    """4.09 million parameters, an LSTM of the reference code having one bias a gate."""
    model = GrooVAE(preset("groovae_2bar_humanize").model)
    sizes = {n: p.numel() for n, p in model.named_parameters()}
    total = sum(sizes.values()) - sizes["spread"]
    total -= sum(v for n, v in sizes.items() if "bias_hh" in n)
    # Theirs reads velocities and offsets too, which are zeros: 18 inputs more for 4 gates of 512.
    assert total + 2 * 18 * 4 * 512 == pytest.approx(4.09e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "verb", "file"),
    [("groove_melody_2bar_small", "groove", HORNPIPE), ("drumify_2bar_small", "drumify", BAND)],
)
def test_trained_on_midi_files_and_used(
    cli, tmp_path: Path, name: str, verb: str, file: Path
) -> None:
    """From a folder of files to music, twice the same bytes."""
    sizes = ["latent=4", "encoder=6", "decoder=[8]"]
    training = ["steps=4", "batch=16", "ema=0.5"]
    settings = [f"model.{s}" for s in sizes] + [f"training.{s}" for s in training]
    out, songs = tmp_path / "run", tmp_path / "songs"
    songs.mkdir()
    for sample in SAMPLES.glob("free*.mid"):
        shutil.copy(sample, songs)
    told = [part for s in settings for part in ("--set", s)]
    done = cli("train", name, "--data", songs, "-o", out, *told, "--every", 2, "-q")
    assert done.code == 0, done.err
    bundle = out / "bundle"
    assert pretrained.verbs(bundle) == [verb]
    assert f"musegen {verb} FILE --model" in done.out
    made = []
    for i in range(2):
        where = tmp_path / f"{i}.mid"
        done = cli(verb, file, "--model", bundle, "--seed", 5, "-o", where, "--png", "--json")
        assert done.code == 0, done.err
        assert done.json["seed"] == 5
        made.append(where.read_bytes())
        assert where.with_suffix(".png").exists()
    assert made[0] == made[1]
    assert midi.read(tmp_path / "0.mid").recipe["verb"] == verb
    done = cli(
        verb, SAMPLES / "mutopia_satie_gymnopedie_no1.mid", "--model", bundle, "-o", tmp_path
    )
    assert done.code == 3
    assert "this model knows bars of four quarters" in done.err
    done = cli(
        "groove" if verb == "drumify" else "drumify", file, "--model", bundle, "-o", tmp_path
    )
    assert done.code == 4
