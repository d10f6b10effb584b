"""Families of networks, which know nothing of files, MIDI or scores: only symbols and latents."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from musegen.models.crnngan import CRNNGAN
from musegen.models.diffusion import Denoiser, DiffusionConfig
from musegen.models.groovae import GrooVAE
from musegen.models.latents import LatentDenoiser, LatentsConfig
from musegen.models.musegan import MuseGAN, MuseGANConfig
from musegen.models.musicvae import MusicVAE
from musegen.sizes import CRNNGANConfig, GrooVAEConfig, MusicVAEConfig


class Family(NamedTuple):
    """A network and the dataclass that sizes it."""

    network: type[Any]
    config: type[Any]


# Unions of what the families have.
Config: TypeAlias = (
    MusicVAEConfig | CRNNGANConfig | MuseGANConfig | DiffusionConfig | GrooVAEConfig | LatentsConfig
)
Network: TypeAlias = MusicVAE | CRNNGAN | MuseGAN | Denoiser | GrooVAE | LatentDenoiser

FAMILIES: dict[str, Family] = {
    "musegan": Family(MuseGAN, MuseGANConfig),
    "musicvae": Family(MusicVAE, MusicVAEConfig),
    "crnngan": Family(CRNNGAN, CRNNGANConfig),
    "diffusion": Family(Denoiser, DiffusionConfig),
    "groovae": Family(GrooVAE, GrooVAEConfig),
    "latents": Family(LatentDenoiser, LatentsConfig),
}


def family(config: object) -> str:
    """The name of the family whose networks a config sizes."""
    return next(name for name, one in FAMILIES.items() if isinstance(config, one.config))


def build(config: Config) -> Network:
    """A new network of these sizes, its weights drawn by torch's global generator."""
    network: Network = FAMILIES[family(config)].network(config)
    return network
