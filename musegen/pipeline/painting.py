"""What the verbs of diffusion share: how noise becomes music, and pages filled window by window."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen.errors import ModelError, OptionError
from musegen.models.lead import TEMPERATURE
from musegen.pipeline.base import Pipeline, Say, chord_symbols
from musegen.pipeline.canvas import BAR, BEATS, STEP, Canvas, canvas
from musegen.pretrained import Bundle
from musegen.representations.chords import Chords
from musegen.samplers import BACK, SAMPLERS, Plan
from musegen.score import Score

Report = Callable[[int, int], None]
Finished = Callable[[int, Score], None]
FREE = "free"
TOGETHER = 16  # pieces in one batch
PPQ = 480
_PITCH = re.compile(r"([A-Ga-g])([#b]?)(-?\d)")


def quiet(done: int, total: int) -> None:
    """Tell nobody."""


def nobody(index: int, score: Score) -> None:
    """Hand it to nobody."""


@dataclass(frozen=True)
class Drawing:
    """How noise becomes music, the same for all verbs.

    Attributes:
        steps: looks of the network; more are slower and better.
        sampler: "ddpm", "ddim", "dpm++2m" or "heun".
        eta: noise that "ddim" adds, 0 to 1.
        guidance: how strictly chords are followed: 1 as learned, 0 not at all.
        resample: times that each step is made where music is kept, so that new music fits it.
        temperature: of the pitches of a melody that is drawn before the rest (`models.lead`).
    """

    steps: int = 25
    sampler: str = "ddim"
    eta: float = 0.0
    guidance: float = 1.0
    resample: int = 2
    temperature: float = TEMPERATURE

    def plan(self) -> Plan:
        """As samplers have it.

        Raises:
            ModelError: a number that cannot be.
        """
        if self.sampler not in SAMPLERS:
            raise ModelError(f"no sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        if not 1 <= self.steps <= 1000 or not 0 <= self.eta <= 1 or not 1 <= self.resample <= 50:
            raise ModelError("steps go from 1 to 1000, eta from 0 to 1, resample from 1 to 50")
        if not 0 <= self.guidance <= 20:
            raise ModelError("guidance goes from 0 to 20; 1 follows chords as they were learned")
        if self.temperature < 0:
            raise ModelError("temperature must be a number from 0 up")
        return Plan(self.steps, self.sampler, self.eta)

    def turns(self, kept: bool) -> int:
        """Times that each step is made of a window in which music is kept or not: resampling needs
        something to fit to, and a sampler that can go back.
        """
        return self.resample if kept and self.sampler in BACK else 1


def check_amount(amount: float) -> None:
    """Refuse how much `vary` cannot noise.

    Raises:
        InputError: it is not from 0 to 1.
    """
    if not 0 <= amount <= 1:
        raise OptionError("amount", f"goes from 0 (as it is) to 1 (forgotten), not {amount:g}")


def told_of(how: Drawing) -> dict[str, Any]:
    """What of it is not as usual, for recipes."""
    usual = asdict(Drawing())
    return {k: v for k, v in asdict(how).items() if v != usual[k]}


class Painter(Pipeline):
    """A denoiser of piano rolls and the one thing it does: fill free cells, keep the rest."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model, self.representation = bundle.model, bundle.representation

    @property
    def window(self) -> int:
        """Bars that the model sees at once."""
        bars: int = self.representation.bars
        return bars

    def _page(
        self, score: Score, track: str | int | None, name: str, say: Say, more: int = 0
    ) -> Canvas:
        page, said = canvas(score, self.representation, track=track, name=name, more=more)
        say(f"taken: {said}")
        return page

    def _part(self, part: str | None) -> tuple[int, ...] | None:
        """The number of a part by its name."""
        names = [p.lower() for p in self.representation.trackset.names]
        if part is None:
            return None
        if part.lower() not in names:
            raise OptionError("part", f"{part!r} is none; the model has {' and '.join(names)}")
        return (names.index(part.lower()),)

    def _told(self, page: Canvas, chords: str) -> NDArray[np.uint8] | None:
        """The chords of a page [beats, 36], as asked, as written or as heard; None for "free".

        Raises:
            InputError: they cannot be read.
            ModelError: the model takes none.
        """
        if chords and not self.model.config.told:
            raise ModelError(f"{self.bundle.name} takes no chords; leave them out")
        if chords == FREE or not self.model.config.told:
            return None
        if not chords:
            return page.chords()
        return Chords(page.bars * BEATS).encode(Score(chords=chord_symbols(chords, page.bars, PPQ)))

    def _cells(self, page: Canvas) -> NDArray[np.float32]:
        """The kept notes of a page and rest behind them up to whole windows."""
        x = page.encode().astype(np.float32)
        size = self.window * BAR
        behind = -x.shape[1] % size
        return np.pad(x, ((0, 0), (0, behind), (0, 0)), constant_values=-1)

    def _given(self, chords: NDArray[np.uint8] | None, start: int, n: int) -> torch.Tensor | None:
        """What is told of the window at a step, for n pieces."""
        if chords is None:
            return None
        beats = self.window * BEATS
        told = chords[start // STEP : start // STEP + beats]
        told = np.pad(told, ((0, beats - len(told)), (0, 0)))
        return torch.from_numpy(told).float().expand(n, -1, -1)

    def _fill(
        self,
        page: Canvas,
        chosen: NDArray[np.bool_],
        n: int,
        verb: str,
        seed: int,
        name: str,
        how: Drawing,
        chords: str,
        report: Report,
        finished: Finished,
    ) -> list[Score]:
        """`n` versions of a page with the chosen cells made anew, window by window."""
        plan = how.plan()
        told = self._told(page, chords)
        page, free = page.selecting(chosen)
        cells = self._cells(page)
        open_ = np.zeros(cells.shape, np.bool_)
        open_[:, : page.steps] = free
        open_[:, page.steps :] = True  # behind the end anything may come; it is cut off
        windows = list(
            self._windows(np.asarray(open_[:, : page.steps].any((0, 2))), cells.shape[1])
        )
        recipe = self._recipe(verb, seed, **({"input": name} if name else {}), **told_of(how))
        score = page.score
        if chords and chords != FREE:
            recipe |= {"chords": chords}
            moved = ((t + page.start, c) for t, c in chord_symbols(chords, page.bars, score.ppq))
            score = replace(score, chords=tuple(moved))
        page = replace(page, score=score)
        made: list[Score] = []
        batches = range(0, n, TOGETHER)
        total = len(batches) * len(windows) * plan.steps
        for batch in batches:
            size = min(TOGETHER, n - batch)
            own = generators(seed, batch, size)
            x = torch.from_numpy(np.repeat(cells[None], size, axis=0))
            left = torch.from_numpy(open_.copy())
            for w, start in enumerate(windows):
                at = slice(start, start + self.window * BAR)
                before = (len(made) // TOGETHER * len(windows) + w) * plan.steps
                kept = ~left[:, at]
                x[:, :, at] = self.model.fill(
                    x[:, :, at],
                    kept[None],
                    own,
                    self._given(told, start, size),
                    plan=plan,
                    guidance=how.guidance,
                    again=how.turns(bool(kept.any())),
                    temperature=how.temperature,
                    report=lambda k, _, before=before: report(before + k, total),
                ).cpu()
                left[:, at] = False
            for row in x.numpy():
                painted = page.paint(row[:, : page.steps], free, recipe | {"index": len(made)})
                finished(len(made), painted)
                made.append(painted)
        return made

    def _windows(self, free: NDArray[np.bool_], steps: int) -> Iterator[int]:
        """Where windows begin that, one after the other, cover all free steps, bool [steps].

        The first free stretch lies in the middle of its window if it is short; of a longer one half
        a window is filled at a time, with half a window before it to go on from.
        """
        free, size = free.copy(), self.window * BAR
        while free.any():
            first = int(free.argmax())
            stretch = int(np.append(~free[first:], True).argmax())
            before = max(size // 2 if stretch > size // 2 else (size - stretch) // 2, 0)
            start = max(0, first - before) // BAR * BAR
            start = min(start, steps - size)
            yield start
            free[start : start + size] = False


def generators(seed: int, first: int, n: int) -> list[torch.Generator]:
    """One for each piece from `first` on: a piece's noise does not depend on the others."""
    seeds = [
        np.random.SeedSequence((seed, i)).generate_state(1)[0] for i in range(first, first + n)
    ]
    return [torch.Generator().manual_seed(int(s)) for s in seeds]


def bar_range(text: str) -> tuple[int, int]:
    """Two bars from "5-6" or "5".

    Raises:
        InputError: it is neither.
    """
    found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+))?\s*", text)
    if not found:
        raise OptionError("bars", f"{text!r} is no range; write 5-6, or 5 for one bar")
    return int(found[1]), int(found[2] or found[1])


def pitch_range(text: str) -> tuple[int, int]:
    """Two MIDI pitches from "C3-C5" (middle C is C4) or "48-72".

    Raises:
        InputError: it is neither.
    """
    found = re.fullmatch(r"\s*([A-Ga-g][#b]?-?\d|\d+)\s*-\s*([A-Ga-g][#b]?-?\d|\d+)\s*", text)
    if not found:
        raise OptionError("pitch", f"{text!r} is no range; write C3-C5 or 48-72")
    low, high = (int(p) if p.isdecimal() else _midi(p) for p in found.groups())
    return low, high


def _midi(text: str) -> int:
    found = _PITCH.fullmatch(text)
    assert found is not None
    classes = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    sharp = {"#": 1, "b": -1, "": 0}[found[2]]
    return 12 * (int(found[3]) + 1) + classes[found[1].upper()] + sharp
