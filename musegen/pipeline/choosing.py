"""Of several phrases from noise one is kept, so that tracks agree as often as in music.

A generator's phrases are as music is in most, and in some not: where the tonal distance (TD) of two
tracks is larger on average than in the training music, chords clash. Of all distributions in
which it is as large, that nearest to the model's own has weights exp(w . f(x)) beside it, with f
the sums of TD over bars, less the means of music (Csiszar 1975; as Khalifa et al., ICLR 2021,
control a language model). It is drawn from by choosing among few candidates with those weights
(as discriminator rejection sampling does with a critic's, Azadi et al., ICLR 2019). The weights
are found for that number of candidates by `musegen.evaluate.musegan_fit.choice`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from musegen.metrics.rolls import tonal_distances
from musegen.models.musegan import MuseGAN
from musegen.representations.pianoroll import Pianoroll
from musegen.sampling import slerp

MODES = ("octave", "paper")  # ways of counting TD, of pitch classes and of parts of the register

FORM = (0.0, 0.35, 0.7, 0.35)  # how far each phrase's moving latents are from the first's

Values: TypeAlias = NDArray[np.float64]
Roll: TypeAlias = NDArray[np.uint8]
Decode: TypeAlias = Callable[[Tensor, torch.Generator], Roll]


@dataclass(frozen=True)
class Choice:
    """How phrases are chosen; what a bundle keeps as `choice`.

    Attributes:
        of: candidates for each phrase; 1 is no choice.
        means: TD of each pair of pitched tracks in training music, as MODES count it in turn.
        weights: of their excess.
    """

    of: int = 1
    means: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def phrases(
        self,
        model: MuseGAN,
        roll: Pianoroll,
        decode: Decode,
        n: int,
        many: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, list[Roll]]:
        """Latents [many, n, z] of n pieces of music from noise, of phrases that belong together:
        all share the time-independent latents of the first, and the time-dependent ones move away
        from it and come back. And what they are chosen by, if they are: rolls [n, channels, steps,
        pitches] of each phrase, with the thresholds of the bundle, so that no option changes which.
        """
        moving, found, heard = model.moving(), list[Tensor](), list[Roll]()
        for i in range(many):
            z = model.prior(self.of * n, generator).unflatten(0, (self.of, n))
            if i:
                first, far = found[0].expand_as(z), torch.tensor([FORM[i % len(FORM)]])
                away = slerp(first[..., moving], z[..., moving], far)[0]
                z = first.clone()
                z[..., moving] = away
            if self.of == 1:
                found.append(z[0])
                continue
            x = decode(z.flatten(0, 1), generator)
            best = self.best(x, roll, generator) * n + torch.arange(n)
            found.append(z.flatten(0, 1)[best])
            heard.append(x[best.numpy()])
        return torch.stack(found), heard

    def best(self, x: Roll, roll: Pianoroll, generator: torch.Generator) -> Tensor:
        """Which of rolls [of n, channels, steps, pitches] is chosen for each piece, [n]."""
        scores = torch.from_numpy(self.scores(x, roll)).view(self.of, -1)
        chance = torch.rand(scores.shape, generator=generator, dtype=torch.float64)
        return (scores - (-chance.log()).log()).argmax(0)  # Gumbel's maximum: by their weights

    def scores(self, x: Roll, roll: Pianoroll) -> Values:
        """Logarithms of the weights [n] of rolls [n, channels, steps, pitches]."""
        scores: Values = excess(x, roll, self.means) @ np.array(self.weights)
        return scores


def distances(x: Roll, roll: Pianoroll) -> Values:
    """TD of each pair of pitched tracks in each bar, [n, bars, pairs], as MODES count it in turn;
    nan where one of both rests.
    """
    k, drums = len(roll.trackset), roll.trackset.drums
    pairs = list(combinations([i for i in range(k) if i != drums], 2))
    beat, bar = roll.steps_per_beat, roll.beats_per_bar * roll.steps_per_beat
    found = [tonal_distances(x[:, :k], beat, bar, pairs, mode) for mode in MODES]
    return np.concatenate(found, axis=1).swapaxes(1, 2)


def excess(x: Roll, roll: Pianoroll, means: Sequence[float]) -> Values:
    """How much larger TD is than its means, summed over the bars of each phrase: [n, d]."""
    return np.nan_to_num(distances(x, roll) - np.array(means)).sum(1)
