"""Small things that several test files share, each made once: data, a preset, bundles, tunes."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from musegen import pretrained
from musegen.dataset import Windows, load
from musegen.models.musicvae import MusicVAE, MusicVAEConfig
from musegen.objectives.variational import ELBO
from musegen.pipeline.musicvae import MusicVAEPipeline
from musegen.prepare import prepare
from musegen.presets import Preset, Training
from musegen.representations.events import Melody
from musegen.score import Score, Track

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
_KEPT = tempfile.TemporaryDirectory(prefix="musegen-tests-")
FOLDER = Path(_KEPT.name)

PRESET = Preset(
    "tiny",
    MusicVAEConfig(
        latent=8,
        encoder=12,
        decoder=(16,),
        embedding=8,
        readout="steps",
        view=4,
        unconditional=True,
    ),
    Melody(2),
    ELBO(beta=0.2, beta_rate=0.9, input_dropout=0.3, unconditional=0.25),
    Training(12, 16, lr=5e-3, warmup=2, ema=0.5, transpose=3),
)
# The same for the command line, from a preset that has the same fields in use.
SETTINGS = [
    "model.latent=8",
    "model.encoder=12",
    "model.decoder=[16]",
    "model.embedding=8",
    "model.view=4",
    "objective.unconditional=0.25",
    "training.steps=12",
    "training.batch=16",
    "training.lr=0.005",
    "training.warmup=2",
    "training.ema=0.5",
    "training.transpose=3",
]


@cache
def prepared() -> Path:
    """The sample pieces as training data, half of the songs held out."""
    prepare([SAMPLES], FOLDER / "data", held_out=(0.25, 0.25))
    return FOLDER / "data"


@cache
def windows(part: str) -> Windows:
    return load(prepared(), part)


def network(config: MusicVAEConfig, seed: int = 0, spread: float = 0.3) -> MusicVAE:
    """Untrained, with weights far enough from 0 to make melodies of many kinds."""
    torch.manual_seed(seed)
    model = MusicVAE(config)
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=spread)
    return model.eval()


def config(**more: object) -> MusicVAEConfig:
    fields = {
        "latent": 8,
        "encoder": 12,
        "decoder": (16, 12),
        "embedding": 8,
        "readout": "steps",
        "view": 4,
        "unconditional": True,
        "shift": 2,
        "styles": ("march", "waltz"),
        "shares": (0.75, 0.25),
    }
    return MusicVAEConfig(**(fields | more))


INFO = {
    "preset": "tiny",
    "verbs": ["generate", "interpolate", "reconstruct"],
    "steps": 12,
    "windows": {"train": 60, "valid": 20, "test": 20},
    "songs": {"train": 6, "valid": 2, "test": 2},
    "held_out": {"loss": 1.5},
    "corpora": {"midi": "somewhere"},
    "data_licences": {"midi": "yours"},
}


@cache
def bundle(**more: object) -> Path:
    """A bundle of random weights."""
    name = "-".join(["tiny", *(f"{k}={v}" for k, v in more.items())])
    network_ = network(config(**more))
    return pretrained.save(FOLDER / name, network_, Melody(2), INFO)


@cache
def silent_bundle() -> Path:
    """A bundle that always says nothing."""
    model = network(config())
    with torch.no_grad():
        model.voices[0].logits.bias[0] = 1000.0
    return pretrained.save(FOLDER / "silent", model, Melody(2), INFO)


@cache
def pipeline() -> MusicVAEPipeline:
    return MusicVAEPipeline(pretrained.load(bundle()))


def tune(
    pitches: list[int],
    *,
    start: int = 0,
    each: int = 240,
    velocity: int = 70,
    ppq: int = 480,
    **more: object,
) -> Score:
    """Notes one after the other; the rest goes to the Score."""
    rows = [(start + i * each, each, p, velocity) for i, p in enumerate(pitches)]
    track = Track(np.array(rows), 40, name="Fiddle")
    return Score((track,), ppq, **more)
