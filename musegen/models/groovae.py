"""GrooVAE: how hits are played, or drums for a tapped rhythm (Gillick et al., ICML 2019).

Faithful parts: the encoder is MusicVAE's bidirectional LSTM; the decoder is its LSTM stack, whose
states start from tanh(dense(z)) and which sees at each step its last output and z. It writes for
each class of drums a hit (sigmoid), a velocity (sigmoid) and an offset (tanh). What the encoder
`reads` decides what the model does: of "hits", the score without dynamics and timing, it learns to
play the score (humanize); of a "tap", one voice of onsets and their timing without dynamics, it
learns to play drums (tap to drum); of the whole "groove" a latent of ways to play. With `control`
the decoder is shown hits or tap of its step, as in the reference code's hits_control, so that z is
about the playing and not about the score.

Deviations, each behind a field of the config or of `GrooveELBO`:

* `ahead`: the decoder is shown the control of so many further steps too; how loud a note is has to
  do with what follows it.
* `bar`: encoder and decoder are told the place in the bar, which LSTMs else have to count.
* `spread`: how far velocities and offsets lie from what the decoder says is learned for each class
  and drawn when music is made; it is what a squared error leaves out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import repeat
from torch import Tensor, nn

from musegen.sizes import LEAST, GrooVAEConfig


def shown(x: Tensor, what: str) -> Tensor:
    """Of grooves [b, t, 3k] (hits, velocities, offsets) the hits [b, t, k], the tap [b, t, 2]
    (whether anything is hit, its mean offset) or all.
    """
    hits, _, offset = x.unflatten(-1, (3, -1)).unbind(-2)
    if what == "hits":
        return hits
    if what == "tap":
        late = (hits * offset).sum(-1) / hits.sum(-1).clamp(min=1)
        return torch.stack([hits.amax(-1), late], dim=-1)
    return x


class GrooVAE(nn.Module):
    """See the module's docstring. Shapes: b batch, t step, k class, z latent, d width.

    Grooves are [b, t, 3k]: for each class whether it is hit (0 or 1), how loud (0 to 1) and how
    late (-0.5 to 0.5 of a step).
    """

    def __init__(self, config: GrooVAEConfig) -> None:
        super().__init__()
        self.config = c = config
        k = c.classes
        width = {"hits": k, "tap": 2, "groove": 3 * k, "": 0}
        self.encoder = nn.LSTM(
            width[c.reads] + c.bar, c.encoder, batch_first=True, bidirectional=True
        )
        self.posterior = nn.Linear(2 * c.encoder, 2 * c.latent)
        self.initial = nn.Linear(c.latent, 2 * sum(c.decoder))
        beside = width[c.control] * (1 + c.ahead) + c.bar
        inputs = [3 * k + c.latent + beside, *c.decoder[:-1]]
        self.layers = nn.ModuleList(
            nn.LSTM(i, d, batch_first=True) for i, d in zip(inputs, c.decoder, strict=True)
        )
        self.out = nn.Linear(c.decoder[-1], 3 * k)
        self.spread = nn.Parameter(torch.full((2, k), 0.1).log())
        for layer in (self.posterior, self.initial):
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Grooves [b, t, 3k] to the posterior's mean and standard deviation, [b, z] each; with a
        generator some of the encoder is dropped.
        """
        seen = torch.cat([shown(x, self.config.reads), self._place(x)], dim=-1)
        _, (last, _) = self.encoder(seen)
        both = self._dropped(torch.cat([last[-2], last[-1]], dim=-1), generator)
        mean, spread = self.posterior(both).chunk(2, dim=-1)
        return mean, F.softplus(spread)

    def given(self, x: Tensor) -> Tensor:
        """What the decoder is shown beside z of grooves [b, t, 3k] at each step, [b, t, d]; places
        in the bar alone without control.
        """
        parts = [self._place(x)]
        if self.config.control:
            now = shown(x, self.config.control)
            later = F.pad(now, (0, 0, 0, self.config.ahead))
            parts += [later[:, i : i + x.shape[1]] for i in range(self.config.ahead + 1)]
        return torch.cat(parts, dim=-1)

    def _place(self, x: Tensor) -> Tensor:
        """The place in the bar of each step of x, one-hot [b, t, bar]."""
        bar = self.config.bar
        if not bar:
            return x.new_zeros(*x.shape[:2], 0)
        eye = torch.eye(bar, device=x.device).repeat(-(-x.shape[1] // bar), 1)[: x.shape[1]]
        return eye.expand(len(x), -1, -1)

    def _dropped(self, h: Tensor, generator: torch.Generator | None) -> Tensor:
        share = self.config.dropout
        if generator is None or not share:
            return h
        kept = torch.rand(h.shape, generator=generator).to(h) >= share
        return h * kept / (1 - share)

    def states(self, z: Tensor) -> tuple[Tensor, ...]:
        """H and c of each layer in turn at the start, [b, d] each."""
        sizes = [d for d in self.config.decoder for _ in "hc"]
        return torch.tanh(self.initial(z)).split(sizes, -1)

    def forward(
        self,
        z: Tensor,
        x: Tensor,
        given: Tensor,
        hide: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of hits, velocities (0 to 1) and offsets (-0.5 to 0.5), [b, t, k] each, after the
        true groove x [b, t, 3k] before each step, but where it is hidden (bool [b, t]).
        """
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        if hide is not None:
            before = before.masked_fill(hide[..., None], 0.0)
        h = torch.cat([before, repeat(z, "b z -> b t z", t=x.shape[1]), given], dim=-1)
        states = self.states(z)
        for layer, h0, c0 in zip(self.layers, states[::2], states[1::2], strict=True):
            h, _ = layer(h, (h0[None].contiguous(), c0[None].contiguous()))
            h = self._dropped(h, generator)
        return self._said(self.out(h))

    def _said(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hits, velocity, offset = out.chunk(3, dim=-1)
        return hits, torch.sigmoid(velocity), torch.tanh(offset) / 2

    def spreads(self) -> Tensor:
        """Standard deviations of velocity and offset of each class, [2, k]."""
        return self.spread.exp().clamp(min=0.01)

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        top_p: float = 1.0,
        given: Tensor | None = None,
    ) -> Tensor:
        """Grooves [b, t, 3k] written step by step given z [b, z].

        Args:
            z: latents.
            generator: of what is drawn.
            temperature: of hits, and of how far velocities and offsets stray; 0 for none of it.
            top_p: of no use here; all models have it.
            given: what the music is for: grooves [b, t, 3k] whose hits or tap the decoder is shown,
                and whose hits are kept where it plays from hits. By default something at every
                other step.
        """
        c, k = self.config, self.config.classes
        kept = given[..., :k] if given is not None and c.source == "hits" else None
        if given is None:
            given = z.new_zeros(len(z), c.steps, 3 * k)
            given[:, ::2, :k] = 1
            kept = given[..., :k] if c.control == "hits" else None
        beside, steps = self.given(given), given.shape[1]
        named = [dict(layer.named_parameters()) for layer in self.layers]
        weights = [(p["weight_ih_l0"], p["weight_hh_l0"]) for p in named]
        biases = [p["bias_ih_l0"] + p["bias_hh_l0"] for p in named]
        # What z and the control add to the first layer's gates, once for all steps.
        rest = torch.cat([repeat(z, "b z -> b t z", t=steps), beside], dim=-1)
        told = F.linear(rest, weights[0][0][:, 3 * k :], biases[0])
        states = self.states(z)
        h, cell = list(states[::2]), list(states[1::2])
        shape = (len(z), steps, 3, k)
        stray = temperature * torch.randn(*shape[:2], 2, k, generator=generator).to(z)
        stray, chance = stray * self.spreads(), torch.rand(len(z), steps, k, generator=generator)
        chance = chance.to(z) if temperature else torch.full_like(chance, 0.5).to(z)
        x = z.new_zeros(shape)
        for t in range(steps):
            below = told[:, t]
            if t:
                below = below + F.linear(x[:, t - 1].flatten(1), weights[0][0][:, : 3 * k])
            for i, (w_in, w_hidden) in enumerate(weights):
                if i:
                    below = F.linear(h[i - 1], w_in, biases[i])
                i_, f, g, o = (below + F.linear(h[i], w_hidden)).chunk(4, dim=-1)
                cell[i] = torch.sigmoid(f) * cell[i] + torch.sigmoid(i_) * torch.tanh(g)
                h[i] = torch.sigmoid(o) * torch.tanh(cell[i])
            logits, velocity, offset = self._said(self.out(h[-1]))
            drawn = (torch.sigmoid(logits / (temperature or 1.0)) > chance[:, t]).to(z)
            hit = drawn if kept is None else kept[:, t].to(z)
            loud = (velocity + stray[:, t, 0]).clamp(LEAST, 1.0)
            late = (offset + stray[:, t, 1]).clamp(-0.5, 0.5)
            x[:, t] = torch.stack([hit, hit * loud, hit * late], dim=1)
        return x.flatten(2)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Latents [n, z] from N(0, I)."""
        noise = torch.randn(n, self.config.latent, generator=generator)
        return noise.to(self.posterior.weight.device)
