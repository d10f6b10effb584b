"""The verbs of C-RNN-GAN: piano in free time, to chords or in a rhythm; interpolation of seeds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen import runtime
from musegen.errors import InputError, ModelError, MusegenError, NothingGeneratedError
from musegen.pipeline.base import Pipeline, Say, chord_labels
from musegen.pipeline.rhythm import repeated, rhythm_of
from musegen.pretrained import Bundle
from musegen.representations.chords import Chords
from musegen.representations.tuples import PPQ, Tuples
from musegen.runtime import Draws, slerp
from musegen.score import DURATION, ONSET, PITCH, Notes, Score, Track, as_notes, cut

_log = logging.getLogger("musegen")
Floats: TypeAlias = NDArray[np.float32]
BAR = 4 * PPQ
SECONDS = 30.0  # of music that nobody asked to be longer or shorter
TEMPO = 80.0  # quarters a minute; the middle of POP909 is 75
DENSE = 12  # events a quarter, more than which no music is made
EVENTS = 4_000_000  # in one call: noise and cells of more do not fit into the memory of a laptop
HEARD = 256  # events of a piece that its continuation goes on from
TEMPERATURE, TOP_P = 0.95, 0.97


class CRNNGANPipeline(Pipeline):
    """Piano music as cells of events, a function of the noise of a seed."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model, self.representation = runtime.of(bundle.model), bundle.representation

    @classmethod
    def untold(cls, sizes: Mapping[str, Any]) -> set[str]:
        """What is not its condition."""
        return {"chords", "rhythm"} - {{"beats": "chords"}.get(told := sizes["condition"], told)}

    @classmethod
    def needs(cls, sizes: Mapping[str, Any]) -> set[str]:
        """A rhythm, where the model plays that of others."""
        return {"rhythm"} & {sizes["condition"]}

    @classmethod
    def can(cls, config: Any) -> tuple[str, ...]:
        """Models of rhythms make pieces of those that they are told, and nothing else."""
        rhythm = getattr(config, "condition", "") == "rhythm"
        return ("generate",) if rhythm else super().can(config)

    @property
    def condition(self) -> str:
        """What the model can be told: "none", "beats" (chords) or "rhythm"."""
        told: str = self.model.config.condition
        return told

    def generate(
        self,
        n: int = 1,
        *,
        seed: int,
        seconds: float | None = None,
        bars: int | None = None,
        chords: str = "",
        rhythm: str | Score = "",
        tempo: float | None = None,
        quantize: int = 0,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        name: str = "rhythm",
    ) -> list[Score]:
        """New music.

        Args:
            n: how many.
            seed: same seed, same music.
            seconds: length of each, 30 by default, or that of the rhythm.
            bars: length in bars of four quarters instead.
            chords: symbols as on a lead sheet, "C Am F G", each for a bar, from the beginning again
                when there are too few.
            rhythm: for models of rhythms: lengths of notes in quarters ("1 1/2 1/2 2", rests in
                parentheses), or a score whose pitched notes have it; from the beginning again when
                it is shorter than what is asked for.
            tempo: quarter notes a minute; 80 by default, or those of the score with the rhythm.
            quantize: put onsets and ends on so many steps a quarter; 0 leaves them free.
            temperature: of times and pitches (lengths and intensities are drawn as they come); 0
                takes the likeliest of all.
            top_p: draw times and pitches from the likeliest that have this share.
            name: what to call the rhythm in errors.

        Raises:
            InputError: chords or a rhythm that cannot be read.
            ModelError: the model cannot be told what it was told.
            MusegenError: longer than memory allows, or a length that cannot be.
            NothingGeneratedError: nothing but silence.
        """
        paced = rhythm if isinstance(rhythm, Score) and not tempo else None
        tempo = tempo or (paced.tempos[0][1] if paced else TEMPO)
        until = self._ticks(n, seconds, bars, tempo)
        events, given = _events(until), self._chords(chords, 0, until)
        told: dict[str, Any] = {"chords": chords} if chords else {}
        if self.condition == "rhythm":
            rows, length = rhythm_of(rhythm, name)
            asked = seconds is not None or bars is not None
            until = until if asked else int(rows[:, : DURATION + 1].sum(1).max())
            given = self._rhythm(n, rows, length, until)
            told = {"rhythm": rhythm if isinstance(rhythm, str) else name}
            events = given.shape[1]
        elif rhythm:
            raise ModelError(f"{self.bundle.name} takes no rhythm; try performance-rhythm")
        z = self._noise(n, seed, events)
        x = self._decode(z, until, given, None, temperature, top_p)
        recipe = self._recipe("generate", seed, temperature=temperature, top_p=top_p, **told)
        recipe |= {"seconds": seconds} if seconds else {}
        recipe |= {"bars": bars} if bars else {}
        recipe |= {"quantize": quantize} if quantize else {}
        made = []
        for i, row in enumerate(x):
            notes = cut(_notes(self.representation, row), until)
            notes = _on_grid(notes, quantize, until)
            score = self._score(notes, until, tempo, recipe | {"index": i}, chords)
            made.append(_paced(score, paced) if paced else score)
        return made

    def continue_(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        seconds: float | None = None,
        bars: int | None = None,
        chords: str = "",
        quantize: int = 0,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        name: str = "the music",
        say: Say = _log.info,
    ) -> list[Score]:
        """What may follow a piece: the piece as written, and a track of what comes behind.

        Args:
            score: the piece; its pitched notes are heard, from a bar line on.
            n: how many continuations.
            seed: same seed, same music.
            seconds: length of what is added, 15 by default.
            bars: length in bars of four quarters instead.
            chords: of what is added, one for a bar.
            quantize: see `generate`.
            temperature: see `generate`.
            top_p: see `generate`.
            name: what to call the piece in errors.
            say: is told what was heard.

        Raises:
            InputError: no pitched notes, or chords that cannot be read.
            ModelError: a model of rhythms.
            MusegenError: longer than memory allows.
        """
        self._needs("continue")
        whole = Tuples(1).notes(score)
        if not len(whole):
            raise InputError(name, "has no pitched notes to continue; give a piece that has some")
        lines = score.bar_lines() * PPQ // score.ppq
        early = whole[max(0, len(whole) - HEARD), ONSET]
        first = int(lines[max(0, np.searchsorted(lines, early, "right") - 1)])
        heard = whole[whole[:, ONSET] >= first]
        heard[:, ONSET] -= first
        cells = replace(self.representation, cells=len(heard))
        start = cells.encode_windows(heard, np.zeros(len(heard), np.int64), 1)
        say(f"heard the last {len(heard)} of {len(whole)} notes")
        # What is added is counted from the next bar line; what is left of the bar is filled up.
        tempo = next(q for t, q in reversed(score.tempos) if t <= score.end)
        edge = -(-int(heard[-1, ONSET] + 1) // BAR) * BAR
        until = edge + self._ticks(n, seconds if seconds or bars else SECONDS / 2, bars, tempo)
        given = self._chords(chords, edge // PPQ, until)
        x = self._decode(
            self._noise(n, seed, _events(until - int(heard[-1, ONSET]))),
            until,
            given,
            start.repeat(n, 0),
            temperature,
            top_p,
        )
        made = []
        for i, row in enumerate(x):
            # Onsets of what is added go on from the last one heard.
            notes = _notes(self.representation, row, int(heard[-1, ONSET]))
            notes = _on_grid(cut(notes, until), quantize, until)
            if not len(notes):
                raise NothingGeneratedError(f"nothing came after {name}; try another seed")
            notes[:, ONSET] += first
            notes[:, : DURATION + 1] = notes[:, : DURATION + 1] * score.ppq // PPQ
            notes[:, DURATION] = notes[:, DURATION].clip(min=1)
            track = Track(as_notes(notes), name="Continuation")
            recipe = self._recipe("continue", seed, input=name, index=i, temperature=temperature)
            length = max(score.end, (until + first) * score.ppq // PPQ)
            tracks = (*score.tracks, track)
            made.append(replace(score, tracks=tracks, length=length, recipe=recipe))
        return made

    def interpolate(
        self,
        a: int,
        b: int,
        *,
        steps: int = 8,
        seconds: float | None = None,
        bars: int | None = None,
        chords: str = "",
        tempo: float | None = None,
        quantize: int = 0,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
    ) -> list[Score]:
        """Music on the way from that of seed `a` to that of seed `b`, the first and the last.

        The noise of the seeds is made normal, interpolated by slerp, and made uniform again.

        Raises:
            ValueError: fewer than 2 steps.
            MusegenError: longer than memory allows.
        """
        if steps < 2:
            raise ValueError("an interpolation needs at least 2 steps: its two ends")
        self._needs("interpolate")
        tempo = tempo or TEMPO
        until = self._ticks(steps, seconds, bars, tempo)
        ends = [self._noise(1, seed, _events(until)) for seed in (a, b)]
        bell = NormalDist()
        normal = [np.vectorize(bell.inv_cdf)(z.astype(float).clip(1e-7, 1 - 1e-7)) for z in ends]
        first, last = (one.reshape(1, -1) for one in normal)
        way = slerp(first, last, np.linspace(0, 1, steps)[1:-1])
        middle = np.vectorize(bell.cdf, [float])(way).astype(np.float32)
        z = np.concatenate([ends[0], middle.reshape(-1, *ends[0].shape[1:]), ends[1]])
        x = self._decode(z, until, self._chords(chords, 0, until), None, temperature, top_p)
        recipe = self._recipe("interpolate", a, to=b, steps=steps, temperature=temperature)
        made = []
        for i, row in enumerate(x):
            notes = _on_grid(cut(_notes(self.representation, row), until), quantize, until)
            made.append(self._score(notes, until, tempo, recipe | {"index": i}, chords))
        return made

    def _ticks(self, n: int, seconds: float | None, bars: int | None, tempo: float) -> int:
        """How long n pieces are.

        Raises:
            MusegenError: no time at all, or more than memory allows.
        """
        if seconds is not None and bars is not None:
            raise MusegenError("the length is given in seconds or in bars, not both")
        if bars is None:
            ticks = (SECONDS if seconds is None else seconds) * tempo / 60 * PPQ
        else:
            ticks = float(bars * BAR)
        longest = EVENTS / DENSE / max(n, 1) * PPQ
        if not 0 < ticks <= longest:
            limit = longest / PPQ * 60 / tempo
            raise MusegenError(
                f"cannot make {n} pieces of that length: it must be above 0 and at most "
                f"{limit:,.0f} seconds, for which there is memory"
            )
        return math.ceil(ticks)

    def _noise(self, n: int, seed: int, events: int) -> Floats:
        """Noise of events, one generator for each piece: the i-th piece of a seed is the same
        whatever n and length are."""
        draws = (Draws(seed + 7919 * i) for i in range(n))
        return np.concatenate([self.model.prior(1, one, events) for one in draws])

    def _decode(
        self,
        z: Floats,
        until: int,
        given: Floats | None,
        start: Floats | None,
        temperature: float,
        top_p: float,
    ) -> Floats:
        if given is not None and len(given) == 1:
            given = given.repeat(len(z), 0)
        x: Floats = self.model.decode(
            z,
            temperature=temperature,
            given=given,
            start=start,
            top_p=top_p,
            until=math.inf if self.condition == "rhythm" else float(until),
        )
        return x

    def _chords(self, text: str, before: int, until: int) -> Floats | None:
        """What is told of `until` ticks: nothing for `before` quarters, then a chord for each bar.

        Raises:
            InputError: a symbol cannot be read.
            ModelError: the model cannot be told chords.
        """
        if not text:
            return None
        if self.condition != "beats":
            raise ModelError(f"{self.bundle.name} cannot be told chords; train performance")
        labels = chord_labels(text)
        beats = -(-until // PPQ)
        bars = range(before, beats, 4)
        symbols = tuple((480 * beat, labels[i % len(labels)]) for i, beat in enumerate(bars))
        told = Chords(beats).encode(Score(chords=symbols, length=480 * beats))
        return told.astype(np.float32)[None]

    def _rhythm(self, n: int, rows: Notes, length: int, until: int) -> Floats:
        """Times and lengths [1, t, 2] of a rhythm that begins again after `length` ticks.

        Raises:
            MusegenError: more notes than there is memory for.
        """
        if n * len(rows) * -(-until // length) > EVENTS:
            raise MusegenError(
                f"cannot make {n} pieces of that rhythm: there is memory for {EVENTS:,} notes"
            )
        rows = repeated(rows, length, until)
        cells = replace(self.representation, cells=len(rows))
        return cells.encode_windows(rows, np.zeros(len(rows), np.int64), 1)[..., :2]

    def _score(
        self, notes: Notes, until: int, tempo: float, recipe: dict[str, Any], chords: str
    ) -> Score:
        if not len(notes):
            raise NothingGeneratedError("nothing but silence came out; try another seed")
        symbols = chord_labels(chords) if chords else ()
        lines = range(0, until, BAR) if symbols else ()
        told = tuple((bar, symbols[i % len(symbols)]) for i, bar in enumerate(lines))
        track = Track(as_notes(notes), name="Piano")
        return Score(
            (track,), PPQ, tempos=((0, float(tempo)),), chords=told, length=until, recipe=recipe
        )


def _events(ticks: int) -> int:
    """As many events as there may be in so many ticks."""
    return max(64, math.ceil(ticks / PPQ * DENSE))


def _paced(score: Score, like: Score) -> Score:
    """A score with the tempo and metre map of another."""
    tempos = tuple((t * PPQ // like.ppq, qpm) for t, qpm in like.tempos)
    metres = tuple((t * PPQ // like.ppq, n, d) for t, n, d in like.metres)
    return replace(score, tempos=tempos, metres=metres)


def _notes(representation: Tuples, x: NDArray[np.floating], begin: int = 0) -> Notes:
    """The notes of cells, in ticks, where the event before the first began at `begin`."""
    score = replace(representation, cells=len(x)).decode(x)
    notes = score.tracks[0].notes.astype(np.int64)
    notes[:, ONSET] += begin
    return notes


def _on_grid(notes: Notes, steps: int, until: int) -> Notes:
    """Onsets and ends on so many steps a quarter, each pitch once at a time; 0 changes nothing.

    Raises:
        MusegenError: no such grid.
    """
    if not steps:
        return notes
    if steps < 0 or PPQ % steps:
        raise MusegenError(f"cannot quantize to {steps} steps a quarter; {PPQ} must divide by it")
    grid = PPQ // steps
    onset = (2 * notes[:, ONSET] + grid) // (2 * grid) * grid
    end = (2 * (notes[:, ONSET] + notes[:, DURATION]) + grid) // (2 * grid) * grid
    placed = notes.copy()
    placed[:, ONSET], placed[:, DURATION] = onset, np.maximum(end - onset, grid)
    placed = placed[onset < until]
    _, first = np.unique(placed[:, [ONSET, PITCH]], axis=0, return_index=True)
    return cut(placed[np.sort(first)], until)
