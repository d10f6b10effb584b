"""Named experiments as plain values: model, representation, objective and training."""

from __future__ import annotations

from collections.abc import Callable

from musegen.config import nearest
from musegen.errors import ModelError, MusegenError
from musegen.models import family
from musegen.presets import crnngan, diffusion, groovae, latents, musegan, musicvae
from musegen.presets.base import Named, Preset, Rules, Training

__all__ = ["PRESETS", "RULES", "Preset", "Training", "check", "preset"]

PRESETS: Named = {
    **musicvae.PRESETS,
    **crnngan.PRESETS,
    **musegan.PRESETS,
    **diffusion.PRESETS,
    **groovae.PRESETS,
    **latents.PRESETS,
}
RULES: dict[str, Callable[[Preset], Rules]] = {
    "musicvae": musicvae.rules,
    "crnngan": crnngan.rules,
    "diffusion": diffusion.rules,
    "musegan": musegan.rules,
    "groovae": groovae.rules,
    "latents": latents.rules,
}


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ModelError: no such preset; names the nearest.
    """
    if name not in PRESETS:
        raise ModelError(f"no preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]()


def check(preset: Preset) -> None:
    """Refuse settings that contradict each other, in words, before any work.

    Raises:
        MusegenError: which settings cannot be.
    """
    training = preset.training
    rules = (
        (training.steps >= 1 and training.batch >= 1, "steps and batch must be at least 1"),
        (training.lr >= 0 and training.lr_final >= 0, "rates must be numbers from 0 up"),
        (training.transpose >= 0, "training.transpose must not be negative"),
        (
            1 <= training.accumulate <= training.batch,
            "training.accumulate must be from 1 to training.batch",
        ),
        (0 <= training.ema < 1, "training.ema must be from 0 to below 1"),
        *RULES[family(preset.model)](preset),
    )
    for holds, words in rules:
        if not holds:
            raise MusegenError(f"cannot train: {words}")
