"""Reports: how well a model reconstructs held-out songs, and how like them its own music is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen import metrics, plot
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate import harmony
from musegen.evaluate.features import Symbols, Values, edges, features, overlaps, shuffled
from musegen.evaluate.report import Report
from musegen.objectives.variational import cross_entropy, gaussian_kl, likeliest
from musegen.pretrained import Bundle
from musegen.representations.drums import Drums
from musegen.representations.events import FIRST_ONSET, HIGHEST, VOCAB, Melody
from musegen.representations.trio import Trio

Say = Callable[[str], None]
VOICES = ("melody", "bass", "drums")
FORM = (
    "pitch consistency",
    "duration consistency",
    "pitch variance",
    "duration variance",
    "pitch overlap",
    "duration overlap",
)
Prior = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Tables as dicts, and the feature values behind them for drawing.

    Attributes:
        reconstruction: per set of songs: windows, teacher, sampled, sampled_mean, ce, kl.
        samples: shares that are distinct, identical to a training window, and so in any key; for
            comparison the share of held-out windows that are identical to one.
        overlap: per set of songs and row (model, N(0,I), real, naive) each feature's overlap.
        values: per set: feature values of model, held-out, naive.
        structure: of model and naive: how much bars hang together as those of held-out songs do
            (`metrics.self_similarity_scores`), where windows are of 8 bars or more.
    """

    reconstruction: dict[str, dict[str, float]]
    samples: dict[str, float]
    overlap: dict[str, dict[str, dict[str, float]]]
    values: dict[str, dict[str, dict[str, Values]]]
    structure: dict[str, dict[str, float]]


def evaluate(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    n: int = 2048,
    seed: int = 0,
    temperature: float = 1.0,
    spread: float | None = None,
    report: Say = lambda text: None,
) -> Evaluation:
    """Compare a model with songs that it was not trained on.

    Samples are drawn in the styles of the held-out windows, as often as there, where the model
    knows them; when there are several, each also gets a row of its own. The yardsticks are
    training windows against held-out ones (real) and held-out windows with each time step
    shuffled across windows (naive).

    Args:
        bundle: the model.
        held_out: windows of held-out songs.
        training: windows of the training songs; None leaves out what needs them.
        n: samples drawn for each set.
        seed: of all randomness.
        temperature: of the samples and of the "sampled" accuracies.
        spread: of the prior (see `MusicVAE.prior`); the model's default by default.
        report: is told what is being done.

    Raises:
        InputError: no windows, or not of the model's length.
    """
    if held_out.representation.steps != bundle.representation.steps:
        raise InputError("data", f"has {held_out.representation.bars}-bar windows, not the model's")
    if not len(held_out):
        raise InputError("data", "has no held-out windows; prepare more songs")
    kind = bundle.representation
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    known = bundle.model.config.styles
    counts = [len(held_out.of_style(s)) if s in held_out.styles else 0 for s in known]
    mix = counts if sum(counts) == len(held_out) else None
    sets: dict[str, tuple[Any, int | list[int] | None]] = {"all": (np.arange(len(held_out)), mix)}
    if len(held_out.styles) > 1:
        for number, called in enumerate(known):
            if counts[number]:
                sets[called] = (held_out.of_style(called), number)
    reconstruction, overlap, values = {}, {}, {}
    samples: dict[str, float] = {}
    form: dict[str, dict[str, float]] = {}
    for name, (index, style) in sets.items():
        report(f"{name}: reconstructing {len(index)} held-out windows")
        reconstruction[name] = _reconstruction(bundle, held_out, index, generator, temperature)
        report(f"{name}: drawing {n} samples")
        prior = partial(bundle.model.prior, style=style)
        if spread is not None:
            prior = partial(prior, spread=spread)
        told = None
        if bundle.model.config.control:  # the chords of held-out windows
            told = held_out.chord_symbols(rng.choice(index, n))
        windows = draw(bundle, n, generator, temperature, prior, told)
        real = held_out.encode(index)
        found = {
            "model": features(windows, kind),
            "held-out": features(real, kind),
            "naive": features(shuffled(real, rng), kind),
        }
        others = {"model": found["model"]}
        if name == "all":
            samples = copies(windows, training)
            if training is not None:
                samples["held_out_identical"] = copies(real, training)["identical"]
            normal = draw(bundle, n, generator, temperature, bundle.model.normal_prior)
            others["N(0,I)"] = features(normal, kind)
            form = structure(windows, real, shuffled(real, rng), kind)
        if training is not None:
            old = np.arange(len(training)) if name == "all" else training.of_style(name)
            others["real"] = features(training.encode(old), kind)
        others["naive"] = found["naive"]
        overlap[name] = {k: overlaps(v, found["held-out"]) for k, v in others.items()}
        values[name] = found
    return Evaluation(reconstruction, samples, overlap, values, form)


def copies(windows: Symbols, training: Windows | None) -> dict[str, float]:
    """Shares of samples that are distinct, that are a training window, and are one in some key."""
    n = len(windows)
    found: dict[str, float] = {"n": n, "distinct": len({w.tobytes() for w in windows}) / n}
    if training is not None:
        old = training.encode(np.arange(len(training))).astype(windows.dtype)
        for name, form in (("identical", windows), ("identical_transposed", keyless(windows))):
            seen = {w.tobytes() for w in (old if name == "identical" else keyless(old))}
            found[name] = sum(w.tobytes() in seen for w in form) / n
    return found


def keyless(x: Symbols) -> Symbols:
    """Symbols of melodies with pitches counted from the first note; others as they are."""
    if x.ndim > 2 or x.max(initial=0) > HIGHEST:
        return x
    notes = np.where(x >= FIRST_ONSET, x.astype(np.int64), 0)
    first = np.take_along_axis(notes, (notes > 0).argmax(axis=1)[:, None], axis=1)
    return np.where(notes > 0, notes - first + VOCAB, x).astype(x.dtype)


def draw(
    bundle: Bundle,
    n: int,
    generator: torch.Generator,
    temperature: float,
    prior: Prior,
    told: NDArray[np.integer] | None = None,
) -> Symbols:
    """`n` windows of symbols decoded from latents of a prior, to chords [n, beats, 36] or none."""
    parts = []
    for i in range(0, n, 256):
        given = None if told is None else torch.from_numpy(told[i : i + 256])
        z = prior(min(256, n - i), generator, **({} if told is None else {"given": given}))
        x = bundle.model.decode(z, generator, temperature, given=given)
        parts.append(x.numpy().astype(np.uint16))
    return np.concatenate(parts)


def structure(
    made: Symbols, real: Symbols, naive: Symbols, kind: Melody | Drums | Trio
) -> dict[str, dict[str, float]]:
    """Self-similarity of melodies (of 8 bars or more) beside that of held-out ones."""
    if not isinstance(kind, Melody) or kind.bars < 8:
        return {}
    frames = [
        np.array([metrics.frame_overlaps(kind.decode_steps(row), kind.bars) for row in x])
        for x in (made, real, naive)
    ]
    rows = {}
    for name, mine in (("model", frames[0]), ("naive", frames[2])):
        consistency, variance = metrics.self_similarity_scores(mine, frames[1])
        figures = (*consistency, *variance, *mine.mean(0))
        rows[name] = dict(zip(FORM, map(float, figures), strict=True))
    rows["held-out"] = dict(zip(FORM, (1, 1, 1, 1, *map(float, frames[1].mean(0))), strict=True))
    return rows


@torch.no_grad()
def _reconstruction(
    bundle: Bundle, data: Windows, index: Any, generator: torch.Generator, temperature: float
) -> dict[str, float]:
    """Per-step accuracies as in MusicVAE's Table 1, weighted by windows; of trios those of each
    voice too.
    """
    model, total = bundle.model, np.zeros(5)
    voices = VOICES if len(model.config.vocab) > 1 else ()
    by_voice = np.zeros((3, len(voices)))
    for i in range(0, len(index), 256):
        part = index[i : i + 256]
        x = torch.from_numpy(data.encode(part).astype(np.int64))
        given = torch.from_numpy(data.chord_symbols(part)) if model.config.control else None
        mean, std = model.encode(x, given)
        z = mean + std * torch.randn(mean.shape, generator=generator)
        logits = model(z, x, None, given)
        ce = cross_entropy(logits, x).sum()
        made = (
            likeliest(logits, x),
            model.decode(z, generator, temperature, given=given),
            model.decode(mean, generator, temperature, given=given),
        )
        right = [(y == x).double() for y in made]
        total += [
            *(float(r.mean()) * len(x) for r in right),
            float(ce),
            float(gaussian_kl(mean, std).sum()),
        ]
        if voices:
            by_voice += [(r.mean((0, 2)) * len(x)).tolist() for r in right]
    names = ("teacher", "sampled", "sampled_mean", "ce", "kl")
    figures = dict(zip(names, (total / len(index)).tolist(), strict=True))
    rows = dict(zip(names, (by_voice / len(index)).tolist(), strict=False))
    each = {f"{v} {k}": row[i] for k, row in rows.items() for i, v in enumerate(voices)}
    return {"windows": len(index)} | figures | each


def scores(result: Evaluation) -> dict[str, float]:
    """The evaluation in four numbers, for lists of models."""
    whole, overlap = result.reconstruction["all"], result.overlap["all"]["model"]
    found = {
        "teacher-forced": whole["teacher"],
        "sampled": whole["sampled"],
        "distinct": result.samples["distinct"],
        "least overlap with held-out music": min(overlap.values()),
    }
    return {name: round(value, 3) for name, value in found.items()}


def table(result: Evaluation) -> list[str]:
    """The evaluation in lines of text."""
    lines = ["reconstruction of held-out windows (share of steps right)"]
    lines.append(f"  {'set':10} {'windows':>8} {'teacher':>9} {'sampled':>9} {'from mean':>10}")
    for name, r in result.reconstruction.items():
        lines.append(
            f"  {name:10} {r['windows']:8.0f} {r['teacher']:9.4f} {r['sampled']:9.4f} "
            f"{r['sampled_mean']:10.4f}   (nats: CE {r['ce']:.2f}, KL {r['kl']:.2f})"
        )
        for voice in (v for v in VOICES if f"{v} teacher" in r):
            shares = [r[f"{voice} {k}"] for k in ("teacher", "sampled", "sampled_mean")]
            lines.append("    {:8} {:8} {:9.4f} {:9.4f} {:10.4f}".format(voice, "", *shares))
    if result.structure:
        lines.append("self-similarity over the bars (1 is as in held-out songs)")
        for name, row in result.structure.items():
            cells = ", ".join(f"{what} {value:.2f}" for what, value in row.items())
            lines.append(f"  {name:10} {cells}")
    s = result.samples
    words = {
        "distinct": "distinct",
        "identical": "identical to a training window",
        "identical_transposed": "the same in any key",
        "held_out_identical": "held-out windows identical to one",
    }
    said = ", ".join(f"{text} {s[key]:.4f}" for key, text in words.items() if key in s)
    lines.append(f"samples from the prior (n {s['n']}): {said}")
    lines.append("overlapping area with held-out music")
    for name, rows in result.overlap.items():
        lines.append(f"  {name}")
        lines.append(f"    {'feature':22}" + "".join(f"{row:>8}" for row in rows))
        for feature in next(iter(rows.values())):
            cells = "".join(f"{row[feature]:8.3f}" for row in rows.values())
            lines.append(f"    {feature:22}{cells}")
    return lines


def measure(bundle: Bundle, held_out: Windows, training: Windows | None, **options: Any) -> Report:
    """The report of a MusicVAE; `options` are those of `evaluate`."""
    result = evaluate(bundle, held_out, training, **options)
    overlap = result.overlap["all"]["model"]
    bins = {name: edges(name) for name in overlap}
    titles = {name: f"{name}  {area:.2f}" for name, area in overlap.items()}
    lines = table(result)
    numbers: dict[str, Any] = {
        "reconstruction": result.reconstruction,
        "samples": result.samples,
        "overlap": result.overlap,
        "structure": result.structure,
    }
    if bundle.model.config.control:
        seed = int(options.get("seed", 0))
        numbers["chords"] = harmony.harmony(bundle, held_out, seed=seed)
        lines += harmony.table(numbers["chords"])
    pictures = {"densities.png": plot.densities(result.values["all"], bins, titles)}
    return Report(lines, numbers, scores(result), pictures)
