"""Drums for a rhythm from a model of drum loops that was never told one: by choosing.

Loops that the model draws are weighed by how likely the rhythm is beside them, and drawn again by
these weights (sampling-importance-resampling; Rubin 1988). A step is tapped by a chance that
depends on what the loop plays there, `CHANCES`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen.pipeline import taps
from musegen.representations.drums import KITS, Drums, hits
from musegen.representations.events import STEPS_PER_BAR, STEPS_PER_QUARTER
from musegen.runtime import Draws
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track, as_notes

Floats: TypeAlias = NDArray[np.floating]
Symbols: TypeAlias = NDArray[np.integer]
LOOPS, MORE = 128, 32  # drawn for one piece, and for each that is asked for beside it
AWAY = 0.1  # nats that each step costs at which a window has another symbol than the piece's loop
AGAIN = 10.0  # nats that a loop costs for each piece that has it already
# How often a melody or bass begins a note where the drums of Freedoom's training songs play
# nothing; hats, ride or crash; snare or tom; kick (musegen evaluate --drumify, docs/groove.md).
CHANCES = (0.2, 0.45, 0.6, 0.7)
_RANK = (3, 2, 1, 1, 2, 2, 2, 1, 1)  # of the nine classes of drums, which chance is theirs


class Rhythm(NamedTuple):
    """What is tapped in windows of steps, [w, t] each.

    Attributes:
        loud: the loudest velocity that begins there, 0 where nothing is tapped.
        inside: whether drums play there: from the bar of the first tap to the end of the last one's
            window, within the music. Where the first tap is in the second half of its bar, it is a
            pickup, and they begin with it.
    """

    loud: NDArray[np.int64]
    inside: NDArray[np.bool_]

    @property
    def tapped(self) -> NDArray[np.bool_]:
        """Where something is tapped."""
        return self.loud > 0

    @property
    def mean(self) -> float:
        """The mean velocity of the taps."""
        return float(self.loud[self.tapped].mean())


def rhythm(score: Score, track: Track, windows: NDArray[np.int64], steps: int) -> Rhythm:
    """The rhythm of a track in windows (their first and last tick, [w, 2]) of so many steps."""
    at = taps.places(score, track.notes, windows)
    loud = np.zeros((len(windows), steps), np.int64)
    np.maximum.at(loud, (at.window, at.step), track.notes[at.row, VELOCITY])
    inside = np.arange(steps) < taps.lengths(score, windows)[:, None]
    tapped = np.flatnonzero(loud)
    if len(tapped):
        first, last = int(tapped[0]), int(tapped[-1])
        first -= 0 if first % STEPS_PER_BAR >= STEPS_PER_BAR // 2 else first % STEPS_PER_BAR
        place = np.arange(loud.size).reshape(loud.shape)
        inside &= (place >= first) & (place < (last // steps + 1) * steps)
    return Rhythm(loud, inside)


def ranks(loops: Symbols) -> NDArray[np.int64]:
    """What loops play at each step, as an index of `CHANCES`; the same shape."""
    return np.asarray((hits(loops) * np.array(_RANK)).max(-1))


def fit(loops: Symbols, heard: Rhythm) -> Floats:
    """Nats by which the rhythm of each window is likelier beside loops than beside silence.

    The sum over steps of log(p / p0) where something is tapped, times its velocity over the mean
    one, and of log((1 - p) / (1 - p0)) where not; p is the chance beside the loop, p0 that beside
    silence.

    Args:
        loops: symbols [k, t].
        heard: the rhythm, of w windows.

    Returns:
        Nats [w, k].
    """
    p = np.array(CHANCES)[ranks(loops)]
    yes, no = np.log(p / CHANCES[0]), np.log((1 - p) / (1 - CHANCES[0]))
    return np.asarray(heard.loud / heard.mean @ yes.T + (heard.inside & ~heard.tapped) @ no.T)


def followed(
    model: Any, heard: Rhythm, n: int, draws: Draws, temperature: float = 1.0
) -> list[Symbols]:
    """Loops for the windows of a piece, `n` times [w, t].

    One loop is drawn for the piece, by the sum of `fit` over its windows with taps. Each of these
    then draws its own, by `fit` less what it costs to play other than that (`AWAY`); windows with
    the same rhythm have the same loop, and those without a tap the piece's.

    Args:
        model: of drum loops, with `prior` and `decode`.
        heard: the rhythm, with something tapped.
        n: how many.
        draws: chance.
        temperature: of the choice; 0 takes what fits best.
    """
    loops = model.decode(model.prior(LOOPS + MORE * (n - 1), draws), draws)
    some = np.asarray(heard.tapped.any(1))
    nats = fit(loops, Rhythm(heard.loud[some], heard.inside[some]))
    known = np.stack([heard.tapped, heard.inside])[:, some].swapaxes(0, 1).reshape(some.sum(), -1)
    first, which = np.unique(known, axis=0, return_index=True, return_inverse=True)[1:]
    used, made = np.zeros(len(loops)), []
    for _ in range(n):
        main = int(_drawn((nats.sum(0) - AGAIN * used)[None], draws, temperature)[0])
        cost = AWAY * (loops != loops[main]).sum(1) + AGAIN * used
        own = _drawn(nats[first] - cost, draws, temperature)
        piece = np.full(len(some), main)
        piece[some] = own[which.reshape(-1)]
        made.append(loops[piece])
        used[np.unique(piece)] += 1
    return made


def _drawn(nats: Floats, draws: Draws, temperature: float) -> NDArray[np.int64]:
    """An index for each row of nats [r, k], as likely as their exponentials (Gumbel's trick)."""
    u = draws.uniform(*nats.shape).astype(float) + 2.0**-25  # never 0
    return np.asarray(np.argmax(nats - temperature * np.log(-np.log(u)), axis=1))


def played(
    loops: Symbols, heard: Rhythm, windows: NDArray[np.int64], ppq: int, kind: Drums
) -> Track:
    """Loops [w, t] as a track of hits a step long; a hit beside a tap is as loud as it, others as
    the taps are on the average.
    """
    kit = KITS[kind.kit]
    bits = hits(loops, len(kit.classes))
    window, step, drum = np.nonzero(bits * heard.inside[..., None])
    rows: Notes = np.empty((len(window), 4), np.int64)
    rows[:, ONSET] = windows[window, 0] + step * ppq // STEPS_PER_QUARTER
    rows[:, DURATION], rows[:, PITCH] = max(1, ppq // STEPS_PER_QUARTER), kit.written[drum]
    loud = heard.loud[window, step]
    rows[:, VELOCITY] = np.where(loud > 0, loud, round(heard.mean))
    return Track(as_notes(rows), is_drum=True, name="Drums")
