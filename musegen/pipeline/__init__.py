"""The tasks: Score in, Score out. The one place where a network and a representation meet."""

from __future__ import annotations

from musegen import pretrained
from musegen.lazy import Table
from musegen.pipeline.base import VERBS, Pipeline, timeline

__all__ = ["PIPELINES", "VERBS", "Pipeline", "load", "timeline"]


# Imported when they are used: some of them need torch.
PIPELINES: Table[type[Pipeline]] = Table(
    {
        "musicvae": "musegen.pipeline.musicvae:MusicVAEPipeline",
        "crnngan": "musegen.pipeline.crnngan:CRNNGANPipeline",
        "diffusion": "musegen.pipeline.diffusion:DiffusionPipeline",
        "musegan": "musegen.pipeline.musegan:MuseGANPipeline",
        "groovae": "musegen.pipeline.groove:GroovePipeline",
    }
)


def load(name: str = pretrained.DEFAULT) -> Pipeline:
    """A pipeline from a shipped model's name or a bundle's folder.

    Raises:
        ModelError: there is none, or it is broken.
    """
    bundle = pretrained.playable(name)
    return PIPELINES[bundle.family](bundle)
