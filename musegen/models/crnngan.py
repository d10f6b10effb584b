"""C-RNN-GAN (Mogren 2016): a recurrent generator against a bidirectional recurrent critic.

What the paper has and where it is here:

- generator, section 3: at each step uniform noise and its own previous output go through a linear
  layer with ReLU into stacked LSTMs, and a linear layer gives the next cell (`head="numbers"`);
- discriminator: bidirectional LSTMs, one decision for each cell through shared weights, averaged
  (`decision="probability"` averages sigmoids, as published);
- C-RNN-GAN-3: cells of three tones, `numbers=10`;
- feature matching, freezing, L2 and pretraining: `musegen.objectives.recurrent`.

Deviations, each with its reason:

- `head="events"`: numbers drawn one after the other from marks and places (`crnngan_events`), since
  four numbers of one linear layer are four averages of what is likely. Noise is then what picks the
  marks, so the first layer hears the previous cell alone.
- `slots`: the network hears where in the bar it is, which its own output tells but long sums of
  times are hard for an LSTM.
- The critic sees one-hot marks where the generator draws them, through a linear embedding.
- `decision="score"` averages unbounded scores, as losses other than the published one need.
- Conditions (`condition`): what is told about each beat (chords) or each event (its rhythm), an
  idea of JazzGAN (Trieu and Keller 2018) and of the conditional LSTM-GAN (Yu et al. 2021).

Shapes: `b` batch, `t` event, `x` cells [b, t, numbers] in even units 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.layers import spectral
from musegen.models.crnngan_events import EventHead, Rulers, ticks_of
from musegen.sizes import CRNNGANConfig


class Recurrence(nn.Module):
    """LSTMs whose weights are linear layers, so that spectral normalisation finds them.

    Fused over time; `exact` takes PyTorch's own kernels, which can be differentiated twice.
    """

    def __init__(
        self, inputs: int, hidden: int, layers: int, both: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden, self.layers, self.both, self.dropout = hidden, layers, both, dropout
        ways = 1 + both
        sizes = [inputs if i == 0 else ways * hidden for i in range(layers) for _ in range(ways)]
        self.inputs = nn.ModuleList(nn.Linear(n, 4 * hidden) for n in sizes)
        self.states = nn.ModuleList(nn.Linear(hidden, 4 * hidden, bias=False) for _ in sizes)
        for name, p in self.named_parameters():
            if name.endswith("weight"):
                nn.init.uniform_(p, -(hidden**-0.5), hidden**-0.5)
            else:
                nn.init.zeros_(p)
                nn.init.ones_(p[hidden : 2 * hidden])  # remember (Jozefowicz et al. 2015)

    def _weights(self) -> list[Tensor]:
        weights: list[Tensor] = []
        for i, s in zip(self.inputs, self.states, strict=True):
            assert isinstance(i, nn.Linear)
            assert isinstance(s, nn.Linear)
            weights += [i.weight, s.weight, i.bias, torch.zeros_like(i.bias)]
        return weights

    def begin(self, n: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """States before the first step, zeros."""
        size = (len(self.inputs), n, self.hidden)
        return like.new_zeros(size), like.new_zeros(size)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, exact: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """States of the last LSTM at each step of x [b, t, inputs], and where they end."""
        state = self.begin(len(x), x) if state is None else state
        given = (x, state, self._weights(), True, self.layers, self.dropout, self.training)
        # oneDNN's kernels have no second derivative.
        with torch.backends.mkldnn.flags(False, allow_tf32=None) if exact else nullcontext():
            out, h, c = torch.lstm(*given, self.both, True)
        return out, (h, c)

    def step(
        self, x: Tensor, state: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """One step of x [b, inputs] from the states of each LSTM."""
        kept = []
        for i, (h, c) in enumerate(state):
            enter, again = self.inputs[i], self.states[i]
            assert isinstance(enter, nn.Linear)
            assert isinstance(again, nn.Linear)
            x, c = torch.lstm_cell(x, (h, c), enter.weight, again.weight, enter.bias)
            kept.append((x, c))
            if self.dropout and self.training and i + 1 < self.layers:
                x = F.dropout(x, self.dropout)
        return x, kept


class CRNNGAN(nn.Module):
    """Generator and critic. A generated x is a function of its noise and its condition."""

    def __init__(self, config: CRNNGANConfig) -> None:
        super().__init__()
        self.config = config
        if config.head == "events" and config.numbers != 4:
            raise ValueError("events have 4 numbers; cells of more tones need the head 'numbers'")
        cues = config.told
        if config.head == "events":
            rulers = Rulers(config.times, config.lengths, config.pitches, config.intensities)
            self.head: nn.Module = EventHead(
                rulers, config.hidden, config.width, config.slots, config.bar, cues
            )
            inputs, seen = config.width, sum(rulers.sizes) + 4
        else:
            if cues:
                raise ValueError("only events can be made to fit something")
            self.enter = nn.Linear(2 * config.numbers, config.hidden)
            self.head = nn.Linear(config.hidden, config.numbers)
            inputs, seen = config.hidden, config.numbers
        self.lstm = Recurrence(inputs, config.hidden, config.layers, dropout=config.dropout)
        self.judge = Critic(config, seen + cues)
        # The critic's and the generator's last losses, for freezing; kept in checkpoints.
        self.last: Tensor
        self.register_buffer("last", torch.zeros(2))

    @torch.no_grad()
    def adopt(self, trained: CRNNGAN) -> None:
        """Begin with the weights of a network of the same sizes. From one that was told something
        else comes what makes music when nothing is told: what is told begins with weights of zero,
        and the critic, which sees it, as it is.
        """
        weights, theirs, ours = trained.state_dict(), trained.config, self.config
        if (theirs.condition, theirs.cues) != (ours.condition, ours.cues):
            mine = self.state_dict()
            told = {k: torch.zeros_like(v) for k, v in mine.items() if k.startswith("head.cue.")}
            silent = weights.get("head.cue.bias", mine["head.start"] * 0)
            for name in [n for n in weights if n.startswith("head.trunk.") and n.endswith("bias")]:
                weights[name] = weights[name] + silent
            kept = {k: v for k, v in weights.items() if not k.startswith(("judge.", "head.cue."))}
            weights = mine | told | kept
        self.load_state_dict(weights)

    def generator_parameters(self) -> Iterator[nn.Parameter]:
        """What makes music."""
        return (p for name, p in self.named_parameters() if not name.startswith("judge."))

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """What judges it."""
        return self.judge.parameters()

    def prior(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """Noise z [n, steps + 1, numbers], uniform from 0 to 1.

        The published generator hears row 0 as its first "previous output"; events leave it aside.
        """
        size = (n, (steps or self.config.steps) + 1, self.config.numbers)
        return torch.rand(size, generator=generator, device=generator.device).to(self.last)

    def real(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """What the critic sees of cells x [b, t, numbers]: [b, t, seen], zeros where x is."""
        if isinstance(self.head, EventHead):
            seen = self.head.rulers.seen(*self.head.rulers(x))
            told = self.told(x, given)[1]
            seen = seen if told is None else torch.cat([seen, told], -1)
        else:
            seen = x
        return seen * (x != 0).any(-1, keepdim=True)

    def told(self, x: Tensor, given: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What is told of the beat of the event before each, and of its own: [b, t, told]."""
        if self.config.condition == "rhythm":
            cue = ahead(x[..., (0, 1)])
            return cue, cue
        if self.config.condition == "none" or not isinstance(self.head, EventHead):
            return None, None
        if given is None:
            given = x.new_zeros(len(x), 1, self.config.cues)
        onset = ticks_of(x[..., 0]).round().cumsum(1)
        before = F.pad(onset, (1, -1))
        given = given.to(x)
        return self.head.beat(given, before), self.head.beat(given, onset)

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """What the critic sees of music made from noise, with gradients: [b, t, seen]."""
        return self.unroll(z, given)[1]

    def critic(self, seen: Tensor, given: Tensor | None = None, exact: bool = False) -> Tensor:
        """Scores [b] of what `real` or `generate` gives; what was told is in there."""
        score: Tensor = self.judge(seen, exact)
        return score

    def decode(
        self,
        z: Tensor,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        *,
        given: Tensor | None = None,
        start: Tensor | None = None,
        top_p: float = 1.0,
        until: float = math.inf,
    ) -> Tensor:
        """Cells x [b, t, numbers] made from noise z [b, t + 1, numbers], which is all its chance.

        Args:
            z: noise.
            generator: not used.
            temperature: of times and pitches; 0 takes the likeliest of all.
            given: what is told: [b, beats, cues], or times and lengths [b, t, 2].
            start: cells [b, s, numbers] that come before, and are not in the result.
            top_p: see `sampling.pick`.
            until: events end when all sequences are beyond this many ticks.
        """
        with torch.no_grad():
            return self.unroll(z, given, start, temperature, top_p, until, show=False)[0]

    def unroll(
        self,
        z: Tensor,
        given: Tensor | None = None,
        start: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        until: float = math.inf,
        show: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Cells [b, t, numbers] and what the critic sees of them [b, t, seen], step by step."""
        n = len(z)
        state = [(h, c) for h, c in zip(*self.lstm.begin(n, z), strict=True)]
        head = self.head
        x, seen = [], []
        if not isinstance(head, EventHead):
            if start is not None and start.shape[1]:
                before = F.pad(start, (0, 0, 1, -1)) + F.pad(
                    z[:, :1], (0, 0, 0, start.shape[1] - 1)
                )
                noise = torch.full_like(start, 0.5)
                heard = F.relu(self.enter(torch.cat([noise, before], -1)))
                state = list(zip(*self.lstm(heard)[1], strict=True))
            previous = z[:, 0] if start is None else start[:, -1]
            for i in range(1, z.shape[1]):
                heard = F.relu(self.enter(torch.cat([z[:, i], previous], -1)))
                h, state = self.lstm.step(heard, state)
                previous = head(h)
                x.append(previous)
            cells = torch.stack(x, 1)
            return cells, cells
        onset = z.new_zeros(n)
        heard = head.start.expand(n, -1)
        if start is not None and start.shape[1]:
            heard, state, onset = self._primed(head, start)
        joined, rhythm = head.joined(), None
        if self.config.condition == "beats" and given is None:
            given = z.new_zeros(n, 1, self.config.cues)
        elif self.config.condition == "rhythm":
            assert given is not None
            rhythm = ahead(given)
        last = None
        for i in range(1, z.shape[1]):
            h, state = self.lstm.step(heard, state)
            cue, forced = given, {}
            if rhythm is not None:
                cue, forced = rhythm[:, i - 1], {0: rhythm[:, i - 1, 0], 2: rhythm[:, i - 1, 1]}
            how = (forced, temperature, top_p, last)
            cell = head.draw(joined, h, z[:, i], onset, cue, *how)
            last = None if rhythm is None else cell.x[:, 2].detach()
            onset, heard = onset + cell.ticks, cell.embedded
            x.append(cell.x)
            if show:
                told = head.beat(cue, onset) if cue is not None and cue.dim() == 3 else cue
                seen.append(cell.seen if told is None else torch.cat([cell.seen, told], -1))
            if until < math.inf and float(onset.min()) >= until:
                break
        return torch.stack(x, 1), torch.stack(seen if show else x, 1)

    def _primed(
        self, head: EventHead, start: Tensor
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor]:
        """What is heard next after cells [b, s, 4], the states, and the last onset in ticks [b]."""
        index, _ = head.rulers(start)
        onset = ticks_of(start[..., 0]).round().cumsum(1)
        embedded = head.embedded(index, onset)
        begin = head.start.expand(len(start), 1, -1)
        state = self.lstm(torch.cat([begin, embedded[:, :-1]], 1))[1]
        return embedded[:, -1], list(zip(*state, strict=True)), onset[:, -1]

    def likelihood(
        self, x: Tensor, z: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """How badly each next cell is told from the true ones before it; its mean over cells.

        Events: cross-entropies in nats and distances of places, summed over the numbers of a cell;
        "numbers": squared errors, as the paper pretrains, with noise z [b, t + 1, numbers].
        """
        here = (x != 0).any(-1)
        count = here.sum().clamp(min=1)
        if not isinstance(self.head, EventHead):
            before = torch.cat([z[:, :1], x[:, :-1]], 1)
            heard = F.relu(self.enter(torch.cat([z[:, 1 : x.shape[1] + 1], before], -1)))
            error = (self.head(self.lstm(heard)[0]) - x).square().sum(-1)
            return (error * here).sum() / count, {}
        head = self.head
        index, place = head.rulers(x)
        onset = ticks_of(x[..., 0]).round().cumsum(1)
        embedded = head.embedded(index, onset)
        heard = torch.cat([head.start.expand(len(x), 1, -1), embedded[:, :-1]], 1)
        ce, off = head.losses(self.lstm(heard)[0], index, place, onset, *self.told(x, given))
        parts = (ce * here[..., None]).sum((0, 1)) / count
        away = (off * here[..., None]).sum((0, 1)) / count
        if self.config.condition == "rhythm":
            parts, away = parts[[1, 3]], away[[1, 3]]
            return parts.sum() + away.sum(), {"pitch": parts[0], "intensity": parts[1]}
        names = ("time", "pitch", "length", "intensity")
        return parts.sum() + away.sum(), dict(zip(names, parts, strict=True))


def ahead(rhythm: Tensor) -> Tensor:
    """What is told of events with times and lengths [b, t, 2]: those, and the time from each event
    to the next, which is 1 where none comes, [b, t, 3]. So a note hears that a chord is on its way.
    """
    after = torch.where(rhythm[:, 1:, 1:] > 0, rhythm[:, 1:, :1], 1.0)
    return torch.cat([rhythm, F.pad(after, (0, 0, 0, 1), value=1.0)], -1)


class Critic(nn.Module):
    """Bidirectional LSTMs with one decision for each cell, averaged over the cells that are."""

    def __init__(self, config: CRNNGANConfig, seen: int) -> None:
        super().__init__()
        self.decision, self.kernels = config.decision, config.kernels
        width = config.critic_width
        self.enter = nn.Linear(seen, width) if width else nn.Identity()
        self.lstm = Recurrence(
            width or seen, config.critic, config.critic_layers, both=True, dropout=config.dropout
        )
        self.decide = nn.Linear(2 * config.critic, 1)
        if config.kernels:
            self.compare = nn.Linear(2 * config.critic, config.kernels * config.kernel_size)
            self.alike = nn.Linear(config.kernels, 1)
        if config.spectral:
            spectral(self)

    def features(self, seen: Tensor, exact: bool = False) -> tuple[Tensor, Tensor]:
        """The LSTMs' outputs [b, t, d], and where cells are [b, t, 1]; zeros elsewhere."""
        here = (seen != 0).any(-1, keepdim=True).to(seen)
        out, _ = self.lstm(self.enter(seen) * here, exact=exact)
        return out * here, here

    def forward(self, seen: Tensor, exact: bool = False) -> Tensor:
        """Scores [b], of which the sigmoid is the probability of being real."""
        return self.score(*self.features(seen, exact))

    def score(self, out: Tensor, here: Tensor) -> Tensor:
        """Scores [b] of what `features` gives."""
        each = self.decide(out).float()
        count = here.sum((1, 2)).clamp(min=1)
        if self.decision == "probability":
            p = (torch.sigmoid(each) * here).sum((1, 2)) / count
            score: Tensor = torch.logit(p.clamp(1e-6, 1 - 1e-6))
        else:
            score = (each * here).sum((1, 2)) / count
        if self.kernels:
            # Salimans et al. 2016, section 3.2: sums of exp(-|M_i - M_j|_1), without i = j.
            m = self.compare(out.sum(1) / count[:, None].to(out)).view(len(out), self.kernels, -1)
            close = torch.exp(-(m[:, None] - m[None]).abs().sum(-1)).sum(1) - 1
            score = score + self.alike(close).squeeze(-1).float()
        return score
