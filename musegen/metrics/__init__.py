"""Statistics of music as numbers, from notes: what a piece is like, and how alike two sets are.

Functions take notes in steps of the grid: rows (onset, duration, pitch, velocity), sorted as a
track's. Every definition, with its source and what published code does instead, is in
docs/metrics.md; statistics of multi-track pianorolls are in `musegen.metrics.rolls`.

References:
    Mogren, C-RNN-GAN (2016). Yang and Lerch, On the evaluation of generative models in music
    (Neural Computing and Applications 2020). Mittal et al., Symbolic Music Generation with
    Diffusion Models (ISMIR 2021). Plasser et al., SCHmUBERT (IJCAI 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes

Values = NDArray[np.float64]

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "natural minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}


# Features of a window: one value or many; `features` pools them over a set.


def notes_per_bar(window: Notes, bars: int = 2, steps_per_bar: int = 16) -> Values:
    """Onsets in each bar of a window, [bars]."""
    return np.bincount(window[:, ONSET] // steps_per_bar, minlength=bars).astype(float)


def pitches(window: Notes) -> Values:
    """MIDI pitch of each note, [n]."""
    return window[:, PITCH].astype(float)


def intervals(window: Notes) -> Values:
    """Semitones from each note to the next, signed, [n - 1]."""
    return np.diff(window[:, PITCH]).astype(float)


def durations(window: Notes) -> Values:
    """Length of each note in steps, [n]."""
    return window[:, DURATION].astype(float)


def inter_onsets(window: Notes) -> Values:
    """Steps from each onset to the next, [n - 1]."""
    return np.diff(window[:, ONSET]).astype(float)


def pitch_class_entropy(window: Notes) -> Values:
    """Entropy of the pitch-class histogram in bits, [1], or [0] for no notes."""
    if not len(window):
        return np.zeros(0)
    share = np.bincount(window[:, PITCH] % 12, minlength=12) / len(window)
    share = share[share > 0]
    return np.array([-(share * np.log2(share)).sum()])


def scale_consistency(
    window: Notes, scales: Iterable[str] = ("major",), *, paper: bool = False
) -> Values:
    """Largest share of notes that fits one of `SCALES` in one of the 12 keys, [1] or [0].

    Args:
        window: the notes.
        scales: which scales count. A natural minor scale has the notes of a major one; the
            harmonic minor, which Mogren (2016) counts too, allows more.
        paper: count as C-RNN-GAN's published code does: pitch classes below the key's tonic fit no
            scale, so that every key but C gets too little.
    """
    if not len(window):
        return np.zeros(0)
    count = np.bincount(window[:, PITCH] % 12, minlength=12)
    above = np.arange(12) - np.arange(12)[:, None]  # [key, pitch class]
    fits = [np.isin(above if paper else above % 12, SCALES[name]) for name in scales]
    return np.array([(np.concatenate(fits) @ count).max() / len(window)])


FEATURES: dict[str, Callable[[Notes], Values]] = {
    "notes per bar": notes_per_bar,
    "pitch": pitches,
    "interval": intervals,
    "duration": durations,
    "inter-onset": inter_onsets,
    "pitch-class entropy": pitch_class_entropy,
    "scale consistency": scale_consistency,
}


def features(windows: Sequence[Notes], bars: int = 2) -> dict[str, Values]:
    """Every feature of `FEATURES` over all windows of `bars` bars, concatenated."""
    table = FEATURES | {"notes per bar": partial(notes_per_bar, bars=bars)}
    return {
        name: np.concatenate([feature(w) for w in windows]) if len(windows) else np.zeros(0)
        for name, feature in table.items()
    }


def voices(notes: Notes) -> float:
    """How many notes sound together on average, where any do; at least 1, nan for no notes."""
    if not len(notes):
        return float("nan")
    on, off = notes[:, ONSET], notes[:, ONSET] + notes[:, DURATION]
    before = np.maximum.accumulate(np.append(on[0], off[:-1]))  # the end of what came before
    sounding = (off - np.maximum(on, before)).clip(min=0).sum()
    return float(notes[:, DURATION].sum() / sounding)


# C-RNN-GAN's statistics of a piece.


def polyphony(notes: Notes, *, paper: bool = False) -> float:
    """Share of the notes that begin at the same time as another, 0 to 1; nan for no notes.

    `paper` counts as C-RNN-GAN's published code does: a single note twice, save the last; of k
    notes together the first as single and, but for the last group, one more as together.
    """
    if not len(notes):
        return float("nan")
    together = np.unique(notes[:, ONSET], return_counts=True)[1]
    if not paper:
        return float(together[together > 1].sum() / len(notes))
    many = (together - 1).sum() + (together[:-1] > 1).sum()
    return float(many / (len(notes) + len(together) - 1))


def repetitions(notes: Notes, length: int = 3, *, paper: bool = False) -> int:
    """Pairs of equal runs of `length` pitches that do not overlap, in the order of the rows.

    `paper` leaves out the last note, and gives 0 for fewer than 2 (`length` + 1) notes, as
    C-RNN-GAN's published code does.
    """
    tones = notes[:, PITCH]
    if paper:
        tones = tones[:-1] if len(tones) // 2 > length else tones[:0]
    if len(tones) < 2 * length:
        return 0
    runs = np.lib.stride_tricks.sliding_window_view(tones, length)
    _, which, count = np.unique(runs, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    overlapping = sum(int((which[k:] == which[:-k]).sum()) for k in range(1, length))
    return int((count * (count - 1) // 2).sum()) - overlapping


def tone_statistics(notes: Notes, *, paper: bool = False) -> dict[str, float]:
    """The six statistics of C-RNN-GAN (Mogren 2016, Figure 3) of one piece of at least one note.

    Polyphony and scale consistency are shares, 0 to 1 (the paper gives percent); tone span is in
    semitones, intensity span in velocities.
    """
    pitch, velocity = notes[:, PITCH], notes[:, VELOCITY]
    return {
        "polyphony": polyphony(notes, paper=paper),
        "scale consistency": float(scale_consistency(notes, SCALES, paper=paper)[0]),
        "3-tone repetitions": repetitions(notes, 3, paper=paper),
        "tone span": int(pitch.max() - pitch.min()),
        "unique tones": len(np.unique(pitch)),
        "intensity span": int(velocity.max() - velocity.min()),
    }


# Two sets of values: histograms over the same bins.


def _shares(values: Values, bins: Values) -> Values:
    return np.histogram(np.clip(values, bins[0], bins[-1]), bins)[0] / len(values)


def overlapping_area(a: Values, b: Values, bins: Values) -> float:
    """Area under the smaller of two histograms of unit mass over the same bins, 0 to 1."""
    if not len(a) or not len(b):
        return 0.0
    return float(np.minimum(_shares(a, bins), _shares(b, bins)).sum())


def kl_divergence(a: Values, b: Values, bins: Values) -> float:
    """Kullback-Leibler divergence of the histogram of `a` from that of `b`, in nats, at least 0.

    Half a count is added to every bin of both, so that it is finite; nan when a set is empty.
    """
    if not len(a) or not len(b):
        return float("nan")
    p, q = (_shares(v, bins) * len(v) + 0.5 for v in (a, b))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def bins(name: str) -> Values:
    """Bin edges of a feature: one bin a value for counts, 24 equal ones for shares and entropy."""
    edges = {
        "notes per bar": (0, 17),
        "pitch": (21, 109),
        "interval": (-24, 25),
        "duration": (1, 33),
        "inter-onset": (1, 33),
    }
    if name in edges:
        low, high = edges[name]
        return np.arange(low - 0.5, high + 0.5)
    top = {"pitch-class entropy": 3.6, "scale consistency": 1.0}[name]
    return np.linspace(0, top, 25)


def overlaps(a: dict[str, Values], b: dict[str, Values]) -> dict[str, float]:
    """Overlapping area of every feature of two sets."""
    return {name: overlapping_area(a[name], b[name], bins(name)) for name in FEATURES}


def divergences(a: dict[str, Values], b: dict[str, Values]) -> dict[str, float]:
    """Kullback-Leibler divergence of every feature of two sets, in nats."""
    return {name: kl_divergence(a[name], b[name], bins(name)) for name in FEATURES}


# Two sets of pieces: distances within and between them (Yang and Lerch 2020).

# Note lengths in 96ths of a bar of four quarters: whole to sixteenth, the same dotted but the
# whole, triplets of halves, quarters and eighths.
LENGTHS = np.array([96, 48, 24, 12, 6, 72, 36, 18, 9, 32, 16, 8])


def _pairs(codes: NDArray[np.int64]) -> Values:
    """How often one of 12 codes follows another, [144]."""
    return np.bincount(codes[:-1] * 12 + codes[1:], minlength=144).astype(float)


def describe(notes: Notes, steps_per_bar: int = 16) -> dict[str, Values]:
    """The nine descriptors of Yang and Lerch of one piece, as vectors of 1, 12 or 144 numbers.

    Histograms have mass 1 (that of pitch classes is weighted by duration); transitions are counts.
    Without notes all are 0.
    """
    pitch, length = notes[:, PITCH], notes[:, DURATION]
    sounding = np.bincount(pitch % 12, length, 12)
    away = np.abs(length[:, None] * 96 / steps_per_bar - LENGTHS)
    lengths = away.argmin(axis=1)
    n = max(1, len(notes))
    gaps = max(1, len(notes) - 1)
    return {
        "pitch count": np.array([len(np.unique(pitch))], float),
        "pitch range": np.array([np.ptp(pitch) if len(pitch) else 0], float),
        "pitch-class histogram": sounding / max(1, sounding.sum()),
        "pitch-class transitions": _pairs(pitch % 12),
        "mean interval": np.array([np.abs(np.diff(pitch)).sum() / gaps]),
        "note count": np.array([len(notes)], float),
        "mean inter-onset": np.array([np.diff(notes[:, ONSET]).sum() / gaps]),
        "note-length histogram": np.bincount(lengths, minlength=12) / n,
        "note-length transitions": _pairs(lengths),
    }


def distances(a: Values, b: Values | None = None) -> Values:
    """Euclidean distances of vectors [n, d]: from each to each other, or to each of `b` [m, d]."""
    if b is not None:
        return np.linalg.norm(a[:, None] - b[None], axis=-1).ravel()
    return np.linalg.norm(a[:, None] - a[None], axis=-1)[~np.eye(len(a), dtype=bool)]


def kernel_density(values: Values, at: Values) -> Values:
    """Gaussian kernel density of `values` [n] at points [m], with the bandwidth of Scott's rule.

    Raises:
        ValueError: when all values are the same, which has no density.
    """
    unique, count = np.unique(values, return_counts=True)
    if len(unique) < 2:
        raise ValueError("a density needs at least two different values")
    width = float(values.std(ddof=1)) * len(values) ** -0.2
    height = count / (len(values) * width * np.sqrt(2 * np.pi))
    total = np.zeros(len(at))
    for i in range(0, len(unique), 4096):  # a block of values at a time: bounded memory
        z = (at[:, None] - unique[None, i : i + 4096]) / width
        total += np.exp(-0.5 * z * z) @ height[i : i + 4096]
    return total


def relative_measures(a: Values, b: Values, *, paper: bool = False) -> tuple[float, float]:
    """How the distances within set `a` lie to those between `a` and `b` (Yang and Lerch 2020).

    Both are smoothed by `kernel_density` and compared at 1,000 points from the smallest to the
    largest distance. Two sets of one kind give 0 and nearly 1.

    Args:
        a: a descriptor of each piece of the set under test, [n, d].
        b: the same of the set to compare with, [m, d].
        paper: take the divergence as mgeval does, which looks at each density along its own range,
            so that it does not see where the two lie.

    Returns:
        Kullback-Leibler divergence in nats, and overlapping area, 0 to 1. When the distances of one
        kind are all the same: 0 and 1 if those of the other are too and equal, else inf and 0.
    """
    within, between = distances(a), distances(a, b)
    if np.ptp(within) == 0 or np.ptp(between) == 0:
        same = np.ptp(np.concatenate([within, between])) == 0
        return (0.0, 1.0) if same else (float("inf"), 0.0)
    low, high = min(within.min(), between.min()), max(within.max(), between.max())
    grid = np.linspace(low, high, 1000)
    p, q = kernel_density(within, grid), kernel_density(between, grid)
    least = np.minimum(p, q)
    area = (least.sum() - (least[0] + least[-1]) / 2) * (grid[1] - grid[0])  # trapezoids
    if paper:
        p = kernel_density(within, np.linspace(within.min(), within.max(), 1000))
        q = kernel_density(between, np.linspace(between.min(), between.max(), 1000))
    p, q = p / p.sum(), q / q.sum()
    some = p > 0
    with np.errstate(divide="ignore"):
        divergence = (p[some] * (np.log(p[some]) - np.log(q[some]))).sum()
    return float(divergence), float(area)


# A piece with itself, window by window (Mittal et al. 2021).


def frame_overlaps(
    notes: Notes, bars: int, *, steps_per_bar: int = 16, width: int = 4, hop: int = 2
) -> Values:
    """How much neighbouring windows of a piece are alike in pitch and in duration, [2], 0 to 1.

    Each window of `width` bars, `hop` bars after the last, is summed up by two normal
    distributions: of the pitches and of the durations of the notes that begin in it (standard
    deviation + 1e-6). The overlapping areas of neighbours are averaged. Two silent windows overlap
    wholly, a silent one with another not at all. nan when there are fewer than two windows.
    """
    starts = np.arange(0, bars - width + 1, hop) * steps_per_bar
    if len(starts) < 2:
        return np.full(2, np.nan)
    first = np.searchsorted(notes[:, ONSET], starts)
    last = np.searchsorted(notes[:, ONSET], starts + width * steps_per_bar)
    found = []
    for column in (PITCH, DURATION):
        parts = [notes[i:j, column] for i, j in zip(first, last, strict=True)]
        normal = [NormalDist(p.mean(), p.std() + 1e-6) if len(p) else None for p in parts]
        found.append([x.overlap(y) if x and y else float(x is y) for x, y in pairwise(normal)])
    return np.array(found).mean(axis=1)


def self_similarity_scores(made: Values, real: Values) -> tuple[Values, Values]:
    """Consistency and variance of `frame_overlaps` of two sets of pieces, each [2], 0 to 1.

    1 - |m - m'| / m', at least 0, where m is the mean (consistency) or variance over the made
    pieces, m' that over the real ones: 1 when made pieces hang together as the real ones do. The
    variance is nan when neither set varies.

    Args:
        made: frame overlaps of the pieces under test, [n, 2]; rows with nan are left out.
        real: those of the pieces to compare with, [m, 2].
    """
    made, real = (x[~np.isnan(x).any(axis=1)] for x in (made, real))

    def closeness(a: Values, b: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.clip(1 - np.abs(a - b) / b, 0, 1)

    return closeness(made.mean(0), real.mean(0)), closeness(made.var(0), real.var(0))


def shuffled(
    windows: Sequence[Notes], generator: np.random.Generator, bars: int = 2
) -> list[Notes]:
    """The naive baseline: at each step the onset symbol of a random window, as melodies."""
    from musegen.representations.events import Melody

    melody = Melody(bars)
    events = np.stack([melody.encode_steps(w) for w in windows])
    order = np.argsort(generator.random(events.shape), axis=0)
    return [melody.decode_steps(e) for e in np.take_along_axis(events, order, axis=0)]
