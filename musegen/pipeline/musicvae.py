"""The verbs of MusicVAE: new melodies, and old ones through the latent and back."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen.config import nearest
from musegen.errors import InputError, ModelError, NothingGeneratedError
from musegen.melody import Line, Say, into_key, melody_line, parse_key
from musegen.metrics import scale_consistency
from musegen.pipeline.base import Pipeline
from musegen.pretrained import Bundle
from musegen.representations.events import STEPS_PER_BAR
from musegen.sampling import slerp
from musegen.score import ONSET, PITCH, VELOCITY, Score

_log = logging.getLogger("musegen")
FINE = 8  # places tried for each step of an interpolation
CANDIDATES = 6  # windows drawn for each place of a longer melody, the best fitting is kept
FORM = (0.0, 0.4, 0.75, 0.25)  # how far each next window is from the first, 0 the same, 1 a new one


class MusicVAEPipeline(Pipeline):
    """Melodies through the latent of a MusicVAE."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model, self.representation = bundle.model, bundle.representation

    @property
    def styles(self) -> tuple[str, ...]:
        """Kinds of music that the model's prior tells apart."""
        return self.model.config.styles

    def generate(
        self,
        n: int = 1,
        *,
        seed: int,
        bars: int | None = None,
        temperature: float = 1.0,
        style: str | None = None,
        tempo: float = 120.0,
        key: str | None = None,
    ) -> list[Score]:
        """New melodies from the prior.

        Longer melodies than the model's windows are chained: each window lies on the way from the
        first one's latent to a new one (so motifs return), and of several candidates that which
        stays in its scale and joins with the smallest leap is taken.

        Args:
            n: how many.
            seed: same seed, same melodies.
            bars: length of each, the model's window by default.
            temperature: of the symbols; 0 takes the likeliest.
            style: one of `styles`; any, as often as in training, by default.
            tempo: quarter notes a minute.
            key: transposed into it, as "C" or "F#m".

        Raises:
            ModelError: no such style.
            NothingGeneratedError: every melody came out empty.
        """
        size = self.representation.bars
        bars = bars or size
        generator = torch.Generator().manual_seed(seed)
        styles = self.model.draw_styles(n, generator, self._style(style))
        z = self.model.prior(n, generator, styles)
        chosen = [self._decode(z, generator, temperature)]
        for i in range(1, -(-bars // size)):
            # Candidates at an angle to the first window: motifs return, nothing is repeated flatly.
            other = self.model.prior(CANDIDATES * n, generator, styles.repeat(CANDIDATES))
            away = slerp(z.repeat(CANDIDATES, 1), other, torch.tensor([FORM[i % len(FORM)]]))[0]
            drawn = self._decode(away, generator, temperature).reshape(CANDIDATES, n, -1)
            before = np.concatenate(chosen, axis=1)
            misfits = [
                [self._misfit(b, w) for b, w in zip(before, row, strict=True)] for row in drawn
            ]
            chosen.append(drawn[np.argmin(misfits, axis=0), np.arange(n)])
        recipe = self._recipe("generate", seed, temperature=temperature, bars=bars)
        recipe |= {"tempo": tempo, "n": n} | ({"key": key} if key else {})
        recipe |= {"style": style} if style else {}
        scores = []
        for i, events in enumerate(np.concatenate(chosen, axis=1)[:, : bars * STEPS_PER_BAR]):
            score = self._score(events, tempo, recipe | {"index": i})
            scores.append(into_key(score, key) if key else score)
        if not any(len(s.tracks[0]) for s in scores):
            raise NothingGeneratedError(
                "the model gave no notes; try another --seed or a temperature nearer to 1"
            )
        return scores

    def reconstruct(
        self,
        score: Score,
        *,
        seed: int,
        temperature: float = 0.0,
        track: str | None = None,
        name: str = "input",
        say: Say = _log.info,
    ) -> tuple[Score, dict[str, Any]]:
        """A melody through the latent and back, with the share of steps that came out as given.

        Raises:
            InputError: no melody in bars of four quarters; in words.
        """
        line = _line(score, name, track, say)
        x = line.fitted(self._whole(line.bars), "pad").windows(self.representation)
        generator = torch.Generator().manual_seed(seed)
        y = self._decode(self._encode(x), generator, temperature)
        recipe = self._recipe("reconstruct", seed, temperature=temperature, inputs=[name])
        recipe |= {"track": track} if track else {}
        events = y.reshape(-1)[: line.bars * STEPS_PER_BAR]
        made = self._like(line, self._score(events, line.tempo, recipe))
        right = x == y
        figures = {
            "accuracy": round(float(right.reshape(-1)[: len(events)].mean()), 4),
            "windows": [round(float(r), 4) for r in right.mean(axis=1)],
            "bars": line.bars,
        }
        return made, figures

    def interpolate(
        self,
        a: Score,
        b: Score,
        *,
        steps: int = 8,
        seed: int,
        temperature: float = 0.0,
        tracks: tuple[str | None, str | None] = (None, None),
        names: tuple[str, str] = ("A", "B"),
        fit: str = "loop",
        tempo: float | None = None,
        bars: int | None = None,
        key: str | None = None,
        pace: str = "even",
        say: Say = _log.info,
    ) -> list[Score]:
        """Melodies on the way from A to B; the first and the last are A and B as written.

        Both are cut into windows, the shorter one is repeated ("loop") or followed by rests
        ("pad"); between each pair of windows the posterior means are interpolated by slerp. A
        latent that holds on to melodies changes little near its ends and much in the middle, so
        the places on the way are chosen for each melody to differ from the last by as much
        ("even"), or equally spaced as in the paper ("linear").

        Args:
            a: where to start.
            b: where to end.
            steps: melodies in all, at least 2.
            seed: of the decoder's draws when temperature is above 0.
            temperature: of the symbols; 0 takes the likeliest.
            tracks: which track holds each melody, by name or number from 1.
            names: what to call them in remarks and in the recipe.
            fit: "loop" or "pad".
            tempo: of all; from A's to B's by default.
            bars: length of each; that of the longer one by default.
            key: both inputs are transposed into it first.
            pace: "even" or "linear".
            say: is told what was taken and what left out.

        Raises:
            InputError: no melody in bars of four quarters; in words.
            ValueError: fewer than 2 steps, no such key, way to fit or pace.
        """
        if steps < 2:
            raise ValueError("an interpolation needs at least 2 steps: its two ends")
        if fit not in ("loop", "pad"):
            raise ValueError(f"fit must be 'loop' or 'pad', not {fit!r}")
        if pace not in ("even", "linear"):
            raise ValueError(f"pace must be 'even' or 'linear', not {pace!r}")
        if key:
            parse_key(key)
        scores = [into_key(s, key) if key else s for s in (a, b)]
        lines = [_line(s, n, t, say) for s, n, t in zip(scores, names, tracks, strict=True)]
        bars = bars or max(line.bars for line in lines)
        for line, name in zip(lines, names, strict=True):
            if line.bars < bars:
                how = "repeated" if fit == "loop" else "followed by rests"
                say(f"{name}: {line.bars} bars, {how} to make {bars}")
        first, last = (line.fitted(bars, fit) for line in lines)
        whole = [line.fitted(self._whole(bars), "pad") for line in (first, last)]
        x = np.concatenate([line.windows(self.representation) for line in whole])
        ends = self._encode(x)
        half = len(ends) // 2
        t = torch.linspace(0, 1, steps)
        if pace == "even" and steps > 2:
            t = self._even(ends[:half], ends[half:], steps)
        z = slerp(ends[:half], ends[half:], t[1:-1])  # [steps - 2, windows, z]
        generator = torch.Generator().manual_seed(seed)
        events = np.zeros((0, 0), np.uint8)
        if steps > 2:
            events = self._decode(z.flatten(0, 1), generator, temperature)
            events = events.reshape(steps - 2, -1)[:, : bars * STEPS_PER_BAR]
        recipe = self._recipe("interpolate", seed, temperature=temperature, inputs=list(names))
        made = []
        for i, place in enumerate(np.linspace(0, 1, steps).tolist()):  # of tempo and velocity
            at = tempo or round(first.tempo + place * (last.tempo - first.tempo), 3)
            note = recipe | {"steps": steps, "index": i, "fit": fit, "bars": bars, "pace": pace}
            note |= {"key": key} if key else {}
            note |= {"tempo": tempo} if tempo else {}
            note |= {"tracks": list(tracks)} if any(tracks) else {}
            if i in (0, steps - 1):
                score = replace((first if i == 0 else last).score(), recipe=note)
            else:
                score = self._like(
                    first if place < 0.5 else last, self._score(events[i - 1], at, note)
                )
                louder = (1 - place) * first.mean_velocity() + place * last.mean_velocity()
                score = _with_velocity(score, round(louder))
            keys = scores[0].keys if key else ()
            made.append(replace(score, tempos=((0, at),), keys=keys))
        return made

    def _even(self, a: torch.Tensor, b: torch.Tensor, steps: int) -> torch.Tensor:
        """Places [steps] from 0 to 1 between which equally many symbols of the likeliest decoded
        melodies change, found on a grid of `FINE` places a step."""
        t = torch.linspace(0, 1, FINE * (steps - 1) + 1)
        z = slerp(a, b, t).flatten(0, 1)
        events = self._decode(z, torch.Generator(), temperature=0.0).reshape(len(t), -1)
        changed = np.cumsum((events[1:] != events[:-1]).sum(axis=1))
        if not changed[-1]:
            return torch.linspace(0, 1, steps)
        # The middle of the stretch over which a melody with so many changes lasts.
        wanted = np.linspace(0, changed[-1], steps)[1:-1]
        first = np.searchsorted(changed, wanted, "left") + 1
        last = np.searchsorted(changed, changed[first - 1], "right")
        places = t.numpy()[(first + last) // 2]
        return torch.from_numpy(np.concatenate([[0.0], places, [1.0]]).astype(np.float32))

    def _style(self, style: str | None) -> int | None:
        if style is None:
            return None
        if style not in self.styles:
            raise ModelError(f"{self.bundle.name}: no style {style!r}{nearest(style, self.styles)}")
        return self.styles.index(style)

    def _whole(self, bars: int) -> int:
        size = self.representation.bars
        return -(-bars // size) * size

    @torch.no_grad()
    def _encode(self, x: NDArray[np.uint8]) -> torch.Tensor:
        mean, _ = self.model.encode(torch.from_numpy(x.astype(np.int64)))
        return mean

    def _decode(
        self, z: torch.Tensor, generator: torch.Generator, temperature: float
    ) -> NDArray[np.uint8]:
        return self.model.decode(z, generator, temperature).numpy().astype(np.uint8)

    def _misfit(self, before: NDArray[np.uint8], window: NDArray[np.uint8]) -> float:
        """How badly a window follows: notes outside the scale, leap at the seam, silence."""
        old, new = (self.representation.decode_steps(e) for e in (before, window))
        if not len(new) or not len(old):
            return 9.0
        both = np.concatenate([old, new])
        leap = abs(int(new[0, PITCH]) - int(old[-1, PITCH]))
        bars = len(np.unique(new[:, ONSET] // STEPS_PER_BAR))
        outside = 1 - float(scale_consistency(both)[0])
        return 6 * outside + leap / 12 + (self.representation.bars - bars)

    def _score(self, events: NDArray[np.uint8], tempo: float, recipe: dict[str, Any]) -> Score:
        return replace(
            self.representation.decode(events), tempos=((0, float(tempo)),), recipe=recipe
        )

    def _like(self, line: Line, score: Score) -> Score:
        track = replace(score.tracks[0], program=line.track.program, name=line.track.name)
        return replace(score, tracks=(track,))


def _line(score: Score, name: str, track: str | None, say: Say) -> Line:
    try:
        return melody_line(score, name, track, say)
    except ValueError as error:
        raise InputError(name, str(error)) from None


def _with_velocity(score: Score, velocity: int) -> Score:
    track = score.tracks[0]
    notes = track.notes.copy()
    notes[:, VELOCITY] = min(max(velocity, 1), 127)
    return replace(score, tracks=(replace(track, notes=notes),))
