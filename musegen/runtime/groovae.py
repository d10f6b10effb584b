"""GrooVAE in NumPy: the arithmetic of `models.groovae` from trained weights, without torch.

Shapes: b batch, t step, k class, z latent, d width; grooves are [b, t, 3k].
"""

from __future__ import annotations

import numpy as np

from musegen.runtime.parts import Draws, Floats, Weights, both_ways
from musegen.sizes import LEAST, GrooVAEConfig


def shown(x: Floats, what: str) -> Floats:
    """Of grooves [b, t, 3k] the hits [b, t, k], the tap [b, t, 2] or all, see `models.groovae`."""
    hits, _, offset = np.split(x, 3, axis=-1)
    if what == "hits":
        return hits
    if what == "tap":
        late = (hits * offset).sum(-1) / hits.sum(-1).clip(min=1)
        return np.stack([hits.max(-1), late], axis=-1)
    return x


def _sigmoid(x: Floats) -> Floats:
    half = np.float32(0.5)
    return half + half * np.tanh(half * x)


class GrooVAE:
    """See `models.groovae.GrooVAE`; the methods of the same names give the same numbers."""

    def __init__(self, config: GrooVAEConfig, weights: Weights) -> None:
        self.config = c = config
        k = c.classes
        width = {"hits": k, "tap": 2, "groove": 3 * k, "": 0}
        sizes = (width[c.reads] + c.bar, c.encoder)
        both = (weights.lstm("encoder", *sizes), weights.lstm("encoder", *sizes, "l0_reverse"))
        self.encoder = [both]
        self.posterior = weights.linear("posterior", 2 * c.encoder, 2 * c.latent)
        self.initial = weights.linear("initial", c.latent, 2 * sum(c.decoder))
        beside = width[c.control] * (1 + c.ahead) + c.bar
        inputs = [3 * k + c.latent + beside, *c.decoder[:-1]]
        self.layers = [
            weights.lstm(f"layers.{i}", n, d)
            for i, (n, d) in enumerate(zip(inputs, c.decoder, strict=True))
        ]
        self.out = weights.linear("out", c.decoder[-1], 3 * k)
        self.spreads = np.exp(weights("spread", 2, k)).clip(min=0.01)
        weights.finish()

    def encode(self, x: Floats) -> tuple[Floats, Floats]:
        """Grooves [b, t, 3k] to the posterior's mean and standard deviation, [b, z] each."""
        seen = np.concatenate([shown(x, self.config.reads), self._place(x)], axis=-1)
        _, last = both_ways(seen, self.encoder)
        mean, spread = np.split(self.posterior(last), 2, axis=-1)
        return mean, np.logaddexp(spread, np.float32(0))  # softplus

    def given(self, x: Floats) -> Floats:
        """What the decoder is shown beside z of grooves [b, t, 3k] at each step, [b, t, d]."""
        parts, c = [self._place(x)], self.config
        if c.control:
            later = np.pad(shown(x, c.control), ((0, 0), (0, c.ahead), (0, 0)))
            parts += [later[:, i : i + x.shape[1]] for i in range(c.ahead + 1)]
        return np.concatenate(parts, axis=-1)

    def _place(self, x: Floats) -> Floats:
        """The place in the bar of each step of x, one-hot [b, t, bar]."""
        bar = self.config.bar
        if not bar:
            return np.zeros((*x.shape[:2], 0), np.float32)
        rows = np.eye(bar, dtype=np.float32)[np.arange(x.shape[1]) % bar]
        return np.broadcast_to(rows, (len(x), *rows.shape))

    def decode(
        self,
        z: Floats,
        draws: Draws,
        temperature: float = 1.0,
        top_p: float = 1.0,
        given: Floats | None = None,
    ) -> Floats:
        """Grooves [b, t, 3k] written step by step given z [b, z], see `models.groovae`."""
        c, k = self.config, self.config.classes
        kept = given[..., :k] if given is not None and c.source == "hits" else None
        if given is None:
            given = np.zeros((len(z), c.steps, 3 * k), np.float32)
            given[:, ::2, :k] = 1
            kept = given[..., :k] if c.control == "hits" else None
        beside, steps = self.given(given), given.shape[1]
        first = self.layers[0].w_in
        from_last, from_z, from_beside = np.split(first, [3 * k, 3 * k + c.latent], axis=1)
        told = (z @ from_z.T + self.layers[0].bias)[:, None] + beside @ from_beside.T
        ends = np.cumsum([d for d in c.decoder for _ in "hc"])[:-1]
        states = np.split(np.tanh(self.initial(z)), ends, axis=-1)
        h, cell = list(states[::2]), list(states[1::2])
        stray = np.float32(temperature) * draws.normal(len(z), steps, 2, k) * self.spreads
        chance = draws.uniform(len(z), steps, k)
        chance = chance if temperature else np.full_like(chance, 0.5)
        x = np.zeros((len(z), steps, 3, k), np.float32)
        for t in range(steps):
            below = told[:, t]
            if t:
                below = below + x[:, t - 1].reshape(len(z), -1) @ from_last.T
            for i, layer in enumerate(self.layers):
                h[i], cell[i] = layer.step(layer.enter(h[i - 1]) if i else below, h[i], cell[i])
            logits, velocity, offset = np.split(self.out(h[-1]), 3, axis=-1)
            drawn = _sigmoid(logits / np.float32(temperature or 1.0)) > chance[:, t]
            hit = drawn.astype(np.float32) if kept is None else kept[:, t]
            loud = (_sigmoid(velocity) + stray[:, t, 0]).clip(LEAST, 1)
            late = (np.tanh(offset) / 2 + stray[:, t, 1]).clip(-0.5, 0.5)
            x[:, t] = np.stack([hit, hit * loud, hit * late], axis=1)
        return x.reshape(len(z), steps, -1)

    def prior(self, n: int, draws: Draws) -> Floats:
        """Latents [n, z] from N(0, I)."""
        return draws.normal(n, self.config.latent)
