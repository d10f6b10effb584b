"""Recurrent networks without torch: what makes music is NumPy, what learns is torch.

The same weights give the same numbers up to float rounding, and a seed gives the same chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from musegen.runtime.crnngan import CRNNGAN
from musegen.runtime.groovae import GrooVAE
from musegen.runtime.musicvae import MusicVAE
from musegen.runtime.parts import Draws, Weights, slerp
from musegen.sizes import CRNNGANConfig, GrooVAEConfig, MusicVAEConfig

__all__ = ["NETWORKS", "Draws", "Family", "build", "of", "slerp"]


class Family(NamedTuple):
    """A network and the dataclass that sizes it."""

    network: type[Any]
    config: type[Any]


NETWORKS: dict[str, Family] = {
    "musicvae": Family(MusicVAE, MusicVAEConfig),
    "crnngan": Family(CRNNGAN, CRNNGANConfig),
    "groovae": Family(GrooVAE, GrooVAEConfig),
}


def build(config: object, weights: Mapping[str, NDArray[Any]]) -> Any:
    """The network of these sizes and weights.

    Raises:
        ValueError: weights are missing, left over, or of other shapes.
    """
    family = next(f for f in NETWORKS.values() if isinstance(config, f.config))
    return family.network(config, Weights(weights))


def of(network: Any) -> Any:
    """The NumPy network of one in torch; one in NumPy stays as it is."""
    if isinstance(network, tuple(f.network for f in NETWORKS.values())):
        return network
    held = network.state_dict()
    return build(network.config, {name: held[name].cpu().numpy() for name in held})
