"""C-RNN-GAN's generator in NumPy: `models.crnngan` from trained weights, without torch.

Shapes: b batch, t event, x cells [b, t, numbers] in even units 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from musegen.runtime.parts import LSTM, Draws, Floats, Ints, Linear, Weights, at_places, gelu
from musegen.sizes import CRNNGANConfig, Runs

ORDER = (0, 2, 1, 3)  # time, pitch, length, intensity as columns of a cell
BARRED = -1e9  # logits of what cannot be


def ticks_of(x: Floats) -> Floats:
    """Times from 0 to 1 as ticks: the even unit is log2(1 + ticks) / 16."""
    return np.exp2(16 * x.clip(0, 1)) - 1


def rulers(config: CRNNGANConfig) -> list[Floats]:
    """The marks of time, pitch, length and intensity in their even units, rising, [v] each."""

    def marks(runs: Runs) -> Floats:
        steps = [step for step, count in runs for _ in range(count)]
        return np.cumsum([0, *steps]).astype(np.float32)

    (low, count), (step, loud) = config.pitches, config.intensities
    times, lengths = (np.log2(1 + marks(runs)) / 16 for runs in (config.times, config.lengths))
    pitches = (low + np.arange(count)) / 127
    intensities = (np.arange(1, loud + 1) * step).clip(max=127) / 127
    return [np.asarray(r, np.float32) for r in (times, pitches, lengths[1:], intensities)]


def _gaps(ruler: Floats) -> Floats:
    """The distance of each mark from the nearer of its neighbours."""
    gap = np.diff(ruler)
    return np.minimum(np.append(gap[:1], gap), np.append(gap, gap[-1:]))


def ahead(rhythm: Floats) -> Floats:
    """Times and lengths [b, t, 2] with the time to the next event, see `models.crnngan.ahead`."""
    after = np.ones_like(rhythm[..., :1])
    after[:, :-1] = np.where(rhythm[:, 1:, 1:] > 0, rhythm[:, 1:, :1], 1)
    return np.concatenate([rhythm, after], -1)


class Head:
    """Draws cells from states of the LSTMs (`models.crnngan_events.EventHead`)."""

    def __init__(self, config: CRNNGANConfig, cues: int, weights: Weights) -> None:
        self.slots, self.bar, width = config.slots, config.bar, config.width
        self.rulers = rulers(config)
        self.gaps = [_gaps(ruler) for ruler in self.rulers]
        sizes = [len(ruler) for ruler in self.rulers]

        def tables(name: str, sizes: list[int], width: int) -> list[Floats]:
            return [weights(f"head.{name}.{i}.weight", n, width) for i, n in enumerate(sizes)]

        self.embed, self.known = tables("embed", sizes, width), tables("known", sizes[:-1], width)
        self.place = [table[:, 0] for table in tables("place", sizes, 1)]
        self.start = weights("head.start", width)
        trunks = [weights.linear(f"head.trunk.{i}", config.hidden, width) for i in range(4)]
        self.trunk = Linear.joined(trunks)
        # What a mark is drawn from and, in the last row, how far beyond it the number lies.
        self.logits = [
            Linear.joined(
                [
                    weights.linear(f"head.logits.{i}", width, n),
                    weights.linear(f"head.beyond.{i}", width, 1),
                ]
            )
            for i, n in enumerate(sizes)
        ]
        self.when = weights("head.when.weight", max(self.slots, 1), width)
        self.now = weights("head.now.weight", max(self.slots, 1), width)
        self.cue = weights.linear("head.cue", cues, width) if cues else None

    def slot(self, onset: Floats) -> Ints:
        """The nearest place in the bar of onsets in ticks."""
        places = np.round(onset * np.float32(self.slots / self.bar)).astype(np.int64)
        return places % max(self.slots, 1)

    def told(self, cue: Floats | None, onset: Floats) -> Floats | float:
        """What is told of the beats of onsets [b], or of events, [b, width]."""
        if cue is None or self.cue is None:
            return 0.0
        if cue.ndim == 3:
            beat = np.floor(onset * np.float32(4 / self.bar)).astype(np.int64)
            cue = cue[np.arange(len(cue)), beat.clip(0, cue.shape[1] - 1)]
        return self.cue(cue)

    def draw(
        self,
        h: Floats,
        u: Floats,
        onset: Floats,
        cue: Floats | None,
        forced: dict[int, Floats],
        temperature: float,
        top_p: float,
        last: Floats | None = None,
    ) -> tuple[Floats, Floats, Floats]:
        """A cell after states h [b, hidden], see `EventHead.draw`.

        Returns:
            The four numbers [b, 4], what the next step hears [b, width], and the onset [b].
        """
        numbers: list[Floats] = []
        at: list[Ints] = []
        since = np.zeros_like(onset)
        known: Floats | float = 0.0
        told = self.told(cue, onset)
        trunk = self.trunk(h).reshape(len(h), 4, -1)
        for i, (ruler, gaps) in enumerate(zip(self.rulers, self.gaps, strict=True)):
            if i in forced:
                at.append(np.searchsorted((ruler[1:] + ruler[:-1]) / 2, forced[i]))
                numbers.append(forced[i])
            else:
                # Lengths and intensities come as they are: a performance lives on their spread.
                careful = (temperature, top_p) if i < 2 or temperature <= 0 else (1.0, 1.0)
                both = self.logits[i](gelu(trunk[:, i] + known + told))
                if i == 1 and last is not None:
                    same = np.abs(ruler - last[:, None]) < np.float32(0.5 / 127)
                    both[:, :-1][same & (since == 0)[:, None]] = BARRED
                at.append(at_places(both[:, :-1], u[:, i], *careful))
                place = np.tanh(both[:, -1] + self.place[i][at[i]]) / 2
                numbers.append(ruler[at[i]] + place * gaps[at[i]])
            if i < 3:
                known = known + self.known[i][at[i]]
            if i == 0:
                since = np.round(ticks_of(numbers[0]))
                onset = np.add(onset, since, dtype=np.float32)
                known = known + self.now[self.slot(onset)]
                told = self.told(cue, onset) if cue is not None and cue.ndim == 3 else told
        return np.stack([numbers[i] for i in ORDER], -1), self.heard(at, onset), onset

    def heard(self, at: list[Ints], onset: Floats) -> Floats:
        """What the network hears of marks, each [...], with onsets [...]: [..., width]."""
        total: Floats = self.when[self.slot(onset)]
        return sum((table[i] for table, i in zip(self.embed, at, strict=True)), total)

    def marks(self, x: Floats) -> list[Ints]:
        """The nearest marks of cells x [b, t, 4] in the order of drawing, [b, t] each."""
        between = [(ruler[1:] + ruler[:-1]) / 2 for ruler in self.rulers]
        columns = (x[..., i] for i in ORDER)
        return [np.searchsorted(b, column) for b, column in zip(between, columns, strict=True)]


class Stack:
    """LSTMs one above the other, a step at a time, for `n` sequences in memory of their own: inputs
    and state of each lie side by side, so that one product makes all of its gates.
    """

    def __init__(self, layers: Sequence[LSTM], state: Sequence[tuple[Floats, Floats]]) -> None:
        self.units, n = layers[0].units, len(state[0][0])
        both = [np.concatenate([layer.w_in, layer.w_hidden], 1).T for layer in layers]
        self.weights, self.biases = (
            [np.ascontiguousarray(w) for w in both],
            [x.bias for x in layers],
        )
        self.heard = [np.empty((n, len(w)), np.float32) for w in both]
        self.c = [c.copy() for _, c in state]
        for heard, (h, _) in zip(self.heard, state, strict=True):
            heard[:, -self.units :] = h
        self.gates = np.empty((n, 4 * self.units), np.float32)
        self.spare = np.empty((n, self.units), np.float32)

    def step(self, x: Floats) -> Floats:
        """The last LSTM's state [n, units] after inputs [n, inputs], until the next step."""
        gates, spare = self.gates, self.spare
        i, f, g, o = (gates[:, k * self.units : (k + 1) * self.units] for k in range(4))
        for weight, bias, heard, c in zip(
            self.weights, self.biases, self.heard, self.c, strict=True
        ):
            heard[:, : -self.units] = x
            np.matmul(heard, weight, out=gates)
            gates += bias
            np.tanh(gates, out=gates)  # halved beforehand, see `LSTM`
            f += 1
            i += 1
            o += 1
            c *= f
            c += np.multiply(i, g, out=spare)
            c *= np.float32(0.5)
            x = heard[:, -self.units :]
            np.multiply(np.tanh(c, out=spare), o, out=x)
            x *= np.float32(0.5)
        return x


class CRNNGAN:
    """See `models.crnngan.CRNNGAN`; without its critic."""

    def __init__(self, config: CRNNGANConfig, weights: Weights) -> None:
        self.config = c = config
        self.head = Head(c, c.told, weights) if c.head == "events" else None
        if self.head is None:
            self.enter = weights.linear("enter", 2 * c.numbers, c.hidden)
            self.leave = weights.linear("head", c.hidden, c.numbers)
        width = c.width if self.head else c.hidden
        self.layers = []
        for i in range(c.layers):
            enter = weights.linear(f"lstm.inputs.{i}", c.hidden if i else width, 4 * c.hidden)
            again = weights(f"lstm.states.{i}.weight", 4 * c.hidden, c.hidden)
            self.layers.append(LSTM(enter.weight, again, enter.bias))
        weights.finish(aside=("judge.", "last"))

    def prior(self, n: int, draws: Draws, steps: int | None = None) -> Floats:
        """Noise z [n, steps + 1, numbers], uniform from 0 to 1."""
        return draws.uniform(n, (steps or self.config.steps) + 1, self.config.numbers)

    def decode(
        self,
        z: Floats,
        draws: Draws | None = None,
        temperature: float = 1.0,
        *,
        given: Floats | None = None,
        start: Floats | None = None,
        top_p: float = 1.0,
        until: float = math.inf,
    ) -> Floats:
        """Cells x [b, t, numbers] made from noise z [b, t + 1, numbers], which is all its chance:
        see `models.crnngan.CRNNGAN.decode`.
        """
        n, c = len(z), self.config
        zeros = np.zeros((n, c.hidden), np.float32)
        state = [(zeros, zeros) for _ in self.layers]
        if start is not None and not start.shape[1]:
            start = None
        if self.head is None:
            return self._numbers(z, start, state)
        onset = np.zeros(n, np.float32)
        heard = np.broadcast_to(self.head.start, (n, c.width))
        if start is not None:
            onsets = np.cumsum(np.round(ticks_of(start[..., 0])), axis=1)
            embedded = self.head.heard(self.head.marks(start), onsets)
            state = self._hear(np.concatenate([heard[:, None], embedded[:, :-1]], axis=1))
            heard, onset = embedded[:, -1], onsets[:, -1]
        if c.condition == "beats" and given is None:
            given = np.zeros((n, 1, c.cues), np.float32)
        rhythm = ahead(given) if c.condition == "rhythm" and given is not None else None
        x, stack = [], Stack(self.layers, state)
        last = None
        for i in range(1, z.shape[1]):
            h = stack.step(heard)
            cue, forced = given, {}
            if rhythm is not None:
                cue, forced = rhythm[:, i - 1], {0: rhythm[:, i - 1, 0], 2: rhythm[:, i - 1, 1]}
            how = (forced, temperature, top_p, last)
            cell, heard, onset = self.head.draw(h, z[:, i], onset, cue, *how)
            last = None if rhythm is None else cell[:, 2]
            x.append(cell)
            if onset.min() >= until:
                break
        return np.stack(x, axis=1)

    def _numbers(
        self, z: Floats, start: Floats | None, state: list[tuple[Floats, Floats]]
    ) -> NDArray[np.float32]:
        """Cells as published: four numbers of one linear layer."""
        previous = z[:, 0]
        if start is not None:
            before = np.concatenate([z[:, :1], start[:, :-1]], axis=1)
            noise = np.full_like(start, 0.5)
            heard = self.enter(np.concatenate([noise, before], -1)).clip(min=0)
            state, previous = self._hear(heard), start[:, -1]
        x, stack = np.empty_like(z[:, 1:]), Stack(self.layers, state)
        fresh, again = np.split(self.enter.weight, 2, axis=1)
        noise = z[:, 1:] @ fresh.T + self.enter.bias
        for i in range(x.shape[1]):
            h = stack.step((noise[:, i] + previous @ again.T).clip(min=0))
            previous = x[:, i] = self.leave(h)
        return x

    def _hear(self, x: Floats) -> list[tuple[Floats, Floats]]:
        """The states of each LSTM after x [b, t, inputs]."""
        kept = []
        for layer in self.layers:
            x, h, c = layer.run(x)
            kept.append((h, c))
        return kept
