"""The report of diffusion on small real data, and its measures on music made up for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny import FOLDER, SAMPLES

from musegen.dataset import Windows, load
from musegen.errors import InputError
from musegen.evaluate import diffusion as report
from musegen.evaluate import measure
from musegen.evaluate.copies import copies
from musegen.models.diffusion import Denoiser, DiffusionConfig
from musegen.objectives.diffusion import Diffusion
from musegen.pipeline.diffusion import DiffusionPipeline
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.presets import Preset, Training
from musegen.pretrained import Bundle, save
from musegen.pretrained import load as load_bundle
from musegen.representations.onsetroll import OnsetRoll
from musegen.samplers import Plan
from musegen.schedules import Schedule
from musegen.train import train

ROLL = OnsetRoll("duo", bars=4, low=36, high=95)
CONFIG = DiffusionConfig(
    planes=4,
    steps=64,
    pitches=60,
    patch=(4, 60),
    kernel=(3, 1),
    pool=(2, 1),
    channels=8,
    multipliers=(1, 1),
    blocks=1,
    attention=(1,),
    heads=2,
    told=36,
    how="planes",
    context=0,
    evidence=True,
    density=(0.02,) * 4,
    schedule=Schedule("cosine", 50),
    prediction="x0",
)


@pytest.fixture(scope="module")
def data() -> tuple[Windows, Windows]:
    folder = FOLDER / "duo"
    prepare([SAMPLES], folder, Settings("band", 4, 4, "duo", 1, chords=True), held_out=(0.25, 0.25))
    return load(folder, "test", ROLL), load(folder, "train", ROLL)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    torch.manual_seed(0)
    return Bundle("tiny", Denoiser(CONFIG).eval(), ROLL)


def test_the_report(bundle: Bundle, data: tuple[Windows, Windows]) -> None:
    held_out, training = data
    found = measure(bundle, held_out, training, n=8, steps=2, curve=(1, 2), seed=1)
    assert set(found.numbers["overlap"]) == {
        *("with chords", "free", "real", "other songs", "shuffled")
    }
    for values in found.numbers["overlap"].values():
        assert all(0 <= v <= 1 + 1e-9 for v in values.values())
    assert found.numbers["inpainting"]["kept cells that are as before"] == 1
    assert set(found.numbers["steps against quality"]) == {1, 2}
    assert set(found.pictures) == {"densities.png", "steps.png", "pieces.png", "filled.png"}
    assert all(png[:4] == b"\x89PNG" for png in found.pictures.values())
    assert 0 <= found.scores["least overlap"] <= found.scores["mean overlap"] <= 1
    text = "\n".join(found.lines)
    for words in ("melody pitch", "self-similarity", "inpainting", "copies"):
        assert words in text
    again = measure(bundle, held_out, training, n=8, steps=2, curve=(1, 2), seed=1)
    assert again.numbers["overlap"] == found.numbers["overlap"]


def test_real_music_is_like_itself(data: tuple[Windows, Windows]) -> None:
    x = data[1].encode(np.arange(len(data[1])))
    truth = report.pool(x, ROLL)
    assert report._mean_overlap(x, truth, ROLL) == pytest.approx(1)
    mixed = report.shuffled(x, np.random.default_rng(0))
    assert mixed.shape == x.shape
    assert mixed.sum() == x.sum()
    assert report._mean_overlap(mixed, truth, ROLL) < 0.97


def test_copies_are_found(data: tuple[Windows, Windows]) -> None:
    training = data[1]
    x = training.encode(np.arange(6))
    found = copies(x, training)
    assert found["mean of the nearest"] == pytest.approx(1)
    assert found["share over 0.8"] == 1
    rng = np.random.default_rng(0)
    noise = np.where(rng.random(x.shape) < 0.01, 1, -1)
    assert copies(noise, training)["share over 0.8"] == 0


def test_chord_tones_are_counted() -> None:
    told = np.zeros((1, 4, 36))
    told[0, :3, 12 + np.array([0, 4, 7])] = 1  # C major, then no chord
    cells = np.zeros((1, 16, 60), bool)
    cells[0, :4, 48 - 36] = True  # C in the chord
    cells[0, 4:8, 50 - 36] = True  # D is not
    cells[0, 12:, 50 - 36] = True  # no chord here
    assert report.in_chords(cells, told, 36) == 0.5


def test_repeated_bars_are_alike(data: tuple[Windows, Windows]) -> None:
    x = data[1].encode(np.arange(1)).copy()
    x[:, :, 32:] = x[:, :, :32]
    assert report.similarity(x, ROLL)[0] == pytest.approx([1, 1])


def test_the_engine_trains_it(data: tuple[Windows, Windows], tmp_path: Any) -> None:
    """With chords and an average, the same twice; the bundle that comes of it makes music."""
    objective = Diffusion(CONFIG.schedule, "x0", error="entropy", spread=True, unguided=0.2)
    training = Training(6, 8, lr=2e-3, ema=0.9, transpose=3, chords=True)
    plan = Preset("tiny", CONFIG, ROLL, objective, training)
    losses: list[float] = []
    model = train(
        plan,
        data[1],
        data[0],
        tmp_path / "run",
        every=3,
        report=lambda p: losses.append(p.losses["loss"]),
    )
    assert losses[-1] < losses[0]
    again = train(plan, data[1], data[0], tmp_path / "other", every=3)
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    counts = {"train": 1, "valid": 1, "test": 1}
    info: dict[str, Any] = {"preset": "tiny", "steps": 6, "verbs": ["generate"]}
    info |= {"corpora": {}, "data_licences": {}, "held_out": {}, "windows": counts, "songs": counts}
    loaded = load_bundle(save(tmp_path / "bundle", model, ROLL, info))
    assert (loaded.model.config, loaded.representation) == (model.config, ROLL)
    made = DiffusionPipeline(loaded).generate(1, seed=1, steps=2, chords="free")[0]
    assert made.length == 4 * 4 * 480


class Oracle:
    """Fills with what it was told to know."""

    def __init__(self, truth: Any) -> None:
        self.truth = torch.from_numpy(truth).float()

    def fill(self, x: Any, mask: Any, *_: Any, **__: Any) -> Any:
        return torch.where(mask, x, self.truth[: len(x)])


def test_inpainting_of_the_truth_scores_as_the_truth(data: tuple[Windows, Windows]) -> None:
    x = data[1].encode(np.arange(20))
    found = report.inpainting(Oracle(x), x, None, ROLL, torch.Generator(), Plan(2))
    assert found["pitch classes as around"] == found["those of the real bars"]
    assert found["those of the real bars"] > found["those of other windows"]
    one, two = "change at the seams to other bar lines", "the same of real music"
    assert found[one] == pytest.approx(found[two])


def test_other_windows_are_refused(bundle: Bundle, data: tuple[Windows, Windows]) -> None:
    other = Bundle("other", bundle.model, OnsetRoll("duo", bars=4))
    with pytest.raises(InputError, match="as this model knows"):
        measure(other, data[0], None)
