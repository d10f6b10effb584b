"""Families of networks, which know nothing of files, MIDI or scores: only symbols and latents."""

from __future__ import annotations

from typing import NamedTuple

from musegen.models.musicvae import MusicVAE, MusicVAEConfig


class Family(NamedTuple):
    """A network and the dataclass that sizes it."""

    network: type[MusicVAE]
    config: type[MusicVAEConfig]


FAMILIES: dict[str, Family] = {"musicvae": Family(MusicVAE, MusicVAEConfig)}


def family(config: object) -> str:
    """The name of the family whose networks a config sizes."""
    return next(name for name, one in FAMILIES.items() if isinstance(config, one.config))


def build(config: MusicVAEConfig) -> MusicVAE:
    """A new network of these sizes, its weights drawn by torch's global generator."""
    return FAMILIES[family(config)].network(config)
