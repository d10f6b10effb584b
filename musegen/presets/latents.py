"""Presets of diffusion over the latents of a MusicVAE."""

from __future__ import annotations

from musegen.models.latents import LatentsConfig
from musegen.objectives.diffusion import Diffusion
from musegen.presets.base import Preset, Rules, Training
from musegen.presets.musicvae import melody_2bar_small
from musegen.representations.events import Melody
from musegen.schedules import Schedule
from musegen.sizes import MusicVAEConfig


def melody_32bar_small() -> Preset:
    """Sixteen windows of melody-2bar that belong together, with --init melody-2bar; so began the
    shipped melody-32bar.
    """
    schedule = Schedule("cosine", 1000)
    segment = melody_2bar_small().model
    assert isinstance(segment, MusicVAEConfig)
    return Preset(
        "32-bar melodies on a CPU, with --init melody-2bar: 16 of its latents (melody-32bar)",
        LatentsConfig(segment, schedule=schedule),
        Melody(32),
        Diffusion(schedule, "v", spread=True),
        Training(
            18_000,
            32,
            lr=2e-3,
            lr_final=2e-5,
            warmup=100,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            ema=0.999,
            transpose=3,
        ),
    )


def rules(preset: Preset) -> Rules:
    """What must hold of a preset of this family, and the words where it does not."""
    model, kind, objective = preset.model, preset.representation, preset.objective
    if not isinstance(model, LatentsConfig) or not isinstance(objective, Diffusion):
        return ((False, "a denoiser of latents needs the objective of diffusion"),)
    part = model.autoencoder
    return (
        (
            isinstance(kind, Melody) and model.vocab == kind.vocab,
            "a denoiser of latents learns melodies",
        ),
        (
            model.steps == getattr(kind, "steps", 0),
            f"model.windows must be representation.bars / {part.steps // 16}",
        ),
        (part.segments == 1 and not part.control, "the autoencoder must be flat, without chords"),
        (0 < model.kept <= part.latent, f"model.kept must be from 1 to {part.latent}"),
        (
            (model.schedule, model.prediction) == (objective.schedule, objective.prediction),
            "model and objective must have the same schedule and prediction",
        ),
        (objective.error == "squared", 'objective.error must be "squared"'),
        (not preset.training.chords, "training.chords is not for latents"),
    )
