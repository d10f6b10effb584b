"""One line of symbols, written step by step by an LSTM stack that is told what to write.

The core decoder of MusicVAE (Roberts et al. 2018, section 3.2): initial states are
tanh(dense(told)), and at each step it sees the previous symbol and what it is told, or, with
`view`, a learned linear view of that of its own for each step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from musegen.sampling import pick


class Voice(nn.Module):
    """Shapes: n segments, t step, v symbols, d width.

    Args:
        vocab: number of symbols.
        steps: length of a segment.
        told: size of what it is told.
        units: of each layer of the LSTM.
        embedding: size of the table of symbols, 0 for one-hot vectors.
        view: size of the view at each step, 0 to see all of what it is told.
        control: size of what is given for each step beside, such as chords; 0 for nothing.
    """

    def __init__(
        self,
        vocab: int,
        steps: int,
        told: int,
        units: Sequence[int],
        embedding: int,
        view: int,
        control: int = 0,
    ) -> None:
        super().__init__()
        self.steps, self.units = steps, tuple(units)
        width = embedding or vocab
        self.table = nn.Embedding(vocab, width)
        if not embedding:
            self.table.weight.requires_grad_(False).copy_(torch.eye(vocab))
        self.view = nn.Linear(told, steps * view) if view else None
        self.view_to_logits = nn.Linear(view + control, vocab, bias=False) if view else None
        self.initial = nn.Linear(told, 2 * sum(units))
        inputs = [width + (view or told) + control, *units[:-1]]
        self.layers = nn.ModuleList(
            nn.LSTM(i, d, batch_first=True) for i, d in zip(inputs, units, strict=True)
        )
        self.logits = nn.Linear(units[-1], vocab)
        nn.init.normal_(self.initial.weight, std=0.001)
        nn.init.zeros_(self.initial.bias)

    def forward(
        self, told: Tensor, x: Tensor, hide: Tensor | None = None, given: Tensor | None = None
    ) -> Tensor:
        """Logits [n, t, v] after the true symbols [n, t], some of them hidden (bool [n, t]: the
        symbol before that step), from what is told [n, d] and given for each step [n, t, c].
        """
        views, states = self.views(told, given), self.states(told)
        h = torch.cat([self.previous(x, hide), views], dim=-1)
        for layer, h0, c0 in zip(self.layers, states[::2], states[1::2], strict=True):
            h, _ = layer(h, (h0[None].contiguous(), c0[None].contiguous()))
        out: Tensor = self.logits(h)
        return out if self.view_to_logits is None else out + self.view_to_logits(views)

    def previous(self, x: Tensor, hide: Tensor | None = None) -> Tensor:
        """Vectors of the symbols before each step [n, t, d]; zeros at the start and if hidden."""
        before = F.pad(self.table(x[:, :-1]), (0, 0, 1, 0))
        return before if hide is None else before.masked_fill(hide[..., None], 0.0)

    def views(self, told: Tensor, given: Tensor | None = None) -> Tensor:
        """What is seen of `told` [n, d] at each step and what is given for it, [n, t, d]."""
        if self.view is None:
            seen = repeat(told, "n d -> n t d", t=self.steps)
        else:
            seen = rearrange(self.view(told), "n (t d) -> n t d", t=self.steps)
        return seen if given is None else torch.cat([seen, given], dim=-1)

    def states(self, told: Tensor) -> tuple[Tensor, ...]:
        """H and c of each layer in turn at the start, [n, d] each."""
        return torch.tanh(self.initial(told)).split([d for d in self.units for _ in "hc"], -1)

    def scheduled(
        self,
        told: Tensor,
        x: Tensor,
        chance: float,
        generator: torch.Generator,
        given: Tensor | None = None,
    ) -> Tensor:
        """Logits [n, t, v] of scheduled sampling (Bengio et al. 2015): each step sees its own
        sample instead of the true previous symbol with probability `chance`.
        """
        gates, previous = _Stepper(self, told, given), self.previous(x)
        use_own = torch.rand(x.shape, generator=generator).to(told) < chance
        token = previous[:, 0]
        rows: list[Tensor] = []
        for t in range(self.steps):
            if t:
                drawn = self.table(pick(rows[-1].detach().float(), generator))
                token = torch.where(use_own[:, t, None], drawn, previous[:, t])
            rows.append(gates.step(gates.fold(token), t))
        return torch.stack(rows, dim=1)

    @torch.no_grad()
    def write(
        self,
        told: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        top_p: float = 1.0,
        given: Tensor | None = None,
    ) -> Tensor:
        """Symbols [n, t] drawn one step after the other."""
        gates = _Stepper(self, told, given)
        folded = gates.fold(self.table.weight)
        token = told.new_zeros(len(told), folded.shape[1])
        x = torch.empty(len(told), self.steps, dtype=torch.long, device=told.device)
        for t in range(self.steps):
            x[:, t] = pick(gates.step(token, t), generator, temperature, top_p)
            token = folded[x[:, t]]
        return x


class _Stepper:
    """A voice one step at a time, with everything that does not change computed once.

    Equal to `Voice.forward`, a third of the work a step: the part of the first layer's gates that
    comes from what is told or given and both biases are summed for all steps at the start.
    """

    def __init__(self, voice: Voice, told: Tensor, given: Tensor | None = None) -> None:
        views = voice.views(told, given)
        width = voice.table.embedding_dim
        self.voice = voice
        named = [dict(layer.named_parameters()) for layer in voice.layers]
        self.weights = [(p["weight_ih_l0"], p["weight_hh_l0"]) for p in named]
        self.biases = [p["bias_ih_l0"] + p["bias_hh_l0"] for p in named]
        first = self.weights[0][0]
        self.from_token = first[:, :width]
        self.from_told = F.linear(views, first[:, width:], self.biases[0])
        states = voice.states(told)
        self.h, self.c = list(states[::2]), list(states[1::2])
        self.shortcut = voice.view_to_logits(views) if voice.view_to_logits is not None else None

    def fold(self, token: Tensor) -> Tensor:
        """What symbols' vectors [n, d] add to the first layer's gates."""
        return F.linear(token, self.from_token)

    def step(self, folded: Tensor, t: int) -> Tensor:
        """Logits [n, v] of step t after symbols folded to [n, gates]."""
        below = folded + self.from_told[:, t]
        for i, (w_in, w_hidden) in enumerate(self.weights):
            if i:
                below = F.linear(self.h[i - 1], w_in, self.biases[i])
            i_, f, g, o = torch.addmm(below, self.h[i], w_hidden.t()).chunk(4, dim=-1)
            kept = torch.sigmoid(f) * self.c[i]
            self.c[i] = torch.addcmul(kept, torch.sigmoid(i_), torch.tanh(g))
            self.h[i] = torch.sigmoid(o) * torch.tanh(self.c[i])
        logits: Tensor = self.voice.logits(self.h[-1])
        return logits if self.shortcut is None else logits + self.shortcut[:, t]
