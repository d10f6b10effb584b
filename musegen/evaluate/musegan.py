"""Reports of MuseGAN: its paper's metrics, variety, coverage, and how accompaniments agree.

Rows are training music, held-out music, and what is generated from noise and around given tracks;
music held out against training music says how far apart real sets are. "paper" counts as the
published code does (docs/metrics.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen import plot
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate.report import Report
from musegen.metrics.rolls import TRACK_METRICS, BarStatistics
from musegen.metrics.rolls import measure as bars_of
from musegen.pipeline.choosing import Choice
from musegen.pipeline.musegan import MuseGANPipeline
from musegen.pretrained import Bundle
from musegen.representations.pianoroll import Pianoroll

Roll = NDArray[np.uint8]
Values = NDArray[np.float64]

COMPARED = ("EB", "UPC", "QN", "DP", "TD")
# Mean distance of the jamming model from the training data, from Dong et al. 2018, Tables 1 and 2.
PAPER = {"EB": 0.029, "UPC": 0.59, "QN": 0.24, "DP": 0.046, "TD": 0.03}
SEEDS = 16  # phrases in the picture
CUTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)
NEAR = 0.8  # intersection over union from which a phrase counts as copied


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found, by mode, metric and row.

    Attributes:
        statistics: for each mode, rows of bar statistics.
        distances: for each mode and row, mean absolute distances from training music.
        variety: shares that are distinct, that are near to a training phrase, and means of the
            largest intersection over union with a training phrase and within the set.
        coverage: accuracy of a classifier that tells rows from training music; 1/2 is perfect.
        agreement: of a given track with the others: real, shuffled, generated.
        given: name of that track.
    """

    statistics: dict[str, dict[str, BarStatistics]]
    distances: dict[str, dict[str, dict[str, float]]]
    variety: dict[str, dict[str, float]]
    coverage: dict[str, float]
    agreement: dict[str, dict[str, float]]
    given: str


def evaluate(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    n: int = 2048,
    seed: int = 0,
    temperature: float = 0.0,
    given: str = "",
    report: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """Compare a model with its training music and with songs that it has not seen.

    Args:
        bundle: the model.
        held_out: windows of held-out songs.
        training: windows of the training songs.
        n: phrases drawn from noise, and at most so many windows of each set.
        seed: of all randomness.
        temperature: see `MuseGANPipeline.generate`.
        given: track that is given to the model; by default the pitched one that plays most.
        report: is told what is being done.

    Raises:
        InputError: no windows, not of the model's kind, or no training part.
    """
    roll: Pianoroll = bundle.representation
    if training is None or not len(held_out) or not len(training):
        raise InputError("data", "has no training or no held-out windows; prepare more songs")
    held_out, training = (as_model(w, roll) for w in (held_out, training))
    pipeline = MuseGANPipeline(bundle)
    report(f"drawing {n} phrases")
    rows = {
        "training": _spread(training, n),
        "held-out": _spread(held_out, n),
        "from noise": pipeline.rolls(n, seed=seed, temperature=temperature),
    }
    k = len(roll.trackset)
    heard = rows["held-out"]
    agreement: dict[str, dict[str, float]] = {}
    which = _part(roll, heard, given)
    if bundle.model.config.given != "none":
        report(f"accompanying {len(heard)} held-out phrases of {roll.trackset.names[which]}")
        known = np.arange(2 * k if roll.onsets else k) % k == which
        told = np.where(known[:, None, None], heard.astype(np.int8), np.int8(-1))
        made = pipeline.rolls(len(told), seed=seed, temperature=temperature, given=told)
        rows["around " + roll.trackset.names[which]] = made
        mixed = np.random.default_rng(seed).permutation(len(heard))
        strangers = np.where(known[:, None, None], heard, heard[mixed])
        agreement = {
            "real": agree(heard, roll, which),
            "shuffled": agree(strangers, roll, which),
            "generated": agree(made, roll, which),
        }
    report("measuring")
    statistics = {
        mode: {name: _bars(x, roll, mode) for name, x in rows.items()}
        for mode in ("octave", "paper")
    }
    distances = {
        mode: {name: _distances(s, found["training"]) for name, s in found.items()}
        for mode, found in statistics.items()
    }
    report("comparing with training phrases")
    seen = _at_home(pipeline, _spread(training, len(training)))  # a copy in another key is one
    variety = {
        name: _variety(_at_home(pipeline, x)[:, :k], seen[:, :k])
        for name, x in rows.items()
        if name != "training"
    }
    ground = features(rows["training"], roll)
    coverage = {
        name: told_apart(features(x, roll), ground, seed)
        for name, x in rows.items()
        if name != "training"
    }
    return Evaluation(
        statistics, distances, variety, coverage, agreement, roll.trackset.names[which]
    )


def thresholds(
    bundle: Bundle, training: Windows, *, n: int = 256, seed: int = 1, given: bool = False
) -> dict[str, list[float]]:
    """The thresholds of held and of struck cells of each track, of CUTS, with which its empty bars,
    cells, notes, pitch classes and short notes come nearest to those of training music: what a
    bundle keeps as `thresholds`, or, with one track of each phrase `given`, as `thresholds_given`.
    """
    roll: Pianoroll = bundle.representation
    k, pipeline = len(roll.trackset), MuseGANPipeline(bundle)
    pipeline.choice = Choice()  # of none: what is chosen is fitted after these
    real = _spread(replace(training, representation=roll), n)
    made, told = np.ones((len(real), k), bool), None
    if given:
        luck = np.random.default_rng(seed).random((len(real), k)) + real[:, :k].any((2, 3))
        made = luck.argmax(1)[:, None] != np.arange(k)
        known = np.tile(~made, (1, real.shape[1] // k))[:, :, None, None]
        told = np.where(known, real.astype(np.int8), np.int8(-1))
    bars = np.repeat(made, roll.bars, axis=0)

    def counted(x: Roll) -> Values:
        """What is to be alike, weighed: [5, tracks]."""
        means = []
        for mode, metric, weight in (("paper", "EB", 10), ("octave", "UPC", 1), ("paper", "QN", 4)):
            found = _bars(x, roll, mode, ())
            mine = {metric: np.where(bars, found.values[metric], np.nan)}
            means.append(weight * np.nan_to_num(replace(found, values=mine).mean(metric)))
        cells = x.mean((2, 3)).reshape(len(x), -1, k).swapaxes(0, 1)
        return np.stack(means + [np.log((c * made).sum(0) / made.sum(0) + 1e-5) for c in cells])

    names, goal = [name.lower() for name in roll.trackset.names], counted(real)
    best = np.full((real.shape[1] // k, k), 0.5)
    for planes in ([0, 1], [1], [0]) if roll.onsets else ([0],):  # both alike, then in turn
        tried = np.repeat(best[None], len(CUTS), axis=0)
        tried[:, planes] = np.array(CUTS)[:, None, None]
        costs = []
        for cut in tried:
            each = dict(zip(names, cut.T.tolist(), strict=True))
            x = pipeline.rolls(len(real), seed=seed, threshold=each, given=told)
            costs.append(np.abs(counted(x) - goal).sum(0))
        best = tried[np.argmin(costs, axis=0), :, np.arange(k)].T
    return dict(zip(names, best.T.tolist(), strict=True))


def agree(x: Roll, roll: Pianoroll, which: int) -> dict[str, float]:
    """How a track goes with the other pitched ones of rolls [n, channels, steps, pitches].

    "TD" is the mean tonal distance, "shared" the mean share of the pitch classes that one of both
    has in a bar which both have.
    """
    k, drums = len(roll.trackset), roll.trackset.drums
    pairs = [(which, i) for i in range(k) if i not in (which, drums)]
    measured = bars_of(x[:, :k], roll.steps_per_beat, drums=[drums], pairs=pairs)
    fold = np.eye(12, dtype=np.float32)[np.arange(x.shape[-1]) % 12]
    bars = x[:, :k].reshape(len(x), k, roll.bars, -1, x.shape[-1]).any(3)
    classes = (bars.astype(np.float32) @ fold) > 0  # [n, k, m, 12]
    a, b = classes[:, [which]], classes[:, [i for _, i in pairs]]
    both, either = (a & b).sum(-1), (a | b).sum(-1)
    there = a.any(-1) & b.any(-1)
    return {
        "TD": float(np.nanmean(measured.values["TD"])) if there.any() else float("nan"),
        "shared": float((both / np.maximum(either, 1))[there].mean()) if there.any() else 0.0,
    }


def features(x: Roll, roll: Pianoroll) -> Values:
    """What a phrase is like in numbers, [n, d]: means of the metrics over its bars, 0 where they
    say nothing, and how many cells and onsets each track has.
    """
    found, k = _bars(x, roll, "octave"), len(roll.trackset)
    columns = []
    for name in (*TRACK_METRICS, "TD"):
        values = found.values[name].reshape(len(x), roll.bars, -1)
        there = ~np.isnan(values)
        total = np.where(there, values, 0).sum(1)
        columns.append(total / np.maximum(there.sum(1), 1))
    counts = x.sum((2, 3)).reshape(len(x), -1, k).reshape(len(x), -1)
    pitches = x[:, :k].sum(2) @ np.arange(x.shape[-1])
    mean_pitch = pitches / np.maximum(x[:, :k].sum((2, 3)), 1)
    return np.concatenate([*columns, np.log1p(counts), mean_pitch / 12], axis=1)


def told_apart(a: Values, b: Values, seed: int, folds: int = 5) -> float:
    """Accuracy with which a logistic regression tells two sets of features apart (Lopez-Paz and
    Oquab 2017): trained on four fifths of as many of both, tested on the rest, in turn.

    Features, their squares and a constant; weights are found by Newton's method with a penalty.
    """
    rng, n = np.random.default_rng(seed), min(len(a), len(b))
    both = np.concatenate([rng.permutation(a)[:n], rng.permutation(b)[:n]])
    both = (both - both.mean(0)) / (both.std(0) + 1e-9)
    both = np.concatenate([both, both**2, np.ones((2 * n, 1))], axis=1)
    truth = np.repeat([1.0, 0.0], n)
    place = np.tile(np.arange(n) % folds, 2)
    right = 0
    for fold in range(folds):
        test = place == fold
        x, y = both[~test], truth[~test]
        w = np.zeros(x.shape[1])
        for _ in range(20):
            p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
            hessian = (x * (p * (1 - p))[:, None]).T @ x + np.eye(len(w))
            w -= np.linalg.solve(hessian, x.T @ (p - y) + w)
        right += int(((both[test] @ w > 0) == truth[test]).sum())
    return right / (2 * n)


def overlaps(a: Roll, b: Roll, chunk: int = 256) -> Values:
    """Largest intersection over union of each roll of `a` with any of `b`, [n]."""
    flat = b.reshape(len(b), -1).astype(np.float32)
    size = flat.sum(1)
    best = []
    for i in range(0, len(a), chunk):
        part = a[i : i + chunk].reshape(-1, flat.shape[1]).astype(np.float32)
        common = part @ flat.T
        union = part.sum(1)[:, None] + size - common
        best.append((common / np.maximum(union, 1)).max(1))
    return np.concatenate(best).astype(float)


def scores(result: Evaluation) -> dict[str, float]:
    """The evaluation in a few numbers, for lists of models."""
    found = {f"{k} from training": v for k, v in result.distances["octave"]["from noise"].items()}
    found["told apart"] = result.coverage["from noise"]
    found["near copies"] = result.variety["from noise"]["near"]
    return {name: round(value, 3) for name, value in found.items()}


def table(result: Evaluation) -> list[str]:
    """The evaluation in lines of text."""
    lines: list[str] = []
    for mode, rows in result.statistics.items():
        names = next(iter(rows.values())).names
        lines.append(f"{mode}: {', '.join(names)}; TD of pairs in their order")
        for metric in COMPARED:
            for name, found in rows.items():
                cells = "".join(
                    "      -" if np.isnan(v) else f"{v:7.3f}" for v in found.mean(metric)
                )
                lines.append(f"  {metric:4}{name:18}{cells}")
        lines.append(f"  distance from training{'':3}" + "".join(f"{m:>7}" for m in COMPARED))
        ours = {k: v for k, v in result.distances[mode].items() if k != "training"}
        for name, far in (*ours.items(), ("MuseGAN, its own data", PAPER)):
            cells = "".join(f"{far[m]:7.3f}" for m in COMPARED)
            lines.append(f"    {name:22}{cells}")
    octave = result.statistics["octave"]
    apart = np.abs(octave["from noise"].mean("EB") - octave["training"].mean("EB"))
    names = octave["training"].names
    dead = [name for name, d in zip(names, apart, strict=True) if d > 0.15]
    lines.append(f"tracks whose EB is over 15 points away: {', '.join(dead) or 'none'}")
    lines.append("variety (shares)      distinct  near a training phrase  mean IoU to it  mean IoU")
    for name, v in result.variety.items():
        cells = f"{v['distinct']:8.3f}{v['near']:24.3f}{v['nearest']:16.3f}{v['within']:10.3f}"
        lines.append(f"  {name:20}{cells}")
    told = ", ".join(f"{name} {value:.3f}" for name, value in result.coverage.items())
    lines.append(f"told apart from training music by a classifier (0.5 is perfect): {told}")
    if result.agreement:
        lines.append(f"agreement with {result.given}        TD  shared pitch classes")
        for name, values in result.agreement.items():
            lines.append(f"  {name:22}{values['TD']:7.3f}{values['shared']:10.3f}")
    return lines


def measure(bundle: Bundle, held_out: Windows, training: Windows | None, **options: Any) -> Report:
    """The report of a MuseGAN; `options` are those of `evaluate`."""
    result = evaluate(bundle, held_out, training, **options)
    numbers: Mapping[str, Any] = {
        "bars": {
            mode: {name: s.as_dict() for name, s in rows.items()}
            for mode, rows in result.statistics.items()
        },
        "distances": result.distances,
        "variety": result.variety,
        "coverage": result.coverage,
        "agreement": result.agreement,
    }
    return Report(table(result), numbers, scores(result), {"seeds.png": seeds(bundle)})


def seeds(bundle: Bundle, n: int = SEEDS) -> bytes:
    """The music of the first `n` seeds, none left out, as PNG."""
    pipeline = MuseGANPipeline(bundle)
    x = np.concatenate([pipeline.rolls(1, seed=seed) for seed in range(n)])
    scores = [bundle.representation.decode(roll) for roll in x]
    return bytes(plot.grid(scores, [f"seed {i}" for i in range(n)]))


def as_model(windows: Windows, roll: Pianoroll) -> Windows:
    """Windows as a model has them; InputError where they are of another kind."""
    theirs, kind = windows.representation, (roll.tracks, roll.bars)
    if not isinstance(theirs, Pianoroll) or (theirs.tracks, theirs.bars) != kind:
        raise InputError(
            "data", f"has not the model's windows: prepare --kind band --tracks {roll.tracks}"
        )
    return replace(windows, representation=roll)


def _spread(windows: Windows, n: int) -> Roll:
    return np.concatenate([x for x, _ in windows.chunks(256, n)])


def _at_home(pipeline: MuseGANPipeline, x: Roll) -> Roll:
    """Rolls in the key in which the model has learned them."""
    rolls = torch.from_numpy(x)
    moved: Roll = pipeline.model.moved(rolls, pipeline.model.home(rolls)).numpy()
    return moved


def _bars(
    x: Roll, roll: Pianoroll, mode: str, pairs: Sequence[tuple[int, int]] | None = None
) -> BarStatistics:
    k, drums = len(roll.trackset), roll.trackset.drums
    onsets = x[:, k:] if roll.onsets else None
    names = roll.trackset.names
    return bars_of(
        x[:, :k],
        roll.steps_per_beat,
        roll.beats_per_bar * roll.steps_per_beat,
        drums=[drums] if drums >= 0 else [],
        names=names,
        onsets=onsets,
        mode=mode,
        pairs=pairs,
    )


def _distances(found: BarStatistics, ground: BarStatistics) -> dict[str, float]:
    """Mean absolute distances over tracks or pairs; a track that is never there counts as 0."""
    far = {m: np.abs(np.nan_to_num(found.mean(m)) - ground.mean(m)) for m in COMPARED}
    return {m: float(np.nanmean(d)) if (~np.isnan(d)).any() else 0.0 for m, d in far.items()}


def _variety(x: Roll, training: Roll) -> dict[str, float]:
    nearest = overlaps(x, training)
    few = x[:512]
    flat = few.reshape(len(few), -1).astype(np.float32)
    common = flat @ flat.T
    union = flat.sum(1)[:, None] + flat.sum(1) - common
    within = (common / np.maximum(union, 1))[~np.eye(len(few), dtype=bool)]
    return {
        "distinct": len({row.tobytes() for row in x}) / len(x),
        "near": float((nearest > NEAR).mean()),
        "nearest": float(nearest.mean()),
        "within": float(within.mean()) if len(within) else 0.0,
    }


def _part(roll: Pianoroll, x: Roll, given: str) -> int:
    names = [name.lower() for name in roll.trackset.names]
    if given:
        if given.lower() not in names:
            raise InputError("data", f"has no track {given!r}; there are {', '.join(names)}")
        return names.index(given.lower())
    plays = x[:, : len(names)].any((2, 3)).mean(0)
    plays[roll.trackset.drums] = 0
    return int(plays.argmax())
