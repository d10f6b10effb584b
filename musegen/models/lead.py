"""A prior of the one-voiced track of a roll: its steps one after the other, told the chords.

A denoiser decides all cells at once, out of many small pieces of evidence. That suits chords, where
a wrong key among many is hardly heard, better than a melody, whose every note hangs on the one
before it. So where a melody is new, it can be drawn first, step by step (as the language model of
Huang et al. 2019, Music Transformer, with relative attention), and the denoiser makes the rest
around it, as it does around a melody that is given.

A step is one of: silence, the note goes on, or one of the keys begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from musegen.models.unet import Block, flagged
from musegen.samplers import Random
from musegen.sizes import HEAD

TEMPERATURE = 0.85  # of the keys that are drawn; the nearest to validation songs of 0.8 to 1
REST, HOLD, FIRST = 0, 1, 2  # symbols; FIRST + p is the key p struck


class Lead(nn.Module):
    """A causal transformer over steps. Shapes: b batch, t step, p key, d width."""

    def __init__(self, steps: int, pitches: int, told: int, width: int, layers: int) -> None:
        super().__init__()
        self.steps, self.pitches = steps, pitches
        self.symbol = nn.Embedding(pitches + FIRST + 1, width)  # the last one is the beginning
        self.sounding = nn.Embedding(pitches + 1, width)
        self.chords = nn.Linear(2 * (told + 1), width) if told else None
        self.place = nn.Parameter(torch.zeros(steps, width))
        self.near = nn.Parameter(torch.zeros(width // HEAD, steps))
        blocks = [Block(width) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.drop = nn.Dropout(0.1)
        self.last = nn.Linear(width, pitches + FIRST)
        for table in (self.symbol, self.sounding):
            nn.init.normal_(table.weight, std=0.3)
        with torch.no_grad():  # every block begins as a small change
            for block in blocks:
                block.own[[2, 5]] = 0.3

    def read(self, x: Tensor) -> Tensor:
        """Symbols [b, t] of cells [b, 2, t, p], over 0 is on; a key that nothing struck is not."""
        struck, key = x[:, 0].max(-1)
        symbols = torch.where(x[:, 1].amax(-1) > 0, HOLD, REST)
        symbols = torch.where(struck > 0, key + FIRST, symbols)
        before = self._last(symbols, symbols != HOLD)
        return torch.where((symbols == HOLD) & (before < FIRST), REST, symbols)

    def cells(self, symbols: Tensor) -> Tensor:
        """Cells [b, 2, t, p] of -1 and 1 of symbols [b, t]."""
        key = self._last(symbols, symbols >= FIRST) - FIRST
        on = F.one_hot(key.clamp(min=0), self.pitches) * (key >= 0)[..., None]
        kinds = torch.stack([symbols >= FIRST, (symbols == HOLD) & (key >= 0)], 1)
        return (on[:, None] * kinds[..., None] * 2 - 1).float()

    def forward(self, symbols: Tensor, given: Tensor | None) -> Tensor:
        """Log odds [b, t, symbols] of each step from those before it, symbols [b, t], and what is
        told of each beat [b, beats, told], None or zeros for nothing.
        """
        return self._next(
            *self._begun(symbols[:, :-1]), self._places(given, len(symbols)), self._bias()
        )

    @torch.no_grad()
    def draw(
        self, known: Tensor, given: Tensor | None, generator: Random, temperature: float = 1.0
    ) -> Tensor:
        """Symbols [b, steps] that begin with those known [b, t], t from 0 to steps.

        Rhythm is drawn as it was learned. Which key begins is drawn at the temperature: keys are
        many, and the share of wrong ones that a network leaves adds up; colder rhythms are rests.
        """
        n, begun = known.shape
        chance = _uniform(n, self.steps, generator).to(known.device)
        places, bias = self._places(given, n), self._bias()
        inputs, last = self._begun(known)
        memories: list[list[Tensor]] = [[] for _ in self.blocks]
        found, seen = [known], 0
        for t in range(begun, self.steps):
            now = slice(seen, t + 1)
            odds = self._next(inputs, last, places[:, now], bias[:, now, : t + 1], memories)[:, -1]
            keys = odds[:, FIRST:]
            cold = (keys / max(temperature, 1e-4)).log_softmax(-1) + keys.logsumexp(-1, True)
            share = torch.cat([odds[:, :FIRST], cold], -1).softmax(-1).cumsum(-1)
            drawn = torch.searchsorted(share, chance[:, t : t + 1] * share[:, -1:])
            inputs = drawn.clamp(max=self.pitches + FIRST - 1)
            last = torch.where(inputs >= FIRST, inputs, last[:, -1:])
            found.append(inputs)
            seen = t + 1
        return torch.cat(found, 1)

    def _begun(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """The beginning and the symbols [b, t], and the last key struck up to each, [b, t + 1]."""
        start = symbols.new_full((len(symbols), 1), self.pitches + FIRST)
        last = self._last(symbols, symbols >= FIRST)
        return torch.cat([start, symbols], 1), F.pad(last, (1, 0), value=REST)

    def _next(
        self,
        inputs: Tensor,
        keys: Tensor,
        places: Tensor,
        bias: Tensor,
        memories: Sequence[list[Tensor]] | None = None,
    ) -> Tensor:
        """Log odds of what follows each of the inputs [b, t], the last keys struck being those."""
        sounding = self.sounding((keys - FIRST + 1).clamp(min=0))
        h = self.drop(self.symbol(inputs) + sounding + places)
        level = h.new_zeros(1, 6, h.shape[-1])
        for i, block in enumerate(self.blocks):
            h = block(h, level, bias, None if memories is None else memories[i])
        odds: Tensor = self.last(self.drop(F.layer_norm(h, h.shape[-1:])))
        return odds

    def _bias(self) -> Tensor:
        """What each step adds to its attention to each other, [heads, t, t]: by distance, and none
        to what comes after it.
        """
        index = torch.arange(self.steps, device=self.near.device)
        apart = index[:, None] - index
        return self.near[:, apart.clamp(min=0)].masked_fill(apart < 0, -torch.inf)

    def _places(self, given: Tensor | None, n: int) -> Tensor:
        """What each step knows of its place, its beat's chord and the next, [b, t, d]."""
        if self.chords is None:
            return self.place.expand(n, -1, -1)
        told = self.chords.in_features // 2 - 1
        now = flagged(given, n, self.steps // 4, told, self.place)
        after = torch.cat([now[:, 1:], now[:, -1:]], 1)
        read: Tensor = self.chords(torch.cat([now, after], -1))
        return self.place + read.repeat_interleave(4, 1)

    def _last(self, symbols: Tensor, which: Tensor) -> Tensor:
        """At each step the last symbol up to it that is one of those, or REST, [b, t]."""
        index = torch.arange(symbols.shape[1], device=symbols.device)
        at = torch.where(which, index, -1).cummax(1).values
        return torch.where(at < 0, REST, symbols.gather(1, at.clamp(min=0)))


def ahead(
    lead: Lead,
    x: Tensor,
    mask: Tensor,
    given: Tensor | None,
    generator: Random,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Rolls x [b, planes, t, p] and which of their cells are kept (bool, broadcast to it), with the
    first track drawn from where on all is new, if what comes before that is kept of it; else as
    they were. The lead hears the track alone, so what else is kept beside it speaks against it.
    """
    planes = [0, x.shape[1] // 2]
    kept = mask.expand(x.shape)
    whole = (~kept).all(3).all(1).all(0)  # [t]
    begun = lead.steps - int(whole.flip(0).cumprod(0).sum())
    if begun == lead.steps or not bool(kept[:, planes, :begun].all()):
        return x, mask
    symbols = lead.draw(lead.read(x[:, planes])[:, :begun], given, generator, temperature)
    x, kept = x.clone(), kept.clone()
    x[:, planes, begun:] = lead.cells(symbols)[:, :, begun:]
    kept[:, planes, begun:] = True
    return x, kept


def _uniform(n: int, steps: int, generator: Random) -> Tensor:
    """Numbers from 0 to 1, [n, steps], each row from its own generator where there are several."""
    if isinstance(generator, torch.Generator):
        return torch.rand(n, steps, generator=generator)
    return torch.stack([torch.rand(steps, generator=one) for one in generator])


def entropy(lead: Lead, x: Tensor, given: Tensor | None) -> Tensor:
    """Nats a step of the track's cells x [b, 2, t, p]."""
    symbols = lead.read(x)
    return F.cross_entropy(rearrange(lead(symbols, given), "b t c -> b c t"), symbols)
