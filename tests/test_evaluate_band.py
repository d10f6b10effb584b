"""The report of a band: closed forms of its measures, and a whole one on the sample pieces."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import tiny
from test_band import ROLL, band, walk
from tiny import FOLDER, INFO, SAMPLES

from musegen import evaluate as evaluate_family
from musegen import pretrained
from musegen.config import from_dict
from musegen.dataset import Windows, load, settings_for
from musegen.errors import InputError, ModelError
from musegen.evaluate import fitted, measure, musegan_fit
from musegen.evaluate.musegan import (
    agree,
    evaluate,
    features,
    overlaps,
    thresholds,
    told_apart,
)
from musegen.evaluate.musegan_fit import choice, tilted
from musegen.objectives.adversarial import Adversarial
from musegen.pipeline.choosing import Choice, distances
from musegen.pipeline.musegan import MuseGANPipeline
from musegen.prepare import prepare
from musegen.presets import Preset, Training
from musegen.score import Score
from musegen.train import train

RNG = np.random.default_rng(0)


@cache
def windows(part: str) -> Windows:
    folder = FOLDER / "band-data"
    if not folder.exists():
        prepare([SAMPLES], folder, settings_for(ROLL), held_out=(0.3, 0.3), workers=0)
    return load(folder, part)


def test_overlap_is_intersection_over_union() -> None:
    a = np.zeros((3, 1, 2, 4), np.uint8)
    a[0, 0, 0] = 1
    a[1, 0, :, 0] = 1
    b = np.zeros((2, 1, 2, 4), np.uint8)
    b[0, 0, 0, :2] = 1
    b[1, 0, 1] = 1
    assert overlaps(a, b, chunk=2).tolist() == pytest.approx([2 / 4, 1 / 3, 0])


def test_a_classifier_tells_what_differs_and_guesses_what_does_not() -> None:
    a, b = RNG.normal(size=(400, 6)), RNG.normal(size=(600, 6))
    assert abs(told_apart(a, b, 0) - 0.5) < 0.08
    assert told_apart(a + np.array([2, 0, 0, 0, 0, 0]), b, 0) > 0.75
    wide = a * np.array([3, 1, 1, 1, 1, 1])  # the same mean
    assert told_apart(wide, b, 0) > 0.65


def test_agreement_of_unison_and_of_strangers() -> None:
    x = np.zeros((8, 10, 32, 24), np.uint8)
    x[:, 1, :, 4] = x[:, 4, :, 16] = 1  # an octave apart
    assert agree(x, ROLL, 1) == {"TD": pytest.approx(0, abs=1e-6), "shared": 1.0}
    x[:, 4] = 0
    x[:, 4, :, 10] = 1
    apart = agree(x, ROLL, 1)
    assert apart["TD"] > 0.5
    assert apart["shared"] == 0
    assert np.isnan(agree(np.zeros_like(x), ROLL, 1)["TD"])


def test_features_are_finite_and_tell_silence_from_music() -> None:
    x = band().rolls(3, seed=1)
    found = features(np.concatenate([x, np.zeros_like(x)]), ROLL)
    assert np.isfinite(found).all()
    assert (found[3:] == found[3]).all()
    assert not np.allclose(found[0], found[3])


def test_a_whole_report() -> None:
    pipeline = band()
    found = measure(pipeline.bundle, windows("test"), windows("train"), n=24, seed=1)
    text = "\n".join(found.lines)
    for words in ("octave: Drums", "paper: Drums", "told apart", "distinct", "MuseGAN, its own"):
        assert words in text
    assert found.pictures["seeds.png"].startswith(b"\x89PNG")
    assert found.scores["told apart"] > 0.6  # random weights make no music
    json.dumps(found.numbers)
    for mode in ("octave", "paper"):
        assert all(v == 0 for v in found.numbers["distances"][mode]["training"].values())
        assert found.numbers["distances"][mode]["from noise"]["EB"] > 0.05
    assert set(found.numbers["agreement"]) == {"real", "shuffled", "generated"}
    again = evaluate(pipeline.bundle, windows("test"), windows("train"), n=24, seed=1)
    assert again.variety == found.numbers["variety"]
    assert again.coverage == found.numbers["coverage"]


def written(x: np.ndarray) -> Windows:
    """Rolls as windows of data."""
    notes = [ROLL.decode_steps(roll) for roll in x]
    offsets = np.cumsum([0, *map(len, notes)])
    still = np.zeros(len(x), np.int64)
    return Windows(np.concatenate(notes).astype(np.int16), offsets, still, ("made",), ROLL)


def test_weights_of_a_choice_make_means_nothing() -> None:
    f = RNG.normal(size=(2, 4000, 3)) + np.array([0.3, -0.2, 0])
    w = tilted(f)
    p = 1 / (1 + np.exp(f[1] @ w - f[0] @ w))[:, None]
    mean = (p * f[0] + (1 - p) * f[1]).mean(0)
    assert np.allclose(mean, -musegan_fit.LEAST * w, atol=1e-6)
    assert w[0] < -0.3
    assert w[1] > 0.2
    assert abs(w[2]) < 0.1
    never = tilted(np.abs(f))  # what no choice can bring about: all that there is of it
    assert (never < -2).all()
    assert np.isfinite(never).all()


def test_a_choice_brings_pairs_of_tracks_as_near_as_in_music() -> None:
    pipeline = band("none")
    pool = np.nan_to_num(distances(pipeline.rolls(600, seed=3), ROLL), nan=1.0).mean((1, 2))
    music = pipeline.rolls(600, seed=3)[np.argsort(pool)[:300]]  # those that agree

    def apart(x: np.ndarray) -> float:
        far = np.nanmean(distances(x, ROLL), axis=(0, 1)) - np.array(found.means)
        return float(np.abs(far).mean())

    found = choice(pipeline.bundle, written(music), drawn=2048, seed=1)
    assert apart(music) < 1e-5
    assert found.of == 2
    chooser = MuseGANPipeline(pipeline.bundle)
    chooser.choice = found
    assert apart(chooser.rolls(600, seed=4)) < 0.5 * apart(pipeline.rolls(600, seed=4))
    assert found == choice(chooser.bundle, written(music), drawn=2048, seed=1)
    silent = music.copy()
    silent[:, [1, 6]] = 0  # no piano: its pairs have nothing to say
    none = choice(pipeline.bundle, written(silent), drawn=256, seed=1)
    assert [w == 0 for w in none.weights] == 2 * (3 * [True] + 3 * [False])


def test_a_bundle_is_fitted_to_its_music(cli, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What --fit finds is in the bundle afterwards, beside what it had, and is what is measured."""
    windows("train")
    folder = pretrained.save(tmp_path / "mine", band("none").model, ROLL, INFO)
    fit = partial(musegan_fit.fitted, drawn=64)
    monkeypatch.setitem(evaluate_family.FITTED, "musegan", fit)
    options = ("--data", FOLDER / "band-data", "-n", 16, "--json")
    done = cli("evaluate", folder, *options, "--fit")
    assert done.code == 0
    info = pretrained.load(folder).info
    assert info.keys() - INFO.keys() == {"thresholds", "choice"}
    assert info == INFO | fit(pretrained.load(folder), windows("train"))
    assert MuseGANPipeline(pretrained.load(folder)).choice == from_dict(Choice, info["choice"])
    again = cli("evaluate", folder, *options)
    assert again.json["bars"] == done.json["bars"]
    with pytest.raises(ModelError, match="nothing to fit"):
        fitted(pretrained.load(tiny.bundle()), tiny.windows("train"))
    with pytest.raises(InputError, match="no training windows"):
        fitted(pretrained.load(folder), None)


def test_thresholds_are_found_again() -> None:
    """Of music that the model made with some, these are the best."""
    pipeline = band("none")
    x = pipeline.rolls(48, seed=1, threshold={"piano": (0.3, 0.5), "bass": (0.4, 0.4)})
    music = written(x)
    assert np.array_equal(music.encode(np.arange(len(x))), x)
    found = thresholds(pipeline.bundle, music, n=len(x), seed=1)
    again = pipeline.rolls(len(x), seed=1, threshold=found)
    assert (again == x).mean() > 0.999
    other = thresholds(pipeline.bundle, music, n=len(x), seed=2)
    assert all(abs(a - b) <= 0.1 for k in found for a, b in zip(found[k], other[k], strict=True))


def test_training_music_is_near_itself() -> None:
    pipeline = band("none")
    few = len(windows("train"))
    found = evaluate(pipeline.bundle, windows("train"), windows("train"), n=few)
    assert found.variety["held-out"]["near"] == 1.0
    assert found.distances["octave"]["held-out"]["UPC"] == 0
    assert found.agreement == {}


def test_other_data_is_refused() -> None:
    with pytest.raises(InputError, match="no training"):
        evaluate(band().bundle, windows("test"), None)
    other = load(FOLDER / "band-data", "test")
    with pytest.raises(InputError, match="no track 'flute'"):
        evaluate(band().bundle, other, windows("train"), given="flute", n=8)


def test_a_band_trains_on_the_sample_pieces() -> None:
    windows("train")
    train_data, valid_data = (load(FOLDER / "band-data", p, ROLL) for p in ("train", "valid"))
    objective = Adversarial("non-saturating", "r1", n_critic=1, warm=2, recall=0.002)
    config = replace(band().model.config, reader=12)
    one = Preset("tiny", config, ROLL, objective, Training(4, 8, betas=(0.5, 0.9), ema=0.5))
    seen: list[float] = []
    model = train(
        one,
        train_data,
        valid_data,
        FOLDER / "band-run",
        every=2,
        device="cpu",
        report=lambda progress: seen.append(progress.held_out.get("loss", 0.0)),
    )
    assert len(seen) == 4
    assert seen[1] > 0
    assert seen[3] > 0
    saved = pretrained.save(FOLDER / "band-trained", model, ROLL, INFO)
    kept = MuseGANPipeline(pretrained.load(saved))
    assert kept.rolls(2, seed=1).shape == (2, *ROLL.shape)
    assert kept.accompany(Score((walk(2),)), seed=1)[0].tracks[0] == walk(2)
