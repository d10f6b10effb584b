"""The tasks: Score in, Score out. The one place where a network and a representation meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from musegen import pretrained
from musegen.lazy import Table
from musegen.pipeline.base import VERBS, Pipeline, drums_alone, timeline
from musegen.score import Score

__all__ = ["PIPELINES", "VERBS", "Pipeline", "default", "load", "timeline"]

# Options that some models take and others do not, so that they say which model is meant.
_CHOOSING = {"chords", "seconds", "rhythm", "quantize", "given", "mute", "programs", "guidance"}
_CHOOSING |= {"seeds"}

# Families, and track sets of one kind of music, that are taken when no other can, or by name.
_LAST = {"latents", "satb"}


# Imported when they are used: some of them need torch.
PIPELINES: Table[type[Pipeline]] = Table(
    {
        "musicvae": "musegen.pipeline.musicvae:MusicVAEPipeline",
        "crnngan": "musegen.pipeline.crnngan:CRNNGANPipeline",
        "diffusion": "musegen.pipeline.diffusion:DiffusionPipeline",
        "musegan": "musegen.pipeline.musegan:MuseGANPipeline",
        "groovae": "musegen.pipeline.groove:GroovePipeline",
        "latents": "musegen.pipeline.songs:SongPipeline",
    }
)


def default(verb: str, options: Iterable[str] = (), music: Sequence[Score] = ()) -> str:
    """The shipped model that a verb takes when nobody asks for one.

    That is the usual one, `pretrained.DEFAULT`, if it has the verb, suits the music (drums alone,
    or others) and takes the options, else one that does, of its family before others, in the order
    of the table, and small before large, those of `_LAST` behind; without such one that suits the
    music; the usual one for verbs that none has.
    """
    usual, wanted = pretrained.DEFAULT, _CHOOSING & set(options)
    config = {name: pretrained.read_config(pretrained.locate(name)) for name in pretrained.names()}
    able = [name for name in config if verb in config[name]["info"].get("verbs", ())]
    home = config[usual]["family"] if usual in able else ""
    kinds = {n: (config[n]["family"], config[n]["representation"].get("tracks")) for n in able}
    order = list(PIPELINES)
    rank = {
        n: (not _LAST.isdisjoint(kinds[n]), kinds[n][0] != home, order.index(kinds[n][0]))
        for n in able
    }
    able.sort(key=lambda n: (n != usual, *rank[n], pretrained.size(n)))
    drums = bool(music) and all(map(drums_alone, music))
    fitting = []
    for name in able if wanted or music else ():  # families of torch are loaded only if need be
        family, sizes = PIPELINES[config[name]["family"]], config[name]["model"]
        if music and not family.suits(config[name], drums):
            continue
        if not family.needs(sizes) <= wanted:
            continue
        if wanted <= family.takes(verb, sizes):
            return name
        fitting.append(name)
    return [*fitting, *able, usual][0]


def load(name: str = pretrained.DEFAULT) -> Pipeline:
    """A pipeline from a shipped model's name or a bundle's folder.

    Raises:
        ModelError: there is none, or it is broken.
    """
    bundle = pretrained.playable(name)
    return PIPELINES[bundle.family](bundle)
