"""A normalising flow as the prior of a latent: real NVP (Dinh et al., ICLR 2017), conditional.

Affine couplings between two halves of z under fixed permutations, with log scales bounded by tanh.
A learned vector a style conditions every coupling, so that one flow holds several priors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Coupling(nn.Module):
    """z2 * exp(s) + t, with s and t networks of z1 and the style."""

    def __init__(self, size: int, width: int, style: int) -> None:
        super().__init__()
        half = size // 2
        self.net = nn.Sequential(
            nn.Linear(half + style, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * (size - half)),
        )
        self.half = half
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def terms(self, kept: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Log scale and shift of the changed half."""
        s, t = self.net(torch.cat([kept, style], dim=-1)).chunk(2, dim=-1)
        return 1.5 * torch.tanh(s / 1.5), t


class Flow(nn.Module):
    """An invertible map between N(0, I) and latents z [b, size]."""

    def __init__(self, size: int, layers: int, width: int, styles: int) -> None:
        super().__init__()
        self.styles = nn.Embedding(styles, 16)
        self.couplings = nn.ModuleList(Coupling(size, width, 16) for _ in range(layers))
        order = torch.stack(
            [torch.randperm(size, generator=torch.Generator().manual_seed(i)) for i in range(layers)]
        )
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort(dim=1))
        self.order: Tensor
        self.back: Tensor

    def log_prob(self, z: Tensor, style: Tensor) -> Tensor:
        """Log density of z [b, size] given style indices [b], in nats, [b]."""
        vector, total = self.styles(style), torch.zeros(len(z), device=z.device)
        for order, coupling in zip(self.order, self.couplings, strict=True):
            z = z[:, order]
            kept, changed = z[:, : coupling.half], z[:, coupling.half :]
            s, t = coupling.terms(kept, vector)
            z = torch.cat([kept, (changed - t) * torch.exp(-s)], dim=-1)
            total = total - s.sum(-1)
        return total - 0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)

    def forward(self, noise: Tensor, style: Tensor) -> Tensor:
        """Noise [b, size] from N(0, I) to latents of the given styles [b]."""
        vector, z = self.styles(style), noise
        for back, coupling in zip(reversed(self.back), reversed(self.couplings), strict=True):
            kept, changed = z[:, : coupling.half], z[:, coupling.half :]
            s, t = coupling.terms(kept, vector)
            z = torch.cat([kept, changed * torch.exp(s) + t], dim=-1)[:, back]
        return z
