"""What a bundle of MuseGAN keeps of its training music: thresholds, and how phrases are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from musegen.config import to_dict
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate.musegan import as_model, thresholds
from musegen.pipeline.choosing import Choice, Values, distances, excess
from musegen.pipeline.musegan import MuseGANPipeline
from musegen.pretrained import Bundle

DRAWN = 16384  # phrases from which a choice is learned
LEAST = 1e-3  # of the penalty on weights of standardised features: none grows without end


def fitted(
    bundle: Bundle,
    training: Windows | None,
    *,
    drawn: int = DRAWN,
    seed: int = 1,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """`thresholds`, `thresholds_given` and `choice` for the info of a bundle.

    Args:
        bundle: the model.
        training: windows of the songs it was trained on.
        drawn: phrases from which the choice is learned.
        seed: of all randomness.
        report: is told what is being done.

    Raises:
        InputError: no training windows, or not of the model's kind.
    """
    if training is None or not len(training):
        raise InputError("data", "has no training windows to fit to; give a prepared folder")
    training = as_model(training, bundle.representation)
    report("fitting thresholds")
    found: dict[str, Any] = {"thresholds": thresholds(bundle, training, seed=seed)}
    if bundle.model.config.given != "none":
        found["thresholds_given"] = thresholds(bundle, training, seed=seed, given=True)
    report("fitting the choice of phrases")
    bundle = replace(bundle, info={**bundle.info, **found})
    return {**found, "choice": to_dict(choice(bundle, training, drawn=drawn, seed=seed))}


def choice(
    bundle: Bundle, training: Windows, *, drawn: int = DRAWN, of: int = 2, seed: int = 1
) -> Choice:
    """How phrases from noise are to be chosen among `of`, so that the TD of each pair of tracks is
    on average as large as in the training music, with the thresholds of the bundle.

    The weights are those of largest likelihood for music as one of `of` candidates beside the
    model's: the minimum, by Newton's method, of the convex mean of log sum exp(w . f) over groups
    of candidates, whose gradient is the mean of f among the chosen; it is 0 in music. Pairs that
    never sound together in training count nothing.
    """
    roll, pipeline = bundle.representation, MuseGANPipeline(bundle)
    pipeline.choice = Choice()
    bars = [bar for x, _ in training.chunks(256) for bar in distances(x, roll)]
    music = np.concatenate(bars)
    there = ~np.isnan(music)
    means = np.where(there, music, 0).sum(0) / np.maximum(there.sum(0), 1)
    seeds = np.random.default_rng(seed).integers(2**31, size=-(-drawn // 512))
    made = [excess(pipeline.rolls(512, seed=int(s)), roll, means) for s in seeds]
    f = np.concatenate(made)[: drawn // of * of] * there.any(0)
    size = f.std(0) + 1e-9
    weights = tilted((f / size).reshape(of, -1, f.shape[1])) / size * there.any(0)
    return Choice(of, tuple(means.round(6).tolist()), tuple(weights.round(6).tolist()))


def tilted(f: Values) -> Values:
    """Weights w [d] with which the mean of features [of, n, d] is 0 among candidates that are
    chosen of each `of` with probabilities as exp(w . f).
    """
    w = np.zeros(f.shape[2])

    def cost(w: Values) -> float:
        return float(np.logaddexp.reduce(f @ w).mean() + LEAST / 2 * w @ w)

    for _ in range(30):
        p = np.exp(f @ w - np.logaddexp.reduce(f @ w))
        mean = np.einsum("kn,knd->nd", p, f)
        slope = mean.mean(0) + LEAST * w
        bend = np.einsum("kn,knd,kne->de", p, f, f) / len(mean) - mean.T @ mean / len(mean)
        step = np.linalg.solve(bend + LEAST * np.eye(len(w)), slope)
        while cost(w - step) > cost(w) and np.abs(step).max() > 1e-9:
            step = step / 2
        w = w - step
    return w
