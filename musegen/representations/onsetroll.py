"""Piano rolls for diffusion: a plane of onsets and a plane of what is held for each track.

As in Polyffusion (Min et al. 2023, section 3): a note is a cell of the onset plane, and the steps
after it are cells of the sustain plane. Cells are 1 or -1, so that noise has mean 0 halfway.

Networks leave grey cells: fragments of a held note with a hole in it, onsets that are smeared over
two steps, sustain cells that no note leads to. `notes` says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.representations.pianoroll import Pianoroll
from musegen.representations.rolls import Roll
from musegen.score import Notes, Score

Cells = NDArray[np.int8]


@dataclass(frozen=True)
class OnsetRoll(Pianoroll):
    """Segments as int8 [2 tracks, steps, pitches] of 1 and -1: onsets of all tracks, then sustain.

    Fields are those of `Pianoroll`; the onset plane is always there, velocities never.

    Attributes:
        home: songs are in C major or A minor: `dataset.load` moves them there, whole songs as they
            are estimated, and pipelines move music there and back.
    """

    tracks: str = "duo"
    bars: int = 8
    onsets: bool = True
    home: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no roll.

        Raises:
            ValueError: as `Pianoroll`, or onsets are left out or velocities wanted.
        """
        super().__post_init__()
        if not self.onsets or self.velocities:
            raise ValueError("an onset roll has onsets and no velocities")

    @property
    def sung(self) -> bool:
        """Whether each track is a voice with one note at a time: where there are more than two."""
        return len(self.trackset) > 2

    def encode(self, score: Score) -> Cells:  # type: ignore[override]
        """The notes that begin in a segment's steps from tick 0 on."""
        return self._planes(super().encode(score)[None])[0]

    def song(self, score: Score) -> Cells:  # type: ignore[override]
        """A whole score, however long, to the end of its last bar.

        Raises:
            ValueError: the roll would be too large.
        """
        return self._planes(super().song(score)[None])[0]

    def encode_windows(  # type: ignore[override]
        self,
        notes: NDArray[np.integer],
        owner: NDArray[np.integer],
        n: int,
        out: Roll | None = None,
    ) -> Cells:
        """Notes of `n` segments, [n, 2 tracks, steps, pitches], see `Pianoroll.encode_windows`."""
        return self._planes(super().encode_windows(notes, owner, n, out))

    def _planes(self, roll: Roll) -> Cells:
        k = len(self.trackset)
        cells = np.empty(roll.shape, np.int8)
        cells[:, :k] = roll[:, k:]
        np.subtract(roll[:, :k], roll[:, k:], out=cells[:, k:], casting="unsafe")
        cells *= 2
        cells -= 1
        return cells

    def decode_steps(self, array: NDArray[Any]) -> Notes:
        """Cells, of any size from -1 to 1, as notes in steps, [m, 5]; over 0 is on."""
        array = np.asarray(array)
        k = array.shape[0] // 2
        onset, sustain = mended(array[:k], array[k:])
        return super().decode_steps(np.concatenate([onset | sustain, onset]).astype(np.uint8))


def mended(onset: NDArray[Any], sustain: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which cells begin a note and which hold one, bool [..., steps, pitches] both.

    1. An onset over 0 begins a note, unless the step before on its key is a stronger onset and this
       one weaker than the sustain here: that is one onset, smeared. Notes struck again stay.
    2. A note is held while sustain is over 0. A hole of one step, between held steps of one key and
       not struck again, is closed: no fragment is left behind it.
    3. Held steps that no onset leads to are no notes, unless there are at least two of them and
       they are surer than half: those begin a note.

    On clean rolls this changes nothing.
    """
    onset, sustain = (np.asarray(x, np.float32) for x in (onset, sustain))
    before = np.full_like(onset, -1)
    before[..., 1:, :] = onset[..., :-1, :]
    begins = (onset > 0) & ~((before >= onset) & (sustain > onset) & (before > 0))
    held = (sustain > 0) & ~begins
    on = held | begins
    # A hole: off, with something before it, and held sustain after it.
    hole = ~on
    hole[..., 0, :] = hole[..., -1, :] = False
    hole[..., 1:, :] &= on[..., :-1, :]
    hole[..., :-1, :] &= held[..., 1:, :]
    held |= hole
    # Runs of cells key by key: those that hold no onset are kept if long and sure enough.
    on = held | begins
    starts = on.copy()
    starts[..., 1:, :] &= ~on[..., :-1, :]
    run = np.cumsum(np.moveaxis(starts | begins, -2, -1).reshape(-1)).reshape(
        np.moveaxis(on, -2, -1).shape
    )
    run = np.moveaxis(run, -1, -2)
    number = int(run.max(initial=0)) + 1
    length = np.bincount(run[on], minlength=number)
    sure = np.bincount(run[on], np.where(held, sustain, 1)[on], minlength=number)
    led = np.bincount(run[begins], minlength=number) > 0
    new = ~led & (length >= 2) & (sure >= 0.5 * length)
    begins = begins | (starts & new[run])
    held &= (led | new)[run] & ~begins
    return begins, held
