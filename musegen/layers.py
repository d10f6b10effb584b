"""Parts of networks that several families use."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

M = TypeVar("M", bound=nn.Module)

LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def spectral(module: M) -> M:
    """Divide each linear and convolutional weight of a module by its largest singular value.

    Spectral normalisation (Miyato et al., ICLR 2018): the value comes from one power iteration at
    each forward pass in training, from kept vectors, and gradients go through it. A chain of such
    layers with activations of slope at most 1 is 1-Lipschitz. A convolution's weight counts as the
    matrix [out, in * kernel], as in the paper: that bounds its slope by 1 where kernel and stride
    are equal, and elsewhere by the square root of the number of windows that see one input.

    Returns:
        The same module, changed.
    """
    for layer in list(module.modules()):
        if isinstance(layer, LAYERS) and not parametrize.is_parametrized(layer, "weight"):
            spectral_norm(layer)
    return module
