"""Reports: how near to real playing a GrooVAE plays held-out songs, beside plain averages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from musegen import metrics
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate.features import features, overlaps
from musegen.evaluate.report import Report
from musegen.pretrained import Bundle
from musegen.representations.drums import Drums
from musegen.representations.events import STEPS_PER_BAR

Say = Callable[[str], None]
Grooves = NDArray[np.floating]  # [n, steps, 3, classes]
LOUD = np.linspace(0, 1, 33)  # edges of bins of velocities
LATE = np.linspace(-0.5, 0.5, 21)  # and of offsets


def measure(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    n: int = 2048,
    seed: int = 0,
    temperature: float = 1.0,
    report: Say = lambda text: None,
) -> Report:
    """How a model plays up to `n` held-out windows of which it is shown hits or taps alone.

    Args:
        bundle: the model.
        held_out: windows of songs that it was not trained on.
        training: those of the training songs, which the plain averages are of.
        n: windows.
        seed: of what is drawn.
        temperature: of what is drawn; another row is at 0.
        report: is told what is being done.

    Raises:
        InputError: no windows, or not of the model's length.
    """
    if held_out.representation.steps != bundle.representation.steps:
        raise InputError("data", f"has {held_out.representation.bars}-bar windows, not the model's")
    if not len(held_out) or training is None:
        raise InputError("data", "has no held-out or no training windows; prepare more songs")
    real = _grooves(held_out, n)
    known = _grooves(training, 8 * n)
    report(f"playing {len(real)} held-out windows")
    made = {
        "model": played(bundle, real, seed, 0.0),
        f"model, drawn at {temperature:g}": played(bundle, real, seed, temperature),
    }
    if bundle.model.config.source == "hits":
        rows = {"average": averages(known)[:, None], "by place and class": averages(known, True)}
        plain = {k: _like(real, v) for k, v in rows.items()}
        found = {k: playing(real, y) for k, y in (plain | made).items()}
        lines = ["velocity (of 127) and timing (in 1/100 of a sixteenth) of held-out notes"]
        scores = {"velocity error": found["model"]["velocity error"]}
        scores["velocity r in window"] = found["model"]["r in window"]
    else:
        chance = tapped(known)
        plain = {"by place and tap": _drawn(real, chance, seed)}
        found = {k: drumming(real, y) for k, y in (plain | made).items()}
        nats = {"by place and tap": _nats(real, _told(real, chance)), "model": _said(bundle, real)}
        for row, value in nats.items():
            found[row]["nats a bar"] = value
        lines = ["drums of held-out windows from their taps"]
        scores = {"nats a bar": nats["model"], "hits right": found["model"]["hits right"]}
    columns = sorted({c for row in found.values() for c in row}, key=_order(found))
    width = max(len(row) for row in found) + 2
    lines.append(f"  {'':{width}}" + "".join(f"{c:>18}" for c in columns))
    for row, figures in found.items():
        cells = (f"{figures[c]:18.3f}" if c in figures else f"{'':18}" for c in columns)
        lines.append(f"  {row:{width}}" + "".join(cells).rstrip())
    return Report(lines, {"playing": found}, {k: round(v, 3) for k, v in scores.items()})


def _order(found: dict[str, dict[str, float]]) -> Callable[[str], int]:
    known = [c for row in found.values() for c in row]
    return known.index


def _grooves(data: Windows, n: int) -> Grooves:
    index = np.linspace(0, len(data) - 1, min(n, len(data))).astype(np.int64)
    x = data.encode(index)
    return np.asarray(x.reshape(*x.shape[:2], 3, -1))


@torch.no_grad()
def played(bundle: Bundle, real: Grooves, seed: int, temperature: float) -> Grooves:
    """What a model plays for the hits or taps of windows; at 0 as is usual, z at the prior's mean
    where it is about the playing.
    """
    model, generator = bundle.model, torch.Generator().manual_seed(seed)
    parts = []
    for x in torch.from_numpy(real.astype(np.float32)).flatten(2).split(256):
        z = temperature * model.prior(len(x), generator)
        if model.config.reads == model.config.source:
            mean, std = model.encode(x)
            z = mean + std * z
        parts.append(model.decode(z, generator, temperature, given=x))
    return torch.cat(parts).numpy().reshape(real.shape)


def averages(x: Grooves, by_place: bool = False) -> Grooves:
    """Mean velocity and offset of hits: of all [2, 1], or by place in the bar and class
    [bar, 2, k]."""
    bars = x.reshape(-1, STEPS_PER_BAR, *x.shape[2:])
    hits, rest = bars[:, :, 0], bars[:, :, 1:]
    every = np.array([(rest[:, :, i] * hits).sum() / hits.sum() for i in (0, 1)])[:, None]
    if not by_place:
        return every
    count = hits.sum(0)[:, None]  # [bar, 1, k]
    total = (rest * hits[:, :, None]).sum(0)
    return np.asarray((total + 8 * every) / (count + 8))  # rare places lean on the average


def _like(real: Grooves, values: Grooves) -> Grooves:
    """Windows with the hits of real ones and mean values [bar or none, 2, k or 1]."""
    if values.shape[0] == STEPS_PER_BAR and values.ndim == 3:
        values = np.tile(values, (real.shape[1] // STEPS_PER_BAR, 1, 1))
    else:
        values = values.reshape(1, 2, 1)
    hits = real[:, :, :1]
    return np.concatenate([hits, values * hits], axis=2)


def playing(real: Grooves, made: Grooves) -> dict[str, float]:
    """How near velocities and offsets of made windows are to those of real ones with the same hits.

    "r" is the correlation of velocities over all hits, "in window" after each window's mean is
    taken away, which nobody could know; "overlap" is how far distributions agree.
    """
    window, step, kind = np.nonzero(real[:, :, 0])
    a, b = (x[window, step, :, kind][:, 1:].astype(float) for x in (real, made))
    count = np.bincount(window, minlength=len(real)).clip(1)
    within = [v - (np.bincount(window, v, len(real)) / count)[window] for v in (a[:, 0], b[:, 0])]
    return {
        "velocity error": 127 * float(np.abs(a[:, 0] - b[:, 0]).mean()),
        "r": _correlation(a[:, 0], b[:, 0]),
        "r in window": _correlation(*within),
        "velocity overlap": metrics.overlapping_area(a[:, 0], b[:, 0], LOUD),
        "timing error": 100 * float(np.abs(a[:, 1] - b[:, 1]).mean()),
        "timing overlap": metrics.overlapping_area(a[:, 1], b[:, 1], LATE),
    }


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-9 else 0.0


def tapped(x: Grooves) -> Grooves:
    """Chance of each class at each place of the bar where something is hit, and of nothing where
    nothing is, [bar, k]."""
    hits = x[:, :, 0].reshape(-1, STEPS_PER_BAR, x.shape[3])
    taps = hits.any(-1).sum(0)[:, None]
    everywhere = hits.sum((0, 1)) / max(taps.sum(), 1)
    return np.asarray((hits.sum(0) + 8 * everywhere) / (taps + 8))


def _told(real: Grooves, chance: Grooves) -> Grooves:
    """Chances of hits of windows [n, steps, k] whose taps are known."""
    taps = real[:, :, 0].any(-1, keepdims=True)
    return np.tile(chance, (real.shape[1] // STEPS_PER_BAR, 1)) * taps


def _drawn(real: Grooves, chance: Grooves, seed: int) -> Grooves:
    told = _told(real, chance)
    hits = np.random.default_rng(seed).random(told.shape) < told
    return np.stack([hits, hits * 0.75, hits * 0.0], axis=2)


def _nats(real: Grooves, chance: Grooves) -> float:
    """Cross-entropy of the hits of real windows under chances [n, steps, k], in nats a bar."""
    p = np.clip(np.where(real[:, :, 0] > 0, chance, 1 - chance), 1e-4, 1.0)
    return float(-np.log(p).sum() / (len(p) * p.shape[1] / STEPS_PER_BAR))


@torch.no_grad()
def _said(bundle: Bundle, real: Grooves) -> float:
    """The model's, each step after the true ones; it reads nothing but the taps."""
    model, rows = bundle.model, []
    for x in torch.from_numpy(real.astype(np.float32)).flatten(2).split(256):
        mean, _ = model.encode(x)
        rows.append(torch.sigmoid(model(mean, x, model.given(x))[0]))
    return _nats(real, torch.cat(rows).numpy())


def drumming(real: Grooves, made: Grooves) -> dict[str, float]:
    """Share of hits right (F1), and how far made drums are like real ones in distribution."""
    a, b = real[:, :, 0] > 0, made[:, :, 0] > 0
    right = 2 * float((a & b).sum()) / max(int(a.sum() + b.sum()), 1)
    bits = 1 << np.arange(a.shape[-1])
    kind = Drums(real.shape[1] // STEPS_PER_BAR)
    theirs, ours = (features((x @ bits).astype(np.uint16), kind) for x in (a, b))
    loud, louder = (x[:, :, 1][h].astype(float) for x, h in ((real, a), (made, b)))
    like = overlaps(ours, theirs)
    return {"hits right": right} | {
        "velocity overlap": metrics.overlapping_area(loud, louder, LOUD),
        **{name: like[name] for name in ("hits per bar", "drums together", "kick", "snare")},
    }
