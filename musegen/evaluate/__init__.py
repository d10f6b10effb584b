"""Reports: how a model does on held-out songs, and how like them its own music is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from musegen.dataset import Windows
from musegen.errors import ModelError
from musegen.evaluate import crnngan, diffusion, groovae, latents, musegan, musegan_fit, musicvae
from musegen.evaluate.report import Report
from musegen.models import family
from musegen.pretrained import Bundle

FAMILIES: dict[str, Callable[..., Report]] = {
    "musicvae": musicvae.measure,
    "crnngan": crnngan.measure,
    "musegan": musegan.measure,
    "diffusion": diffusion.measure,
    "groovae": groovae.measure,
    "latents": latents.measure,
}

# How samples are drawn can be chosen, where a family has such a choice.
DRAWS: dict[str, tuple[str, ...]] = {"musicvae": ("temperature", "spread")}
DRAWS |= dict.fromkeys(("crnngan", "groovae", "latents", "musegan"), ("temperature",))

# What is said of the music of a network in training, where a family has something to say.
WATCHED: dict[str, Callable[[Any, Any], dict[str, float]]] = {"crnngan": crnngan.watched}

# What a bundle keeps that is fitted to its training music, where a family keeps something.
FITTED: dict[str, Callable[..., dict[str, Any]]] = {"musegan": musegan_fit.fitted}

__all__ = ["FAMILIES", "Report", "fitted", "measure", "watched"]


def measure(bundle: Bundle, held_out: Windows, training: Windows | None, **options: Any) -> Report:
    """What `musegen evaluate` prints for a bundle; see the family's own `measure`.

    Args:
        bundle: the model.
        held_out: windows of songs that it was not trained on.
        training: windows of the training songs; None leaves out what needs them.
        options: n, seed, temperature, report (told what is being done), and what the family takes.

    Raises:
        InputError: no windows, or of another kind than the model's.
        ModelError: its samples have no temperature, or its prior no spread.
    """
    name = family(bundle.model.config)
    for option in ("temperature", "spread"):
        if option in options and option not in DRAWS.get(name, ()):
            raise ModelError(f"{bundle.name} is drawn from without a {option}; leave it out")
    return FAMILIES[name](bundle, held_out, training, **options)


def fitted(bundle: Bundle, training: Windows | None, **options: Any) -> dict[str, Any]:
    """What `musegen evaluate --fit` adds to a bundle's info; see the family's own `fitted`.

    Args:
        bundle: the model.
        training: windows of the songs it was trained on.
        options: seed, report (told what is being done), and what the family takes.

    Raises:
        InputError: no windows, or of another kind than the model's.
        ModelError: its bundles keep nothing of the kind.
    """
    name = family(bundle.model.config)
    if name not in FITTED:
        raise ModelError(f"{bundle.name} has nothing to fit to its training music; leave out --fit")
    return FITTED[name](bundle, training, **options)


def watched(model: Any, representation: Any) -> dict[str, float]:
    """Statistics of some pieces of a network in training, of the same noise each time, for the log
    of its run (`musegen.evaluate.curves` draws them); nothing where a family has none.
    """
    name = family(model.config)
    return WATCHED[name](model, representation) if name in WATCHED else {}
