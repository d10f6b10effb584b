"""MusicVAE in NumPy: the arithmetic of `models.musicvae` from trained weights, without torch.

Shapes: b batch, t step, k voice, u segment, v vocabulary, z latent, d width, n segments of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen.runtime.parts import (
    LSTM,
    Draws,
    Floats,
    Ints,
    Linear,
    Weights,
    at_places,
    both_ways,
    gelu,
    softmax,
)
from musegen.sizes import HEAD, SPREAD, MusicVAEConfig

Styles: TypeAlias = int | Ints | Sequence[float] | None


class Voice:
    """One line of symbols, written step by step (`models.voice`).

    What does not change is computed once: symbols add rows of a table to the first layer's gates,
    biases included.
    """

    def __init__(self, config: MusicVAEConfig, k: int, weights: Weights) -> None:
        c, name = config, f"voices.{k}"
        vocab, beside = c.vocab[k], c.beside[k]
        self.steps, told = c.steps // c.segments, c.told
        width = c.embedding or vocab
        self.table = weights(f"{name}.table.weight", vocab, width)
        self.view = None
        if c.views_steps:
            self.view = weights.linear(f"{name}.view", told, self.steps * c.view)
            self.shortcut = weights(f"{name}.view_to_logits.weight", vocab, c.view + beside)
        self.initial = weights.linear(f"{name}.initial", told, 2 * sum(c.decoder))
        seen = c.view if c.views_steps else told
        inputs = [width + seen + beside, *c.decoder[:-1]]
        self.layers = [
            weights.lstm(f"{name}.layers.{i}", n, d)
            for i, (n, d) in enumerate(zip(inputs, c.decoder, strict=True))
        ]
        self.logits = weights.linear(f"{name}.logits", c.decoder[-1], vocab)
        first = self.layers[0]
        self.from_told = np.ascontiguousarray(first.w_in[:, width:].T)
        # After each symbol, and in the last row after none.
        symbols = self.table @ first.w_in[:, :width].T
        self.from_token = np.vstack([symbols, np.zeros_like(symbols[:1])]) + first.bias

    def write(
        self,
        told: Floats,
        draws: Draws,
        temperature: float = 1.0,
        top_p: float = 1.0,
        given: Floats | None = None,
    ) -> NDArray[np.int64]:
        """Symbols [n, t] of segments that are told [n, d], and given [n, t, c] for each step, drawn
        one step after the other.
        """
        x = np.empty((len(told), self.steps), np.int64)
        token = np.full(len(told), -1)
        step = self._stepper(told, given)
        for t in range(self.steps):
            logits = step(token, t)
            u = draws.uniform(len(told)) if temperature > 0 else logits[:, 0]
            x[:, t] = token = at_places(logits, u, temperature, top_p)
        return x

    def after(self, told: Floats, x: Ints, given: Floats | None = None) -> Floats:
        """Logits [n, t, v] after the true symbols x [n, t]."""
        step = self._stepper(told, given)
        rows = [step(x[:, t - 1] if t else np.full(len(x), -1), t) for t in range(self.steps)]
        return np.stack(rows, axis=1)

    def _stepper(self, told: Floats, given: Floats | None) -> Callable[[Ints, int], Floats]:
        """What gives the logits [n, v] of step t after symbols [n], one step after the other."""
        states = list(np.split(np.tanh(self.initial(told)), _ends(self.layers), axis=-1))
        h, c = states[::2], states[1::2]
        if self.view is None:
            seen = np.broadcast_to(told[:, None], (len(told), self.steps, told.shape[1]))
        else:
            seen = self.view(told).reshape(len(told), self.steps, -1)
        seen = seen if given is None else np.concatenate([seen, given], -1)
        # The widest arrays are kept: pages that come and go cost as much as what is done in them.
        below = np.empty((len(told), self.from_token.shape[1]), np.float32)
        added = np.empty_like(below)
        rooms = [np.empty((len(told), 4 * layer.units), np.float32) for layer in self.layers]

        def step(token: Ints, t: int) -> Floats:
            np.matmul(seen[:, t], self.from_told, out=below)
            np.add(below, np.take(self.from_token, token, 0, out=added, mode="wrap"), out=below)
            for i, layer in enumerate(self.layers):
                entered = layer.enter(h[i - 1]) if i else below
                h[i], c[i] = layer.step(entered, h[i], c[i], rooms[i])
            logits = self.logits(h[-1])
            return logits if self.view is None else logits + seen[:, t] @ self.shortcut.T

        return step


def _ends(layers: Sequence[LSTM]) -> NDArray[np.int64]:
    """Where the h and c of each layer end, but the last."""
    return np.cumsum([layer.units for layer in layers for _ in "hc"])[:-1]


class Recall:
    """Attention from a segment to those before it (`nn.TransformerEncoder`, normalised first), one
    segment at a time, with the keys and values of those before kept.
    """

    def __init__(self, width: int, layers: int, weights: Weights) -> None:
        self.heads, self.layers = width // HEAD, []
        for i in range(layers):
            name = f"recall.layers.{i}"
            mix = Linear(
                weights(f"{name}.self_attn.in_proj_weight", 3 * width, width),
                weights(f"{name}.self_attn.in_proj_bias", 3 * width),
            )
            norms = [
                [weights(f"{name}.norm{j}.{k}", width) for k in ("weight", "bias")] for j in (1, 2)
            ]
            out = weights.linear(f"{name}.self_attn.out_proj", width, width)
            wide = weights.linear(f"{name}.linear1", width, 4 * width)
            narrow = weights.linear(f"{name}.linear2", 4 * width, width)
            self.layers.append((mix, norms, out, wide, narrow))

    def begin(self) -> list[list[tuple[Floats, Floats]]]:
        """No segments yet."""
        return [[] for _ in self.layers]

    def step(self, x: Floats, before: list[list[tuple[Floats, Floats]]]) -> Floats:
        """The next segment's vectors [b, d], from its own [b, d] and those `before`."""
        for (mix, norms, out, wide, narrow), kept in zip(self.layers, before, strict=True):
            mixed = mix(_norm(x, *norms[0])).reshape(len(x), 3, self.heads, HEAD)
            query, key, value = mixed.swapaxes(0, 1)
            kept.append((key, value))
            keys, values = (np.stack(rows, axis=2) for rows in zip(*kept, strict=True))
            match = np.einsum("bhd,bhud->bhu", query, keys) * np.float32(HEAD**-0.5)
            seen = np.einsum("bhu,bhud->bhd", softmax(match), values)
            x = x + out(seen.reshape(x.shape))
            x = x + narrow(gelu(wide(_norm(x, *norms[1]))))
        return x


def _norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5)) * weight + bias


class MusicVAE:
    """See `models.musicvae.MusicVAE`; the methods of the same names give the same numbers."""

    def __init__(self, config: MusicVAEConfig, weights: Weights) -> None:
        self.config = c = config
        reads, views, e = c.reads_steps, c.views_steps, c.encoder
        self.voices = [Voice(c, k, weights) for k in range(len(c.vocab))]
        width = sum(c.embedding or v for v in c.vocab) + c.control
        self.encoder = [
            (
                weights.lstm("encoder", width if i == 0 else 2 * e, e, f"l{i}"),
                weights.lstm("encoder", width if i == 0 else 2 * e, e, f"l{i}_reverse"),
            )
            for i in range(c.layers)
        ]
        read = c.steps // c.parts
        if reads:
            self.project = weights.linear("project", 2 * e, c.view)
        summary = read * c.view if reads else 2 * e
        if c.encode_segments:
            self.gist = weights.linear("gist", summary, c.gist)
            self.over_segments = [
                (
                    weights.lstm("over_segments", c.gist, e),
                    weights.lstm("over_segments", c.gist, e, "l0_reverse"),
                )
            ]
            if reads:
                self.project_segment = weights.linear("project_segment", 2 * e + c.gist, c.gist)
            summary = c.parts * c.gist if reads else 2 * e
        self.posterior = weights.linear("posterior", summary, 2 * c.latent)
        if c.segments > 1:
            if views:
                self.segment_view = weights.linear("segment_view", c.latent, c.segments * c.told)
            if c.context:
                self.tell = weights.linear("tell", c.conductor[-1], c.context)
            self.lead = weights.linear("lead", c.latent, 2 * sum(c.conductor))
            sizes = [c.told if views else 1, *c.conductor[:-1]]
            self.conductor = [
                weights.lstm(f"conductor.{i}", n, d)
                for i, (n, d) in enumerate(zip(sizes, c.conductor, strict=True))
            ]
        if c.unconditional:
            self.style = weights("style.weight", max(1, len(c.styles)), c.told)
            self.shift = weights("shift.weight", 2 * c.shift + 1, c.told)
            if c.recall:
                self.place = weights("place.weight", c.segments, c.told)
                self.recall = Recall(c.told, c.recall, weights)
        weights.finish()

    def _given(self, given: Floats | None, n: int) -> Floats | None:
        """What is given of beats [b, beats, c] for the steps of each segment, [b u, t, c]; zeros
        where nothing is, None where the model is given nothing.
        """
        c = self.config
        if not c.control:
            return None
        if given is None:
            given = np.zeros((n, 1, c.control), np.float32)
        steps = np.repeat(given.astype(np.float32), c.steps // given.shape[1], axis=1)
        return steps.reshape(n * c.segments, -1, c.control)

    def _read(self, x: Ints, beside: Floats | None) -> Floats:
        """Symbols [b, (k,) t] as the encoder sums them up beside what is given, [b, d]."""
        lines = x.swapaxes(0, 1) if len(self.voices) > 1 else x[None]
        heard = [voice.table[line] for voice, line in zip(self.voices, lines, strict=True)]
        heard += [] if beside is None else [beside.reshape(len(x), x.shape[-1], -1)]
        states, last = both_ways(np.concatenate(heard, -1), self.encoder)
        return self.project(states).reshape(len(x), -1) if self.config.reads_steps else last

    def encode(self, x: Ints, given: Floats | None = None) -> tuple[Floats, Floats]:
        """Symbols [b, (k,) t] to the posterior's mean and standard deviation, [b, z] each."""
        c, beside = self.config, self._given(given, len(x))
        if not c.encode_segments:
            summary = self._read(x, beside)
        else:
            gist = self.gist(self._read(self._cut(x, c.parts), beside)).reshape(len(x), c.parts, -1)
            states, summary = both_ways(gist, self.over_segments)
            if c.reads_steps:
                read = self.project_segment(np.concatenate([states, gist], -1))
                summary = read.reshape(len(x), -1)
        mean, spread = np.split(self.posterior(summary), 2, axis=-1)
        return mean, np.logaddexp(spread, np.float32(0))  # softplus

    def _cut(self, x: Ints, u: int) -> Ints:
        """Sequences [b, (k,) t] in u parts each, [b u, (k,) t]."""
        parts = np.moveaxis(x.reshape(*x.shape[:-1], u, -1), -2, 1)
        return parts.reshape(-1, *parts.shape[2:])

    def _whole(self, x: NDArray[Any]) -> NDArray[Any]:
        """Segments [b u, (k,) t] as sequences [b, (k,) t]."""
        parts = np.moveaxis(x.reshape(-1, self.config.segments, *x.shape[1:]), 1, -2)
        return parts.reshape(*parts.shape[:-2], -1)

    def conduct(self, z: Floats) -> Floats:
        """What the decoder is given [b u, d] for each segment of z [b, z]: z itself when flat."""
        c = self.config
        if c.segments == 1:
            return z
        view = h = np.zeros((len(z), c.segments, 1), np.float32)
        if c.views_steps:
            view = h = self.segment_view(z).reshape(len(z), c.segments, -1)
        states = np.split(np.tanh(self.lead(z)), _ends(self.conductor), axis=-1)
        for layer, h0, c0 in zip(self.conductor, states[::2], states[1::2], strict=True):
            h, _, _ = layer.run(h, h0, c0)
        told = self.tell(h) if c.context else h
        told = told + view if c.views_steps else told
        return told.reshape(-1, told.shape[-1])

    def forward(self, z: Floats, x: Ints, given: Floats | None = None) -> list[Floats]:
        """Logits [b, t, v] of each voice given z [b, z] and the true symbols [b, (k,) t] before
        each step.
        """
        parts = self._cut(x, self.config.segments)
        lines = list(parts.swapaxes(0, 1) if len(self.voices) > 1 else parts[None])
        told, beside = self.conduct(z), self._given(given, len(z))
        logits = (
            voice.after(told, lines[k], self._heard(lines[:k], beside))
            for k, voice in enumerate(self.voices)
        )
        return [rows.reshape(len(z), -1, rows.shape[-1]) for rows in logits]

    def _heard(self, before: Sequence[Ints], beside: Floats | None) -> Floats | None:
        """What a voice is given: with `heed` vectors of the symbols of those before it, and what
        all are given.
        """
        heeded = zip(self.voices, before, strict=False) if self.config.heed else ()
        given = [voice.table[line] for voice, line in heeded]
        given += [] if beside is None else [beside]
        return np.concatenate(given, -1) if given else None

    def decode(
        self,
        z: Floats,
        draws: Draws,
        temperature: float = 1.0,
        top_p: float = 1.0,
        given: Floats | None = None,
    ) -> NDArray[np.int64]:
        """Symbols [b, (k,) t] drawn step by step given z [b, z], all segments at once."""
        beside = self._given(given, len(z))
        return self._whole(self._write(self.conduct(z), draws, temperature, top_p, beside))

    def _write(
        self,
        told: Floats,
        draws: Draws,
        temperature: float = 1.0,
        top_p: float = 1.0,
        beside: Floats | None = None,
    ) -> NDArray[np.int64]:
        """Symbols [n, (k,) t] of segments that are told [n, d] and given [n, t, c]."""
        lines: list[NDArray[np.int64]] = []
        for voice in self.voices:
            own = self._heard(lines, beside)
            lines.append(voice.write(told, draws, temperature, top_p, own))
        return np.stack(lines, axis=1) if len(lines) > 1 else lines[0]

    def improvise(
        self, style: Ints, draws: Draws, temperature: float = 1.0, given: Floats | None = None
    ) -> NDArray[np.int64]:
        """Symbols [b, (k,) t] that the language model draws for styles [b]."""
        c, beside = self.config, self._given(given, len(style))
        point = self.style[style] + self.shift[c.shift]
        if not c.recall:
            told = point.repeat(c.segments, 0)
            return self._whole(self._write(told, draws, temperature, beside=beside))
        parts, before, gist = [], self.recall.begin(), np.zeros_like(point)
        for u in range(c.segments):
            told = self.recall.step(point + self.place[u] + gist, before)
            here = None if beside is None else beside[u :: c.segments]
            parts.append(self._write(told, draws, temperature, beside=here))
            gist = self.gist(self._read(parts[-1], here))
        return self._whole(np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]))

    def prior(
        self,
        n: int,
        draws: Draws,
        style: Styles = None,
        spread: float = SPREAD,
        given: Floats | None = None,
    ) -> Floats:
        """Latents [n, z] of new music in the given styles, see `models.musicvae`."""
        if not self.config.unconditional:
            return self.normal_prior(n, draws)
        styles = self.draw_styles(n, draws, style)
        mean, std = self.encode(self.improvise(styles, draws, given=given), given)
        return mean + np.float32(spread) * std * draws.normal(*mean.shape)

    def normal_prior(self, n: int, draws: Draws) -> Floats:
        """Latents [n, z] from N(0, I), as published."""
        return draws.normal(n, self.config.latent)

    def draw_styles(self, n: int, draws: Draws, style: Styles = None) -> Ints:
        """Style indices [n]."""
        if isinstance(style, np.ndarray):
            return style
        if isinstance(style, int):
            return np.full(n, style)
        return draws.choose(style or self.config.shares or (1.0,), max(n, 2))[:n]
