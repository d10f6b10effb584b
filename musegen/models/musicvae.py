"""MusicVAE: a recurrent variational autoencoder of note sequences (Roberts et al., ICML 2018).

Faithful parts: bidirectional LSTM encoder; mu = dense, sigma = softplus(dense), weights from
N(0, 0.001) (section 3.1 and reference code); decoder LSTM stack whose initial states are
tanh(dense(z)) and whose input at each step is the previous symbol and z (section 3.2).
`readout="last"` is that model: the encoder's last states give the posterior and every step sees
the same z. With `segments` above 1 the decoder is hierarchical (section 3.2): a conductor LSTM, its
states tanh(dense(z)), gives one embedding to each segment (a bar), from which the decoder writes it
as if it were z. No state passes between segments, so all are trained and decoded side by side.

Deviations, each behind a field of the config:

* `readout="steps"`: every encoder state is projected to a few numbers and the posterior reads all
  of them; the decoder sees at step t a learned linear view of z of its own. Both are linear maps
  between one latent and places in time, which an LSTM otherwise has to count out by itself.
  Reconstruction of held-out songs is learned many times faster, so this is the default here. In
  the hierarchy each segment has such a view of z, and each step one of its segment's embedding.
* `encode_segments`: the encoder reads each segment by itself and an LSTM over segments puts them
  together (the reference code's hierarchical encoder), 16 steps deep instead of 256.
* `embedding`: symbols pass a learned table instead of a one-hot vector: the same function class,
  a smaller product per step.
* `unconditional`: one learned point of the latent for each style at which the decoder is trained
  as a language model (the part of a batch that sees it sees nothing of the encoder). Melodies drawn
  there and encoded are samples of the aggregated posterior, p(z) = E_p(x|point) q(z|x): a VampPrior
  (Tomczak and Welling, AISTATS 2018) whose pseudo-inputs the model draws itself, its components
  narrowed by `SPREAD`. `prior` uses it, since a latent that keeps whole melodies is never quite
  N(0, I); `normal_prior` is the published one, and `musegen evaluate` prints both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from musegen.sampling import pick

# One style; one for each sample [n]; frequencies to draw them by; None for those of training.
Styles = int | Tensor | Sequence[float] | None
HEAD = 32  # units of a head of attention
SPREAD = 0.5  # of the prior's posteriors; better than 1 on validation songs (docs/results.md)


@dataclass(frozen=True)
class MusicVAEConfig:
    """Sizes of a MusicVAE.

    Attributes:
        vocab: number of symbols.
        steps: length of a sequence.
        latent: size of z.
        encoder: units of the encoder LSTM, per direction.
        decoder: units of each layer of the decoder LSTM.
        embedding: size of the symbol table in encoder and decoder; 0 for one-hot vectors.
        readout: "last" as published, "steps" for a view of z at each step (see the module).
        view: size of that view, and of the encoder's projection at each step (steps only).
        layers: layers of the encoder LSTM.
        segments: parts of a sequence (bars) that a conductor leads; 1 for the flat decoder.
        conductor: units of each layer of the conductor LSTM (segments above 1 only).
        context: size of what the conductor tells a segment; 0 for its last layer's units.
        encode_segments: whether the encoder is hierarchical too.
        unconditional: whether the decoder is a language model too (see the module).
        recall: layers of attention from a segment to those before it, for that language model
            (with segments and encode_segments only).
        shift: largest transposition in training, up or down, which the language model is told.
        styles: names of the kinds of music that the prior tells apart, most frequent first.
        shares: their frequencies. These three are filled in by training.
    """

    vocab: int = 90
    steps: int = 32
    latent: int = 256
    encoder: int = 512
    decoder: tuple[int, ...] = (256, 256)
    embedding: int = 0
    readout: Literal["last", "steps"] = "last"
    view: int = 64
    layers: int = 1
    segments: int = 1
    conductor: tuple[int, ...] = ()
    context: int = 0
    encode_segments: bool = False
    unconditional: bool = False
    recall: int = 0
    shift: int = 0
    styles: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def told(self) -> int:
        """Size of what a segment is decoded from: z itself, or the conductor's embedding."""
        return (self.context or self.conductor[-1]) if self.segments > 1 else self.latent

    @property
    def part(self) -> MusicVAEConfig:
        """The flat model of a segment, whose weights a hierarchical one can begin with."""
        flat = replace(self, steps=self.steps // self.segments, latent=self.told, segments=1)
        return replace(flat, conductor=(), context=0, encode_segments=False, recall=0)


class MusicVAE(nn.Module):
    """See the module's docstring. Shapes: b batch, t step, v vocabulary, z latent, d width."""

    def __init__(self, config: MusicVAEConfig) -> None:
        super().__init__()
        self.config = c = config
        width = c.embedding or c.vocab
        self.table = nn.Embedding(c.vocab, width)
        if not c.embedding:
            self.table.weight.requires_grad_(False).copy_(torch.eye(c.vocab))
        by_step, steps = c.readout == "steps", c.steps // c.segments
        self.encoder = nn.LSTM(
            width, c.encoder, num_layers=c.layers, batch_first=True, bidirectional=True
        )
        read = c.steps if not c.encode_segments else steps
        if by_step:
            self.project = nn.Linear(2 * c.encoder, c.view)
            self.view = nn.Linear(c.told, steps * c.view)
            self.view_to_logits = nn.Linear(c.view, c.vocab, bias=False)
        summary = read * c.view if by_step else 2 * c.encoder
        if c.encode_segments:
            self.gist = nn.Linear(summary, c.told)
            self.over_segments = nn.LSTM(c.told, c.encoder, batch_first=True, bidirectional=True)
            if by_step:
                self.project_segment = nn.Linear(2 * c.encoder + c.told, c.told)
            summary = c.segments * c.told if by_step else 2 * c.encoder
        self.posterior = nn.Linear(summary, 2 * c.latent)
        if c.segments > 1:
            if by_step:
                self.segment_view = nn.Linear(c.latent, c.segments * c.told)
            if c.context:
                self.tell = nn.Linear(c.conductor[-1], c.context)
            self.lead = nn.Linear(c.latent, 2 * sum(c.conductor))
            sizes = [c.told if by_step else 1, *c.conductor[:-1]]
            self.conductor = nn.ModuleList(
                nn.LSTM(i, d, batch_first=True) for i, d in zip(sizes, c.conductor, strict=True)
            )
        self.initial = nn.Linear(c.told, 2 * sum(c.decoder))
        seen = c.view if by_step else c.told
        inputs = [width + seen, *c.decoder[:-1]]
        self.decoder = nn.ModuleList(
            nn.LSTM(i, d, batch_first=True) for i, d in zip(inputs, c.decoder, strict=True)
        )
        self.logits = nn.Linear(c.decoder[-1], c.vocab)
        if c.unconditional:
            self.style = nn.Embedding(max(1, len(c.styles)), c.told)
            self.shift = nn.Embedding(2 * c.shift + 1, c.told)
            if c.recall:
                self.place = nn.Embedding(c.segments, c.told)
                attend = nn.TransformerEncoderLayer(
                    c.told,
                    c.told // HEAD,
                    4 * c.told,
                    0.0,
                    "gelu",
                    batch_first=True,
                    norm_first=True,
                )
                self.recall = nn.TransformerEncoder(attend, c.recall, enable_nested_tensor=False)
        for layer in (self.posterior, self.initial, *([self.lead] if c.segments > 1 else [])):
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def adopt(self, trained: MusicVAE) -> None:
        """Take the weights of a network whose styles are the first of this one's; further styles
        begin at the mean of the known ones. A network of whole segments gives a hierarchical one
        its encoder and decoder of a segment, and what lies above begins as a projection of their
        latents.
        """
        weights = trained.state_dict()
        if "style.weight" in weights:
            known = weights["style.weight"]
            new = len(self.style.weight) - len(known)
            weights["style.weight"] = torch.cat([known, known.mean(0, True).expand(new, -1)])
        if trained.config.segments < self.config.segments:
            for kind in ("weight", "bias"):
                weights[f"gist.{kind}"] = weights.pop(f"posterior.{kind}")[: self.config.told]
            if self.config.readout == "steps":
                states, latent = 2 * self.config.encoder, self.config.latent
                self.project_segment.weight[:, states:] = torch.eye(self.config.told)
                nn.init.orthogonal_(self.posterior.weight[:latent])
                self.segment_view.weight.copy_(self.posterior.weight[:latent].T)
            weights = self.state_dict() | weights
        self.load_state_dict(weights)

    def gists(self, x: Tensor) -> Tensor:
        """What each segment of the symbols [b, t] is about, [b, u, d] (encode_segments only)."""
        return rearrange(self.gist(self._read(x)), "(b u) d -> b u d", u=self.config.segments)

    def _read(self, x: Tensor) -> Tensor:
        """Symbols as the encoder sums them up, [b, d], or [b u, d] where it reads segments."""
        if self.config.encode_segments:
            x = self._segments(x)
        states, (last, _) = self.encoder(self.table(x))
        if self.config.readout == "steps":
            return rearrange(self.project(states), "b t d -> b (t d)")
        return torch.cat([last[-2], last[-1]], dim=-1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols [b, t] to the posterior's mean and standard deviation, [b, z] each."""
        if not self.config.encode_segments:
            summary = self._read(x)
        else:
            gist = self.gists(x)
            states, (last, _) = self.over_segments(gist)
            summary = torch.cat([last[-2], last[-1]], dim=-1)
            if self.config.readout == "steps":
                read = self.project_segment(torch.cat([states, gist], dim=-1))
                summary = rearrange(read, "b u d -> b (u d)")
        mean, spread = self.posterior(summary).chunk(2, dim=-1)
        return mean, F.softplus(spread)

    def _segments(self, x: Tensor) -> Tensor:
        """Sequences [b, t, ...] as segments [b u, t, ...]."""
        return x.reshape(len(x) * self.config.segments, -1, *x.shape[2:])

    def conduct(self, z: Tensor) -> Tensor:
        """What the decoder is given [b u, d] for each segment of z [b, z]: z itself when flat."""
        c = self.config
        if c.segments == 1:
            return z
        view = h = z.new_zeros(len(z), c.segments, 1)
        if c.readout == "steps":
            view = h = rearrange(self.segment_view(z), "b (u d) -> b u d", u=c.segments)
        states = torch.tanh(self.lead(z)).split([d for d in c.conductor for _ in "hc"], -1)
        for layer, h0, c0 in zip(self.conductor, states[::2], states[1::2], strict=True):
            h, _ = layer(h, (h0[None].contiguous(), c0[None].contiguous()))
        told = self.tell(h) if c.context else h
        return rearrange(told + view if c.readout == "steps" else told, "b u d -> (b u) d")

    def _views(self, told: Tensor) -> Tensor:
        """What the decoder sees of its segment's embedding [n, d] at each step, [n, t, d]."""
        c = self.config
        steps = c.steps // c.segments
        if c.readout == "steps":
            return rearrange(self.view(told), "n (t d) -> n t d", t=steps)
        return repeat(told, "n d -> n t d", t=steps)

    def _initial_states(self, told: Tensor) -> tuple[Tensor, ...]:
        """H and c of each layer in turn, [n, d] each."""
        sizes = [d for d in self.config.decoder for _ in "hc"]
        return torch.tanh(self.initial(told)).split(sizes, -1)

    def forward(self, z: Tensor, previous: Tensor) -> Tensor:
        """Teacher-forced logits [b, t, v] given z [b, z] and the symbols before each [b, t, d]."""
        return self.predict(self.conduct(z), previous)

    def predict(self, told: Tensor, previous: Tensor) -> Tensor:
        """Teacher-forced logits [b, t, v] given what each segment is told [b u, d]."""
        views = self._views(told)
        states = self._initial_states(told)
        h = torch.cat([self._segments(previous), views], dim=-1)
        for layer, h0, c0 in zip(self.decoder, states[::2], states[1::2], strict=True):
            h, _ = layer(h, (h0[None].contiguous(), c0[None].contiguous()))
        out = self.logits(h)
        if self.config.readout == "steps":
            out = out + self.view_to_logits(views)
        return out.reshape(len(previous), -1, out.shape[-1])

    def previous(self, x: Tensor) -> Tensor:
        """Vectors of the symbols before each step [b, t, d]; zeros where a segment starts."""
        before = self.table(self._segments(x)[:, :-1])
        return F.pad(before, (0, 0, 1, 0)).reshape(*x.shape, -1)

    def scheduled(
        self, told: Tensor, previous: Tensor, chance: float, generator: torch.Generator
    ) -> Tensor:
        """Logits [b, t, v] of scheduled sampling (Bengio et al. 2015): each step sees its own
        sample instead of the true previous symbol with probability `chance`.
        """
        gates, b = _Stepper(self, told), len(previous)
        draws = torch.rand(previous.shape[:2], generator=generator).to(told)
        use_own, previous = self._segments(draws) < chance, self._segments(previous)
        token = previous[:, 0]
        rows: list[Tensor] = []
        for t in range(previous.shape[1]):
            if t:
                drawn = self.table(pick(rows[-1].detach().float(), generator))
                token = torch.where(use_own[:, t, None], drawn, previous[:, t])
            rows.append(gates.step(gates.fold(token), t))
        return torch.stack(rows, dim=1).reshape(b, -1, rows[0].shape[-1])

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> Tensor:
        """Symbols [b, t] drawn one step after the other given z [b, z], all segments at once."""
        return self._write(self.conduct(z), generator, temperature, top_p).reshape(len(z), -1)

    def _write(
        self, told: Tensor, generator: torch.Generator, temperature: float = 1.0, top_p: float = 1.0
    ) -> Tensor:
        """Symbols [n, t] of segments that are told [n, d]."""
        gates = _Stepper(self, told)
        folded = gates.fold(self.table.weight)
        n, steps = len(told), self.config.steps // self.config.segments
        token = told.new_zeros(n, folded.shape[1])
        x = torch.empty(n, steps, dtype=torch.long, device=told.device)
        for t in range(steps):
            x[:, t] = pick(gates.step(token, t), generator, temperature, top_p)
            token = folded[x[:, t]]
        return x

    def point(self, style: Tensor, shift: Tensor | None = None) -> Tensor:
        """Where the decoder is a language model [b, d], for styles [b] and semitones [b] by which
        training melodies were moved (0 gives music in the keys that it is written in).
        """
        moved = torch.zeros_like(style) if shift is None else shift
        point: Tensor = self.style(style) + self.shift(moved + self.config.shift)
        return point

    def alone(self, x: Tensor, style: Tensor, shift: Tensor | None = None) -> Tensor:
        """What the language model is told for each segment of the symbols x [b, t], [b u, d]: the
        point of its style and, with `recall`, what it makes of the segments before.
        """
        point, c = self.point(style, shift), self.config
        if not c.recall:
            return repeat(point, "b d -> (b u) d", u=c.segments)
        told = point[:, None] + self.place.weight
        told = told + F.pad(self.gists(x)[:, :-1], (0, 0, 1, 0))
        later = torch.ones(c.segments, c.segments, dtype=torch.bool, device=x.device).triu(1)
        return rearrange(self.recall(told, mask=later), "b u d -> (b u) d")

    @torch.no_grad()
    def improvise(
        self, style: Tensor, generator: torch.Generator, temperature: float = 1.0
    ) -> Tensor:
        """Symbols [b, t] that the language model draws for styles [b]."""
        c = self.config
        if not c.recall:
            told = self.alone(style, style)
            return self._write(told, generator, temperature).reshape(len(style), -1)
        x = torch.zeros(len(style), c.segments, c.steps // c.segments, dtype=torch.long)
        x = x.to(style.device)
        for u in range(c.segments):
            told = self.alone(x.flatten(1), style).reshape(len(style), c.segments, -1)
            x[:, u] = self._write(told[:, u], generator, temperature)
        return x.flatten(1)

    @torch.no_grad()
    def prior(
        self, n: int, generator: torch.Generator, style: Styles = None, spread: float = SPREAD
    ) -> Tensor:
        """Latents [n, z] of new music in the given styles: posteriors of melodies that the decoder
        draws by itself, with `spread` times their standard deviation (1 for whole posteriors).
        """
        if not self.config.unconditional:
            return self.normal_prior(n, generator)
        styles = self.draw_styles(n, generator, style).to(self.initial.weight.device)
        mean, std = self.encode(self.improvise(styles, generator))
        return mean + spread * std * torch.randn(mean.shape, generator=generator).to(mean)

    def normal_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Latents [n, z] from N(0, I), as published."""
        noise = torch.randn(n, self.config.latent, generator=generator)
        return noise.to(self.initial.weight.device)

    def draw_styles(self, n: int, generator: torch.Generator, style: Styles = None) -> Tensor:
        """Style indices [n]."""
        if isinstance(style, Tensor):
            return style
        if isinstance(style, int):
            return torch.full((n,), style)
        shares = torch.tensor(style or self.config.shares or (1.0,), dtype=torch.float)
        return torch.multinomial(shares, n, replacement=True, generator=generator)


class _Stepper:
    """The decoder one step at a time, with everything that z fixes computed once.

    Equal to `MusicVAE.forward`, a third of the work a step: the part of the first layer's gates
    that comes from what the segment is told and both biases are summed for all steps at the start.
    """

    def __init__(self, model: MusicVAE, told: Tensor) -> None:
        views = model._views(told)
        width = model.table.embedding_dim
        self.model = model
        named = [dict(layer.named_parameters()) for layer in model.decoder]
        self.weights = [(p["weight_ih_l0"], p["weight_hh_l0"]) for p in named]
        self.biases = [p["bias_ih_l0"] + p["bias_hh_l0"] for p in named]
        first = self.weights[0][0]
        self.from_token = first[:, :width]
        self.from_z = F.linear(views, first[:, width:], self.biases[0])
        states = model._initial_states(told)
        self.h, self.c = list(states[::2]), list(states[1::2])
        self.shortcut = None
        if model.config.readout == "steps":
            self.shortcut = model.view_to_logits(views)

    def fold(self, token: Tensor) -> Tensor:
        """What symbols' vectors [n, d] add to the first layer's gates."""
        return F.linear(token, self.from_token)

    def step(self, folded: Tensor, t: int) -> Tensor:
        """Logits [b, v] of step t after symbols folded to [b, gates]."""
        below = folded + self.from_z[:, t]
        for i, (w_in, w_hidden) in enumerate(self.weights):
            if i:
                below = F.linear(self.h[i - 1], w_in, self.biases[i])
            i_, f, g, o = (below + F.linear(self.h[i], w_hidden)).chunk(4, dim=-1)
            self.c[i] = torch.sigmoid(f) * self.c[i] + torch.sigmoid(i_) * torch.tanh(g)
            self.h[i] = torch.sigmoid(o) * torch.tanh(self.c[i])
        logits: Tensor = self.model.logits(self.h[-1])
        return logits if self.shortcut is None else logits + self.shortcut[:, t]
