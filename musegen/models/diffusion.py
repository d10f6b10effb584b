"""Denoising diffusion of piano rolls (Ho et al. 2020; Min et al. 2023, Polyffusion): the U-Net.

Faithful parts, in the presets "polyffusion" and "polyffusion_chords": residual blocks of group
norm, SiLU and 3 x 3 convolutions told the time by an added vector; widths 64, 64, 256 and... times
`multipliers`; two blocks a level; spatial transformers (self-attention, cross-attention, GEGLU) at
the levels named; strided convolutions down, nearest neighbours and a convolution up; epsilon
prediction under the square-root-linear schedule. With 512 numbers of context the network has
41,082,370 parameters, as theirs.

Deviations, each a field of the config:

- Chords are read beat by beat by a linear map (cross-attention sees 32 vectors); theirs come as one
  vector from a separately trained recurrent autoencoder.
- `patch`: cells of a patch become channels (pixel-unshuffle): resolution is what costs, not width.
  Time is not pitch, so patch, kernel and pooling are given for each axis. A patch of all pitches
  makes every beat one vector, and the U-Net one over time.
- `keys`: around such a U-Net, each key looks at its own cells from beat to beat (`unet.Keys`).
- `evidence`: for data of -1 and 1, what a cell's own noisy value says of it is known in closed form
  (Bayes): E[x0 | x_t] = tanh(l + a x_t / s^2), with l half the log odds of the cell from all the
  others. The network learns l alone, whose bias starts at the density of the data. Needs x0
  prediction, which also is what a network with patches wider than its channels can predict at all
  (Li and He 2025).
- `single`: where a track has one key at a time, its cells are rivals, and Bayes' rule for one of n
  replaces the one above: what speaks for a key speaks against all others.
- `lead`: a new melody is drawn first, by a prior of its own (`models.lead`), and filled around.
- `positions`: a vector for each place in the window; a convolution does not know where it is.
- Chords as planes: added beat by beat to the first features instead of attended to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from musegen.models.lead import TEMPERATURE, Lead, ahead
from musegen.models.unet import (
    Keys,
    Residual,
    Transformer,
    Up,
    apply,
    conv,
    flagged,
    groups,
    waves,
)
from musegen.samplers import Denoise, Known, Plan, Random, drawn, invert, noised, sample
from musegen.schedules import Prediction, Schedule, clean
from musegen.sizes import HEAD

Report = Callable[[int, int], None]

_IN, _OUT = "b k (t i) (p j) -> b (k i j) t p", "b (k i j) t p -> b k (t i) (p j)"
_SURE = 12.0  # largest half log odds: tanh is 1 in float32 from 9 on


@dataclass(frozen=True)
class DiffusionConfig:
    """Sizes of a denoiser.

    Attributes:
        planes: of a roll: onsets of all tracks, then their sustain.
        steps: sixteenths of a roll.
        pitches: keys of a roll.
        patch: steps and pitches that become one place of the network.
        kernel: of its convolutions, in places of time and pitch.
        pool: places of time and pitch that one of the next level has.
        channels: width of the first level.
        multipliers: width of each level, in `channels`.
        blocks: residual blocks of a level on the way down; one more on the way up.
        attention: levels with transformers, from 0.
        heads: of the attention.
        told: numbers that are known of each beat: 36 for a chord symbol; 0 for nothing. Whether
            anything at all is told is added to them.
        how: "attention" to what is told, or its "planes" added to the input.
        context: width of what is attended to.
        positions: learn a vector for each place.
        keys: width of the features of each key around a U-Net of patches of all pitches; 0 for
            none. A third of it goes into the U-Net and comes out of it.
        evidence: read a cell's own noisy value in closed form, see the module's docstring.
        single: tracks with at most one key at a time, told apart by it in closed form; with
            evidence.
        lead: width of the prior that draws a new track 0 first (`lead.Lead`), which is `single`; 0
            for none.
        lead_layers: its layers.
        density: share of cells that are on, where the bias starts, for each plane; empty for none.
        dropout: of the residual blocks and transformers.
        schedule: of the noise.
        prediction: what the network says.
    """

    planes: int = 2
    steps: int = 128
    pitches: int = 128
    patch: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (3, 3)
    pool: tuple[int, int] = (2, 2)
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = (2, 3)
    heads: int = 4
    told: int = 0
    how: Literal["attention", "planes"] = "attention"
    context: int = 512
    positions: bool = False
    keys: int = 0
    evidence: bool = False
    single: tuple[int, ...] = ()
    lead: int = 0
    lead_layers: int = 5
    density: tuple[float, ...] = ()
    dropout: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)
    prediction: Prediction = "noise"

    @property
    def places(self) -> tuple[int, int]:
        """Places of time and pitch in the first level."""
        return self.steps // self.patch[0], self.pitches // self.patch[1]

    @property
    def beats(self) -> int:
        """Quarters of a roll, of which something may be told."""
        return self.steps // 4


class Denoiser(nn.Module):
    """The U-Net over [b, planes, steps, pitches]; `prior`, `encode`, `decode` and `fill` sample."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        c = self.config = config
        if c.steps % 4 or c.steps % c.patch[0] or c.pitches % c.patch[1]:
            raise ValueError(f"a roll of {c.steps} x {c.pitches} has no whole patches {c.patch}")
        if c.evidence and c.prediction != "x0":
            raise ValueError("evidence needs prediction x0")
        if c.single and (not c.evidence or max(c.single) >= c.planes // 2):
            raise ValueError("single names tracks, and needs evidence")
        if c.keys and (c.patch != (4, c.pitches) or c.keys < 3 or c.beats % 4):
            raise ValueError("keys need patches of beats of all pitches, bars, and a width over 2")
        residual = partial(Residual, time=4 * c.channels, kernel=c.kernel, dropout=c.dropout)
        transformer = partial(Transformer, heads=c.heads, context=c.context, dropout=c.dropout)
        if c.lead and (0 not in c.single or c.lead % HEAD):
            raise ValueError(f"a lead needs track 0 to be single, and a multiple of {HEAD}")
        # Into the network and out of it: a convolution of cells, or one map for each patch.
        edge = partial(conv, kernel=c.kernel if c.patch == (1, 1) else (1, 1))
        widths = [c.channels * m for m in c.multipliers]
        seen = c.planes * (3 if c.evidence else 1)
        into, out = (k * c.patch[0] * c.patch[1] for k in (seen, c.planes))
        self.keys: Keys | None = None
        if c.keys:
            thin = c.keys // 3
            time = 4 * c.channels
            self.keys = Keys(seen, c.planes, c.patch[0], c.pitches, c.keys, thin, time)
            into = out = c.pitches * thin
        self.time = nn.Sequential(
            nn.Linear(c.channels, 4 * c.channels),
            nn.SiLU(),
            nn.Linear(4 * c.channels, 4 * c.channels),
        )
        self.first = edge(into, widths[0])
        if c.told:
            self.reader = nn.Linear(c.told + 1, widths[0] if c.how == "planes" else c.context)
        if c.told and c.how == "attention":
            self.beat = nn.Parameter(torch.randn(c.beats, c.context) * 0.02)
        if c.positions:
            self.place = nn.Parameter(torch.zeros(widths[0], *c.places))

        def block(inner: int, outer: int, level: int) -> nn.ModuleList:
            parts: list[nn.Module] = [residual(inner, outer)]
            if level in c.attention:
                parts.append(transformer(outer))
            return nn.ModuleList(parts)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = widths[0], [widths[0]]
        for level, wide in enumerate(widths):
            for _ in range(c.blocks):
                self.down.append(block(width, wide, level))
                width = wide
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(conv(width, width, c.kernel, c.pool))
                skips.append(width)
        middle = [residual(width, width), transformer(width), residual(width, width)]
        self.middle = nn.ModuleList(middle)
        for level, wide in reversed(list(enumerate(widths))):
            for i in range(c.blocks + 1):
                self.up.append(block(width + skips.pop(), wide, level))
                width = wide
                if level and i == c.blocks:
                    self.up.append(Up(width, c.kernel))
        self.last = nn.Sequential(groups(width), nn.SiLU(), edge(width, out))
        self.lead = Lead(c.steps, c.pitches, c.told, c.lead, c.lead_layers) if c.lead else None
        if c.density:
            self._begin_at_density()

    def _begin_at_density(self) -> None:
        """Start the output at half the log odds of a cell, whatever the input."""
        c = self.config
        odds = torch.tensor(c.density)
        bias = repeat((odds / (1 - odds)).log() / 2, "k -> k t p", t=c.patch[0], p=c.patch[1])
        if self.keys is not None:
            bias = bias[..., 0]  # the same for all keys
        weight, start = (self.last[-1] if self.keys is None else self.keys.last).parameters()
        with torch.no_grad():
            weight.mul_(0.1)
            start.copy_(bias.flatten())

    def forward(self, x: Tensor, t: Tensor, given: Tensor | None = None) -> Tensor:
        """What the schedule's prediction is of noisy rolls x [b, planes, steps, pitches] at noise
        levels t [b], 0 to schedule.steps - 1; `given` [b, beats, told] is known of them, all zeros
        or None for nothing.
        """
        c = self.config
        seen, own = x, x
        if c.evidence:
            a, s = c.schedule.at(t, x)
            own = (a / s.square() * x).clamp(-_SURE, _SURE)
            seen = torch.cat([x, torch.tanh(own + self._prior_odds(x)), own.clamp(-6, 6) / 3], 1)
        time = self.time(waves(t, c.channels).to(x))
        if self.keys is not None:
            mine, seen = self.keys.inward(seen, time)
        else:
            seen = rearrange(seen, _IN, i=c.patch[0], j=c.patch[1])
        h = self.first(seen)
        if c.positions:
            h = h + self.place
        context = None
        if c.told:
            read = self.reader(flagged(given, len(x), c.beats, c.told, x))
            if c.how == "attention":
                context = read + self.beat
            else:
                along = F.interpolate(read.mT, c.places[0], mode="nearest")
                h = h + along[..., None]
        elif c.context:
            context = x.new_zeros(len(x), 1, c.context)
        out = self._unet(h, time, context)
        if self.keys is not None:
            out = self.keys.outward(mine, out)
        else:
            out = rearrange(out, _OUT, k=c.planes, i=c.patch[0], j=c.patch[1])
        if not c.evidence:
            return out
        odds = (out + own).clamp(-_SURE, _SURE)
        return self._exclusive(odds)

    def _exclusive(self, odds: Tensor) -> Tensor:
        """x0 of half log odds, where in some tracks at most one key is struck or held at a step.

        Bayes' rule for one of n: a cell is on with the share of its odds in 1 + the sum of all.
        """
        c, x0 = self.config, torch.tanh(odds)
        k = c.planes // 2
        for track in c.single:
            both = [track, track + k]
            rivals = rearrange(2 * odds[:, both], "b k t p -> b t (k p)")
            none = torch.zeros_like(rivals[..., :1])
            share = torch.cat([none, rivals], -1).softmax(-1)[..., 1:]
            new = rearrange(2 * share - 1, "b t (k p) -> b k t p", k=2)
            x0 = x0.index_copy(1, torch.tensor(both, device=x0.device), new)
        return x0

    def prior(self, n: int, generator: Random) -> Tensor:
        """Noise [n, planes, steps, pitches], from which `decode` makes rolls."""
        c = self.config
        empty = torch.empty(n, c.planes, c.steps, c.pitches, device=self.place_of_weights)
        return drawn(empty, generator)

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        generator: Random,
        given: Tensor | None = None,
        *,
        plan: Plan = Plan(),  # noqa: B008 - frozen
        guidance: float = 1.0,
        start: int | None = None,
        known: Known | None = None,
        report: Report = lambda done, total: None,
    ) -> Tensor:
        """Rolls [b, planes, steps, pitches] of cells from -1 to 1 out of noise z.

        Args:
            z: noise, or rolls with the noise of the level `start`.
            generator: of the noise that the sampler adds, or one for each roll.
            given: what is told of each beat, [b, beats, told].
            plan: the sampler and its steps.
            guidance: how much more it is followed than the network would by itself (Ho and
                Salimans 2022): 1 not at all, 0 as if nothing were told. Above 1 costs twice.
            start: level of z, None for pure noise.
            known: cells that are kept.
            report: told how many of how many steps are made.
        """
        look = self.looker(given, guidance)
        return sample(
            look, self.config.schedule, z, generator, plan, start=start, known=known, report=report
        )

    @torch.no_grad()
    def encode(
        self,
        x: Tensor,
        generator: Random,
        given: Tensor | None = None,
        *,
        plan: Plan = Plan(50),  # noqa: B008 - frozen
    ) -> Tensor:
        """Noise [b, ...] that DDIM makes the rolls x [b, ...] from, see `samplers.invert`."""
        x = x.to(self.place_of_weights)
        noise = drawn(x, generator)
        return invert(self.looker(given), self.config.schedule, x, plan, noise)

    @torch.no_grad()
    def noised(self, x: Tensor, amount: float, generator: Random) -> tuple[Tensor, int]:
        """Rolls with noise, and its level, see `samplers.noised`."""
        return noised(self.config.schedule, x.to(self.place_of_weights), amount, generator)

    def fill(
        self,
        x: Tensor,
        mask: Tensor,
        generator: Random,
        given: Tensor | None = None,
        *,
        plan: Plan = Plan(),  # noqa: B008 - frozen
        guidance: float = 1.0,
        again: int = 1,
        temperature: float | None = TEMPERATURE,
        report: Report = lambda done, total: None,
    ) -> Tensor:
        """Rolls [b, planes, steps, pitches] with x where `mask` (bool) is true and new cells
        elsewhere, which know of the kept ones by replacement; `again` is RePaint's resampling.
        A lead draws its track before (`lead.ahead`) at the temperature, None for not at all; nor if
        chords could be told and are not, for then both must find their key together.
        """
        x = x.to(self.place_of_weights)
        mask = mask.to(x.device)
        told = given if guidance else None
        untold = told is None and self.config.told > 0
        if self.lead is not None and temperature is not None and not untold:
            x, mask = ahead(self.lead, x, mask, told, generator, temperature)
        z = self.prior(len(x), generator)
        known = Known(x, mask, again)
        return self.decode(
            z, generator, given, plan=plan, guidance=guidance, known=known, report=report
        )

    def looker(self, given: Tensor | None = None, guidance: float = 1.0) -> Denoise:
        """What the network takes for clean, with guidance and cut to -1 to 1, for `samplers`."""
        c = self.config

        def look(x: Tensor, t: int) -> Tensor:
            level = torch.full((len(x),), t, device=x.device)
            a, s = c.schedule.at(level[:1], x)
            x0 = clean(c.prediction, x, self(x, level, given if guidance else None), a, s)
            if given is not None and guidance not in (0.0, 1.0):
                free = clean(c.prediction, x, self(x, level, None), a, s)
                x0 = free + guidance * (x0 - free)
            return x0.clamp(-1, 1)

        return look

    @property
    def place_of_weights(self) -> torch.device:
        """The device that it computes on."""
        return next(self.parameters()).device

    def _prior_odds(self, like: Tensor) -> Tensor:
        odds = torch.tensor(self.config.density or (0.5,) * self.config.planes).to(like)
        return ((odds / (1 - odds)).log() / 2)[:, None, None]

    def _unet(self, h: Tensor, time: Tensor, context: Tensor | None) -> Tensor:
        kept = [h]
        for part in self.down:
            h = apply(part, h, time, context)
            kept.append(h)
        h = apply(self.middle, h, time, context)
        for part in self.up:
            if isinstance(part, Up):
                h = part(h, kept[-1].shape)
            else:
                h = apply(part, torch.cat([h, kept.pop()], 1), time, context)
        out: Tensor = self.last(h)
        return out
