"""A better head for C-RNN-GAN: events whose numbers are marks on rulers and places between them.

The published generator puts out time, length, pitch and intensity as four numbers of one linear
layer, so that a step between two likely pitches gives the unlikely one between them, and nothing in
a cell can depend on the rest of it. Here a cell is drawn number by number (time, then pitch, then
length, then intensity, each knowing those before it): first the nearest mark of a ruler, by the
inverse of its cumulative distribution at one uniform number of the noise, then how far beyond the
mark it lies, a continuous number. So music is still a function of noise, neighbouring noise gives
neighbouring music, and gradients go through the marks straight (Bengio et al. 2013: one-hot
forward, probabilities backward) and through the places as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.sizes import Runs

ORDER = (0, 2, 1, 3)  # time, pitch, length, intensity as columns of a cell

BARRED = -1e9  # logits of what cannot be


def marks(runs: Runs) -> Tensor:
    """Whole numbers from 0 on: `count` steps of `step` for each run, float32 [1 + counts]."""
    steps = [step for step, count in runs for _ in range(count)]
    return torch.tensor([0, *steps], dtype=torch.float32).cumsum(0)


def ticks_of(x: Tensor) -> Tensor:
    """Times from 0 to 1 as ticks: the even unit is log2(1 + ticks) / 16."""
    return torch.exp2(16 * x.clamp(0, 1)) - 1


def choose(logits: Tensor, u: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """One-hot rows [b, v] at the places u [b] (0 to 1) of the cumulative distributions of logits.

    Gradients are those of the probabilities. `temperature` divides the logits, 0 takes the largest;
    `top_p` keeps the fewest likeliest marks whose probabilities reach it.
    """
    even = logits.float() if temperature == 1 else logits.float() / max(temperature, 1e-6)
    p = torch.softmax(even, dim=-1)
    kept = p.detach()
    if top_p < 1:
        ordered, index = kept.sort(dim=-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
        kept = torch.zeros_like(kept).scatter_(-1, index, ordered)
    if temperature <= 0:
        at = logits.argmax(dim=-1)
    else:
        mass = kept.cumsum(-1)
        at = torch.searchsorted(mass, u.unsqueeze(-1) * mass[:, -1:], right=True).squeeze(-1)
        at = at.clamp(max=p.shape[-1] - 1)
    hard = torch.zeros_like(p).scatter_(-1, at.unsqueeze(-1), 1.0)
    return hard + (p - p.detach()) if p.requires_grad else hard


class Rulers(nn.Module):
    """Marks for the four numbers of a cell, in the order time, pitch, length, intensity.

    Args:
        times: runs of ticks for the time since the event before.
        lengths: runs of ticks.
        pitches: lowest and how many.
        intensities: steps of velocity and how many.
    """

    def __init__(
        self, times: Runs, lengths: Runs, pitches: tuple[int, int], intensities: tuple[int, int]
    ) -> None:
        super().__init__()
        low, count = pitches
        rulers = (
            torch.log2(1 + marks(times)) / 16,
            (low + torch.arange(count)) / 127,
            torch.log2(1 + marks(lengths)[1:]) / 16,
            torch.arange(1, intensities[1] + 1).mul(intensities[0]).clamp(max=127) / 127,
        )
        self.sizes = tuple(len(ruler) for ruler in rulers)
        for i, ruler in enumerate(rulers):
            self.register_buffer(f"at{i}", ruler.float(), persistent=False)

    def ruler(self, i: int) -> Tensor:
        """The marks of a number in its even unit, rising, [v]."""
        ruler: Tensor = getattr(self, f"at{i}")
        return ruler

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Marks and places of cells x [b, t, 4] in the order of drawing.

        Returns:
            The nearest mark of each number, int64 [b, t, 4]; and how far beyond it the number lies
            in steps between marks, -1/2 to 1/2, [b, t, 4].
        """
        index, place = [], []
        for i, column in enumerate(ORDER):
            ruler, value = self.ruler(i), x[..., column].contiguous()
            at = torch.searchsorted((ruler[1:] + ruler[:-1]) / 2, value)
            index.append(at)
            place.append(((value - ruler[at]) / _gaps(ruler)[at]).clamp(-0.5, 0.5))
        return torch.stack(index, -1), torch.stack(place, -1)

    def scale(self, i: int) -> Tensor:
        """Marks of a number and their distances from the nearer neighbours, [v, 2]: a number is its
        mark and its place times the distance.
        """
        ruler = self.ruler(i)
        return torch.stack([ruler, _gaps(ruler)], -1)

    def seen(self, index: Tensor, place: Tensor) -> Tensor:
        """What a critic sees of cells: one-hot marks and places, [b, t, sizes + 4]."""
        hot = [F.one_hot(index[..., i], n) for i, n in enumerate(self.sizes)]
        return torch.cat([*(h.to(place) for h in hot), place], -1)


def _gaps(ruler: Tensor) -> Tensor:
    """The distance of each mark from the nearer of its neighbours, [v]."""
    gap = ruler.diff()
    return torch.minimum(torch.cat([gap[:1], gap]), torch.cat([gap, gap[-1:]]))


def _table(embedding: nn.Module) -> Tensor:
    weight = embedding.weight
    assert isinstance(weight, Tensor)
    return weight


class Cell(NamedTuple):
    """A batch of drawn cells.

    Attributes:
        x: the four numbers in their columns, [b, 4].
        seen: what a critic sees, [b, sizes + 4].
        embedded: what the next step hears, [b, width].
        ticks: the time since the event before, [b].
    """

    x: Tensor
    seen: Tensor
    embedded: Tensor
    ticks: Tensor


class Joined(NamedTuple):
    """The weights of a head side by side, so that a cell is drawn in few and larger products.

    Attributes:
        trunk: of all four numbers, [4 width, hidden] and [4 width].
        logits: of each number, with the place beyond its mark in the last row.
        marks: what follows from each mark of a number: what the next step hears, what the next
            number knows (but for the last), the place, the mark and its distance,
            [v, width (+ width) + 3].
    """

    trunk: tuple[Tensor, Tensor]
    logits: list[tuple[Tensor, Tensor]]
    marks: list[Tensor]


class EventHead(nn.Module):
    """Draws cells from states of a recurrent network, and scores real ones.

    Args:
        rulers: marks of the four numbers.
        hidden: size of a state.
        width: of embeddings.
        slots: places of a bar that the head knows, 0 for none.
        bar: ticks of a bar.
        cues: size of what is told about each event, 0 for nothing.
    """

    def __init__(
        self, rulers: Rulers, hidden: int, width: int, slots: int, bar: int, cues: int
    ) -> None:
        super().__init__()
        self.rulers, self.slots, self.bar = rulers, slots, bar
        self.embed = nn.ModuleList(nn.Embedding(n, width) for n in rulers.sizes)
        self.start = nn.Parameter(torch.zeros(width))
        self.trunk = nn.ModuleList(nn.Linear(hidden, width) for _ in rulers.sizes)
        self.known = nn.ModuleList(nn.Embedding(n, width) for n in rulers.sizes[:-1])
        self.logits = nn.ModuleList(nn.Linear(width, n) for n in rulers.sizes)
        self.place = nn.ModuleList(nn.Embedding(n, 1) for n in rulers.sizes)
        self.beyond = nn.ModuleList(nn.Linear(width, 1) for _ in rulers.sizes)
        self.when = nn.Embedding(max(slots, 1), width)
        self.now = nn.Embedding(max(slots, 1), width)
        self.cue = nn.Linear(cues, width) if cues else None
        for table in self.place:
            nn.init.zeros_(_table(table))

    def slot(self, onset: Tensor) -> Tensor:
        """The nearest place in the bar of onsets in ticks, int64."""
        if not self.slots:
            return torch.zeros_like(onset, dtype=torch.long)
        return (onset * (self.slots / self.bar)).round().long() % self.slots

    def embedded(self, index: Tensor, onset: Tensor) -> Tensor:
        """What the network hears of cells: marks [b, t, 4] with onsets [b, t], [b, t, width]."""
        parts = [table(index[..., i]) for i, table in enumerate(self.embed)]
        total: Tensor = torch.stack(parts).sum(0) + self.when(self.slot(onset))
        return total

    def losses(
        self,
        h: Tensor,
        index: Tensor,
        place: Tensor,
        onset: Tensor,
        before: Tensor | None = None,
        cue: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropies in nats and distances of places, both [b, t, 4].

        They are those of marks and places [b, t, 4] with onsets [b, t] after states h
        [b, t, hidden]; `before` is what is told of the beat of the event before and `cue` what is
        told of the event's own, [b, t, cues].
        """
        ce, off = [], []
        told = self._told(before)
        context = torch.zeros_like(self.start)
        for i, n in enumerate(self.rulers.sizes):
            q = F.gelu(self.trunk[i](h) + context + told)
            logits = self.logits[i](q).float()
            target = index[..., i]
            ce.append(F.cross_entropy(logits.view(-1, n), target.flatten(), reduction="none"))
            guess = torch.tanh(self.beyond[i](q) + self.place[i](target)).squeeze(-1) / 2
            off.append((guess.float() - place[..., i]).abs())
            if i + 1 < len(self.rulers.sizes):
                context = context + self.known[i](target)
            if i == 0:
                context = context + self.now(self.slot(onset))
                told = self._told(cue)
        return torch.stack([c.view(target.shape) for c in ce], -1), torch.stack(off, -1)

    def joined(self) -> Joined:
        """What `draw` needs, made once for many steps."""

        def rows(*layers: nn.Module) -> tuple[Tensor, Tensor]:
            weights, biases = zip(*(layer.parameters() for layer in layers), strict=True)
            return torch.cat(weights), torch.cat(biases)

        marks = []
        for i in range(len(self.rulers.sizes)):
            tables = [self.embed[i], *self.known[i : i + 1], self.place[i]]
            marks.append(torch.cat([*map(_table, tables), self.rulers.scale(i)], 1))
        pairs = zip(self.logits, self.beyond, strict=True)
        return Joined(rows(*self.trunk), [rows(*pair) for pair in pairs], marks)

    def draw(
        self,
        joined: Joined,
        h: Tensor,
        u: Tensor,
        onset: Tensor,
        cue: Tensor | None,
        forced: dict[int, Tensor],
        temperature: float,
        top_p: float,
        last: Tensor | None = None,
    ) -> Cell:
        """A cell after states h [b, hidden], from uniform noise u [b, 4], where the event before
        began at onset [b] in ticks.

        `cue` is what is told [b, beats, cues] by beats of a quarter of the bar, or [b, cues] of the
        event; numbers in `forced`, by their place in the order, are taken as given [b]. An event
        that begins with the one before, whose pitch is `last` [b] if that is given, has another.
        `temperature` and `top_p` are those of times and pitches; 0 takes the likeliest of all four.
        """
        hots, places, numbers = [], [], []
        width = len(self.start)
        context: Tensor | float = 0.0
        heard: Tensor | float = 0.0
        since = torch.zeros_like(onset)
        told = self._told(self.beat(cue, onset) if cue is not None and cue.dim() == 3 else cue)
        trunk = F.linear(h, *joined.trunk).unflatten(-1, (-1, width))
        for i, n in enumerate(self.rulers.sizes):
            if i in forced:
                ruler = self.rulers.ruler(i)
                at = torch.searchsorted((ruler[1:] + ruler[:-1]) / 2, forced[i].contiguous())
                hot = F.one_hot(at, n).to(h)
                follows = hot @ joined.marks[i]
                place, number = torch.zeros_like(forced[i]), forced[i]
            else:
                both = F.linear(F.gelu(trunk[:, i] + context + told), *joined.logits[i])
                # Lengths and intensities come as they are: a performance lives on their spread.
                careful = (temperature, top_p) if i < 2 or temperature <= 0 else (1.0, 1.0)
                marked = both[:, :n]
                if i == 1 and last is not None:
                    same = (self.rulers.ruler(i) - last[:, None]).abs() < 0.5 / 127
                    marked = marked.masked_fill(same & (since == 0)[:, None], BARRED)
                hot = choose(marked, u[:, i], *careful).to(both)
                follows = hot @ joined.marks[i]
                place = torch.tanh(both[:, n] + follows[:, -3]) / 2
                number = follows[:, -2] + place * follows[:, -1]
            hots.append(hot)
            places.append(place)
            numbers.append(number)
            heard = heard + follows[:, :width]
            if i + 1 < len(self.rulers.sizes):
                context = context + follows[:, width : 2 * width]
            if i == 0:
                since = ticks_of(number.detach()).round()
                onset = onset + since
                context = context + self.now(self.slot(onset))
                if cue is not None and cue.dim() == 3:
                    told = self._told(self.beat(cue, onset))
        embedded = heard + self.when(self.slot(onset))
        x = torch.stack([numbers[ORDER.index(column)] for column in range(4)], -1)
        seen = torch.cat([*hots, torch.stack(places, -1)], -1)
        return Cell(x, seen, embedded, since)

    def beat(self, cue: Tensor, onset: Tensor) -> Tensor:
        """What is told of the beats in which onsets [b] or [b, t] lie, cue [b, beats, cues]."""
        beat = (onset * (4 / self.bar)).floor().long().clamp(0, cue.shape[1] - 1)
        wide = beat.view(len(cue), -1, 1).expand(-1, -1, cue.shape[2])
        return cue.gather(1, wide).view(*onset.shape, cue.shape[2])

    def _told(self, cue: Tensor | None) -> Tensor:
        if cue is None or self.cue is None:
            return torch.zeros_like(self.start)
        told: Tensor = self.cue(cue)
        return told
