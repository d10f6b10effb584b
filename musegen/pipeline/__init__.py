"""The tasks: Score in, Score out. The one place where a network and a representation meet."""

from __future__ import annotations

from musegen import pretrained
from musegen.models import family
from musegen.pipeline.base import VERBS, Pipeline, timeline
from musegen.pipeline.crnngan import CRNNGANPipeline
from musegen.pipeline.diffusion import DiffusionPipeline
from musegen.pipeline.musegan import MuseGANPipeline
from musegen.pipeline.musicvae import MusicVAEPipeline

PIPELINES: dict[str, type[Pipeline]] = {
    "musicvae": MusicVAEPipeline,
    "crnngan": CRNNGANPipeline,
    "diffusion": DiffusionPipeline,
    "musegan": MuseGANPipeline,
}

__all__ = ["PIPELINES", "VERBS", "Pipeline", "load", "timeline"]


def load(name: str = pretrained.DEFAULT) -> Pipeline:
    """A pipeline from a shipped model's name or a bundle's folder.

    Raises:
        ModelError: there is none, or it is broken.
    """
    bundle = pretrained.load(name)
    return PIPELINES[family(bundle.model.config)](bundle)
