"""The verbs of diffusion over latents: long melodies, new, continued, mended and varied."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from musegen.errors import MusegenError, NothingGeneratedError
from musegen.melody import into_key
from musegen.pipeline.base import Pipeline, Say
from musegen.pipeline.canvas import BAR, LONGEST, Canvas, canvas, region
from musegen.pipeline.painting import (
    TOGETHER,
    Drawing,
    Finished,
    Report,
    bar_range,
    check_amount,
    generators,
    nobody,
    quiet,
)
from musegen.pretrained import Bundle
from musegen.representations.events import HIGHEST, LOWEST, Melody, monophonic
from musegen.representations.onsetroll import OnsetRoll
from musegen.score import DURATION, ONSET, Notes, Score

_log = logging.getLogger("musegen")
Symbols: TypeAlias = NDArray[np.integer]
STEPS = 50  # looks of the network that all verbs take by default


class SongPipeline(Pipeline):
    """Melodies of any number of bars. The network knows them as windows of two bars, a fixed number
    at a time; longer ones grow by half of that. All verbs but `vary` are one: fill windows, keep
    the rest. Notes that begin outside of what is filled never pass the network.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model, self.representation = bundle.model, bundle.representation
        self.size = self.model.config.autoencoder.steps // BAR  # bars of a window

    @classmethod
    def suits(cls, config: Mapping[str, Any], drums: bool) -> bool:
        """Melodies, not drums."""
        return not drums

    def generate(
        self,
        n: int = 1,
        *,
        seed: int,
        bars: int | None = None,
        temperature: float = 0.0,
        tempo: float = 120.0,
        key: str | None = None,
        steps: int = STEPS,
        sampler: str = "ddim",
        eta: float = 0.0,
        resample: int = 1,
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """New melodies.

        Args:
            n: how many.
            seed: same seed, same melodies; a melody does not depend on how many are made.
            bars: length, the model's own by default.
            temperature: of the symbols; 0 takes the likeliest.
            tempo: quarter notes a minute.
            key: transposed into it, as "C" or "F#m".
            steps: looks of the network; more are slower and better.
            sampler: "ddpm", "ddim", "dpm++2m" or "heun".
            eta: noise that "ddim" adds, 0 to 1.
            resample: times that each step is made where music is kept, for it to fit.
            report: told how many of how many steps are done.
            finished: handed each melody and its number, from 0, as soon as it is made.

        Raises:
            ModelError: options that cannot be.
            MusegenError: more bars or melodies than can be.
            NothingGeneratedError: nothing but silence.
        """
        bars = bars or self.representation.bars
        if not 1 <= bars <= LONGEST or not 1 <= n <= 10_000:
            raise MusegenError(f"cannot make {n} melodies of {bars} bars; at most {LONGEST} bars")
        how = Drawing(steps, sampler, eta, resample=resample)
        recipe = self._recipe("generate", seed, bars=bars, tempo=tempo, temperature=temperature)
        recipe |= {"steps": steps, "sampler": sampler, "n": n} | ({"key": key} if key else {})
        kind, made = replace(self.representation, bars=bars), list[Score]()
        silence = np.zeros(bars * BAR, np.uint8)
        for x in self._filled(silence, (0, bars), n, seed, how, temperature, report):
            score = replace(kind.decode(x), tempos=((0, float(tempo)),))
            score = into_key(score, key) if key else score
            score = replace(score, recipe=recipe | {"index": len(made)})
            if not len(score.tracks[0]):
                raise NothingGeneratedError("nothing but silence came; try another seed")
            finished(len(made), score)
            made.append(score)
        return made

    def continue_(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        bars: int = 8,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
        temperature: float = 0.0,
        steps: int = STEPS,
        sampler: str = "ddim",
        eta: float = 0.0,
        resample: int = 2,
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """How a melody may go on: the piece as written, and `bars` bars of melody behind it.

        Raises:
            InputError: no melody, or it does not end in bars of four quarters.
        """
        if bars < 1:
            raise MusegenError("cannot continue by less than a bar; give bars from 1 up")
        page = self._page(score, track, name, say, bars)
        where = (page.bars - bars, page.bars)
        how = Drawing(steps, sampler, eta, resample=resample)
        return self._painted(
            page, where, n, "continue", seed, name, how, temperature, report, finished
        )

    def inpaint(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        bars: str | tuple[int, int] | None = None,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
        temperature: float = 0.0,
        steps: int = STEPS,
        sampler: str = "ddim",
        eta: float = 0.0,
        resample: int = 2,
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """The piece with some bars of its melody made anew; all else is kept exactly.

        Args:
            score: the piece.
            n: how many versions.
            seed: same seed, same music.
            bars: which, from 1 on, as "5-6" or a pair; all by default.
            track: which track holds the melody, by name or number from 1.
            name: what to call the piece in errors.
            say: is told what was taken.
            temperature: these and the following as of `generate`.
            steps: see there.
            sampler: see there.
            eta: see there.
            resample: see there.
            report: see there.
            finished: see there.

        Raises:
            InputError: no melody, or bars that are not there.
        """
        page = self._page(score, track, name, say)
        chosen = bar_range(bars) if isinstance(bars, str) else bars or (1, page.bars)
        how = Drawing(steps, sampler, eta, resample=resample)
        where = (chosen[0] - 1, chosen[1])
        return self._painted(
            page, where, n, "inpaint", seed, name, how, temperature, report, finished
        )

    def vary(
        self,
        score: Score,
        n: int = 4,
        *,
        seed: int,
        amount: float = 0.5,
        track: str | int | None = None,
        name: str = "the music",
        say: Say = _log.info,
        temperature: float = 0.0,
        steps: int = STEPS,
        sampler: str = "ddim",
        eta: float = 0.0,
        report: Report = quiet,
        finished: Finished = nobody,
    ) -> list[Score]:
        """The piece with its melody noised by `amount` (0 as it is, 1 forgotten) of all levels and
        cleaned again, a model's length at a time.

        Raises:
            InputError: no melody, or an amount that cannot be.
        """
        check_amount(amount)
        plan = Drawing(steps, sampler, eta).plan()
        recipe = self._recipe("vary", seed, input=name, amount=amount, temperature=temperature)
        if not amount:
            return [replace(score, recipe=recipe | {"index": i}) for i in range(n)]
        page = self._page(score, track, name, say)
        x = self._symbols(page)
        length = self.model.config.steps
        times = -(-len(x) // length)  # a short piece, and the last part of a long one, comes again
        z = self.model.latents(torch.from_numpy(np.resize(x, times * length))[None])[0]
        size, made = self.model.config.windows, list[Score]()
        while len(made) < n:
            own = generators(seed, len(made), min(TOGETHER, n - len(made)))
            parts = []
            for i, part in enumerate(z.split(size)):
                same = part.expand(len(own), -1, -1)
                noisy, level = self.model.noised(same, amount, own)
                done = (len(made) // TOGETHER * times + i) * steps
                total = len(range(0, n, TOGETHER)) * times * steps
                parts.append(
                    self.model.denoise(
                        noisy,
                        own,
                        plan=plan,
                        start=level,
                        report=lambda k, _, done=done, total=total: report(done + k, total),
                    )
                )
            for row, one in zip(torch.cat(parts, 1), own, strict=True):
                new = self._write(row, one, temperature)[: len(x)]
                painted = self._paint(
                    page, new, (0, page.bars), recipe | {"index": len(made), "steps": steps}
                )
                finished(len(made), painted)
                made.append(painted)
        return made

    def _page(
        self, score: Score, track: str | int | None, name: str, say: Say, more: int = 0
    ) -> Canvas:
        """The run of bars whose melody is worked on. All pitched tracks are one melody where none
        looks like one by itself.
        """
        roll = OnsetRoll("duo", bars=1, low=LOWEST, high=HIGHEST)
        page, said = canvas(score, roll, track=track, name=name, more=more)
        say(f"took {said}")
        if 0 not in page.parts:
            page = replace(page, parts=tuple(min(p, 0) for p in page.parts))
        return page

    def _line(self, page: Canvas) -> Notes:
        """The notes of the melody in steps from the run's start, one at a time."""
        rows = [np.zeros((0, 4), np.int64)]
        for track, part in zip(page.score.tracks, page.parts, strict=True):
            if part == 0:
                cells, inside = page.places(track.notes)
                rows.append(cells[inside] + np.array([0, 0, page.roll.low, 0]))
        return monophonic(np.concatenate(rows))

    def _symbols(self, page: Canvas) -> Symbols:
        """The melody as symbols [steps]."""
        return Melody(page.bars).encode_steps(self._line(page))

    def _painted(
        self,
        page: Canvas,
        where: tuple[int, int],
        n: int,
        verb: str,
        seed: int,
        name: str,
        how: Drawing,
        temperature: float,
        report: Report,
        finished: Finished,
    ) -> list[Score]:
        """The piece `n` times with the bars `where` (from 0, the end out) of its melody anew."""
        region(page, bars=(where[0] + 1, where[1]))  # refuses what is not there
        recipe = self._recipe(verb, seed, input=name, temperature=temperature)
        recipe |= {"bars": f"{where[0] + 1}-{where[1]}", "steps": how.steps, "n": n}
        made = list[Score]()
        for x in self._filled(self._symbols(page), where, n, seed, how, temperature, report):
            score = self._paint(page, x, where, recipe | {"index": len(made)})
            finished(len(made), score)
            made.append(score)
        return made

    def _paint(
        self, page: Canvas, x: Symbols, where: tuple[int, int], recipe: dict[str, Any]
    ) -> Score:
        """The piece with the notes of symbols x [steps] that begin in the bars `where`, in place of
        its melody's; they end with these bars, and begin after what is held into them.
        """
        notes = self.representation.decode_steps(x)
        first, end = where[0] * BAR, where[1] * BAR
        old = self._line(page)
        before = old[old[:, ONSET] < first]
        free = max(first, int((before[:, ONSET] + before[:, DURATION]).max(initial=0)))
        notes = notes[(notes[:, ONSET] >= free) & (notes[:, ONSET] < end)]
        notes[:, DURATION] = np.minimum(notes[:, DURATION], end - notes[:, ONSET])
        rows = np.column_stack([notes, np.zeros(len(notes), np.int64)])
        cells = page.roll.encode_windows(rows, np.zeros(len(rows), np.int64), 1)[0]
        page, empty = page.selecting(region(page, bars=(where[0] + 1, where[1]), parts=(0,)))
        return page.paint(2.0 * cells - 1, empty, recipe)

    def _filled(
        self,
        x: Symbols,
        where: tuple[int, int],
        n: int,
        seed: int,
        how: Drawing,
        temperature: float,
        report: Report,
    ) -> Iterator[Symbols]:
        """Symbols x [steps] with the bars `where` made anew, `n` times.

        Windows are counted from where the new bars begin, so that none is half new there.
        """
        plan, step = how.plan(), self.model.config.autoencoder.steps
        size = self.model.config.windows
        lead = -where[0] % self.size * BAR
        count = -(-(lead + len(x)) // step)
        padded = np.zeros((count + size) * step, np.uint8)  # what lies behind the end is made, too
        padded[lead : lead + len(x)] = x
        known = np.zeros(count + size, bool)
        known[: (where[0] * BAR + lead) // step] = True
        known[-(-(where[1] * BAR + lead) // step) : count] = True
        z = self.model.latents(torch.from_numpy(padded)[None])
        new, spans = ~known[:count], list[int]()
        while not known[:count].all():
            first = int(np.argmin(known))
            start = max(0, min(first - size // 2, count - size))
            spans.append(start)
            known[start : min(start + size, count)] = True
        total, done = len(spans) * len(range(0, n, TOGETHER)) * how.steps, 0
        for made in range(0, n, TOGETHER):
            own = generators(seed, made, min(TOGETHER, n - made))
            out, kept = z.repeat(len(own), 1, 1), np.append(~new, np.zeros(size, bool))
            for start in spans:
                at = slice(start, start + size)
                out[:, at] = self.model.fill(
                    out[:, at],
                    torch.from_numpy(kept[at]),
                    own,
                    plan=plan,
                    again=how.turns(bool(kept[at].any())),
                    report=lambda k, _, done=done: report(done + k, total),
                )
                kept[start : min(start + size, count)] = True
                done += how.steps
            for row, one in zip(out, own, strict=True):
                written = padded[: count * step].copy()
                written.reshape(count, step)[new] = self._write(
                    row[:count][torch.from_numpy(new)], one, temperature
                ).reshape(-1, step)
                yield written[lead : lead + len(x)]

    def _write(self, z: torch.Tensor, generator: torch.Generator, temperature: float) -> Symbols:
        """Symbols [steps] of latents [windows, k]."""
        x: Symbols = self.model.write(z[None], generator, temperature)[0].cpu().numpy()
        return x.astype(np.uint8)
