"""Reports: how a model does on held-out songs, and how like them its own music is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from musegen.dataset import Windows
from musegen.evaluate import crnngan, diffusion, groovae, musegan, musicvae
from musegen.evaluate.report import Report
from musegen.models import family
from musegen.pretrained import Bundle

FAMILIES: dict[str, Callable[..., Report]] = {
    "musicvae": musicvae.measure,
    "crnngan": crnngan.measure,
    "musegan": musegan.measure,
    "diffusion": diffusion.measure,
    "groovae": groovae.measure,
}

__all__ = ["FAMILIES", "Report", "measure"]


def measure(bundle: Bundle, held_out: Windows, training: Windows | None, **options: Any) -> Report:
    """What `musegen evaluate` prints for a bundle; see the family's own `measure`.

    Args:
        bundle: the model.
        held_out: windows of songs that it was not trained on.
        training: windows of the training songs; None leaves out what needs them.
        options: n, seed, temperature, report (told what is being done), and what the family takes.

    Raises:
        InputError: no windows, or of another kind than the model's.
    """
    return FAMILIES[family(bundle.model.config)](bundle, held_out, training, **options)
