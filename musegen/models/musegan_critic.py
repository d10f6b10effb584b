"""MuseGAN's critic: private and shared streams, chroma, onsets and offsets, bars, phrase.

Sizes of the "48-step" preset for a bar [48, 84] (MuseGAN's later code, BinaryMuseGAN section 3.4):

    private, each track:  pitch-time 16 (1, 12), 32 (3, 1); time-pitch 16 (3, 1), 32 (1, 12)
                          side by side, 64 (1, 1)                                    -> [16, 7, 64]
    shared:               tracks side by side [16, 7, 320], 128 (4, 3), 256 (4, 3)   -> [1, 1, 256]
    chroma:               [4 beats, 12, 5], 32 (1, 12), 64 (4, 1)                    -> [1, 1, 64]
    onset/offset:         [48, 1, 5], 16 (3, 1), 32 (4, 1), 64 (4, 1)                -> [1, 1, 64]
    phrase:               [4 bars, 384], 512 over two bars -> [3, 512], score

Leaky rectifiers (0.2), no normalisation. Deviations: private streams see their own track, where the
published code shows each of them all five; the phrase looks across bars, where MuseGAN's first code
cuts one bar into four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.models.patches import Grouped, Shrink, Stage, shrunk


@dataclass(frozen=True)
class CriticConfig:
    """Sizes and streams of the critic. A stage is width, steps, pitches, strides if they differ.

    Attributes:
        private: branches of each track's own stream, whose outcomes are put side by side.
        private_width: what a cell of them becomes; 0 leaves it as it is.
        own: private streams; without them ("shared only") the branches see all tracks at once.
        separate: a critic for each track that sees nothing else (jamming), scores added up.
        shared: stages over all tracks together.
        chroma: widths of the stream of octave-equivalent pitch classes a beat; none for no stream.
        onsets: stages of the stream of onsets and offsets; none for no stream.
        bar: width of what a bar is summed up in; 0 to hand all on.
        phrase: width and bars of the convolution over bars; none scores each bar by itself.
        shift: real and made music is moved by up to so many semitones before it is looked at.
        drop: chance that a track is taken out before.
    """

    private: tuple[tuple[Stage, ...], ...] = (((48, 4, 12),),)
    private_width: int = 0
    own: bool = True
    separate: bool = False
    shared: tuple[Stage, ...] = ((64, 1, 1),)
    chroma: tuple[int, ...] = (32, 64)
    onsets: tuple[Stage, ...] = ((16, 4, 1), (64, 4, 1))
    bar: int = 256
    phrase: tuple[int, ...] = (256, 4)
    shift: int = 0
    drop: float = 0.0


class Critic(nn.Module):
    """Scores of cells [planes, track] in bars.

    Args:
        c: sizes.
        tracks: number of tracks k.
        planes: 2 with an onset plane.
        size: bars, beats to a bar, steps to a beat, pitches.
        outer: numbers that it gives: 1 for a score, more for what is read from a phrase.
    """

    def __init__(
        self,
        c: CriticConfig,
        tracks: int,
        planes: int,
        size: tuple[int, int, int, int],
        outer: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.size = c, size
        bars, beats, beat, pitches = size
        own = c.own or c.separate
        groups, depth = (tracks, planes) if own else (1, tracks * planes)
        self.branches = nn.ModuleList(_chain(groups, depth, branch) for branch in c.private)
        cells = (beats * beat, pitches)
        width = sum(branch[-1][0] for branch in c.private)
        for stage in c.private[0]:
            cells = shrunk(cells, stage)
        if c.private_width:
            self.side = Shrink(groups, width, (c.private_width, 1, 1))
            width = c.private_width
        self.groups = heads = tracks if c.separate else 1
        if own and not c.separate:
            width *= tracks
        self.shared = _chain(heads, width, c.shared)
        for stage in c.shared:
            cells, width = shrunk(cells, stage), stage[0]
        width *= math.prod(cells)
        seen = 1 if c.separate else tracks
        if c.chroma:
            stages = [(c.chroma[0], 1, 12), *((w, beats, 1) for w in c.chroma[1:2])]
            self.chroma = _chain(heads, seen, stages)
            width += stages[-1][0] * (1 if len(stages) > 1 else beats)
        if c.onsets:
            self.onsets = _chain(heads, seen, c.onsets)
            ends = (beats * beat, 1)
            for stage in c.onsets:
                ends = shrunk(ends, stage)
            width += c.onsets[-1][0] * ends[0]
        if c.bar:
            self.bar = Grouped(heads, width, c.bar)
            width = c.bar
        if c.phrase:
            self.phrase = Shrink(heads, width, (c.phrase[0], c.phrase[1], 1, 1, 1))
            width = c.phrase[0] * (bars - c.phrase[1] + 1)
        self.score = Grouped(heads, width, outer, 1.0)
        fold = torch.eye(12)[torch.arange(pitches) % 12]
        self.register_buffer("fold", fold, persistent=False)

    fold: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Scores [b, outer] of rolls x [b, planes, k, m t, p] from 0 to 1."""
        c, (bars, beats, beat, _) = self.config, self.size
        # From -1 to 1, the range of the published networks, in one pass over memory.
        cells = torch.add(x.new_tensor(-1.0), x, alpha=2)
        cells = cells.unflatten(3, (bars, -1)).permute(2, 0, 3, 4, 5, 1)  # [k, b, m, t, p, planes]
        if not (c.own or c.separate):
            cells = cells.permute(1, 2, 3, 4, 0, 5).flatten(-2)[None]
        h = torch.cat([branch(cells) for branch in self.branches], dim=-1)
        if c.private_width:
            h = _leaky(self.side(h))
        if len(h) > self.groups:
            h = h.movedim(0, -2).flatten(-2)[None]
        summary = [self.shared(h).flatten(3)]
        sounds = x[:, 0].unflatten(2, (bars, -1))  # [b, k, m, t, p]
        if c.chroma:
            classes = sounds.unflatten(3, (beats, beat)).sum(4) @ self.fold
            summary.append(self.chroma(self._tracks(classes)).flatten(3))
        if c.onsets:
            change = (sounds - F.pad(sounds, (0, 0, 1, 0))[..., :-1, :]).sum(-1, keepdim=True)
            summary.append(self.onsets(self._tracks(change)).flatten(3))
        h = torch.cat(summary, dim=-1)
        if c.bar:
            h = _leaky(self.bar(h))
        if c.phrase:
            h = _leaky(self.phrase(h[:, :, :, None])).flatten(2)[:, :, None]
        scores: Tensor = self.score(h).mean(2).sum(0)
        return scores

    def _tracks(self, h: Tensor) -> Tensor:
        """[b, k, m, t, p] as maps of one group with tracks as channels, or of a group each."""
        if self.groups > 1:
            return h.transpose(0, 1)[..., None]
        return h.movedim(1, -1)[None]


class _Leaky(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return _leaky(h)


def _leaky(h: Tensor) -> Tensor:
    return F.leaky_relu(h, 0.2)


def _chain(groups: int, inner: int, stages: Sequence[Stage]) -> nn.Sequential:
    """Stages with leaky rectifiers."""
    layers: list[nn.Module] = []
    for stage in stages:
        layers += [Shrink(groups, inner, stage), _Leaky()]
        inner = stage[0]
    return nn.Sequential(*layers)
