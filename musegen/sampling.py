"""Drawing symbols from logits, and paths between latents."""

from __future__ import annotations

import torch
from torch import Tensor

from musegen import runtime


def pick(
    logits: Tensor, generator: torch.Generator, temperature: float = 1.0, top_p: float = 1.0
) -> Tensor:
    """Draw an index from each row of logits [b, v], giving [b].

    Args:
        logits: unnormalised log probabilities.
        generator: source of all randomness.
        temperature: divides the logits; 0 takes the largest.
        top_p: keep the fewest most likely symbols whose probabilities reach this (Holtzman 2020).
    """
    if temperature <= 0:
        return logits.argmax(dim=-1)
    p = torch.softmax(logits / temperature, dim=-1)
    if top_p < 1:
        ordered, index = p.sort(dim=-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
        p = torch.zeros_like(p).scatter_(-1, index, ordered)
    # Inverse of the cumulative distribution: one uniform number a row, whatever the batch.
    u = torch.rand(len(p), 1, generator=generator).to(p)
    mass = p.cumsum(-1)
    chosen = torch.searchsorted(mass, u * mass[:, -1:], right=True)
    return chosen.squeeze(-1).clamp(max=p.shape[-1] - 1)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """`runtime.slerp` of tensors: between a, b [..., z] at t [n], giving [n, ..., z]."""
    return torch.from_numpy(runtime.slerp(a.numpy(), b.numpy(), t.numpy()))
