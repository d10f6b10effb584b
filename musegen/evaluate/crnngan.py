"""Reports of C-RNN-GAN: the statistics of its paper, densities of times and intervals, and copies.

Sets are compared as windows: as many bars as the model's representation has, of which the first
`cells` notes count. Real against real (training songs) is as near as music comes to other music;
"shuffle" has every number of a held-out cell from a random other one. A model of rhythms is given
those of the held-out windows, and "shuffle" keeps them, so that times and lengths are left out.
"""

from __future__ import annotations

import math
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
from musegen.metrics import Values, overlapping_area, tone_statistics
from musegen.pipeline.crnngan import TEMPERATURE, TOP_P
from musegen.pretrained import Bundle
from musegen.representations.tuples import PPQ, Tuples
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, cut

BAR = 4 * PPQ
PATTERN = 8  # notes of a pattern that may be copied
# What is compared as densities: bin edges in ticks, semitones and velocities.
EDGES: dict[str, Values] = {
    "inter-onset": np.arange(-12, 2 * PPQ + 13, 24.0),
    "duration": np.arange(0, 4 * PPQ + 1, 24.0),
    "interval": np.arange(-36.5, 37),
    "pitch": np.arange(20.5, 109),
    "intensity": np.arange(0, 129, 4.0),
}
# Of models of rhythms: what they make, and two statistics of each piece.
MADE = {name: EDGES[name] for name in ("interval", "pitch", "intensity")}
EACH: dict[str, Values] = {
    "polyphony": np.linspace(0, 1, 21),
    "scale consistency": np.linspace(0.5, 1, 21),
}
BATCH = 250  # sequences at once
WATCHED = 64  # pieces that are made at each checkpoint of a run
STATISTICS = tuple(tone_statistics(np.array([[0, 1, 60, 64]])))
# Values digitised from the vector graphics of Mogren 2016, Figure 3: medians.
PAPER = {
    "C-RNN-GAN": (0.0, 0.640, 2.6, 18.5, 16.9, 82),
    "its baseline": (0.0, 0.699, 16.2, 9.7, 8.2, 77.5),
    "C-RNN-GAN-3": (0.71, 0.619, 4.7, 53, 36, 95),
    "its real music": (0.547, 0.838, 83, 48, 44, 37),
}


@dataclass(frozen=True)
class Evaluation:
    """Rows by name of a set of music.

    Attributes:
        statistics: medians of the paper's six statistics, counted correctly.
        as_published: the same, counted as the published code does.
        overlap: of each density with that of held-out music, 0 to 1.
        copies: shares of patterns of 8 notes, in any key, that are in training songs.
        nats: see `nats`.
        values: what the densities are made of.
    """

    statistics: dict[str, dict[str, float]]
    as_published: dict[str, dict[str, float]]
    overlap: dict[str, dict[str, float]]
    copies: dict[str, float]
    nats: dict[str, dict[str, float]]
    values: dict[str, dict[str, Values]]


def densities(pieces: Sequence[Notes]) -> dict[str, Values]:
    """All values of the features of `EDGES` in a set of pieces, notes in ticks."""
    made = [p for p in pieces if len(p)]
    table: dict[str, Callable[[Notes], NDArray[Any]]] = {
        "inter-onset": lambda p: np.diff(p[:, ONSET]),
        "duration": lambda p: p[:, DURATION],
        "interval": lambda p: np.diff(p[:, PITCH]),
        "pitch": lambda p: p[:, PITCH],
        "intensity": lambda p: p[:, VELOCITY],
    }
    return {k: np.concatenate([np.zeros(0), *map(f, made)]) for k, f in table.items()}


def made_to_rhythms(pieces: Sequence[Notes]) -> dict[str, Values]:
    """All values of the features of `MADE` and `EACH` in a set of pieces."""
    found, rows = densities(pieces), [tone_statistics(p) for p in pieces if len(p)]
    each = {name: np.array([row[name] for row in rows]) for name in EACH}
    return {name: found[name] for name in MADE} | each


def patterns(pieces: Sequence[Notes]) -> NDArray[np.uint64]:
    """A hash of each run of 8 notes: intervals, and times between them in sixteenths."""
    mixed = [np.zeros(0, np.uint64)]
    for piece in pieces:
        steps = (2 * piece[:, ONSET] + PPQ // 4) // (PPQ // 2)
        code = (np.diff(steps).clip(0, 255) * 256 + np.diff(piece[:, PITCH]) + 128).astype(
            np.uint64
        )
        if len(code) >= PATTERN - 1:
            runs = np.lib.stride_tricks.sliding_window_view(code, PATTERN - 1)
            h = np.full(len(runs), 14695981039346656037, np.uint64)
            for column in runs.T:  # FNV-1a, numbers for bytes
                h = (h ^ column) * np.uint64(1099511628211)
            mixed.append(h)
    return np.concatenate(mixed)


def windows_of(data: Windows, tuples: Tuples, n: int) -> list[Notes]:
    """The notes of up to `n` windows, spread evenly, as the model would see them."""
    index = np.linspace(0, len(data) - 1, min(n, len(data))).astype(int)
    return [data.window(i)[: tuples.cells * tuples.tones] for i in index]


def drawn(
    model: Any,
    tuples: Tuples,
    n: int,
    seed: int,
    temperature: float = TEMPERATURE,
    top_p: float = TOP_P,
    given: NDArray[np.float32] | None = None,
) -> list[Notes]:
    """`n` windows of a model, their notes in ticks; those that end early are cut as real ones.

    A model of rhythms plays those `given`, times and lengths [n, cells, 2], zeros after the last.
    """
    generator = torch.Generator().manual_seed(seed)
    until = tuples.bars * BAR
    found: list[Notes] = []
    for i in range(0, n, BATCH):
        z = model.prior(min(BATCH, n - i), generator, tuples.cells)
        rhythm = None if given is None else torch.from_numpy(given[i : i + BATCH])
        options = {"until": float(until)} if rhythm is None else {"given": rhythm}
        x = model.decode(z, temperature=temperature, top_p=top_p, **options).cpu().numpy()
        if rhythm is not None:
            x = x * (rhythm[..., 1:].numpy() > 0)  # no tones where there is no rhythm
        scores = [replace(tuples, cells=x.shape[1]).decode(row) for row in x]
        found += [cut(s.tracks[0].notes.astype(np.int64), until) for s in scores]
    return found


def shuffle(pieces: Sequence[Notes], rng: np.random.Generator, rhythm: bool = False) -> list[Notes]:
    """Pieces of as many notes, each of whose numbers is that of a random note of any piece; with
    `rhythm` times and lengths stay."""
    since = [np.diff(p[:, ONSET], prepend=0) for p in pieces]
    pool = np.column_stack([np.concatenate(since), np.concatenate(pieces)[:, 1:4]])
    first = PITCH if rhythm else 0
    pool[:, first:] = rng.permuted(pool[:, first:], axis=0)
    ends = np.cumsum([len(p) for p in pieces])[:-1]
    parts = np.split(pool, ends)
    return [np.column_stack([np.cumsum(p[:, 0]), p[:, 1:]]) for p in parts]


def statistics(pieces: Sequence[Notes], *, paper: bool = False) -> dict[str, float]:
    """Medians of the paper's statistics over pieces with notes."""
    rows = [tone_statistics(p, paper=paper) for p in pieces if len(p)]
    return {k: float(np.median([row[k] for row in rows])) if rows else math.nan for k in STATISTICS}


@torch.no_grad()
def nats(model: Any, held_out: Windows, n: int) -> dict[str, dict[str, float]]:
    """What an event of held-out music and each number of it cost the network, in nats: "untold",
    and "told chords" where it can be, or "told rhythms"; nothing for networks without likelihood.
    """
    if model.config.head != "events":
        return {}
    names = ["untold"]
    if model.config.condition == "rhythm":
        names = ["told rhythms"]
    elif model.config.condition == "beats" and held_out.chords is not None:
        names.append("told chords")
    found: dict[str, dict[str, float]] = {}
    for name in names:
        total: dict[str, float] = {}
        events = 0.0
        for index in held_out.parts(BATCH, n):
            x = torch.from_numpy(held_out.encode(index)).float()
            told = held_out.chord_symbols(index) if name == "told chords" else None
            given = None if told is None else torch.from_numpy(told).float()
            loss, parts = model.likelihood(x, torch.zeros(0), given)
            count = float((x != 0).any(-1).sum())
            events += count
            for key, value in {"event": loss, **parts}.items():
                total[key] = total.get(key, 0.0) + float(value) * count
        found[name] = {key: value / events for key, value in total.items()}
    return found


def variety(pieces: Sequence[Notes]) -> float:
    """The share of patterns that occur once in a set; 0 where all pieces are one, or none is."""
    seen = patterns(pieces)
    return float((np.unique(seen, return_counts=True)[1] == 1).sum() / max(1, len(seen)))


def watched(model: Any, tuples: Tuples) -> dict[str, float]:
    """Medians of the paper's statistics over 64 pieces of fixed noise, their variety, and the share
    of them that have notes."""
    if model.config.condition == "rhythm":
        return {}
    pieces = drawn(model, tuples, WATCHED, 0)
    sounding = sum(len(p) > 0 for p in pieces) / WATCHED
    rest = {"variety": variety(pieces), "sounding": sounding}
    return {k: v for k, v in statistics(pieces).items() if math.isfinite(v)} | rest


def evaluate(
    bundle: Bundle,
    held_out: Windows,
    training: Windows | None,
    *,
    n: int = 1000,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    top_p: float = TOP_P,
    others: Mapping[str, Bundle] | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """Compare a model with songs that it was not trained on.

    Args:
        bundle: the model.
        held_out: windows of held-out songs.
        training: windows of the training songs; None leaves out what needs them.
        n: sequences of each set, fewer where there are fewer.
        seed: of all randomness.
        temperature: of the draws.
        top_p: of the draws.
        others: models to stand beside it, such as the published recipe and the baseline.
        report: is told what is being done.

    Raises:
        InputError: no windows, or not of the model's kind.
    """
    tuples = bundle.representation
    if not isinstance(held_out.representation, Tuples):
        raise InputError("data", "holds no performances; prepare it with --kind performance")
    if not len(held_out):
        raise InputError("data", "has no held-out windows; prepare more songs")
    real = windows_of(held_out, tuples, n)
    sets = {"held-out": real}
    if training is not None:
        sets["real"] = windows_of(training, tuples, n)
    report(f"drawing {n} sequences")
    rhythm, given = bundle.model.config.condition == "rhythm", None
    if rhythm:
        (index,) = held_out.parts(n, n)
        given = held_out.encode(index)[..., :2]
        n = len(index)
    sets["model"] = drawn(bundle.model, tuples, n, seed, temperature, top_p, given)
    for name, other in (others or {}).items():
        report(f"drawing {n} sequences of {name}")
        sets[name] = drawn(other.model, other.representation, n, seed)
    sets["shuffle"] = shuffle(real, np.random.default_rng(seed), rhythm)
    report("counting")
    values = {
        name: made_to_rhythms(pieces) if rhythm else densities(pieces)
        for name, pieces in sets.items()
    }
    shown = MADE | EACH if rhythm else EDGES
    overlap = {
        name: {
            k: overlapping_area(v[k], values["held-out"][k], edges) for k, edges in shown.items()
        }
        for name, v in values.items()
        if name != "held-out"
    }
    copies = {}
    if training is not None:
        known = np.unique(patterns(windows_of(training, tuples, len(training))))
        for name, pieces in sets.items():
            if name != "real":
                seen = patterns(pieces)
                copies[name] = float(np.isin(seen, known).mean()) if len(seen) else 0.0
    return Evaluation(
        {name: statistics(pieces) for name, pieces in sets.items()},
        {name: statistics(pieces, paper=True) for name, pieces in sets.items()},
        overlap,
        copies,
        nats(bundle.model, held_out, n),
        values,
    )


def scores(result: Evaluation) -> dict[str, float]:
    """The evaluation in a few numbers, for lists of models."""
    ours, overlap = result.statistics["model"], result.overlap["model"]
    found = {
        "scale consistency": ours["scale consistency"],
        "polyphony": ours["polyphony"],
        "least overlap with held-out music": min(overlap.values()),
    }
    if result.copies:
        found["copied beyond held-out"] = result.copies["model"] - result.copies["held-out"]
    return {name: round(value, 3) for name, value in found.items()}


def table(result: Evaluation) -> list[str]:
    """The evaluation in lines of text."""
    lines = []
    names = list(next(iter(result.statistics.values())))
    heads = (
        ("medians of the statistics of C-RNN-GAN's paper", result.statistics),
        ("the same as its published code counts", result.as_published),
    )
    for head, rows in heads:
        lines.append(head)
        lines.append(f"  {'set':16}" + "".join(f"{name:>20}" for name in names))
        for name, row in rows.items():
            lines.append(f"  {name:16}" + "".join(f"{v:20.3f}" for v in row.values()))
    lines.append("medians in the paper (other music: classical, 160 composers)")
    for name, told in PAPER.items():
        lines.append(f"  {name:16}" + "".join(f"{v:20.3f}" for v in told))
    lines.append("overlapping area with held-out music")
    lines.append(f"  {'set':16}" + "".join(f"{k:>19}" for k in result.overlap["shuffle"]))
    for name, row in result.overlap.items():
        lines.append(f"  {name:16}" + "".join(f"{v:19.3f}" for v in row.values()))
    if result.copies:
        shares = ", ".join(f"{name} {share:.4f}" for name, share in result.copies.items())
        lines.append(f"patterns of {PATTERN} notes, in any key, of training songs: {shares}")
    for name, row in result.nats.items():
        costs = ", ".join(f"{key} {value:.3f}" for key, value in row.items())
        lines.append(f"nats of held-out music, {name}: {costs}")
    return lines


def measure(bundle: Bundle, held_out: Windows, training: Windows | None, **options: Any) -> Report:
    """The report of a C-RNN-GAN; `options` are those of `evaluate`."""
    result = evaluate(bundle, held_out, training, **options)
    numbers = {
        "statistics": result.statistics,
        "as published": result.as_published,
        "overlap": result.overlap,
        "copies": result.copies,
        "nats": result.nats,
    }
    titles = {name: f"{name}  {value:.2f}" for name, value in result.overlap["model"].items()}
    edges = {name: (EDGES | EACH)[name] for name in titles}
    shown = {k: result.values[k] for k in ("model", "held-out", "shuffle")}
    pictures = {"densities.png": plot.densities(shown, edges, titles)}
    held = {"variety": variety(windows_of(held_out, bundle.representation, WATCHED)), "sounding": 1}
    levels = {**result.statistics["held-out"], **held}
    return Report(table(result), numbers, scores(result), pictures, levels=levels)
