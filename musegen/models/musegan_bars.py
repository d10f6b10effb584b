"""The generator of MuseGAN in parts: sizes, temporal model, bar generators, encoder, refiner.

`musegan.py` puts them together and tells the sizes layer by layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from musegen.models.musegan_critic import CriticConfig
from musegen.models.patches import Grouped, Grow, Norm, Shrink, Stage, merged, spans

HASTE = 8.0  # how much faster the bias of places learns than the rest


@dataclass(frozen=True)
class MuseGANConfig:
    """Sizes of both networks. A stage is width, steps, pitches, and strides where they differ.

    Attributes:
        tracks: number of tracks.
        drums: which of them is drums, whose notes have no length; -1 for none.
        bars: bars of a phrase.
        beats: beats to a bar.
        beat: steps to a beat.
        pitches: pitches.
        onsets: with an onset plane beside that of sounding notes.
        composition: who makes the tracks, see the module.
        latent: values of all latents that a bar generator sees, parted evenly.
        temporal: width of the temporal model; 0 for one latent from which a layer makes all bars.
        rectified: the temporal model ends with a rectifier, as published, which leaves half of the
            values of the bars' latents at 0.
        spread: standard deviation of the latents.
        truncate: where their normal distribution ends, in standard deviations; 0 for nowhere.
        hidden: width of a layer between z and the first map; 0 for none.
        start: steps, pitches, width of the first map.
        trunk: stages from there.
        branches: stages from there to full size, side by side or added up; none if the trunk does.
        private: each track has its own branches also where one generator makes all.
        merge: branches are put "beside" each other before the last layer, or are "added" up.
        out: steps and pitches of the last layer ("beside").
        out_norm: normalise the outcome as well.
        norm: "batch" as published, "layer", or "none" (the ablation).
        place: the output bias knows pitch and step of a bar.
        density: share of cells that sound, and of onsets, for each track, where the bias starts.
        output: "tanh" or "sigmoid" in training, or "deterministic" or "stochastic" neurons.
        slope: of the neurons: first, last, and the steps from and until which it rises.
        refine: "joint", or "frozen" where the generator stays as it was (the second of two stages).
        refiner: width of the refiner.
        reader: width of a network that reads latents from music, so that the generator can begin
            as the decoder of an autoencoder; 0 for none.
        given: which tracks are given in training: "none"; "any" of them, but not all; "some",
            which is nothing for half of the batches and "any" for the others; "one"; or a number.
        encoder: width of the encoder's maps.
        harmony: width of the network that tells what given tracks say of each pitch class, whatever
            the key; 0 for none.
        home: all is learned in C major and A minor, to which music is moved by what it sounds.
        memory: how many of the latents that were read are remembered to draw from.
        apart: how far from them is drawn, from 0 (the same ones) to 1 (their Gaussian).
        critic: sizes of the critic.
    """

    tracks: int = 5
    drums: int = 0
    bars: int = 4
    beats: int = 4
    beat: int = 4
    pitches: int = 72
    onsets: bool = True
    composition: Literal["jamming", "composer", "hybrid"] = "hybrid"
    latent: int = 256
    temporal: int = 256
    rectified: bool = False
    spread: float = 1.0
    truncate: float = 0.0
    hidden: int = 256
    start: tuple[int, int, int] = (4, 6, 32)
    trunk: tuple[Stage, ...] = ()
    branches: tuple[tuple[Stage, ...], ...] = (((2, 4, 12),),)
    private: bool = False
    merge: Literal["beside", "added"] = "added"
    out: tuple[int, int] = (1, 1)
    out_norm: bool = False
    norm: Literal["batch", "layer", "none"] = "layer"
    place: bool = True
    density: tuple[float, ...] = (0.01,)
    output: Literal["tanh", "sigmoid", "deterministic", "stochastic"] = "deterministic"
    slope: tuple[float, float, int, int] = (1.0, 1.0, 0, 1)
    refine: Literal["none", "joint", "frozen"] = "none"
    refiner: int = 64
    reader: int = 0
    given: str = "none"
    encoder: int = 16
    harmony: int = 0
    home: bool = False
    memory: int = 2048
    apart: float = 0.5
    critic: CriticConfig = field(default_factory=CriticConfig)

    @property
    def planes(self) -> int:
        """Channels of a track."""
        return 2 if self.onsets else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, steps and pitches of a phrase."""
        return self.planes * self.tracks, self.bars * self.beats * self.beat, self.pitches

    @property
    def parts(self) -> tuple[int, int, int, int]:
        """Values of the latents: shared and of each track, in time-independent and -dependent."""
        shared = {"composer": 1.0, "hybrid": 0.5, "jamming": 0.0}[self.composition]
        still = 0.5 if self.temporal else 1.0
        sizes = [self.latent * s * t for s in (shared, 1 - shared) for t in (still, 1 - still)]
        one, two, three, four = (int(s) for s in sizes)
        return one, three, two, four


class Temporal(nn.Module):
    """Time-dependent noise [g, b, z] to a latent for each bar [g, b, m, z] (section 3.3).

    As published for four bars: 1024 over two bars, then as wide as z over three with stride 1.
    """

    def __init__(self, groups: int, size: int, c: MuseGANConfig) -> None:
        super().__init__()
        half = max(1, c.bars // 2)
        self.stages = nn.ModuleList(
            [
                Grow(groups, size, (c.temporal, half, 1)),
                Grow(groups, c.temporal, (size, c.bars - half + 1, 1, 1, 1)),
            ]
        )
        self.norms = nn.ModuleList(Norm(c.norm, groups, w) for w in (c.temporal, size))
        self.rectified = c.rectified

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        h = z[:, :, None, None, None]  # [g, b, m, t, p, d] with bars as steps
        h = torch.relu(self.norms[0](self.stages[0](h)))
        h = self.norms[1](self.stages[1](h))
        if self.rectified:
            h = torch.relu(h)
        return h[:, :, 0, :, 0]


Maps = tuple[list[Tensor], list[list[Tensor]], Tensor]


class BarGenerator(nn.Module):
    """Latents [g, b, m, z] to logits [b, planes, k, m t, p]."""

    def __init__(self, c: MuseGANConfig) -> None:
        super().__init__()
        self.config = c
        groups = 1 if c.composition == "composer" else c.tracks
        more = 0 if c.given == "none" else c.encoder
        size = c.latent + more
        if c.hidden:
            self.hidden = Grouped(groups, size, c.hidden)
            self.hidden_norm = Norm(c.norm, groups, c.hidden)
            size = c.hidden
        steps, pitches, width = c.start
        if c.temporal:
            self.first: nn.Module = Grouped(groups, size, math.prod(c.start))
            self.first_norm = Norm(c.norm, groups, math.prod(c.start))
        else:  # all bars from one latent, one bias a channel
            self.first = Grow(groups, size, (width, c.bars * steps, pitches))
            self.first_norm = Norm(c.norm, groups, width)
        self.trunk, self.trunk_norms = _stages(groups, c.start[2], c.trunk, c.norm, more)
        width = c.trunk[-1][0] if c.trunk else width
        last = groups if not c.private else c.tracks
        planes = c.planes * (c.tracks if last == 1 else 1)
        # Hard neurons need logits that reach over 0 from the log odds of rare notes: with a
        # standard deviation of 2 about as many do as there are notes in music. Rectified inputs
        # have a mean square below 1/3, so that takes more of a gain.
        gain = 3.6 if c.output in ("deterministic", "stochastic") else 1.0
        self.branches = nn.ModuleList()
        self.branch_norms = nn.ModuleList()
        for branch in c.branches:
            if c.merge == "added":
                branch = (*branch[:-1], (planes, *branch[-1][1:]))
            stages, norms = _stages(last, width, branch, c.norm, more)
            if c.merge == "added":
                inner = (branch[-2][0] if len(branch) > 1 else width) + more
                stages[-1], norms = Grow(last, inner, branch[-1], gain, bias=False), norms[:-1]
            self.branches.append(stages)
            self.branch_norms.append(norms)
        if c.merge == "beside":
            width = sum(b[-1][0] for b in c.branches) or width
            self.out = Grow(last, width, (planes, *c.out), gain, bias=False)
            self.out_norm = Norm(c.norm if c.out_norm else "none", last, planes)
        where = (c.beats * c.beat, c.pitches) if c.place else (1, 1)
        share = torch.tensor(c.density).expand(c.planes * c.tracks if len(c.density) == 1 else -1)
        bias = share.clamp(1e-6, 1 - 1e-6).logit().view(c.planes, c.tracks, 1, 1, 1)
        # Log odds of places differ by several units, which Adam would take long to cross.
        self.haste = HASTE if c.place else 1.0
        self.bias = nn.Parameter(bias.expand(-1, -1, -1, *where) / self.haste)
        self.groups = last

    def forward(self, latents: Tensor, maps: Maps | None = None) -> Tensor:
        """See the class; `maps` are the encoder's."""
        c = self.config
        h, more = latents, 0 if c.given == "none" else c.encoder
        if maps is None:
            trunk_maps: list[Tensor] = []
            branch_maps: list[list[Tensor]] = [[] for _ in c.branches]
            h = nn.functional.pad(h, (0, more))
        else:
            trunk_maps, branch_maps, gist = maps
            h = merged([h, gist], len(h))
        if not c.temporal:
            h = h[:, :, :1]
        h = h[:, :, :, None, None]  # [g, b, m, t, p, d]
        if c.hidden:
            h = torch.relu(self.hidden_norm(self.hidden(h)))
        h = self.first(h)
        if c.temporal:
            h = torch.relu(self.first_norm(h)).unflatten(-1, c.start)[:, :, :, 0, 0]
        else:
            h = h.reshape(*h.shape[:2], c.bars, *c.start)
            h = torch.relu(self.first_norm(h))
        for i, (stage, norm) in enumerate(zip(self.trunk, self.trunk_norms, strict=True)):
            h = torch.relu(norm(stage(_with(h, trunk_maps, i, more))))
        if len(h) < self.groups:
            h = h.expand(self.groups, *h.shape[1:])
        ends = []
        for branch, norms, seen in zip(self.branches, self.branch_norms, branch_maps, strict=True):
            assert isinstance(branch, nn.ModuleList)
            assert isinstance(norms, nn.ModuleList)
            end = h
            for i, stage in enumerate(branch):
                end = stage(_with(end, seen, i, more))
                if i < len(norms):
                    end = torch.relu(norms[i](end))
            ends.append(end)
        if c.merge == "added":
            out = torch.stack(ends).sum(0) if len(ends) > 2 else sum(ends[1:], ends[0])
        else:
            out = self.out_norm(self.out(torch.cat(ends, -1) if ends else h))
        # [k, b, m, t, p, planes] or [1, b, m, t, p, planes k] to [b, planes, k, m, t, p]
        if len(out) == 1:
            out = out[0].unflatten(-1, (c.planes, c.tracks)).permute(0, 4, 5, 1, 2, 3)
        else:
            out = out.permute(1, 5, 0, 2, 3, 4)
        return torch.add(out, self.bias, alpha=self.haste).flatten(3, 4)


class Encoder(nn.Module):
    """Given rolls to maps for each layer of the bar generators, by its stages backwards (section
    3.4), and a vector for each bar, which tells of the other bars, too.
    """

    def __init__(self, c: MuseGANConfig) -> None:
        super().__init__()
        self.config = c
        e, inner = c.encoder, (c.planes + 1) * c.tracks
        if c.merge == "beside" and c.out != (1, 1):
            self.into = Shrink(1, inner, (e, *c.out))
            inner = e
        paths = c.branches or ((),)
        self.branches = nn.ModuleList(_backwards(inner, branch, e) for branch in paths)
        self.trunk = _backwards(e if any(paths) else inner, c.trunk, e)
        width = e if any(paths) or c.trunk else inner
        size = math.prod(c.start[:2])
        self.bar = Grouped(1, size * width, e)
        self.phrase = Grouped(1, c.bars * e, c.bars * e)

    def forward(self, given: Tensor) -> Maps:
        """Maps of `given` [b, planes k, m t, p] for trunk and branches, and [1, b, m, d]."""
        c = self.config
        cells = given.unflatten(1, (c.planes, c.tracks)).unflatten(3, (c.bars, -1))
        known = (cells[:, :1] >= 0).to(cells)
        cells = torch.cat([cells.clamp(min=0), known], dim=1)
        h = cells.flatten(1, 2).movedim(1, -1)[None]  # [1, b, m, t, p, d]
        if hasattr(self, "into"):
            h = nn.functional.leaky_relu(self.into(h), 0.2)
        branch_maps, ends = [], []
        for branch in self.branches:
            found = _down(h, branch)
            branch_maps.append(found[1:][::-1])
            ends.append(found[-1])
        h = torch.stack(ends).mean(0)
        found = _down(h, self.trunk)
        gist = nn.functional.leaky_relu(self.bar(found[-1].flatten(3)), 0.2)
        whole = self.phrase(gist.flatten(2)).view_as(gist)
        return found[1:][::-1], branch_maps, gist + whole


class Refiner(nn.Module):
    """Probabilities [b, planes, k, m t, p] to logits: two residual units for each track, each
    norm, rectifier, convolution (3, 12) to `refiner`, again to one (BinaryMuseGAN, section 3.3).
    """

    def __init__(self, c: MuseGANConfig) -> None:
        super().__init__()
        self.config = c
        inner, outer = c.planes * c.tracks, c.refiner * c.tracks
        sizes = ((inner, outer), (outer, inner)) * 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, (3, 12), groups=c.tracks) for a, b in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(a) for a, _ in sizes)

    def forward(self, p: Tensor) -> Tensor:
        """See the class; bar by bar."""
        c = self.config
        h = p.unflatten(3, (c.bars, -1)).permute(0, 3, 2, 1, 4, 5).flatten(2, 3).flatten(0, 1)
        for i in (0, 2):
            step = h
            for norm, layer in zip(
                self.norms[i : i + 2], self.convolutions[i : i + 2], strict=True
            ):
                step = layer(nn.functional.pad(torch.relu(norm(step)), (5, 6, 1, 1)))
            h = h + step
        h = h.unflatten(0, (-1, c.bars)).unflatten(2, (c.tracks, c.planes))
        return h.permute(0, 3, 2, 1, 4, 5).flatten(3, 4)


def _stages(
    groups: int, inner: int, stages: tuple[Stage, ...], norm: str, more: int
) -> tuple[nn.ModuleList, nn.ModuleList]:
    layers = []
    for stage in stages:
        layers.append(Grow(groups, inner + more, stage))
        inner = stage[0]
    return nn.ModuleList(layers), nn.ModuleList(Norm(norm, groups, s[0]) for s in stages)


def _backwards(inner: int, stages: tuple[Stage, ...], width: int) -> nn.ModuleList:
    layers = []
    for stage in reversed(stages):
        layers.append(Shrink(1, inner, (width, *spans(stage))))
        inner = width
    return nn.ModuleList(layers)


def _down(h: Tensor, stages: nn.Module) -> list[Tensor]:
    found = [h]
    for stage in stages.children():
        found.append(nn.functional.leaky_relu(stage(found[-1]), 0.2))
    return found


def _with(h: Tensor, maps: list[Tensor], i: int, more: int) -> Tensor:
    """A layer's input with the encoder's map, or with zeros where nothing is given."""
    if maps:
        return merged([h, maps[i]], len(h))
    return nn.functional.pad(h, (0, more)) if more else h
