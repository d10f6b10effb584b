"""Piano roll diffusion against held-out songs: features, repetition, filling, steps, copies, time.

All music is compared as notes in steps with parts, [m, 5]. Beside the model's columns stand those
of other windows of the same songs, of windows of training songs, which is as near as a model that
learned from them comes, and of a naive shuffle: each quarter taken from a random held-out window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen import metrics, plot
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate import voices
from musegen.evaluate.copies import searched
from musegen.evaluate.report import Report
from musegen.models.lead import TEMPERATURE
from musegen.pretrained import Bundle
from musegen.representations.onsetroll import OnsetRoll
from musegen.samplers import Plan
from musegen.score import DURATION, ONSET, PITCH, Notes

Values = NDArray[np.float64]
BAR = 16
BATCH = 32
_EDGES = {
    "notes per bar": np.arange(-0.5, 49.5),
    "notes per beat": np.arange(-0.5, 17.5),
    "polyphony": np.arange(-0.5, 13.5),
}


def measure(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    n: int = 500,
    seed: int = 0,
    steps: int = 25,
    sampler: str = "ddim",
    curve: Sequence[int] = (4, 8, 12, 25, 50, 100),
    report: Callable[[str], None] = lambda text: None,
    **_: Any,
) -> Report:
    """The report; n pieces are made, those of a model of chords with the chords of held-out windows
    and a quarter of n without, and another without a melody drawn first; 128 are filled, 48 made
    for each point of the curve. Where all held-out windows are taken, training windows are "real".

    Raises:
        InputError: no windows, or of other sizes than the model's.
    """
    roll, model = bundle.representation, bundle.model
    if not len(held_out) or held_out.representation != roll:
        raise InputError("data", "has no windows as this model knows them")
    plan = Plan(steps, sampler)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    index = np.sort(rng.choice(len(held_out), min(n, len(held_out)), replace=False))
    real = held_out.encode(index)
    told = chords_of(held_out, index)
    others = held_out if training is None or len(index) < len(held_out) else training
    other = others.encode(rng.choice(len(others), len(index), replace=False))
    generator = torch.Generator().manual_seed(seed)
    count, best = (n, "made") if told is None else (len(index), "with chords")
    report("generating")
    began = time.perf_counter()
    made = generate(model, count, generator, told, plan)
    seconds = (time.perf_counter() - began) / count
    quarter = -(-count // 4)
    sets = {best: made > 0}
    if told is not None:
        report("generating freely")
        sets["free"] = generate(model, quarter, generator, None, plan) > 0
    if model.config.lead:
        report("generating without a melody first")
        picked = None if told is None else told[torch.arange(quarter) * 4 % len(told)]
        sets["diffusion alone"] = generate(model, quarter, generator, picked, plan, None) > 0
    sets |= {"real": other > 0, "shuffled": shuffled(real, rng) > 0}
    if training is not None and others is held_out:
        sets["other songs"] = training.encode(rng.integers(len(training), size=len(index))) > 0
    truth = pool(real, roll)
    pools = {name: pool(x, roll) for name, x in sets.items()}
    overlap, divergence = (
        {n: {f: float(way(p[f], truth[f], edges(f))) for f in truth} for n, p in pools.items()}
        for way in (metrics.overlapping_area, metrics.kl_divergence)
    )
    frames = similarity(real, roll)
    likeness = {}
    for name, x in sets.items():
        both = metrics.self_similarity_scores(similarity(x, roll), frames)
        named = zip(("consistency", "variance"), both, strict=True)
        likeness[name] = {k: [round(float(v), 3) for v in values] for k, values in named}
    numbers: dict[str, Any] = {
        "samples": count,
        "seed": seed,
        "steps": steps,
        "sampler": sampler,
        "seconds": seconds,
        "overlap": overlap,
        "divergence": divergence,
        "self-similarity": likeness,
    }
    if roll.sung:
        kept = (torch.arange(real.shape[1]) % len(roll.trackset) == 0).view(-1, 1, 1)
        below = fill(model, real, kept, told, generator, plan)
        every = {best: made, "below sopranos": below} | {k: sets[k] for k in ("real", "shuffled")}
        every["voices apart"] = voices.apart(real, rng)
        numbers["voices"] = {k: voices.counts(x, roll) for k, x in every.items()}
    report("filling")
    if told is not None:
        numbers["chord agreement"] = agreement(model, real, made, told, roll, generator, plan)
    numbers["inpainting"] = inpainting(model, real, told, roll, generator, plan)
    report("steps against quality")
    few = min(len(index), 48)
    some = None if told is None else told[:few]
    numbers["steps against quality"] = {
        k: _mean_overlap(generate(model, few, generator, some, replace(plan, steps=k)), truth, roll)
        for k in curve
    }
    if training is not None:
        report("looking for copies")
        numbers |= searched(made, real, training, 6 * roll.sung, model.config.lead > 0)
    scores = {
        "mean overlap": float(np.mean(list(overlap[best].values()))),
        "least overlap": float(min(overlap[best].values())),
    }
    if told is not None:
        scores["mean overlap, free"] = float(np.mean(list(overlap["free"].values())))
    titles = {f: f"{f}  {area:.2f}" for f, area in overlap[best].items()}
    shown = {best: pools[best], "held-out": truth}
    pictures = {"densities.png": plot.densities(shown, {f: edges(f) for f in truth}, titles)}
    quality = {"mean overlap": {"made": list(numbers["steps against quality"].values())}}
    pictures["steps.png"] = plot.curves(quality, curve, "steps", log=True)
    pictures |= rolls(model, real[:1], made[:8], told, roll, generator, plan)
    return Report(table(numbers), numbers, scores, pictures)


def rolls(
    model: Any,
    real: NDArray[Any],
    made: NDArray[Any],
    told: torch.Tensor | None,
    roll: OnsetRoll,
    generator: torch.Generator,
    plan: Plan,
) -> dict[str, plot.Picture]:
    """Piano rolls as PNG: new pieces, none left out; and a held-out window [1, ...], its middle
    bars made anew and, where there are two parts, the second below its first.
    """
    kept = torch.ones(real.shape[1:], dtype=torch.bool)
    kept[:, (roll.bars // 2 - 1) * BAR : (roll.bars // 2 + 1) * BAR] = False
    parts = {"held-out": real, "two bars anew": fill(model, real, kept, told, generator, plan)}
    if len(roll.trackset) > 1:
        kept[:], kept[:: len(roll.trackset)] = False, True
        parts["accompanied"] = fill(model, real, kept, told, generator, plan)
    new = {str(i + 1): roll.decode(x) for i, x in enumerate(made)}
    filled = {name: roll.decode(x[0] * 1.0) for name, x in parts.items()}
    shown = {"pieces.png": new, "filled.png": filled}
    return {file: plot.grid(list(x.values()), list(x), 2) for file, x in shown.items()}


def generate(
    model: Any,
    n: int,
    generator: torch.Generator,
    told: torch.Tensor | None,
    plan: Plan,
    temperature: float | None = TEMPERATURE,
) -> NDArray[np.float32]:
    """Cells [n, planes, steps, pitches] of new music; None for a melody without its prior."""
    c, parts, free = model.config, [], torch.zeros(1, dtype=torch.bool)
    for i in range(0, n, BATCH):
        given = None if told is None else told[i : i + BATCH]
        blank = torch.full((min(BATCH, n - i), c.planes, c.steps, c.pitches), -1.0)
        parts.append(model.fill(blank, free, generator, given, plan=plan, temperature=temperature))
    return np.asarray(torch.cat(parts).cpu().numpy())


def chords_of(data: Windows, index: NDArray[np.integer]) -> torch.Tensor | None:
    """The chords of windows [n, beats, 36], where they are known."""
    if data.chords is None:
        return None
    return torch.from_numpy(data.chord_symbols(index)).float()


def shuffled(x: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
    """At each quarter what a random window has there, [n, planes, steps, pitches]."""
    n, _, steps, _ = x.shape
    order = np.argsort(rng.random((n, steps // 4)), axis=0)[:, np.arange(steps) // 4]
    return np.moveaxis(np.moveaxis(x, 2, 1)[order, np.arange(steps)], 1, 2)


def notes_of(x: NDArray[Any], roll: OnsetRoll) -> list[Notes]:
    """Cells, on or grey, as notes of each window."""
    cells = x * 2.0 - 1 if x.dtype == bool else x
    return [roll.decode_steps(one) for one in cells]


def pool(x: NDArray[Any], roll: OnsetRoll) -> dict[str, Values]:
    """Features of all windows: of the highest line those of melodies, of everything the rest."""
    everything = notes_of(x, roll)
    lines = [n[n[:, 4] == 0] if len(roll.trackset) > 1 else _top(n) for n in everything]
    found = {f"melody {k}": v for k, v in metrics.features(lines, roll.bars).items()}
    low = 1 if roll.sung else None  # voices below the first
    rest = [n[n[:, 4] >= (low or n[:, 4].max(initial=0))] for n in everything]
    found |= {
        "pitch": np.concatenate([n[:, PITCH] for n in rest]).astype(float),
        "duration": np.concatenate([n[:, DURATION] for n in rest]).astype(float),
        "inter-onset": np.concatenate([np.diff(np.unique(n[:, ONSET])) for n in rest]).astype(
            float
        ),
        "notes per beat": np.concatenate(
            [np.bincount(n[:, ONSET] // 4, minlength=4 * roll.bars) for n in rest]
        ).astype(float),
        "pitch-class entropy": np.concatenate([metrics.pitch_class_entropy(n) for n in everything]),
        "scale consistency": np.concatenate([metrics.scale_consistency(n) for n in everything]),
    }
    sounding = (x > 0).reshape(len(x), -1, *x.shape[2:]).sum((1, 3))
    found["polyphony"] = sounding.ravel().astype(float)
    return found


def _top(notes: Notes) -> Notes:
    """The highest note at each onset."""
    order = np.lexsort((-notes[:, PITCH], notes[:, ONSET]))
    rows = notes[order]
    return rows[np.unique(rows[:, ONSET], return_index=True)[1]]


def edges(name: str) -> Values:
    """Edges of the bins of a feature's histogram."""
    plain = name.removeprefix("melody ")
    return _EDGES[plain] if plain in _EDGES else metrics.bins(plain)


def _mean_overlap(x: NDArray[Any], truth: dict[str, Values], roll: OnsetRoll) -> float:
    found = pool(x, roll)
    return float(np.mean([metrics.overlapping_area(found[f], truth[f], edges(f)) for f in truth]))


def similarity(x: NDArray[Any], roll: OnsetRoll) -> Values:
    """Frame overlaps of each window with itself, [n, 2], frames of 2 bars next to each other."""
    return np.array(
        [metrics.frame_overlaps(n, roll.bars, width=2, hop=2) for n in notes_of(x, roll)]
    )


def in_chords(cells: NDArray[np.bool_], told: NDArray[Any], low: int) -> float:
    """Share of the sounding cells [n, steps, pitches] whose pitch class is in the chord told."""
    tones = np.repeat(np.asarray(told)[..., 12:24] > 0, 4, axis=1)  # [n, steps, 12]
    some = tones.any(-1, keepdims=True)
    right = np.take_along_axis(
        tones, np.broadcast_to((np.arange(cells.shape[-1]) + low) % 12, cells.shape), axis=-1
    )
    return float((cells & right).sum() / max(1, (cells & some).sum()))


def agreement(
    model: Any,
    real: NDArray[Any],
    made: NDArray[Any],
    told: torch.Tensor,
    roll: OnsetRoll,
    generator: torch.Generator,
    plan: Plan,
) -> dict[str, float]:
    """How much of the accompaniment's sounding time is in the annotated chords: made from chords
    alone, made below the melody with chords and without, real, and of a random other window.
    """
    k = real.shape[1] // 2

    def share(x: NDArray[Any], chords: Any = told) -> float:
        below = (x[:, k - 1] > 0) | (x[:, -1] > 0)
        return in_chords(below, np.asarray(chords)[: len(x)], roll.low)

    some = real[: min(len(real), 4 * BATCH)]
    found = {
        "real": share(real),
        "real, of other windows": share(real, torch.roll(told, len(told) // 2, 0)),
        "from chords": share(made),
    }
    if k > 1:
        mask = torch.zeros(real.shape[1], dtype=torch.bool)
        mask[[0, 2]] = True
        for name, given in (("below the melody, with chords", told), ("below the melody", None)):
            x = fill(model, some, mask.view(-1, 1, 1), given, generator, plan)
            found[name] = share(x)
    return found


def fill(
    model: Any,
    x: NDArray[Any],
    kept: torch.Tensor,
    told: torch.Tensor | None,
    generator: torch.Generator,
    plan: Plan,
) -> NDArray[np.float32]:
    """Windows with everything but the kept cells made anew."""
    parts = []
    for i in range(0, len(x), BATCH):
        some = torch.from_numpy(x[i : i + BATCH]).float()
        given = None if told is None else told[i : i + len(some)]
        full = kept.expand(some.shape)
        parts.append(model.fill(some, full, generator, given, plan=plan, again=2))
    return np.asarray(torch.cat(parts).cpu().numpy())


def inpainting(
    model: Any,
    real: NDArray[Any],
    told: torch.Tensor | None,
    roll: OnsetRoll,
    generator: torch.Generator,
    plan: Plan,
) -> dict[str, float]:
    """The middle two bars made anew: overlap of their pitch classes with those around them, of the
    real bars and of other windows' bars; how much the seams differ from steps inside; kept cells.
    """
    some = real[: 4 * BATCH]
    first, last = (roll.bars // 2 - 1) * BAR, (roll.bars // 2 + 1) * BAR
    kept = torch.ones(real.shape[2], dtype=torch.bool)
    kept[first:last] = False
    x = fill(model, some, kept[:, None], told, generator, plan)
    before, after = max(0, first - 2 * BAR), min(real.shape[2], last + 2 * BAR)
    inside, around = slice(first, last), np.r_[before:first, last:after]

    def classes(cells: NDArray[Any]) -> Values:
        """Shares of the pitch classes in the sounding cells of each window, [n, 12]."""
        sounds = (cells > 0).sum((1, 2))
        count = np.stack([sounds[:, (c - roll.low) % 12 :: 12].sum(1) for c in range(12)], 1)
        shares: Values = count / np.maximum(count.sum(1, keepdims=True), 1)
        return shares

    context = classes(some[:, :, around])

    def alike(cells: NDArray[Any]) -> float:
        return float(np.minimum(classes(cells), context).sum(1).mean())

    def change(cells: NDArray[Any], steps: Sequence[int]) -> float:
        on = cells > 0
        return float(np.mean([(on[:, :, t] != on[:, :, t - 1]).sum((1, 2)).mean() for t in steps]))

    bars = range(BAR, real.shape[2], BAR)
    elsewhere = [t for t in bars if t not in (first, last)]
    return {
        "pitch classes as around": alike(x[:, :, inside]),
        "those of the real bars": alike(some[:, :, inside]),
        "those of other windows": alike(np.roll(some, len(some) // 2, 0)[:, :, inside]),
        "change at the seams to other bar lines": change(x, [first, last])
        / max(change(x, elsewhere), 1e-9),
        "the same of real music": change(some, [first, last]) / max(change(some, elsewhere), 1e-9),
        "kept cells that are as before": float((x == some)[:, :, kept.numpy()].mean()),
    }


def table(numbers: dict[str, Any]) -> list[str]:
    """The report as lines."""
    names = list(numbers["overlap"])
    lines = [
        f"{numbers['samples']} pieces, seed {numbers['seed']}, {numbers['steps']} steps of "
        f"{numbers['sampler']}, {numbers['seconds']:.2f} s a piece in batches",
        "",
        "overlap with held-out" + " " * 4 + "".join(f"{n:>16}" for n in names),
    ]
    for feature in next(iter(numbers["overlap"].values())):
        row = "".join(f"{numbers['overlap'][n][feature]:16.3f}" for n in names)
        lines.append(f"{feature:25}{row}")
    lines += ["", "divergence in nats" + " " * 7 + "".join(f"{n:>16}" for n in names)]
    for feature in next(iter(numbers["divergence"].values())):
        row = "".join(f"{numbers['divergence'][n][feature]:16.3f}" for n in names)
        lines.append(f"{feature:25}{row}")
    lines += ["", "self-similarity: pitch, duration"]
    for name, both in numbers["self-similarity"].items():
        said = ", ".join(f"{k} {v[0]:.2f} {v[1]:.2f}" for k, v in both.items())
        lines.append(f"{name:25}{said}")
    lines += voices.table(numbers.get("voices", {}))
    for part in (
        "chord agreement",
        "inpainting",
        "steps against quality",
        "copies",
        "copies of melodies",
    ):
        if part in numbers:
            lines += ["", part]
            lines += [f"{name!s:42}{value:8.3f}" for name, value in numbers[part].items()]
    return lines
