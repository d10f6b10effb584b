"""Statistics of multi-track pianorolls, bar by bar, after MuseGAN and BinaryMuseGAN.

EB  share of empty bars of a track, 0 to 1.
UPC pitch classes used in a bar, 0 to 12.
QN  share of "qualified" notes in a bar, those not too short, 0 to 1.
PP  polyphonicity: share of the steps of a bar with two pitches or more, 0 to 1.
DP  share of a bar's drum hits that follow the sixteenths, 0 to 1.
TD  tonal distance of two tracks in a bar, 0 to 3.

All but EB are averaged over the bars in which they say something. UPC, QN, PP and TD are of pitched
tracks, DP is of drums. Published code does not count as the papers say, so each has two readings,
told apart by `MODES`; docs/metrics.md puts them side by side.

References:
    Dong et al., MuseGAN (AAAI 2018). Dong and Yang, Convolutional GANs with binary neurons
    (ISMIR 2018). Harte et al., Detecting harmonic change in musical audio (2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from musegen.names import plain
from musegen.representations.rolls import bar_steps, roll
from musegen.score import PITCH, Score

Values = NDArray[np.float64]
Steps = NDArray[np.int64]

TRACK_METRICS = ("EB", "UPC", "QN", "PP", "DP")
_ANGLES = np.arange(12) * np.pi * np.array([7 / 6, 3 / 2, 2 / 3])[:, None]  # fifths, thirds
TONAL = np.concatenate([np.sin(_ANGLES), np.cos(_ANGLES)]) * np.tile([1, 1, 0.5], 2)[:, None]


@dataclass(frozen=True)
class Mode:
    """A way of counting.

    Attributes:
        published: as the code of the papers does. Chroma is the register in 12 parts instead of the
            pitch class; a bar line ends every note; qualified notes have at least two steps; TD
            leaves out bars in which a track rests for a beat; DP is the best of all circular
            shifts by less than a sixteenth. Otherwise: pitch classes; a note belongs to the bar it
            begins in; qualified notes are a thirty-second or longer; TD leaves out only the beats
            in which a track rests; DP is the share of hits exactly on a sixteenth.
        tolerance: what a hit a step away from a sixteenth counts for in DP.
        padded: the register is made of the pitches and as much silence as makes the next larger
            multiple of 12.
    """

    published: bool
    tolerance: float = 0.0
    padded: bool = False


MODES = {
    "octave": Mode(published=False),
    "paper": Mode(published=True, tolerance=0.3),  # MuseGAN
    "paper-binary": Mode(published=True, tolerance=0.1, padded=True),  # BinaryMuseGAN
}


@dataclass(frozen=True)
class BarStatistics:
    """What `measure` found.

    Attributes:
        mode: a name of `MODES`.
        names: of the tracks.
        pairs: of tracks, as indices, for TD.
        values: for each name in `TRACK_METRICS` an array [bars, tracks], for "TD" [bars, pairs];
            nan where a metric says nothing.
    """

    mode: str
    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    values: dict[str, Values]

    def mean(self, metric: str) -> Values:
        """Average over the bars in which the metric says something, [tracks] or [pairs], or nan."""
        values = self.values[metric]
        there = ~np.isnan(values)
        count = there.sum(axis=0)
        total = np.where(there, values, 0).sum(axis=0)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)

    def dead(self, most: float = 1.0) -> tuple[str, ...]:
        """Names of the tracks that are empty in at least a share `most` of the bars.

        A model whose averages look well can have lost a track: averages leave empty bars out.
        """
        gone = self.mean("EB") >= most
        return tuple(name for name, dead in zip(self.names, gone, strict=True) if dead)

    def as_dict(self) -> dict[str, Any]:
        """Means for JSON: per metric a list over tracks or pairs, None where it says nothing."""
        means = {name: self.mean(name).tolist() for name in (*TRACK_METRICS, "TD")}
        found = {k: [None if np.isnan(x) else x for x in v] for k, v in means.items()}
        bars = len(self.values["EB"])
        return {"mode": self.mode, "bars": bars, "tracks": self.names, "pairs": self.pairs} | found

    def table(self) -> list[str]:
        """The means as lines of text, a row a track; TD as columns, to tracks by their number."""
        means = np.stack([self.mean(name) for name in TRACK_METRICS], axis=1)
        far = np.full((len(self.names), len(self.names)), np.nan)
        if self.pairs:
            far[tuple(np.transpose(self.pairs))] = self.mean("TD")
        others = sorted({j for _, j in self.pairs})
        cells = np.concatenate([means, far[:, others]], axis=1)
        names = [f"{i + 1:2} {name}" for i, name in enumerate(self.names)]
        wide = max(map(len, ("   track", *names)))
        head = [*TRACK_METRICS, *(f"TD {j + 1}" for j in others)]
        lines = [f"{'   track':{wide}}" + "".join(f"{name:>7}" for name in head)]
        for name, row in zip(names, cells, strict=True):
            lines.append(f"{name:{wide}}" + "".join(_cell(x) for x in row))
        return lines


def _cell(x: float) -> str:
    return f"{'-':>7}" if np.isnan(x) else f"{x:7.3f}"


def measure(
    rolls: ArrayLike,
    beat: int,
    bar: int | ArrayLike | None = None,
    *,
    drums: Sequence[int] = (),
    names: Sequence[str] = (),
    onsets: ArrayLike | None = None,
    mode: str = "octave",
    pairs: Sequence[tuple[int, int]] | None = None,
) -> BarStatistics:
    """All metrics of a pianoroll, or of many of one shape.

    Args:
        rolls: [track, time, pitch] or [n, track, time, pitch]; not 0 where a pitch sounds.
        beat: steps to a beat.
        bar: steps to a bar, four beats by default; or the bar lines in steps, from 0 to the end,
            for bars of different lengths.
        drums: which tracks are drums.
        names: of the tracks; their numbers by default.
        onsets: of the shape of `rolls`, not 0 where a note begins; without it a note that follows
            another of its pitch at once cannot be told from a longer one. Published code has none,
            so it counts only in "octave".
        mode: a name of `MODES`.
        pairs: of tracks, for TD; all pairs of pitched tracks by default.

    Raises:
        ValueError: an unknown mode, a roll without whole bars, onsets of another shape, or, when
            counting as published, beats that have no sixteenths.
    """
    if mode not in MODES:
        raise ValueError(f"no mode {mode!r}; there are {', '.join(MODES)}")
    rolls = np.asarray(rolls)
    rolls = rolls[None] if rolls.ndim == 3 else rolls
    n, tracks, time, _ = rolls.shape
    marked = None if onsets is None else np.asarray(onsets).reshape(-1, *rolls.shape[1:])
    if marked is not None and len(marked) != n:
        raise ValueError("onsets must have the shape of the roll")
    if MODES[mode].published and beat % 4:
        raise ValueError(f"{beat} steps to a beat have no sixteenths; take a multiple of 4")
    lines = _bar_lines(time, 4 * beat if bar is None else bar)
    if pairs is None:
        pairs = list(combinations([i for i in range(tracks) if i not in drums], 2))
    few = max(1, 2**25 // max(1, rolls[0].size))
    parts = [
        _measure(
            rolls[i : i + few] != 0,
            None if marked is None else marked[i : i + few] != 0,
            (beat, lines, list(drums), list(pairs), MODES[mode]),
        )
        for i in range(0, n, few)
    ]
    values = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    names = tuple(names) or tuple(str(i + 1) for i in range(tracks))
    return BarStatistics(mode, names, tuple(pairs), values)


def of_score(score: Score, mode: str = "octave", *, beat: int = 24) -> BarStatistics:
    """All metrics of a score in bars after its metre map, with its tracks as they are.

    As published, only MuseGAN's 84 pitches from C1 count.

    Args:
        score: at least one track.
        mode: a name of `MODES`.
        beat: steps to a quarter note, which is the beat in every metre.

    Raises:
        ValueError: the roll of the score would be too large, see `representations.rolls.roll`.
    """
    tracks, pitches = len(score.tracks), np.concatenate([t.notes[:, PITCH] for t in score.tracks])
    low, high = int(pitches.min(initial=127)), int(pitches.max(initial=0))
    if MODES[mode].published:  # the register that is cut into twelve
        low, high = 24, 107
    cells = roll(score, beat, low=low, high=max(low, high), onsets=True)
    lines = np.unique(bar_steps(score, beat))  # bars of no step are none
    lines[-1] = max(lines[-1], cells.shape[1])  # a note just before the end is rounded onto it
    whole = np.zeros((len(cells), int(lines[-1]), cells.shape[2]), np.bool_)
    whole[:, : cells.shape[1]] = cells
    drums = [i for i, t in enumerate(score.tracks) if t.is_drum]
    names = [plain(t.name, 24) or f"track {i + 1}" for i, t in enumerate(score.tracks)]
    sounds, onsets = whole[:tracks], whole[tracks:]
    return measure(sounds, beat, lines, drums=drums, names=names, onsets=onsets, mode=mode)


def tonal_distances(
    rolls: NDArray[Any], beat: int, bar: int, pairs: Sequence[tuple[int, int]], mode: str
) -> Values:
    """TD alone, as `measure` counts it: [n, pair, bar], nan where it says nothing."""
    lines = _bar_lines(rolls.shape[2], bar)
    beats, first_beats = _beats(lines, beat)
    chroma = _chroma(rolls != 0, beats, MODES[mode])
    return _tonal_distances(chroma, list(pairs), first_beats, MODES[mode])


def _bar_lines(time: int, bar: int | ArrayLike) -> Steps:
    """Bar lines from 0 to `time`."""
    lines = np.asarray(bar, np.int64)
    if lines.ndim == 0:
        if lines < 1 or time % lines or not time:
            raise ValueError(f"{time} steps are not whole bars of {lines}")
        return np.arange(0, time + 1, int(lines))
    if len(lines) < 2 or lines[0] or lines[-1] != time or (np.diff(lines) < 1).any():
        raise ValueError(f"bar lines must rise from 0 to the {time} steps of the roll")
    return lines


def _measure(
    active: NDArray[np.bool_],
    onsets: NDArray[np.bool_] | None,
    settings: tuple[int, Steps, list[int], list[tuple[int, int]], Mode],
) -> dict[str, Values]:
    """The values of `measure` of rolls [n, track, time, pitch], bars of all rolls in a row."""
    beat, lines, drums, pairs, mode = settings
    starts_of_bars, bar_steps = lines[:-1], np.diff(lines)
    pitched = np.isin(np.arange(active.shape[1]), drums, invert=True)

    def per_bar(steps: NDArray[Any]) -> Values:
        """Sums over the steps of each bar, [.., time] to [.., bar]."""
        return np.add.reduceat(steps, starts_of_bars, axis=-1, dtype=np.float64)

    begins = _begins(active, onsets, starts_of_bars if mode.published else None)
    least = 2 if mode.published else -(-beat // 8)
    qualified = per_bar(_at_least(active, begins, least).sum(axis=-1))
    hits = begins.sum(axis=-1)
    voices = active.sum(axis=-1)
    beats, first_beats = _beats(lines, beat)
    chroma = _chroma(active, beats, mode)
    used = np.add.reduceat(chroma, first_beats, axis=-2) > 0
    sound = used.any(axis=-1)
    found = {
        "EB": (~sound).astype(float),
        "UPC": np.where(sound & pitched[:, None], used.sum(axis=-1), np.nan),
        "QN": np.where(pitched[:, None], _ratio(qualified, per_bar(hits)), np.nan),
        "PP": np.where(sound & pitched[:, None], per_bar(voices > 1) / bar_steps, np.nan),
        "DP": np.full(sound.shape, np.nan),
        "TD": _tonal_distances(chroma, pairs, first_beats, mode),
    }
    position = np.arange(lines[-1]) - np.repeat(starts_of_bars, bar_steps)
    kept = [per_bar(hits[:, drums] * weight) for weight in _drum_weights(position, beat, mode)]
    found["DP"][:, drums] = _ratio(np.max(kept, axis=0), per_bar(hits[:, drums]))
    rows = sound.shape[0] * sound.shape[2]
    return {k: np.moveaxis(v, -1, 1).reshape(rows, v.shape[1]) for k, v in found.items()}


def _ratio(part: Values, whole: Values) -> Values:
    """Shares; nan of nothing."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _begins(
    active: NDArray[np.bool_], onsets: NDArray[np.bool_] | None, cuts: Steps | None
) -> NDArray[np.bool_]:
    """Where notes begin: after silence, and at `onsets`, or else at the steps `cuts`."""
    begins = active.copy()
    begins[..., 1:, :] &= ~active[..., :-1, :]
    if cuts is not None:
        begins[..., cuts, :] = active[..., cuts, :]
    elif onsets is not None:
        begins |= active & onsets
    return begins


def _at_least(
    active: NDArray[np.bool_], begins: NDArray[np.bool_], steps: int
) -> NDArray[np.bool_]:
    """Which of the notes that begin last for `steps` steps or more."""
    goes_on = active & ~begins
    long = begins.copy()
    for k in range(1, steps):
        long[..., :-k, :] &= goes_on[..., k:, :]
        long[..., -k:, :] = False
    return long


def _beats(lines: Steps, beat: int) -> tuple[Steps, Steps]:
    """Steps where beats begin, from each bar line anew, and which of them begin the bars."""
    count = -(-np.diff(lines) // beat)
    first = np.cumsum(count) - count
    inside = np.arange(count.sum()) - np.repeat(first, count)
    return np.repeat(lines[:-1], count) + beat * inside, first


def _chroma(active: NDArray[np.bool_], beats: Steps, mode: Mode) -> NDArray[np.float32]:
    """Cells of each pitch class, or part of the register, in each beat: [n, track, beat, 12]."""
    time, pitches = active.shape[-2:]
    size = time // len(beats)
    if size < 256 and np.array_equal(beats, np.arange(0, time, size)):  # several times faster
        parts = active.reshape(*active.shape[:-2], len(beats), size, pitches)
        cells = parts.sum(axis=-2, dtype=np.uint8)
    else:
        cells = np.add.reduceat(active, beats, axis=-2, dtype=np.float32)
    return cells.astype(np.float32) @ _fold(pitches, mode)


def _fold(pitches: int, mode: Mode) -> NDArray[np.float32]:
    """Matrix [pitch, 12] from pitches to pitch classes, or to parts of the register.

    Which class comes first does not matter: the metrics are the same in every key.
    """
    row = np.arange(pitches)
    width = pitches // 12 + 1 if mode.padded else -(-pitches // 12)
    bin_ = row // width if mode.published else row % 12
    return np.eye(12, dtype=np.float32)[bin_]


def _drum_weights(position: Steps, beat: int, mode: Mode) -> Values:
    """What a hit counts for at each step, [shift, time], from its position in the bar."""
    if not mode.published:
        return (4 * position % beat == 0).astype(float)[None]
    sixteenth = beat // 4
    shifted = (position - np.arange(sixteenth)[:, None]) % sixteenth
    away = np.minimum(shifted, sixteenth - shifted)
    return np.select([away == 0, away == 1], [1.0, mode.tolerance], 0.0)


def _tonal_distances(
    chroma: NDArray[np.float32], pairs: list[tuple[int, int]], first_beats: Steps, mode: Mode
) -> Values:
    """Distances in tonal space of pairs of tracks, averaged over the beats of bars, [n, pair, bar].

    Args:
        chroma: [n, track, beat, 12].
        pairs: of tracks.
        first_beats: of the bars.
        mode: whether a beat without chroma spoils its bar or is passed over.
    """
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    total = chroma.sum(axis=-1)
    point = (chroma / np.maximum(total, 1)[..., None]) @ TONAL.T
    both = (total[:, left] > 0) & (total[:, right] > 0)
    apart = np.where(both, np.linalg.norm(point[:, left] - point[:, right], axis=-1), 0)

    def per_bar(values: NDArray[Any]) -> Values:
        return np.add.reduceat(values, first_beats, axis=-1, dtype=np.float64)

    count = per_bar(both)
    if mode.published:
        count = np.where(count == per_bar(np.ones_like(both)), count, 0)
    return _ratio(per_bar(apart), count)


def self_similarity(roll: ArrayLike, bar: int | ArrayLike) -> Values:
    """How alike each two bars of a pianoroll are, [bars, bars], 0 to 1.

    The cosine of the angle between two bars as vectors of cells over all tracks; an empty bar is
    like an empty bar and unlike any other.

    Args:
        roll: [track, time, pitch] or [time, pitch].
        bar: steps to a bar, or the bar lines in steps.
    """
    cells = np.asarray(roll) != 0
    cells = cells[None] if cells.ndim == 2 else cells
    lines = _bar_lines(cells.shape[1], bar)
    steps = np.diff(lines)
    which = np.repeat(np.arange(len(steps)), steps)
    rows = np.zeros((len(steps), steps.max(), cells.shape[0] * cells.shape[2]), np.float32)
    position = np.arange(lines[-1]) - lines[:-1][which]
    rows[which, position] = np.moveaxis(cells, 1, 0).reshape(lines[-1], -1)
    rows = rows.reshape(len(steps), -1)
    common = (rows @ rows.T).astype(float)
    size = np.sqrt(np.diag(common))
    empty = size == 0
    likeness = common / np.maximum(np.outer(size, size), 1)
    likeness[np.ix_(empty, empty)] = 1
    return likeness
