"""Blocks of U-Nets over places of time and pitch: convolutions, residuals, transformers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from musegen.sizes import HEAD

Pair = tuple[int, int]
_BAR = 4  # patches of a beat


def groups(channels: int) -> nn.GroupNorm:
    """Group norm of 32 groups, or of as many as divide the channels."""
    return nn.GroupNorm(math.gcd(32, channels), channels)


class Conv(nn.Conv2d):
    """A convolution; where there is one place of pitch, as matrix products, which CPUs do two to
    three times faster. Features then lie in memory with channels last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Features x [b, d, t, p], convolved."""
        kernel, stride, around = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if x.shape[3] != 1 or self.kernel_size[1] != 1:
            return super().forward(x)
        h = x[..., 0].mT
        if kernel > 1:
            h = F.pad(h, (0, 0, around, around))
            last = (h.shape[1] - kernel) // stride * stride
            near = [h[:, i : i + last + 1 : stride] for i in range(kernel)]
            h = torch.stack(near, -1).flatten(2)  # as the weights lie, which are not copied so
        return F.linear(h, self.weight.flatten(1), self.bias).mT[..., None]


class Residual(nn.Module):
    """Two convolutions around a vector that tells the time (Ho et al. 2020, appendix B)."""

    def __init__(
        self, inner: int, outer: int, time: int, kernel: Pair, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.before = nn.Sequential(groups(inner), nn.SiLU(), conv(inner, outer, kernel))
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time, outer))
        last = conv(outer, outer, kernel)
        self.after = nn.Sequential(groups(outer), nn.SiLU(), nn.Dropout(dropout), last)
        self.skip = nn.Identity() if inner == outer else Conv(inner, outer, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Features x [b, d, t, p] at the time [b, e]."""
        h = self.before(x) + self.time(time)[:, :, None, None]
        out: Tensor = self.skip(x) + self.after(h)
        return out


class Attention(nn.Module):
    """Multi-head attention of x [b, n, d] to `others` [b, m, e]."""

    def __init__(self, width: int, other: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(other, width, bias=False)
        self.v = nn.Linear(other, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, others: Tensor) -> Tensor:
        """What x gathers from the others, [b, n, d]."""
        parts = (self.q(x), self.k(others), self.v(others))
        q, k, v = (rearrange(p, "b n (h d) -> b h n d", h=self.heads) for p in parts)
        seen = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(rearrange(seen, "b h n d -> b n (h d)"))
        return out


class Transformer(nn.Module):
    """A spatial transformer: places attend to each other and to what is told (Rombach et al. 2022).

    Without context to attend to, as with planes, the second attention is left out.
    """

    def __init__(self, width: int, heads: int, context: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = groups(width)
        self.inward, self.outward = Conv(width, width, 1), Conv(width, width, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if context else 2))
        self.among = Attention(width, width, heads)
        self.told = Attention(width, context, heads) if context else None
        self.gate = nn.Linear(width, 8 * width)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Features x [b, d, t, p] told of context [b, m, e]."""
        h = rearrange(self.inward(self.norm(x)), "b d t p -> b (t p) d")
        normed = self.norms[0](h)
        h = h + self.among(normed, normed)
        if self.told is not None and context is not None:
            h = h + self.told(self.norms[1](h), context)
        value, gate = self.gate(self.norms[-1](h)).chunk(2, -1)
        h = h + self.last(self.drop(value * F.gelu(gate)))
        back = rearrange(h, "b (t p) d -> b d t p", t=x.shape[2])
        out: Tensor = x + self.outward(back)
        return out


class Block(nn.Module):
    """Attention and a wide layer, both told the noise level (Peebles and Xie 2023, adaLN-Zero)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.own = nn.Parameter(torch.zeros(6, width))

    def forward(
        self, x: Tensor, time: Tensor, bias: Tensor, memory: list[Tensor] | None = None
    ) -> Tensor:
        """Vectors x [b, w, d] told time [b, 6, d], attending with a bias [heads, w, w].

        With a memory x are the last ones of a sequence, and it holds the keys and values of all
        those before them [b, heads, v, head], then theirs too; the bias is [heads, w, v + w].
        """
        told = (time + self.own)[:, :, None].unbind(1)
        q, k, v = rearrange(self.mix(_told(x, *told[:2])), "b w (n h d) -> n b h w d", n=3, d=HEAD)
        if memory is not None:
            if memory:
                k, v = torch.cat([memory[0], k], 2), torch.cat([memory[1], v], 2)
            memory[:] = [k, v]
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + told[2] * self.out(rearrange(seen, "b h w d -> b w (h d)"))
        return x + told[5] * self.narrow(F.gelu(self.wide(_told(x, *told[3:5]))))


def _told(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


class Up(nn.Module):
    """Nearest neighbours and a convolution."""

    def __init__(self, width: int, kernel: Pair) -> None:
        super().__init__()
        self.conv = conv(width, width, kernel)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """Features x [b, d, t, p] at a size [b, d, t, p]."""
        out: Tensor = self.conv(F.interpolate(x, size[2:], mode="nearest"))
        return out


class Keys(nn.Module):
    """Features of each key in each patch, before and after a U-Net whose places are all keys.

    Such a U-Net hears chords and bars, but has too few numbers for a place to tell which of its
    cells belong together: a held key is a run of cells that must be all on or all off. Here every
    key sees its own cells with those of the patches around, on the way in and on the way out, and
    hears the keys within an octave, now, in its bar and in all, the same way for all keys.
    """

    def __init__(
        self, seen: int, planes: int, patch: int, keys: int, width: int, thin: int, time: int
    ) -> None:
        super().__init__()
        self.patch = patch
        self.near = nn.Linear(3 * seen * patch, width)
        self.key = nn.Parameter(torch.zeros(keys, 1, width))
        self.time = nn.Linear(time, width)
        self.thin = nn.Linear(width, thin)
        self.join = nn.Linear(3 * (width + thin), width)
        self.octave = nn.Conv1d(thin, thin, 25, padding=12, groups=thin)
        self.hear = nn.Linear(thin, width, bias=False)
        self.wide = nn.Conv1d(2 * thin, 2 * thin, 25, padding=12, groups=2 * thin)
        self.recall = nn.Linear(2 * thin, width, bias=False)
        self.last = nn.Linear(width, planes * patch)

    def inward(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Features [b, p, t, d] of what is seen [b, k, steps, p] at the time [b, e], and what the
        U-Net sees of them, [b, p * thin, t, 1].
        """
        cells = rearrange(x, "b k (t i) p -> b p t (k i)", i=self.patch)
        mine = F.silu(self.near(_around(cells)) + self.key + self.time(time)[:, None, None])
        return mine, rearrange(self.thin(mine), "b p t c -> b (p c) t 1")

    def outward(self, mine: Tensor, heard: Tensor) -> Tensor:
        """Cells [b, planes, steps, p] of the features [b, p, t, d] and what the U-Net says of them,
        [b, p * thin, t, 1].
        """
        h = rearrange(heard, "b (p c) t 1 -> b p t c", p=mine.shape[1])
        own = self.thin(mine)
        near = _over_keys(self.octave, own)
        # What a key and those around it do in this bar and in all, for registers and repetition.
        bars = own.unflatten(2, (-1, _BAR)).mean(3)
        both = torch.cat([bars, own.mean(2, keepdim=True).expand_as(bars)], -1)
        far = self.recall(_over_keys(self.wide, both)).repeat_interleave(_BAR, 2)
        h = F.silu(self.join(_around(torch.cat([mine, h], -1))) + self.hear(near) + far)
        return rearrange(self.last(h), "b p t (k i) -> b k (t i) p", i=self.patch)


def _over_keys(depthwise: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution of each feature of x [b, p, t, c] over keys, as one banded matrix product for
    each feature: in batches CPUs do that five times faster.
    """
    size, around = x.shape[1], int(depthwise.padding[0])
    index = torch.arange(size, device=x.device)
    apart = (index - index[:, None] + around).clamp(-1, 2 * around + 1)
    bands = F.pad(depthwise.weight[:, 0], (1, 1))[:, apart + 1]  # [c, p, p], none out of reach
    out = rearrange(bands @ rearrange(x, "b p t c -> c p (b t)"), "c p (b t) -> b p t c", b=len(x))
    return out if depthwise.bias is None else out + depthwise.bias


def _around(x: Tensor) -> Tensor:
    """Each place of x [..., t, d] with the one before and the one after, [..., t, 3 d]."""
    wide = F.pad(x, (0, 0, 1, 1))
    return torch.cat([wide[..., :-2, :], x, wide[..., 2:, :]], -1)


def flagged(given: Tensor | None, n: int, beats: int, told: int, like: Tensor) -> Tensor:
    """What is told of each beat, [b, beats, told] or None for nothing, and whether anything at all
    is told of the piece, [b, beats, told + 1].
    """
    given = like.new_zeros(n, beats, told) if given is None else given.to(like)
    some = given.flatten(1).any(1).to(like)[:, None, None].expand(-1, given.shape[1], 1)
    return torch.cat([given, some], -1)


def conv(inner: int, outer: int, kernel: Pair, stride: Pair = (1, 1)) -> Conv:
    """A convolution that keeps the size, or divides it by its stride, rounded up."""
    return Conv(inner, outer, kernel, stride, (kernel[0] // 2, kernel[1] // 2))


def apply(part: nn.Module, h: Tensor, time: Tensor, context: Tensor | None) -> Tensor:
    """Run a convolution, or a list of residual blocks and transformers."""
    for one in part if isinstance(part, nn.ModuleList) else [part]:
        if isinstance(one, Residual):
            h = one(h, time)
        elif isinstance(one, Transformer):
            h = one(h, context)
        else:
            h = one(h)
    return h


def waves(t: Tensor, width: int, longest: float = 10_000.0) -> Tensor:
    """Cosines and sines of noise levels t [b], [b, width] (Ho et al. 2020, appendix B)."""
    half = width // 2
    rate = torch.exp(-math.log(longest) * torch.arange(half, device=t.device) / half)
    angle = t[:, None].float() * rate
    return torch.cat([angle.cos(), angle.sin()], -1)
