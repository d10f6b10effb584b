"""Families of networks, which know nothing of files, MIDI or scores: only symbols and latents."""

from __future__ import annotations

from typing import NamedTuple

from musegen.models.musicvae import MusicVAE, MusicVAEConfig


class Family(NamedTuple):
    """A network and the dataclass that sizes it."""

    network: type[MusicVAE]
    config: type[MusicVAEConfig]


FAMILIES: dict[str, Family] = {"musicvae": Family(MusicVAE, MusicVAEConfig)}
