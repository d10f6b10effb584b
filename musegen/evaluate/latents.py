"""Long melodies against held-out songs: how much they hang together, features, copies.

Beside the model's rows stand independent windows of its own autoencoder, melodies of a shipped
hierarchical MusicVAE put one after the other up to the length, held-out songs whose windows are
exchanged among them (everything of them is real but the order), and held-out songs whose single
steps are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen import metrics, plot, pretrained
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate.features import Symbols, Values, edges, features, overlaps, shuffled
from musegen.evaluate.musicvae import FORM, copies, draw, keyless
from musegen.evaluate.report import Report
from musegen.pretrained import Bundle
from musegen.representations.events import FIRST_ONSET, STEPS_PER_BAR, Melody
from musegen.samplers import Plan

BATCH = 64
LONG = "melody-16bar"  # what is put one after the other
PHRASE = 4  # bars that count as copied when they are in a training song in some key
RETURN = "windows that return"


def measure(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    n: int = 512,
    seed: int = 0,
    temperature: float = 0.0,
    steps: int = 50,
    sampler: str = "ddim",
    report: Callable[[str], None] = lambda text: None,
    **_: Any,
) -> Report:
    """The report; `n` melodies of each kind against all held-out windows.

    Raises:
        InputError: no windows, or not of the model's length.
    """
    kind, model = bundle.representation, bundle.model
    if not len(held_out) or held_out.representation.steps != kind.steps:
        raise InputError("data", f"has no windows of the model's {kind.bars} bars")
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    real = held_out.encode(np.arange(len(held_out)))
    size, count = model.config.autoencoder.steps, model.config.windows
    plan = Plan(steps, sampler)  # type: ignore[arg-type]
    report(f"drawing {n} melodies")
    sets = {"model": generate(model, n, generator, temperature, plan)}
    report("drawing windows apart from each other")
    alone = Bundle(bundle.name, model.autoencoder, kind)
    sets["windows apart"] = _after_each_other(alone, n, count, generator)
    if LONG in pretrained.names() and bundle.name != LONG:
        long = pretrained.load(LONG)
        times = -(-kind.bars // long.representation.bars)
        report(f"drawing melodies of {LONG}")
        sets[f"{LONG} x {times}"] = _after_each_other(long, n, times, generator)[:, : kind.steps]
    parts = real.reshape(len(real), count, size)
    order = np.argsort(rng.random((len(real), count)), axis=0)
    sets["real, windows exchanged"] = np.take_along_axis(parts, order[..., None], 0).reshape(
        real.shape
    )
    sets["real, steps exchanged"] = shuffled(real, rng)
    truth = features(real, kind)
    values = {name: features(x, kind) for name, x in sets.items()}
    overlap = {name: overlaps(v, truth) for name, v in values.items()}
    if training is not None:  # as near as real music comes
        some = rng.choice(len(training), min(n, len(training)), replace=False)
        sets["training songs"] = training.encode(some)
        overlap["training songs"] = overlaps(features(sets["training songs"], kind), truth)
    frames = _frames(real, kind)
    form = {
        name: _form(_frames(x, kind), frames) | {RETURN: returns(x, size)}
        for name, x in sets.items()
    }
    form["held-out"] = _form(frames, frames) | {RETURN: returns(real, size)}
    numbers: dict[str, Any] = {
        "samples": n,
        "steps": steps,
        "sampler": sampler,
        "form": form,
        "overlap": overlap,
        "reconstruction": reconstruction(model, real, generator),
        "copies": copies(sets["model"], training),
    }
    if training is not None:
        phrases = {_key(p) for p in _phrases(training.encode(np.arange(len(training))))}
        for name, x in (("model", sets["model"]), ("held-out", real)):
            found = [_key(p) in phrases for p in _phrases(x)]
            numbers["copies"][f"{name}: phrases of {PHRASE} bars"] = float(np.mean(found))
    mine = overlap["model"]
    scores = {
        "least overlap with held-out music": min(mine.values()),
        "least of self-similarity": min(form["model"][k] for k in FORM[:4]),
    }
    shown = {"model": values["model"], "held-out": truth, "naive": values["windows apart"]}
    titles = {name: f"{name}  {area:.2f}" for name, area in mine.items()}
    pictures = {"densities.png": plot.densities(shown, {f: edges(f) for f in mine}, titles)}
    return Report(table(numbers), numbers, {k: round(v, 3) for k, v in scores.items()}, pictures)


def generate(
    model: Any, n: int, generator: torch.Generator, temperature: float, plan: Plan
) -> Symbols:
    """Symbols [n, steps] of new melodies."""
    made = []
    for i in range(0, n, BATCH):
        z = model.prior(min(BATCH, n - i), generator)
        made.append(model.decode(z, generator, temperature, plan=plan).cpu().numpy())
    return np.concatenate(made).astype(np.uint8)


def _after_each_other(
    bundle: Bundle, n: int, times: int, generator: torch.Generator
) -> NDArray[np.integer]:
    """`times` independent draws of a model's prior in a row, [n, steps]."""
    x = draw(bundle, n * times, generator, 1.0, bundle.model.prior)
    return x.reshape(n, -1).astype(np.uint8)


def _frames(x: Symbols, kind: Melody) -> Values:
    return np.array([metrics.frame_overlaps(kind.decode_steps(row), kind.bars) for row in x])


def _form(mine: Values, real: Values) -> dict[str, float]:
    """How much melodies hang together, from their frame overlaps [n, 2] and those of real ones."""
    figures = [*metrics.self_similarity_scores(mine, real), np.nanmean(mine, 0)]
    return dict(zip(FORM, np.concatenate(figures).tolist(), strict=True))


def returns(x: Symbols, size: int) -> float:
    """Share of the windows of `size` steps, but the first, that were in their melody before; silent
    ones do not count.
    """
    again = total = 0
    for row in x.reshape(len(x), -1, size):
        sounding = [window.tobytes() for window in row[(row >= FIRST_ONSET).any(1)]]
        again += len(sounding) - len(set(sounding))
        total += max(0, len(sounding) - 1)
    return again / max(1, total)


def reconstruction(model: Any, x: Symbols, generator: torch.Generator) -> float:
    """Share of the steps that come out of the autoencoder as they went in, through the dimensions
    that are kept.
    """
    right = []
    for i in range(0, len(x), BATCH):
        part = torch.from_numpy(x[i : i + BATCH]).long()
        made = model.write(model.latents(part), generator).cpu()
        right.append((made == part).float().mean(1))
    return float(torch.cat(right).mean())


def _phrases(x: Symbols) -> Symbols:
    """Stretches of `PHRASE` bars with at least 8 notes, each two bars after the last, [m, steps],
    in no key.
    """
    width = PHRASE * STEPS_PER_BAR
    starts = range(0, x.shape[1] - width + 1, 2 * STEPS_PER_BAR)
    cut = np.concatenate([x[:, s : s + width] for s in starts])
    return keyless(cut[(cut >= FIRST_ONSET).sum(1) >= 8])


def _key(row: NDArray[np.integer]) -> bytes:
    return row.astype(np.int16).tobytes()


def table(numbers: dict[str, Any]) -> list[str]:
    """The report in lines of text."""
    form, overlap, copied = numbers["form"], numbers["overlap"], numbers["copies"]
    names = list(form)
    width = max(map(len, names)) + 2
    lines = ["self-similarity over the bars (1 is as in held-out songs; overlaps as they are)"]
    heads = [*FORM, RETURN]
    for head in heads:
        lines.append(f"  {head}")
        lines += [f"    {name:{width}}{form[name][head]:6.3f}" for name in names]
    lines.append("overlapping area with held-out music")
    rows = list(overlap)
    for feature in overlap["model"]:
        lines.append(f"  {feature}")
        lines += [f"    {name:{width}}{overlap[name][feature]:6.3f}" for name in rows]
    lines.append(f"reconstruction of held-out steps: {numbers['reconstruction']:.4f}")
    said = ", ".join(f"{name} {share:.4f}" for name, share in copied.items() if name != "n")
    lines.append(f"copies of training songs, shares (n {copied['n']}): {said}")
    return lines
