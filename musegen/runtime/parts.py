"""What networks in NumPy are made of: weights, chance, LSTMs, draws of symbols, slerp."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.integer[Any]]


class Draws:
    """Chance from a seed: the numbers of torch's generator of that seed on a CPU, in their order.

    Both are the Mersenne Twister (Matsumoto and Nishimura 1998); so a seed is the same music
    whether torch or NumPy makes it.
    """

    def __init__(self, seed: int) -> None:
        # Python's twister, seeded as torch seeds its own; numpy.random takes longer to import.
        state = [seed & 0xFFFFFFFF]
        for i in range(1, 624):
            state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + i) & 0xFFFFFFFF)
        self._twister = random.Random()
        self._twister.setstate((3, (*state, 624), None))

    def _raw(self, *shape: int) -> NDArray[np.uint32]:
        size = math.prod(shape)
        words = self._twister.getrandbits(32 * size).to_bytes(4 * size, "little") if size else b""
        return np.frombuffer(words, "<u4").reshape(shape)

    def uniform(self, *shape: int) -> Floats:
        """Numbers from 0 up to 1, as `torch.rand`: 24 bits of each draw."""
        return (self._raw(*shape) & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2**-24)

    def normal(self, *shape: int) -> Floats:
        """Numbers of N(0, 1) by Box and Muller, as `torch.randn` from 16 numbers on: in blocks of
        8 radii and 8 angles, of which the last is drawn anew if there is a remainder.
        """
        size = math.prod(shape)
        u = self.uniform(max(size, 16))
        whole = len(u) // 16 * 16
        made = np.empty_like(u)
        made[:whole] = _box_muller(u[:whole])
        if len(u) % 16:
            made[-16:] = _box_muller(self.uniform(16))
        return made[:size].reshape(shape)

    def choose(self, shares: ArrayLike, n: int) -> NDArray[np.int64]:
        """Indices [n] as often as their shares say, as `torch.multinomial` for n above 1."""
        high, low = self._raw(n, 2).T.astype(np.uint64)
        u = ((high << np.uint64(32) | low) & np.uint64(2**53 - 1)).astype(float) * 2**-53
        mass = np.cumsum(np.asarray(shares, np.float32))
        return np.searchsorted(mass / mass[-1], u).clip(max=len(mass) - 1)


def _box_muller(u: Floats) -> Floats:
    blocks = u.reshape(-1, 2, 8)
    radius = np.sqrt(-2 * np.log(1 - blocks[:, 0]))
    angle = np.float32(2 * np.pi) * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


class Weights:
    """Arrays by their names, each asked for once with its shape, so that none is wrong or left."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = dict(arrays)

    def __call__(self, name: str, *shape: int) -> Floats:
        """An array in float32.

        Raises:
            ValueError: it is missing, or has another shape.
        """
        if name not in self._arrays:
            raise ValueError(f"{name} is missing")
        found = self._arrays.pop(name)
        if found.shape != shape:
            raise ValueError(f"{name} has shape {list(found.shape)}, not {list(shape)}")
        return found.astype(np.float32)

    def linear(self, name: str, inputs: int, outputs: int) -> Linear:
        """A linear layer."""
        return Linear(self(f"{name}.weight", outputs, inputs), self(f"{name}.bias", outputs))

    def lstm(self, name: str, inputs: int, units: int, suffix: str = "l0") -> LSTM:
        """A layer of `torch.nn.LSTM`."""
        shapes = {"weight_ih": (4 * units, inputs), "weight_hh": (4 * units, units)}
        w, r = (self(f"{name}.{k}_{suffix}", *shape) for k, shape in shapes.items())
        enter, again = (self(f"{name}.bias_{k}_{suffix}", 4 * units) for k in ("ih", "hh"))
        return LSTM(w, r, enter + again)

    def finish(self, aside: Sequence[str] = ()) -> None:
        """Check that nothing is left but what begins with one of `aside`.

        Raises:
            ValueError: there is.
        """
        left = [name for name in self._arrays if not name.startswith(tuple(aside))]
        if left:
            raise ValueError(f"{left[0]} is not known")


class Linear:
    """x -> x W' + b for rows x [..., inputs]."""

    def __init__(self, weight: Floats, bias: Floats) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Floats) -> Floats:
        """Rows [..., outputs]."""
        return x @ self.weight.T + self.bias

    @staticmethod
    def joined(layers: Sequence[Linear]) -> Linear:
        """Layers of the same inputs as one, their outputs one after the other."""
        weights, biases = zip(*((layer.weight, layer.bias) for layer in layers), strict=True)
        return Linear(np.concatenate(weights), np.concatenate(biases))


def _logistic_of_twice(x: Floats) -> Floats:
    """1 / (1 + exp(-2 x)), in place."""
    x *= -2
    with np.errstate(over="ignore"):  # of infinity it is 0
        np.exp(x, out=x)
    x += 1
    return np.reciprocal(x, out=x)


class LSTM:
    """One layer of an LSTM, both biases in one.

    With the rows of three gates halved beforehand (which is exact), one function does all four:
    1 / (1 + exp(-2 x)) is the logistic function of what was halved, and (1 + tanh(x)) / 2. NumPy
    has exp in vectors, tanh not everywhere.
    """

    def __init__(self, w_in: Floats, w_hidden: Floats, bias: Floats) -> None:
        self.units = w_hidden.shape[1]
        half = np.full(4 * self.units, 0.5, np.float32)
        half[2 * self.units : 3 * self.units] = 1
        self.w_in, self.w_hidden = half[:, None] * w_in, half[:, None] * w_hidden
        self.bias = half * bias

    def enter(self, x: Floats) -> Floats:
        """What inputs [..., inputs] add to the gates, [..., 4 units]."""
        return x @ self.w_in.T + self.bias

    def step(
        self, entered: Floats, h: Floats, c: Floats, room: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """The next h and c [n, units], with `room` [n, 4 units] to work in."""
        gates = np.matmul(h, self.w_hidden.T, out=room)
        gates += entered
        d = self.units
        _logistic_of_twice(gates)
        i, f, g, o = gates[:, :d], gates[:, d : 2 * d], gates[:, 2 * d : 3 * d], gates[:, 3 * d :]
        g *= 2
        g -= 1
        g *= i
        c = f * c
        c += g
        h = _logistic_of_twice(c.copy())
        h *= 2
        h -= 1
        h *= o
        return h, c

    def run(
        self, x: Floats, h: Floats | None = None, c: Floats | None = None, backwards: bool = False
    ) -> tuple[Floats, Floats, Floats]:
        """States [n, t, units] after inputs [n, t, inputs], the last h and the last c."""
        if h is None or c is None:
            h = c = np.zeros((len(x), self.units), np.float32)
        entered = self.enter(x)
        states = np.empty((*x.shape[:2], self.units), np.float32)
        room = np.empty((len(x), 4 * self.units), np.float32)
        for t in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
            h, c = self.step(entered[:, t], h, c, room)
            states[:, t] = h
        return states, h, c


def both_ways(x: Floats, layers: Sequence[tuple[LSTM, LSTM]]) -> tuple[Floats, Floats]:
    """A bidirectional stack over x [n, t, d]: states [n, t, 2 units], and where the last layer's
    two directions end [n, 2 units].
    """
    last = x[:, 0]
    for there, back in layers:
        ahead, end, _ = there.run(x)
        behind, begin, _ = back.run(x, backwards=True)
        x, last = np.concatenate([ahead, behind], -1), np.concatenate([end, begin], -1)
    return x, last


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def likeliest(p: Floats, top_p: float) -> Floats:
    """Rows of probabilities [b, v] with zeros but for the fewest likeliest that reach `top_p`."""
    if top_p >= 1:
        return p
    index = np.argsort(-p, axis=-1, kind="stable")
    ordered = np.take_along_axis(p, index, -1)
    ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
    kept = np.zeros_like(p)
    np.put_along_axis(kept, index, ordered, -1)
    return kept


def at_places(
    logits: Floats, u: Floats, temperature: float = 1.0, top_p: float = 1.0
) -> NDArray[np.int64]:
    """Indices [b] at the places u [b] (0 to 1) of the cumulative distributions of logits [b, v];
    the largest at temperature 0. The same as `sampling.pick`.
    """
    if temperature <= 0:
        return logits.argmax(-1)
    mass = likeliest(softmax(logits / np.float32(temperature)), top_p).cumsum(-1)
    found: NDArray[np.int64] = (mass <= u[:, None] * mass[:, -1:]).sum(-1)
    return found.clip(max=logits.shape[-1] - 1)


def gelu(x: Floats) -> Floats:
    """X times the normal distribution's mass below x, to 2e-7 (Abramowitz and Stegun 7.1.26)."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429)
    for a in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(a)
    above = np.float32(0.5) * series * t * np.exp(-z * z)
    return x * np.where(x > 0, 1 - above, above)


def slerp(a: NDArray[Any], b: NDArray[Any], t: ArrayLike) -> NDArray[Any]:
    """Spherical interpolation (Shoemake 1985) of vectors a, b [..., z] at t [n], [n, ..., z].

    The angle is that of the unit vectors, the vectors themselves are not normalised, as in
    MusicVAE; nearly parallel vectors are interpolated linearly.
    """
    x, y = a.astype(float), b.astype(float)
    t = np.asarray(t, float).reshape(-1, *[1] * a.ndim)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    cosine = (x * y).sum(-1) / np.maximum(lengths, 1e-8)
    omega = np.arccos(cosine.clip(-1, 1))[..., None]
    sine = np.sin(omega)
    straight = np.abs(sine) < 1e-4
    safe = np.where(straight, 1, sine)
    left = np.where(straight, 1 - t, np.sin((1 - t) * omega) / safe)
    right = np.where(straight, t, np.sin(t * omega) / safe)
    return (left * x + right * y).astype(a.dtype)
