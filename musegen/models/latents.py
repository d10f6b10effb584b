"""Diffusion of latents: long melodies from a short autoencoder (Mittal et al., ISMIR 2021).

Faithful parts: a trained MusicVAE of two bars stays as it is; the network learns to take noise off
the sequence of its latents (the means of the posteriors) of the successive windows of a long
melody; only dimensions that the autoencoder uses are kept, those whose posterior is narrower than
its prior (theirs: 42 of 512); the network is a transformer that normalises first and is told the
noise level by scales and shifts; parts are filled by replacement.

Deviations:

- Dimensions are measured in the spread of their posterior, all by the same number more, so that the
  variance is 1 on the whole: noise then costs the autoencoder as much in each dimension, and those
  that say most are learned first. Theirs are each moved into -1 to 1. Dimensions that are not kept
  have their mean in what is decoded; theirs are drawn from N(0, 1).
- Scales, shifts and gates of a level are one linear map for all layers, to which each layer adds
  its own (Chen et al. 2024, PixArt-alpha, section 2.3); theirs reach only two residual blocks
  behind the transformer.
- Places are told by a learned bias of the attention for each distance between two windows, not by
  sines: music may begin anywhere in its song, so only distances mean something.
- What is predicted and the schedule are fields; theirs are the noise, and betas from 1e-6 to 0.01.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from musegen.models.musicvae import MusicVAE
from musegen.models.unet import Block, waves
from musegen.samplers import Known, Plan, Random, drawn, noised, sample
from musegen.schedules import Prediction, Schedule, clean
from musegen.sizes import HEAD, MusicVAEConfig

Report = Callable[[int, int], None]
MOST = 500_000  # windows that are remembered
FAR = 10.0  # what is taken for clean is cut there; a deviation is 1 on the whole


@dataclass(frozen=True)
class LatentsConfig:
    """Sizes of a denoiser of latents.

    Attributes:
        autoencoder: sizes of the MusicVAE of a window, which training takes from --init.
        windows: of a melody.
        kept: dimensions of its latents that are made, the most telling ones; the others have their
            mean.
        width: of the transformer, a multiple of 32.
        layers: of the transformer.
        schedule: of the noise.
        prediction: what the network says.
    """

    autoencoder: MusicVAEConfig
    windows: int = 16
    kept: int = 112
    width: int = 160
    layers: int = 5
    schedule: Schedule = field(default_factory=Schedule)
    prediction: Prediction = "v"

    @property
    def vocab(self) -> tuple[int, ...]:
        """Number of symbols."""
        return self.autoencoder.vocab

    @property
    def steps(self) -> int:
        """Steps of a melody."""
        return self.windows * self.autoencoder.steps


def _keys(windows: Tensor) -> list[bytes]:
    return [row.tobytes() for row in windows.to(torch.int16).cpu().numpy()]


class LatentDenoiser(nn.Module):
    """See the module's docstring. Shapes: b batch, w window, k kept dimension, z latent, d width,
    t step of the melody.
    """

    def __init__(self, config: LatentsConfig) -> None:
        super().__init__()
        c = self.config = config
        if c.width % HEAD or not 0 < c.kept <= c.autoencoder.latent:
            raise ValueError(f"width must be a multiple of {HEAD}, kept at most the latent's size")
        self.autoencoder = MusicVAE(c.autoencoder).requires_grad_(False)
        self.index: Tensor
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("index", torch.arange(c.kept))
        self.register_buffer("mean", torch.zeros(c.autoencoder.latent))
        self.register_buffer("spread", torch.ones(c.kept))
        self._places: dict[bytes, int] = {}
        self._remembered = torch.zeros(0, c.kept)
        levels = nn.Linear(c.width, 6 * c.width)
        self.time = nn.Sequential(nn.Linear(c.width, c.width), nn.SiLU(), levels)
        self.first = nn.Linear(c.kept, c.width)
        self.near = nn.Parameter(torch.zeros(c.width // HEAD, 2 * c.windows - 1))
        self.blocks = nn.ModuleList(Block(c.width) for _ in range(c.layers))
        self.last = nn.Linear(c.width, c.kept)
        for layer in (levels, self.last):  # every block and the answer begin as nothing
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def adopt(self, trained: MusicVAE, x: Tensor) -> None:
        """Take an autoencoder, and from training melodies x [b, t] which dimensions it uses, their
        means, and their units.
        """
        self.autoencoder.load_state_dict(trained.state_dict())
        found = [self.autoencoder.encode(part) for part in self._windows(x).split(2048)]
        means, spreads = (torch.cat(parts) for parts in zip(*found, strict=True))
        used = spreads.mean(0).argsort(stable=True)[: self.config.kept].sort().values
        self.index.copy_(used)
        self.mean.copy_(means.mean(0))
        unit = spreads.mean(0)[used].clamp(min=1e-3)
        self.spread.copy_(unit * (means.var(0)[used] / unit.square()).mean().sqrt())

    def _windows(self, x: Tensor) -> Tensor:
        """Melodies [b, t] as windows [b w, t]. A note-off on the border between two windows comes a
        step later: the autoencoder has not seen windows that begin with one, and leaves it out.
        """
        x = x.long().reshape(-1, self.config.autoencoder.steps)
        late = (x[:, 0] == 1) & (x[:, 1] == 0)
        begin = torch.where(late[:, None], x[:, :2].flip(1), x[:, :2])
        return torch.cat([begin, x[:, 2:]], 1)

    @torch.no_grad()
    def latents(self, x: Tensor) -> Tensor:
        """Latents [b, w, k] in their units of melodies x [b, t] of any number of whole windows."""
        windows = self._windows(x)
        places = [self._places.get(key, -1) for key in _keys(windows)] if self._places else [-1]
        if min(places) < 0:
            z = self._latents(windows)
        else:
            z = self._remembered[torch.tensor(places, device=self.mean.device)]
        return z.view(len(x), -1, self.config.kept)

    def _latents(self, windows: Tensor) -> Tensor:
        mean, _ = self.autoencoder.encode(windows.to(self.mean.device))
        return (mean - self.mean)[:, self.index] / self.spread

    @torch.no_grad()
    def remember(self, parts: Iterable[Tensor]) -> None:
        """Encode melodies [b, t] once, which takes most of a step of training else. What is not
        remembered is encoded when it is met; at most `MOST` windows are kept.
        """
        rows = []
        for x in parts:
            windows = self._windows(x)
            new = {key: i for i, key in enumerate(_keys(windows)) if key not in self._places}
            if not new or len(self._places) + len(new) > MOST:
                continue
            self._places |= {key: len(self._places) + i for i, key in enumerate(new)}
            rows.append(self._latents(windows[list(new.values())]))
        if rows:
            self._remembered = torch.cat([self._remembered, *rows])

    @torch.no_grad()
    def write(self, z: Tensor, generator: torch.Generator, temperature: float = 0.0) -> Tensor:
        """Melodies [b, t] of latents [b, w, k] in their units; temperature of the symbols."""
        full = self.mean.expand(*z.shape[:2], -1).clone()
        full[..., self.index] += z * self.spread
        x = self.autoencoder.decode(full.flatten(0, 1), generator, temperature)
        return x.reshape(len(z), -1)

    def forward(self, x: Tensor, t: Tensor, given: Tensor | None = None) -> Tensor:
        """What the schedule's prediction is of noisy latents x [b, w, k] at noise levels t [b];
        nothing is given.
        """
        time = rearrange(self.time(waves(t, self.config.width).to(x)), "b (n d) -> b n d", n=6)
        place, last = torch.arange(x.shape[1], device=x.device), self.config.windows - 1
        bias = self.near[:, (place[:, None] - place).clamp(-last, last) + last]
        h = self.first(x)
        for block in self.blocks:
            h = block(h, time, bias)
        out: Tensor = self.last(F.layer_norm(h, h.shape[-1:]))
        return out

    def prior(self, n: int, generator: Random) -> Tensor:
        """Noise [n, w, k], from which `decode` makes melodies."""
        c = self.config
        return drawn(torch.empty(n, c.windows, c.kept, device=self.mean.device), generator)

    @torch.no_grad()
    def denoise(
        self,
        z: Tensor,
        generator: Random,
        *,
        plan: Plan = Plan(50),  # noqa: B008 - frozen
        start: int | None = None,
        known: Known | None = None,
        report: Report = lambda done, total: None,
    ) -> Tensor:
        """Latents [b, w, k] out of noise z; the rest as `models.diffusion.Denoiser.decode`."""
        schedule = self.config.schedule
        return sample(
            self._look, schedule, z, generator, plan, start=start, known=known, report=report
        )

    def decode(
        self,
        z: Tensor,
        generator: torch.Generator,
        temperature: float = 0.0,
        *,
        plan: Plan = Plan(50),  # noqa: B008 - frozen
    ) -> Tensor:
        """Melodies [b, t] out of noise z [b, w, k]."""
        return self.write(self.denoise(z, generator, plan=plan), generator, temperature)

    @torch.no_grad()
    def noised(self, z: Tensor, amount: float, generator: Random) -> tuple[Tensor, int]:
        """Latents [b, w, k] with noise, and its level, see `samplers.noised`."""
        return noised(self.config.schedule, z, amount, generator)

    def fill(
        self,
        z: Tensor,
        mask: Tensor,
        generator: Random,
        *,
        plan: Plan = Plan(50),  # noqa: B008 - frozen
        again: int = 1,
        report: Report = lambda done, total: None,
    ) -> Tensor:
        """Latents [b, w, k] with z where `mask` (bool [b, w] or [w]) is true and new ones
        elsewhere, which know of the kept ones by replacement; `again` is RePaint's resampling.
        """
        known = Known(z, mask[..., None].expand(z.shape), again)
        noise = drawn(z, generator)
        return self.denoise(noise, generator, plan=plan, known=known, report=report)

    def _look(self, x: Tensor, t: int) -> Tensor:
        """What the network takes for clean."""
        c = self.config
        level = torch.full((len(x),), t, device=x.device)
        a, s = c.schedule.at(level[:1], x)
        return clean(c.prediction, x, self(x, level), a, s).clamp(-FAR, FAR)
