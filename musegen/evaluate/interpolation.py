"""Interpolations between held-out windows, measured as in Figure 3 of MusicVAE (Roberts et al.).

Between each pair of windows the posterior means are interpolated by slerp at equally spaced places
and decoded. A latent in which neighbours are alike moves away from A steadily (share of steps that
differ from A) and stays music on the way (nats under an n-gram model of the training songs, over
those of the two decoded ends). Mixing takes each step from B with a probability instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen import plot
from musegen.dataset import Windows
from musegen.errors import InputError, ModelError
from musegen.evaluate.features import Symbols
from musegen.evaluate.report import Report
from musegen.metrics.ngram import NGram
from musegen.models.musicvae import MusicVAE
from musegen.pipeline.musicvae import MusicVAEPipeline
from musegen.pretrained import Bundle
from musegen.sampling import slerp

POINTS = 11
MIXED = "mixed notes"
Curve = NDArray[np.float64]


def measure(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    against: Bundle | None = None,
    n: int = 256,
    seed: int = 0,
    temperature: float = 0.5,
    points: int = POINTS,
    pace: str = "linear",
    report: Callable[[str], None] = lambda text: None,
) -> Report:
    """The report of interpolations, with the picture of Figure 3.

    Args:
        bundle: the model.
        held_out: windows of held-out songs, the ends.
        training: windows of the training songs, for the n-gram model.
        against: a second model of the same representation.
        n: pairs of windows.
        seed: of pairs, mixing and draws.
        temperature: of the symbols; 0.5 is the paper's.
        points: places from A to B, both ends counted.
        pace: "linear", equally spaced as in the paper; "even", the likeliest melodies at the places
            that the verb `interpolate` takes.
        report: is told what is being done.

    Raises:
        InputError: too few windows, or no training songs.
        ModelError: a model without a latent of this kind, or of other windows.
    """
    models = {bundle.name: bundle} | ({} if against is None else {against.name: against})
    for name, one in models.items():
        if not isinstance(one.model, MusicVAE):
            raise ModelError(f"{name}: has no latent to interpolate in; give a MusicVAE")
        if one.representation != held_out.representation:
            raise ModelError(f"{name}: is of other windows than the data; give a model of these")
    if training is None:
        raise InputError("data", "has no training songs to count; give a prepared folder")
    if against is not None and len(models) == 1:
        raise ModelError(f"{against.name}: has the name of the first model; give another one")
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    a, b = (held_out.encode(index) for index in pairs(len(held_out), n, rng))
    report("counting the training songs")
    vocab = bundle.model.config.vocab
    old = _voices(training.encode(np.arange(len(training))))
    counted = [NGram(line, size) for line, size in zip(old, vocab, strict=True)]
    places = np.linspace(0, 1, points)
    rows: dict[str, dict[str, list[float]]] = {}
    for name, one in models.items():
        report(f"{name}: {points} places between {len(a)} pairs")
        if pace == "even":
            way = walked(MusicVAEPipeline(one), a, b, points)
        else:
            way = path(one.model, a, b, places, generator, temperature)
        rows[name] = figures(way, a, counted)
    rows[MIXED] = figures(mix(a, b, places, rng), a, counted)
    written = float(sum(nats(counted, x).mean() for x in (a, b)) / 2)
    numbers = {"pairs": len(a), "places": places.tolist(), "written": written, "curves": rows}
    panels = {
        title: {name: row[key] for name, row in rows.items()}
        for title, key in (
            ("share of steps that differ from A", "distance"),
            ("5-gram cost relative to the ends", "cost"),
        )
    }
    pictures = {"interpolation.png": plot.curves(panels, places.tolist(), "from A to B")}
    return Report(table(numbers), numbers, {}, pictures)


def pairs(
    size: int, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of `n` pairs, or as many as there are, of which no window is in two.

    Raises:
        InputError: fewer than two windows.
    """
    if size < 2:
        raise InputError("data", "has too few held-out windows for a pair; prepare more songs")
    n = min(n, size // 2)
    order = rng.permutation(size)
    return order[:n], order[n : 2 * n]


@torch.no_grad()
def path(
    model: MusicVAE,
    a: Symbols,
    b: Symbols,
    places: Curve,
    generator: torch.Generator,
    temperature: float,
    size: int = 64,
) -> Symbols:
    """Decoded windows [places, n, ..., steps] on the way between the means of a and b."""
    parts = []
    for i in range(0, len(a), size):
        ends = [torch.from_numpy(x[i : i + size].astype(np.int64)) for x in (a, b)]
        (za, _), (zb, _) = (model.encode(x) for x in ends)
        z = slerp(za, zb, torch.from_numpy(places.astype(np.float32)))
        made = model.decode(z.flatten(0, 1), generator, temperature)
        parts.append(made.unflatten(0, z.shape[:2]).numpy().astype(a.dtype))
    return np.concatenate(parts, axis=1)


def walked(pipeline: MusicVAEPipeline, a: Symbols, b: Symbols, points: int) -> Symbols:
    """Decoded windows [points, n, ..., steps] as `interpolate` takes them."""
    za, zb = (pipeline.model.encode(x.astype(np.int64))[0] for x in (a, b))
    ways = [pipeline.paced(p[None], q[None], points)[1][:, 0] for p, q in zip(za, zb, strict=True)]
    return np.stack(ways, axis=1).astype(a.dtype)


def mix(a: Symbols, b: Symbols, places: Curve, rng: np.random.Generator) -> Symbols:
    """Windows [places, n, ..., steps] whose steps are each from b with the place's probability."""
    other = rng.random((len(places), *a.shape)) < places.reshape(-1, *[1] * a.ndim)
    return np.where(other, b, a)


def figures(way: Symbols, a: Symbols, counted: list[NGram]) -> dict[str, list[float]]:
    """Of windows [places, n, ..., steps]: the share of steps that differ from a, the n-gram cost
    relative to the ends', and of the ends themselves the nats a step.
    """
    distance = (way != a).reshape(len(way), -1).mean(1)
    cost = np.array([nats(counted, x).mean() for x in way])
    ends = np.linspace(cost[0], cost[-1], len(way))
    found = {"distance": distance, "cost": cost / ends, "nats": cost}
    return {name: [float(v) for v in values] for name, values in found.items()}


def nats(counted: list[NGram], x: Symbols) -> Curve:
    """The n-gram cost of each window [n, ..., steps], summed over voices."""
    costs = [one.cost(line) for one, line in zip(counted, _voices(x), strict=True)]
    return np.sum(costs, axis=0)


def _voices(x: Symbols) -> list[Symbols]:
    """The lines [n, steps] of windows [n, (voices,) steps]."""
    return list(np.moveaxis(x, 1, 0)) if x.ndim > 2 else [x]


def table(numbers: Mapping[str, Any]) -> list[str]:
    """The curves in lines of text."""
    head = "".join(f"{place:7.2f}" for place in numbers["places"])
    lines = [f"interpolation of {numbers['pairs']} pairs of held-out windows, from A to B"]
    width = max(map(len, numbers["curves"]))
    for title, key in (
        ("share of steps that differ from A", "distance"),
        ("5-gram cost over that of the ends", "cost"),
    ):
        lines += [title, f"  {'':{width}}{head}"]
        for name, row in numbers["curves"].items():
            lines.append(f"  {name:{width}}" + "".join(f"{value:7.3f}" for value in row[key]))
    lines.append(f"nats a step of the ends (as written {numbers['written']:.3f})")
    for name, row in numbers["curves"].items():
        fall = max(0.0, -float(np.diff(row["distance"]).min()))
        first, last = row["nats"][0], row["nats"][-1]
        ends = f"{first:.3f} and {last:.3f}"
        lines.append(f"  {name:{width}} {ends}; distance falls by {fall:.4f} at most")
    return lines
