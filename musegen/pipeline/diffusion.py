"""The verbs of piano roll diffusion. Most are one: fill free cells, keep the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from musegen.errors import ModelError, MusegenError, NothingGeneratedError
from musegen.models.lead import TEMPERATURE
from musegen.pipeline.base import Say
from musegen.pipeline.canvas import BAR, BEATS, LONGEST, Canvas, at_home, region
from musegen.pipeline.painting import (
    TOGETHER,
    Drawing,
    Finished,
    Painter,
    Report,
    bar_range,
    check_amount,
    generators,
    nobody,
    pitch_range,
    quiet,
    told_of,
)
from musegen.samplers import Plan
from musegen.sampling import slerp
from musegen.score import Score, Track

# As steps of the major scale: what pop music is mostly made of, in Roman numerals I V vi IV,
# vi IV I V, IV V iii vi, I vi IV V, the canon, and ii V I vi.
PROGRESSIONS = ("1 5 6 4", "6 4 1 5", "4 5 3 6", "1 6 4 5", "1 5 6 3 4 1 4 5", "2 5 1 6")
_log = logging.getLogger("musegen")
PPQ = 480


class DiffusionPipeline(Painter):
    """Melody and piano or four voices, made, filled and changed by a denoiser of piano rolls.

    Chords are told as on a lead sheet, "C G Am F", one for a bar, again from the beginning when
    there are too few; by default they are those written in the file or else heard in its notes, and
    for new music a common progression in a key of the seed. "free" tells no chords: such music
    wanders more.
    """

    @classmethod
    def untold(cls, sizes: Mapping[str, Any]) -> set[str]:
        """Chords and the melody's temperature, where it has no place for them."""
        places = {"told": "chords", "lead": "temperature"}
        return {option for size, option in places.items() if not sizes.get(size)}

    def generate(
        self,
        n: int = 1,
        *,
        seed: int,
        bars: int | None = None,
        tempo: float = 90.0,
        steps: int = 25,
        sampler: str = "ddim",
        eta: float = 0.0,
        guidance: float = 1.0,
        resample: int = 2,
        temperature: float = TEMPERATURE,
        chords: str = "",
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """New music.

        Args:
            n: how many.
            seed: same seed, same music.
            bars: length, the model's own by default; longer ones grow by half a window.
            tempo: quarter notes a minute.
            steps: looks of the network; more are slower and better.
            sampler: "ddpm", "ddim", "dpm++2m" or "heun".
            eta: noise that "ddim" adds, 0 to 1.
            guidance: how strictly chords are followed: 1 as learned, 0 not at all.
            resample: times that each step is made where music is kept, for it to fit.
            temperature: of the melody's pitches, where the model draws it before the rest, as it
                does if chords are told: higher is wilder, 0 takes the likeliest.
            chords: see the class.
            report: told how many of how many steps are done.
            finished: handed each piece and its number, from 0, as soon as it is made.

        Raises:
            InputError: chords that cannot be read.
            ModelError: options that cannot be.
            MusegenError: more than memory allows.
            NothingGeneratedError: nothing but silence.
        """
        bars = bars or self.window
        if not 1 <= bars <= LONGEST or not 1 <= n <= 10_000:
            raise MusegenError(f"cannot make {n} pieces of {bars} bars; at most {LONGEST} bars")
        parts = self.representation.trackset.parts
        empty = tuple(Track(program=p.program, name=p.name) for p in parts)
        score = Score(empty, PPQ, ((0, tempo),), length=bars * BEATS * PPQ)
        none = tuple(np.ones(0, np.bool_) for _ in parts)
        roll = replace(self.representation, bars=bars)
        if roll.home:  # any key
            roll = at_home(roll, int(np.random.default_rng(seed).integers(-4, 4)))
        blank = Canvas(score, 0, bars, tuple(range(len(parts))), roll, none)
        how = Drawing(steps, sampler, eta, guidance, resample, temperature)
        if not chords and self.model.config.told:
            chords = progression(seed)

        def heard(index: int, score: Score) -> None:
            if not any(len(track) for track in score.tracks):
                raise NothingGeneratedError("nothing but silence came; try another seed")
            finished(index, score)

        return self._fill(blank, region(blank), n, "generate", seed, "", how, chords, report, heard)

    def continue_(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        bars: int = 4,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
        steps: int = 25,
        sampler: str = "ddim",
        eta: float = 0.0,
        guidance: float = 1.0,
        resample: int = 2,
        temperature: float = TEMPERATURE,
        chords: str = "",
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """What may follow a piece: the piece as written, and `bars` bars of all parts behind it.

        Raises:
            InputError: no notes, or it does not end in 4/4.
        """
        if bars < 1:
            raise MusegenError("cannot continue by less than a bar; give bars from 1 up")
        page = self._page(score, track, name, say, bars)
        chosen = region(page, bars=(page.bars - bars + 1, page.bars))
        how = Drawing(steps, sampler, eta, guidance, resample, temperature)
        return self._fill(page, chosen, n, "continue", seed, name, how, chords, report, finished)

    def inpaint(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        bars: str | tuple[int, int] | None = None,
        pitch: str | tuple[int, int] | None = None,
        part: str | None = None,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
        steps: int = 25,
        sampler: str = "ddim",
        eta: float = 0.0,
        guidance: float = 1.0,
        resample: int = 2,
        chords: str = "",
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """The piece with a part of it made anew; notes that begin outside are kept exactly.

        Args:
            score: the piece.
            n: how many versions.
            seed: same seed, same music.
            bars: which, from 1 on, as "5-6" or a pair.
            pitch: which, as "C3-C5" (middle C is C4) or a pair of MIDI pitches.
            part: "melody" or "piano" alone, or a voice; by default those that the piece has.
            track: which track of the piece is the melody.
            name: what to call the piece in errors.
            say: is told what was taken.
            steps: these and the following as of `generate`.
            sampler: see there.
            eta: see there.
            guidance: see there.
            resample: see there.
            chords: see there.
            report: see there.
            finished: see there.

        Raises:
            InputError: bars or pitches that are not there, or nothing chosen.
        """
        page = self._page(score, track, name, say)
        chosen = region(
            page,
            bars=bar_range(bars) if isinstance(bars, str) else bars,
            pitches=pitch_range(pitch) if isinstance(pitch, str) else pitch,
            parts=self._part(part) or page.present,
        )
        how = Drawing(steps, sampler, eta, guidance, resample)
        return self._fill(page, chosen, n, "inpaint", seed, name, how, chords, report, finished)

    def accompany(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        track: str | int | None = None,
        name: str = "the melody",
        say: Say = _log.info,
        steps: int = 25,
        sampler: str = "ddim",
        eta: float = 0.0,
        guidance: float = 1.0,
        resample: int = 2,
        chords: str = "",
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """A piano below a melody, or the voices that are not there; below four the lower three
        anew. The melody is kept exactly; other tracks of the parts that are made give way.

        Raises:
            InputError: no melody, or no bars of four quarters.
            ModelError: the model has one part only.
        """
        if len(self.representation.trackset) < 2:
            raise ModelError(f"{self.bundle.name} knows no parts; try inpaint with pitches")
        page, parts = self._page(score, track, name, say).wanted(track)
        chosen = region(page, parts=parts)
        how = Drawing(steps, sampler, eta, guidance, resample)
        return self._fill(page, chosen, n, "accompany", seed, name, how, chords, report, finished)

    def vary(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        amount: float = 0.5,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
        steps: int = 25,
        sampler: str = "ddim",
        eta: float = 0.0,
        guidance: float = 1.0,
        chords: str = "",
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """The piece noised by `amount` (0 as it is, 1 forgotten) of all levels and cleaned again.

        Raises:
            InputError: nothing to vary, or an amount that cannot be.
        """
        check_amount(amount)
        how = Drawing(steps, sampler, eta, guidance)
        plan = how.plan()
        page = self._page(score, track, name, say)
        recipe = self._recipe("vary", seed, input=name, amount=amount, **told_of(how))
        if not amount:
            return [replace(score, recipe=recipe | {"index": i}) for i in range(n)]
        x, given = self._cells(page), self._told(page, chords)
        starts = range(0, x.shape[1], self.window * BAR)
        page, free = page.selecting(region(page))
        total = len(range(0, n, TOGETHER)) * len(starts) * how.steps
        done, made = 0, list[Score]()
        while len(made) < n:
            own = generators(seed, len(made), min(TOGETHER, n - len(made)))
            out = np.repeat(x[None], len(own), axis=0)
            for start in starts:
                at = slice(start, start + self.window * BAR)
                noisy, level = self.model.noised(torch.from_numpy(out[:, :, at]), amount, own)
                out[:, :, at] = self.model.decode(
                    noisy,
                    own,
                    self._given(given, start, len(own)),
                    plan=plan,
                    guidance=how.guidance,
                    start=level,
                    report=lambda k, _, done=done: report(done + k, total),
                ).cpu()
                done += how.steps
            for row in out:
                painted = page.paint(row[:, : page.steps], free, recipe | {"index": len(made)})
                finished(len(made), painted)
                made.append(painted)
        return made

    def reconstruct(
        self,
        score: Score,
        *,
        seed: int = 0,
        steps: int = 50,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
    ) -> tuple[Score, dict[str, Any]]:
        """The piece's first window through the latent of DDIM and back, with the share of steps
        that came out as they were on all planes.
        """
        z, page = self._latent(score, seed, steps, track, name, say)
        x = self.model.decode(z, torch.Generator().manual_seed(seed), plan=Plan(steps))
        was = self._cells(page)[:, : self.window * BAR] > 0
        right = ((x[0].cpu().numpy() > 0) == was).all((0, 2))
        share = round(float(right.mean()), 4)
        figures = {"accuracy": share, "windows": [share], "bars": self.window}
        return self._made(page, x[0], self._recipe("reconstruct", seed, input=name)), figures

    def interpolate(
        self,
        a: Score,
        b: Score,
        *,
        seed: int = 0,
        steps: int = 8,
        looks: int = 50,
        tracks: tuple[str | None, str | None] = (None, None),
        names: tuple[str, str] = ("A", "B"),
        say: Say = _log.info,
    ) -> list[Score]:
        """Music on the way from one piece's first window to another's, by slerp of the noise that
        DDIM makes them from. The first and the last are the pieces as written.
        `looks` are those of the network on each way, `steps` the pieces.

        Raises:
            ValueError: fewer than 2 pieces.
            InputError: a piece without notes or bars of four quarters.
        """
        if steps < 2:
            raise ValueError("an interpolation needs at least 2 steps: its two ends")
        ends = [
            self._latent(s, seed, looks, track, name, say)
            for s, track, name in zip((a, b), tracks, names, strict=True)
        ]
        first, last = (z.flatten(1) for z, _ in ends)
        way = slerp(first, last, torch.linspace(0, 1, steps)[1:-1])
        middle = way.reshape(-1, *ends[0][0].shape[1:])
        x = self.model.decode(middle, torch.Generator().manual_seed(seed), plan=Plan(looks))
        recipe = self._recipe("interpolate", seed, a=names[0], b=names[1])
        made = [self._made(ends[0][1], row, recipe | {"index": i + 1}) for i, row in enumerate(x)]
        return [
            self._written(ends[0][1], recipe | {"index": 0}),
            *made,
            self._written(ends[1][1], recipe | {"index": steps - 1}),
        ]

    def _latent(
        self, score: Score, seed: int, steps: int, track: Any, name: str, say: Say
    ) -> tuple[torch.Tensor, Canvas]:
        page = self._page(score, track, name, say)
        x = torch.from_numpy(self._cells(page)[None, :, : self.window * BAR])
        generator = torch.Generator().manual_seed(seed)
        return self.model.encode(x, generator, plan=Plan(steps)), page

    def _made(self, page: Canvas, x: torch.Tensor, recipe: dict[str, Any]) -> Score:
        """A window by itself, at the tempo of a page."""
        score = replace(page.roll, bars=self.window).decode(x.numpy())
        tempo = next(q for t, q in reversed(page.score.tempos) if t <= page.start)
        return replace(score, tempos=((0, tempo),), recipe=recipe)

    def _written(self, page: Canvas, recipe: dict[str, Any]) -> Score:
        """The first window of a page, note by note as it is."""
        end = page.start + self.window * BEATS * page.score.ppq
        return replace(page.score.clip(page.start, end), recipe=recipe)


def progression(seed: int) -> str:
    """Common chords in a key, both chosen by the seed, as on a lead sheet."""
    rng = np.random.default_rng(seed)
    key, degrees = int(rng.integers(12)), PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    names = ["C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"]
    steps, minor = (0, 2, 4, 5, 7, 9, 11), "236"
    return " ".join(
        names[(key + steps[int(d) - 1]) % 12] + "m" * (d in minor) for d in degrees.split()
    )
