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
  `readout="encoder"` does so for the posterior alone, and the decoder is the published one.
* `encode_segments`: the encoder reads each segment by itself and an LSTM over segments puts them
  together (the reference code's hierarchical encoder), 16 steps deep instead of 256. With `heard`
  its parts are others than the decoder's, so that a flat decoder can have the same encoder.
* `embedding`: symbols pass a learned table instead of a one-hot vector: the same function class,
  a smaller product per step.
* `heed`: each voice but the first is given the symbols of those before it at each step, so that
  bass and drums fit a melody that z leaves open (as where the decoder is a language model); in the
  paper voices are independent given z.
* `control`: what is given for each step, such as chords, is put beside the inputs of encoder and
  decoder, as in the reference code's chord-conditioned melodies.
* `unconditional`: one learned point of the latent for each style at which the decoder is trained
  as a language model (the part of a batch that sees it sees nothing of the encoder). Melodies drawn
  there and encoded are samples of the aggregated posterior, p(z) = E_p(x|point) q(z|x): a VampPrior
  (Tomczak and Welling, AISTATS 2018) whose pseudo-inputs the model draws itself, its components
  narrowed by `SPREAD`. `prior` uses it, since a latent that keeps whole melodies is never quite
  N(0, I); `normal_prior` is the published one, and `musegen evaluate` prints both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from musegen.models.voice import Voice
from musegen.sizes import HEAD, SPREAD, MusicVAEConfig

# One style; one for each sample [n]; frequencies to draw them by; None for those of training.
Styles = int | Tensor | Sequence[float] | None
# Weights whose last columns see what is given.
GIVEN = ("layers.0.weight_ih_l0", "encoder.weight_ih_l0", "_l0_reverse", "view_to_logits.weight")

# The encoder's weights; voices read what they wrote through the same tables.
EAR = ("encoder.", "project", "gist.", "over_segments.", "posterior.", "voices.0.table.")


class MusicVAE(nn.Module):
    """See the module's docstring. Shapes: b batch, t step, v vocabulary, z latent, d width."""

    def __init__(self, config: MusicVAEConfig) -> None:
        super().__init__()
        self.config = c = config
        reads, views, steps = c.reads_steps, c.views_steps, c.steps // c.segments
        self.voices = nn.ModuleList(
            Voice(v, steps, c.told, c.decoder, c.embedding, c.view if views else 0, beside)
            for v, beside in zip(c.vocab, c.beside, strict=True)
        )
        width = sum(c.embedding or v for v in c.vocab) + c.control
        self.encoder = nn.LSTM(
            width, c.encoder, num_layers=c.layers, batch_first=True, bidirectional=True
        )
        read = c.steps // c.parts
        if reads:
            self.project = nn.Linear(2 * c.encoder, c.view)
        summary = read * c.view if reads else 2 * c.encoder
        if c.encode_segments:
            self.gist = nn.Linear(summary, c.gist)
            self.over_segments = nn.LSTM(c.gist, c.encoder, batch_first=True, bidirectional=True)
            if reads:
                self.project_segment = nn.Linear(2 * c.encoder + c.gist, c.gist)
            summary = c.parts * c.gist if reads else 2 * c.encoder
        self.posterior = nn.Linear(summary, 2 * c.latent)
        if c.segments > 1:
            if views:
                self.segment_view = nn.Linear(c.latent, c.segments * c.told)
            if c.context:
                self.tell = nn.Linear(c.conductor[-1], c.context)
            self.lead = nn.Linear(c.latent, 2 * sum(c.conductor))
            sizes = [c.told if views else 1, *c.conductor[:-1]]
            self.conductor = nn.ModuleList(
                nn.LSTM(i, d, batch_first=True) for i, d in zip(sizes, c.conductor, strict=True)
            )
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
        for layer in (self.posterior, *([self.lead] if c.segments > 1 else [])):
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def adopt(self, trained: MusicVAE) -> None:
        """Take the weights of a network whose styles are the first of this one's; further styles
        begin at the mean of the known ones. A network of whole segments gives a hierarchical one
        its encoder and decoder of a segment, and what lies above begins as a projection of their
        latents. One without control gets weights of zero for what it is given. With `heard` it
        gives its encoder alone, which is trained no more.
        """
        if self.config.heard:
            ear = {k: p for k, p in trained.state_dict().items() if k.startswith(EAR)}
            self.load_state_dict(self.state_dict() | ear)
            for name, weight in self.named_parameters():
                weight.requires_grad_(weight.requires_grad and name not in ear)
            return
        weights, mine = trained.state_dict(), self.state_dict()
        for name in [n for n in weights if self.config.control > trained.config.control]:
            if weights[name].dim() > 1 and name.endswith(GIVEN):
                new = mine[name].shape[1] - weights[name].shape[1]
                weights[name] = F.pad(weights[name], (0, new))
        if "style.weight" in weights:
            known = weights["style.weight"]
            new = len(self.style.weight) - len(known)
            weights["style.weight"] = torch.cat([known, known.mean(0, True).expand(new, -1)])
        if trained.config.segments < self.config.segments:
            for kind in ("weight", "bias"):
                weights[f"gist.{kind}"] = weights.pop(f"posterior.{kind}")[: self.config.told]
            if self.config.views_steps:
                states, latent = 2 * self.config.encoder, self.config.latent
                self.project_segment.weight[:, states:] = torch.eye(self.config.told)
                nn.init.orthogonal_(self.posterior.weight[:latent])
                self.segment_view.weight.copy_(self.posterior.weight[:latent].T)
            weights = mine | weights
        self.load_state_dict(weights)

    def gists(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """What each part of the symbols [b, t] is about, [b, u, d] (encode_segments only)."""
        gist = self.gist(self._read(x, given))
        return rearrange(gist, "(b u) d -> b u d", u=self.config.parts)

    def _read(self, x: Tensor, given: Tensor | None) -> Tensor:
        """Symbols as the encoder sums them up, [b, d], or [b u, d] where it reads parts."""
        beside = self._given(given, len(x))
        x = self._cut(x, self.config.parts)
        tables = [voice.table(line) for voice, line in self._lines(x)]
        if beside is not None:
            tables.append(beside.view(*x.shape[:1], x.shape[-1], -1))
        states, (last, _) = self.encoder(torch.cat(tables, dim=-1))
        if self.config.reads_steps:
            return rearrange(self.project(states), "b t d -> b (t d)")
        return torch.cat([last[-2], last[-1]], dim=-1)

    def encode(self, x: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Symbols [b, t], and with `control` what is given for each beat [b, beats, c], to the
        posterior's mean and standard deviation, [b, z] each.
        """
        if not self.config.encode_segments:
            summary = self._read(x, given)
        else:
            gist = self.gists(x, given)
            states, (last, _) = self.over_segments(gist)
            summary = torch.cat([last[-2], last[-1]], dim=-1)
            if self.config.reads_steps:
                read = self.project_segment(torch.cat([states, gist], dim=-1))
                summary = rearrange(read, "b u d -> b (u d)")
        mean, spread = self.posterior(summary).chunk(2, dim=-1)
        return mean, F.softplus(spread)

    def _given(self, given: Tensor | None, n: int) -> Tensor | None:
        """What is given of beats [b, beats, c] for the steps of each segment, [b u, t, c]; zeros
        where nothing is, None where the model is given nothing.
        """
        c = self.config
        if not c.control:
            return None
        if given is None:
            given = self.posterior.weight.new_zeros(n, 1, c.control)
        steps = given.to(self.posterior.weight).repeat_interleave(c.steps // given.shape[1], 1)
        return rearrange(steps, "b (u t) c -> (b u) t c", u=c.segments)

    def _cut(self, x: Tensor, u: int) -> Tensor:
        """Sequences [b, (k,) t] in u parts each, [b u, (k,) t]."""
        return x.reshape(*x.shape[:-1], u, -1).movedim(-2, 1).flatten(0, 1)

    def _whole(self, x: Tensor) -> Tensor:
        """Segments [b u, (k,) t] as sequences [b, (k,) t]."""
        u = self.config.segments
        return x.unflatten(0, (-1, u)).movedim(1, -2).flatten(-2)

    def _lines(self, x: Tensor) -> list[tuple[Voice, Tensor]]:
        """Each voice and its symbols [b, t] of x, which is [b, t] where there is one voice."""
        lines = x.unbind(1) if len(self.voices) > 1 else (x,)
        return [
            (v, line) for v, line in zip(self.voices, lines, strict=True) if isinstance(v, Voice)
        ]

    def conduct(self, z: Tensor) -> Tensor:
        """What the decoder is given [b u, d] for each segment of z [b, z]: z itself when flat."""
        c = self.config
        if c.segments == 1:
            return z
        view = h = z.new_zeros(len(z), c.segments, 1)
        if c.views_steps:
            view = h = rearrange(self.segment_view(z), "b (u d) -> b u d", u=c.segments)
        states = torch.tanh(self.lead(z)).split([d for d in c.conductor for _ in "hc"], -1)
        for layer, h0, c0 in zip(self.conductor, states[::2], states[1::2], strict=True):
            h, _ = layer(h, (h0[None].contiguous(), c0[None].contiguous()))
        told = self.tell(h) if c.context else h
        return rearrange(told + view if c.views_steps else told, "b u d -> (b u) d")

    def forward(
        self, z: Tensor, x: Tensor, hide: Tensor | None = None, given: Tensor | None = None
    ) -> list[Tensor]:
        """Logits [b, t, v] of each voice given z [b, z] and the true symbols [b, (k,) t] before
        each step, but those that are hidden (bool like x); `given` as in `encode`.
        """
        return self.predict(self.conduct(z), x, hide, given)

    def predict(
        self, told: Tensor, x: Tensor, hide: Tensor | None = None, given: Tensor | None = None
    ) -> list[Tensor]:
        """Logits as `forward` gives them, from what each segment is told [b u, d]."""
        beside = self._given(given, len(x))
        x, b, u = self._cut(x, self.config.segments), len(x), self.config.segments
        lines, logits = self._lines(x), []
        hidden = [None] * len(lines) if hide is None else self._lines(self._cut(hide, u))
        for k, ((voice, line), covered) in enumerate(zip(lines, hidden, strict=True)):
            own = self._heard(lines[:k], beside)
            out = voice(told, line, None if covered is None else covered[1], own)
            logits.append(out.reshape(b, -1, out.shape[-1]))
        return logits

    def _heard(self, before: list[tuple[Voice, Tensor]], beside: Tensor | None) -> Tensor | None:
        """What a voice is given: with `heed` vectors of the symbols [n, t] of those before it, and
        what all are given.
        """
        given = [voice.table(line) for voice, line in before] if self.config.heed else []
        given += [] if beside is None else [beside]
        return torch.cat(given, dim=-1) if given else None

    def scheduled(
        self,
        told: Tensor,
        x: Tensor,
        chance: float,
        generator: torch.Generator,
        given: Tensor | None = None,
    ) -> list[Tensor]:
        """Logits of scheduled sampling, see `Voice.scheduled`."""
        beside, lines = self._given(given, len(x)), self._lines(self._cut(x, self.config.segments))
        out = [
            voice.scheduled(told, line, chance, generator, self._heard(lines[:k], beside))
            for k, (voice, line) in enumerate(lines)
        ]
        return [logits.reshape(len(x), -1, logits.shape[-1]) for logits in out]

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        top_p: float = 1.0,
        given: Tensor | None = None,
    ) -> Tensor:
        """Symbols [b, (k,) t] drawn step by step given z [b, z], all segments at once."""
        beside = self._given(given, len(z))
        return self._whole(self._write(self.conduct(z), generator, temperature, top_p, beside))

    def _write(
        self,
        told: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        top_p: float = 1.0,
        beside: Tensor | None = None,
    ) -> Tensor:
        """Symbols [n, (k,) t] of segments that are told [n, d] and given [n, t, c]."""
        written: list[tuple[Voice, Tensor]] = []
        for voice in self.voices:
            assert isinstance(voice, Voice)
            own = self._heard(written, beside)
            written.append((voice, voice.write(told, generator, temperature, top_p, own)))
        lines = [line for _, line in written]
        return torch.stack(lines, dim=1) if len(lines) > 1 else lines[0]

    def point(self, style: Tensor, shift: Tensor | None = None) -> Tensor:
        """Where the decoder is a language model [b, d], for styles [b] and semitones [b] by which
        training melodies were moved (0 gives music in the keys that it is written in).
        """
        moved = torch.zeros_like(style) if shift is None else shift
        point: Tensor = self.style(style) + self.shift(moved + self.config.shift)
        return point

    def alone(
        self,
        x: Tensor,
        style: Tensor,
        shift: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """What the language model is told for each segment of the symbols x [b, t], [b u, d]: the
        point of its style and, with `recall`, what it makes of the segments before.
        """
        point, c = self.point(style, shift), self.config
        if not c.recall:
            return repeat(point, "b d -> (b u) d", u=c.segments)
        told = point[:, None] + self.place.weight
        told = told + F.pad(self.gists(x, given)[:, :-1], (0, 0, 1, 0))
        later = torch.ones(c.segments, c.segments, dtype=torch.bool, device=x.device).triu(1)
        return rearrange(self.recall(told, mask=later), "b u d -> (b u) d")

    @torch.no_grad()
    def improvise(
        self,
        style: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        given: Tensor | None = None,
    ) -> Tensor:
        """Symbols [b, t] that the language model draws for styles [b]."""
        c, beside = self.config, self._given(given, len(style))
        if not c.recall:
            told = self.alone(style, style)
            return self._whole(self._write(told, generator, temperature, beside=beside))
        b, steps, voices = len(style), c.steps // c.segments, len(c.vocab)
        shape = (b, voices, steps) if voices > 1 else (b, steps)
        parts = torch.zeros(b, c.segments, *shape[1:], dtype=torch.long, device=style.device)
        for u in range(c.segments):
            told = self.alone(self._whole(parts.flatten(0, 1)), style, None, given)
            here = None if beside is None else beside[u :: c.segments]
            parts[:, u] = self._write(told[u :: c.segments], generator, temperature, beside=here)
        return self._whole(parts.flatten(0, 1))

    @torch.no_grad()
    def prior(
        self,
        n: int,
        generator: torch.Generator,
        style: Styles = None,
        spread: float = SPREAD,
        given: Tensor | None = None,
    ) -> Tensor:
        """Latents [n, z] of new music in the given styles: posteriors of melodies that the decoder
        draws by itself, with `spread` times their standard deviation (1 for whole posteriors).
        """
        if not self.config.unconditional:
            return self.normal_prior(n, generator)
        styles = self.draw_styles(n, generator, style).to(self.posterior.weight.device)
        mean, std = self.encode(self.improvise(styles, generator, given=given), given)
        return mean + spread * std * torch.randn(mean.shape, generator=generator).to(mean)

    def normal_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Latents [n, z] from N(0, I), as published."""
        noise = torch.randn(n, self.config.latent, generator=generator)
        return noise.to(self.posterior.weight.device)

    def draw_styles(self, n: int, generator: torch.Generator, style: Styles = None) -> Tensor:
        """Style indices [n]."""
        if isinstance(style, Tensor):
            return style
        if isinstance(style, int):
            return torch.full((n,), style)
        shares = torch.tensor(style or self.config.shares or (1.0,), dtype=torch.float)
        # Of one, torch draws in another way, which NumPy's runtime does not know.
        return torch.multinomial(shares, max(n, 2), replacement=True, generator=generator)[:n]
