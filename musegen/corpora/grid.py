"""Beats found again: performed music on its beat times, and songs whose file has a false grid.

A file's ticks say where the beats are only if whoever made it worked along them. Two cures:
`on_beats` places music between beat times that are known from elsewhere, `regrid` finds spacing and
phase of the sixteenths, and the bars, in the notes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from musegen.formats.abc import MAX_QUARTERS
from musegen.score import DURATION, ONSET, PITCH, Score

PPQ = 480
STEP = PPQ // 4
NEAR = 0.1  # of a sixteenth: so near counts as on the grid
GOOD = 0.9  # share of onsets on the grid that makes it the song's own

# Music converted by QMUS2MID has 89 ticks to a quarter and a tempo that is made up: its ticks are
# 1/140 s, so a sixteenth at n beats a minute is 2100 / n of them. One octave of tempi.
QMUS2MID_PPQ = 89
QMUS2MID_TEMPI = np.arange(80, 160)
SLOW = 100  # quarters a minute: below, they may be half of them

# Sixteenths as multiples of those that the file claims: as written, music in 32nds, and triplets of
# eighths, of which a bar of n/4 has 3n (read as 3n/16).
READINGS = ((1.0, "as written"), (0.5, "in double time"), (4 / 3, "from triplets of eighths"))
BARS = {16: (4, 4), 12: (3, 4), 14: (7, 8)}  # bars that can be told apart, by their sixteenths
CLEAR = 0.3  # by so much more alike a bar must be than one of 4/4
LONG = 6  # sixteenths: notes of at least that tend to begin on a first beat

_KICK, _SNARE, _CRASH = (35, 36), (38, 40), (49, 52, 55, 57)


def seconds_at(score: Score, ticks: ArrayLike) -> NDArray[np.float64]:
    """Seconds from the start for each tick, after the tempo map."""
    ticks = np.asarray(ticks, float)
    tick = np.array([t for t, _ in score.tempos], float)
    qpm = np.array([q for _, q in score.tempos])
    start = np.concatenate([[0], np.cumsum(np.diff(tick) / score.ppq * 60 / qpm[:-1])])
    region = np.searchsorted(tick, ticks, "right") - 1
    seconds: NDArray[np.float64] = (
        start[region] + (ticks - tick[region]) / score.ppq * 60 / qpm[region]
    )
    return seconds


def ticks_at(score: Score, seconds: ArrayLike) -> NDArray[np.float64]:
    """The tick of each time in seconds: the inverse of `seconds_at`."""
    seconds = np.asarray(seconds, float)
    tick = np.array([t for t, _ in score.tempos], float)
    qpm = np.array([q for _, q in score.tempos])
    start = seconds_at(score, tick)
    region = np.maximum(np.searchsorted(start, seconds, "right") - 1, 0)
    ticks: NDArray[np.float64] = (
        tick[region] + (seconds - start[region]) * score.ppq * qpm[region] / 60
    )
    return ticks


def on_beats(
    score: Score,
    seconds: ArrayLike,
    downbeat: ArrayLike,
    chords: tuple[tuple[float, str], ...] = (),
) -> Score:
    """A performed score moved onto its beats: beat i lands on quarter i.

    Args:
        score: notes in ticks with a true tempo map.
        seconds: time of each beat, increasing, [beats].
        downbeat: which beats begin a bar, bool [beats].
        chords: (seconds, label) of chords, each lasting to the next.

    Raises:
        ValueError: fewer than two beats, no downbeat, or beats so close that the music gets too
            long.
    """
    seconds, downbeat = np.asarray(seconds, float), np.flatnonzero(downbeat)
    rising = np.isfinite(seconds).all() and (np.diff(seconds) > 0).all()
    if len(seconds) < 2 or not len(downbeat) or not rising:
        raise ValueError("needs at least two rising beat times and a downbeat")

    def quarters(time: Any) -> Any:
        after = (time - seconds[-1]) / (seconds[-1] - seconds[-2])
        before = (time - seconds[0]) / (seconds[1] - seconds[0])
        inside = np.interp(time, seconds, np.arange(len(seconds)))
        return inside + np.maximum(after, 0) + np.minimum(before, 0)

    tracks = []
    for track in score.tracks:
        on = quarters(seconds_at(score, track.notes[:, ONSET]))
        off = quarters(seconds_at(score, track.notes[:, ONSET] + track.notes[:, DURATION]))
        if off.max(initial=0) > MAX_QUARTERS:
            raise ValueError(f"puts notes behind quarter {MAX_QUARTERS:,}")
        rows = track.notes.copy()
        rows[:, ONSET] = np.maximum(np.rint(on * PPQ), 0)
        rows[:, DURATION] = np.maximum(np.rint(off * PPQ) - rows[:, ONSET], 1)
        tracks.append(replace(track, notes=rows[on >= -1 / 8]))  # just early is on the first beat
    lengths = np.diff(downbeat)
    metres = [(int(d) * PPQ, int(n), 4) for d, n in zip(downbeat, lengths, strict=False)]
    if downbeat[0] > 0:
        metres.insert(0, (0, int(downbeat[0]), 4))
    changes = [m for i, m in enumerate(metres) if i == 0 or m[1] != metres[i - 1][1]]
    at = np.maximum(np.rint(quarters(np.array([t for t, _ in chords], float))), 0) * PPQ
    placed = {int(tick): label for tick, (_, label) in zip(at, chords, strict=True)}
    return Score(
        tuple(tracks),
        PPQ,
        tempos=((0, round(60 / float(np.median(np.diff(seconds))), 3)),),
        metres=tuple(changes) or ((0, 4, 4),),
        chords=tuple(placed.items()),
    )


@dataclass(frozen=True)
class Grid:
    """Lines of sixteenths: tick `(phase + n) * step` for whole n; `share` of the onsets is on them.

    Attributes:
        step: ticks between lines.
        phase: of the first line at or after tick 0, in steps, -0.5 to 0.5.
        share: onsets within a tenth of a step of a line, 0 to 1.
        reading: in words, how the lines stand to those that the file claims.
        tempo: quarters a minute where the file's own tempo is made up, else 0.
    """

    step: float
    phase: float
    share: float
    reading: str = "as written"
    tempo: float = 0


def find_grid(score: Score) -> Grid:
    """The sixteenths of a song: those that its file claims, shifted, or others where only they fit.

    Raises:
        ValueError: the score has no notes.
    """
    onsets = _onsets(score)
    if score.ppq == QMUS2MID_PPQ:  # where a spacing fits, the onsets agree in phase
        agree = [abs(np.exp(2j * np.pi * onsets * n / 2100).mean()) for n in QMUS2MID_TEMPI]
        tempo = int(QMUS2MID_TEMPI[np.argmax(agree)])
        found = _grid(onsets, 2100 / tempo, f"of {tempo} beats a minute, found in the notes")
        return replace(found, tempo=tempo)
    grids = [_grid(onsets, score.ppq / 4 * factor, words) for factor, words in READINGS]
    fits = [g for g in grids if g.share >= GOOD]
    return (fits or grids)[0]


def _onsets(score: Score) -> NDArray[np.float64]:
    found = [t.notes[:, ONSET] for t in score.tracks]
    onsets = np.concatenate(found).astype(float) if found else np.zeros(0)
    if not len(onsets):
        raise ValueError("no notes")
    return onsets


def _grid(onsets: NDArray[np.float64], step: float, reading: str) -> Grid:
    mean = float(np.angle(np.exp(2j * np.pi * onsets / step).mean()) / (2 * np.pi))
    shares = {}
    for phase in (0.0, mean):  # unshifted where that is as good
        off = onsets / step - phase
        shares[phase] = float((np.abs(off - np.rint(off)) <= NEAR).mean())
    best = max(shares, key=lambda phase: shares[phase])
    return Grid(step, best, shares[best], reading)


def regrid(score: Score) -> Score:
    """A song set on the grid of sixteenths that its notes keep, with bars that they show.

    Where that is another grid than the file's, times are moved along, and set on a line if they
    are within a tenth of a sixteenth of it, since so much comes from the rounding of converters;
    what is farther off stays so. A 4/4 song gets 3/4 or 7/8 where it repeats itself at that
    distance rather than at four quarters, and an upbeat where its drums and long notes put the
    first beat elsewhere. `remarks` say what was done and how many of the onsets are on the grid.

    Raises:
        ValueError: the score has no notes.
    """
    grid, said = find_grid(score), []
    as_written = grid.phase == 0 and grid.step == score.ppq / 4
    score = score.resample(PPQ) if as_written else _moved(score, grid.step, grid.phase)
    if grid.reading != "as written":
        said.append(f"sixteenths {grid.reading}")
    if grid.tempo:
        score = replace(score, tempos=((0, float(grid.tempo)),))
        snare = np.bincount(np.arange(score.end // STEP + 2) % 4, _layers(score)["snare"], 4)
        if snare[2] > 2 * snare[0] and grid.tempo < SLOW:
            score = _moved(score, STEP / 2, 0)
            said.append("twice as fast, so that snares are on quarters")
    if grid.reading == READINGS[2][1]:
        score = replace(score, metres=tuple((t, 3 * n, 4 * d) for t, n, d in score.metres))
    if score.metres == ((0, 4, 4),):
        layers = _layers(score)
        bar = _bar(layers)
        first = _first_beat(layers) if bar == 16 else 0
        if bar != 16:
            score = replace(score, metres=((0, *BARS[bar]),))
            said.append("bars of {}/{}, found in the notes".format(*BARS[bar]))
        elif first:
            score = _moved(score, STEP, first - 16)
            said.append(f"an upbeat of {first} sixteenths, found in the notes")
    said.append(f"{grid.share:.0%} of the onsets on sixteenths")
    return replace(score, remarks=(*score.remarks, *said))


def _moved(score: Score, step: float, phase: float) -> Score:
    """At 480 ticks a quarter; what is near tick `(phase + n) * step` stands on sixteenth n."""

    def to(ticks: Any) -> Any:
        steps = np.asarray(ticks) / step - phase
        steps = np.where(np.abs(steps - np.rint(steps)) <= NEAR, np.rint(steps), steps)
        return np.maximum(np.rint(steps * STEP), 0).astype(np.int64)

    def events(items: tuple[Any, ...], unit: int = 1) -> tuple[Any, ...]:
        """At 0 what begins there; the rest moved, to a multiple of `unit`."""
        return tuple((e[0] and round(int(to(e[0])) / unit) * unit, *e[1:]) for e in items)

    tracks = []
    for track in score.tracks:
        on, off = to(track.notes[:, ONSET]), to(track.notes[:, :2].sum(axis=1))
        rows = np.column_stack([on, np.maximum(off - on, 1), track.notes[:, PITCH:]])
        tracks.append(replace(track, notes=rows))
    faster = score.ppq / 4 / step
    return replace(
        score,
        ppq=PPQ,
        tracks=tuple(tracks),
        tempos=tuple((t, q * faster) for t, q in events(score.tempos)),
        metres=events(score.metres, STEP),
        keys=events(score.keys),
        markers=events(score.markers),
        chords=events(score.chords),
        length=int(to(score.length)) if score.length else 0,
    )


def _layers(score: Score) -> dict[str, NDArray[np.int64]]:
    """How many notes begin on each sixteenth: drums by kind, long ones, the bass, all pitched."""
    end = score.end // STEP + 2

    def count(chosen: list[Any]) -> NDArray[np.int64]:
        onsets = np.concatenate([np.zeros(0, np.int64), *chosen])
        counts: NDArray[np.int64] = np.bincount((onsets + STEP // 2) // STEP, minlength=end)
        return counts

    drums = [t.notes for t in score.tracks if t.is_drum]
    pitched = [t for t in score.tracks if not t.is_drum]
    kinds = {"kick": _KICK, "snare": _SNARE, "crash": _CRASH}
    layers = {
        name: count([n[np.isin(n[:, PITCH], keys), ONSET] for n in drums])
        for name, keys in kinds.items()
    }
    long = [t.notes[t.notes[:, DURATION] >= LONG * STEP, ONSET] for t in pitched]
    bass = [t.notes[:, ONSET] for t in pitched if 32 <= t.program < 40]
    return layers | {
        "long": count(long),
        "bass": count(bass),
        "pitched": count([t.notes[:, ONSET] for t in pitched]),
    }


def _bar(layers: dict[str, NDArray[np.int64]]) -> int:
    """The sixteenths of a bar: 16, unless the music is clearly more like itself after others."""
    alike = {steps: _recurrence(layers, steps) - CLEAR * (steps != 16) for steps in BARS}
    return max(alike, key=lambda steps: alike[steps])


def _recurrence(layers: dict[str, NDArray[np.int64]], bar: int) -> float:
    """How much the music is like itself one and two bars later: mean autocorrelation."""
    found = []
    for layer in layers.values():
        x = np.minimum(layer, 3).astype(float)
        x -= x.mean()
        if layer.sum() >= 8 and len(x) > 4 * bar and x.any():
            lags = [(x[:-lag] * x[lag:]).mean() / x.var() for lag in (bar, 2 * bar)]
            found.append(sum(lags))
    return float(np.mean(found)) if found else 0.0


def _first_beat(layers: dict[str, NDArray[np.int64]]) -> int:
    """The sixteenth of a 4/4 bar on which bars begin, 0 unless the notes are clear about another.

    Long notes, crashes and kicks begin there, snares on the second and fourth quarter or the third.
    """
    share = {}
    for name, layer in layers.items():
        folded = np.bincount(np.arange(len(layer)) % 16, layer, 16)
        share[name] = folded / max(folded.sum(), 1)
    snare = [np.roll(share["snare"], -steps) for steps in (0, 4, 8, 12)]
    fit = share["long"] + share["crash"] + share["kick"] - snare[0]
    fit = fit + np.maximum(snare[1] + snare[3], snare[2])
    best = int(fit.argmax())
    return best if fit[best] >= 2 * fit[0] and fit[best] >= fit[0] + 1 else 0
