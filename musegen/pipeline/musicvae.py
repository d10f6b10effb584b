"""The verbs of MusicVAE: new melodies, and old ones through the latent and back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen import pretrained
from musegen.attributes import chord_tones
from musegen.config import nearest
from musegen.errors import InputError, ModelError, NothingGeneratedError
from musegen.melody import Say, into_key, parse_key
from musegen.metrics import scale_consistency
from musegen.pipeline import taps
from musegen.pipeline.base import chord_labels, chord_symbols
from musegen.pipeline.drumify import followed, played, rhythm
from musegen.pipeline.latent import Floats, LatentPipeline, Symbols, joined, with_velocity
from musegen.representations.chords import Chords
from musegen.representations.drums import Drums
from musegen.representations.events import FIRST_ONSET, STEPS_PER_BAR, Melody
from musegen.representations.trio import Trio
from musegen.runtime import Draws, slerp
from musegen.score import ONSET, PITCH, Score, distinct

_log = logging.getLogger("musegen")
FINE = 8  # places tried for each step of an interpolation
CANDIDATES = 6  # windows drawn for each place of a longer melody, the best fitting is kept
STRANGE = 0.35  # share of notes that are no chord tones, up to which they fit (docs/results.md)
FORM = (0.0, 0.4, 0.75, 0.25)  # how far each next window is from the first, 0 the same, 1 a new one


class MusicVAEPipeline(LatentPipeline):
    """Melodies, drum loops or trios through the latent of a MusicVAE, whichever it was made for."""

    @classmethod
    def untold(cls, sizes: Mapping[str, Any]) -> set[str]:
        """Chords, where it has no place for them."""
        return set() if sizes.get("control") else {"chords"}

    @classmethod
    def suits(cls, config: Mapping[str, Any], drums: bool) -> bool:
        """Drums alone, where it was made for them, else music with a melody."""
        return bool(drums == (config["representation"]["kind"] == "Drums"))

    @classmethod
    def can(cls, config: Any) -> tuple[str, ...]:
        """All that the family can; drums for a rhythm where it was made for drums."""
        drums = tuple(config.vocab) == Drums().vocab
        return tuple(verb for verb in super().can(config) if drums or verb != "drumify")

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
        chords: str = "",
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
            chords: symbols as on a lead sheet, "C Am F G", each for a bar, from the beginning again
                where there are more bars; for models that were told chords.

        Raises:
            InputError: chords that cannot be read.
            ModelError: no such style, or the model takes no chords.
            ValueError: a key beside chords.
            NothingGeneratedError: every melody came out empty.
        """
        size = self.representation.bars
        if chords and key:
            raise ValueError("give chords or a key: chords say the key themselves")
        if chords:
            bars = bars or max(size, len(chord_labels(chords)))
        bars = bars or size
        told = self._told(chords, bars)
        draws = Draws(seed)
        styles = self.model.draw_styles(n, draws, self._style(style))
        tries = CANDIDATES if chords or isinstance(self.representation, Trio) else 1
        given = _times(told, 0, tries * n)
        z = self.model.prior(tries * n, draws, np.tile(styles, tries), given=given)
        drawn = self._decode(z, draws, temperature, given)
        drawn = drawn.reshape(tries, n, *drawn.shape[1:])
        best = self._best(drawn, None, told, 0)
        z = z.reshape(tries, n, -1)[best, np.arange(n)]
        chosen = [drawn[best, np.arange(n)]]
        for i in range(1, -(-bars // size)):
            # Candidates at an angle to the first window: motifs return, nothing is repeated flatly.
            given, tried = _times(told, i, CANDIDATES * n), np.tile(styles, CANDIDATES)
            other = self.model.prior(CANDIDATES * n, draws, tried, given=given)
            away = slerp(np.tile(z, (CANDIDATES, 1)), other, FORM[i % len(FORM)])[0]
            drawn = self._decode(away, draws, temperature, given)
            drawn = drawn.reshape(CANDIDATES, n, *drawn.shape[1:])
            best = self._best(drawn, np.concatenate(chosen, axis=-1), told, i)
            chosen.append(drawn[best, np.arange(n)])
        recipe = self._recipe("generate", seed, temperature=temperature, bars=bars)
        recipe |= {"tempo": tempo, "n": n} | ({"key": key} if key else {})
        recipe |= {"style": style} if style else {}
        recipe |= {"chords": chords} if chords else {}
        symbols = chord_symbols(chords, bars, 480) if chords else ()
        scores = []
        whole = np.concatenate(chosen, axis=-1)[..., : bars * STEPS_PER_BAR]
        for i, events in enumerate(whole):
            score = self._score(events, tempo, recipe | {"index": i})
            score = replace(score, chords=symbols, markers=symbols)
            scores.append(into_key(score, key) if key else score)
        if not any(len(t) for s in scores for t in s.tracks):
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
        line = self._excerpt(score, name, track, say)
        x = self._windows(line)
        draws = Draws(seed)
        y = self._decode(self._encode(x), draws, temperature)
        recipe = self._recipe("reconstruct", seed, temperature=temperature, inputs=[name])
        recipe |= {"track": track} if track else {}
        made = self._like(line, self._score(joined(y, line.bars), line.tempo, recipe))
        right = x == y
        figures = {
            "accuracy": round(float(joined(right, line.bars).mean()), 4),
            "windows": [round(float(r.mean()), 4) for r in right],
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
        if pace not in ("even", "linear"):
            raise ValueError(f"pace must be 'even' or 'linear', not {pace!r}")
        if key:
            parse_key(key)
        scores = [into_key(s, key) if key else s for s in (a, b)]
        (first, last), (za, zb) = self._fitted(
            (scores[0], scores[1]), names, tracks, fit, say, bars
        )
        bars = first.bars
        t, likeliest = np.linspace(0, 1, steps), None
        if pace == "even" and steps > 2:
            t, likeliest = self.paced(za, zb, steps)
        if likeliest is not None and not temperature:
            events = [joined(windows, bars) for windows in likeliest[1:-1]]
        else:
            z = slerp(za, zb, t[1:-1])  # [steps - 2, windows, z]
            events = self._decode_all(z, bars, Draws(seed), temperature)
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
                score = with_velocity(score, round(louder))
            keys = scores[0].keys if key else ()
            made.append(replace(score, tempos=((0, at),), keys=keys))
        return made

    def drumify(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        temperature: float = 1.0,
        alone: bool = False,
        track: str | None = None,
        name: str = "input",
        say: Say = _log.info,
    ) -> list[Score]:
        """Drums for a rhythm: of loops that the model draws, those are taken that fit the onsets of
        a track, see `pipeline.drumify`.

        Args:
            score: the user's music.
            n: how many.
            seed: of the draws.
            temperature: of the choice among loops; 0 takes what fits best.
            alone: the drums without the music; by default they are added to it.
            track: which track is tapped, by name or number from 1; the likeliest melody by default,
                or the drums where there is nothing else.
            name: what to call the music in remarks.
            say: is told what was taken.

        Raises:
            InputError: no notes, or no bars of four quarters; in words.
            ModelError: it is no model of drums.
        """
        self._needs("drumify")
        tapped = taps.tapped(score, track, name, say)
        windows = taps.windows(score, self.representation.bars)
        heard = rhythm(score, tapped, windows, self.representation.steps)
        if not heard.tapped.any():
            raise InputError(name, taps.strange(score))
        made = followed(self.model, heard, n, Draws(seed), temperature)
        parts = [played(one, heard, windows, score.ppq, self.representation) for one in made]
        recipe = self._recipe("drumify", seed, temperature=temperature, inputs=[name])
        return taps.with_drums(score, parts, alone, recipe | ({"track": track} if track else {}))

    def paced(self, a: Floats, b: Floats, steps: int) -> tuple[NDArray[np.float64], Symbols]:
        """Places [steps] from 0 to 1 between which equally many symbols of the likeliest decoded
        melodies change, found on a grid of `FINE` places a step, and these melodies as windows
        [steps, windows, ...].
        """
        t = np.linspace(0, 1, FINE * (steps - 1) + 1)
        z = slerp(a, b, t)
        events = self._decode(z.reshape(-1, z.shape[-1]), Draws(0), temperature=0.0)
        events = events.reshape(*z.shape[:2], *events.shape[1:])
        each = events.reshape(len(t), -1)
        changed = np.cumsum((each[1:] != each[:-1]).sum(axis=1))
        at = np.arange(0, len(t), FINE)
        if changed[-1]:  # the middle of the stretch over which a melody with so many changes lasts
            wanted = np.linspace(0, changed[-1], steps)[1:-1]
            first = np.searchsorted(changed, wanted, "left") + 1
            last = np.searchsorted(changed, changed[first - 1], "right")
            at[1:-1] = (first + last) // 2
        return t[at], events[at]

    def _told(self, chords: str, bars: int) -> Floats | None:
        """Chords, one a bar, of each window [windows, beats, 36]; None for none.

        Raises:
            InputError: they cannot be read.
            ModelError: the model takes none.
        """
        if not chords:
            return None
        if not self.model.config.control:
            able = [n for n in pretrained.names() if _takes_chords(n)]
            others = f"; try --model {' or '.join(able)}" if able else ""
            raise ModelError(f"{self.bundle.name} takes no chords{others}")
        size = self.representation.bars
        whole = -(-bars // size) * size
        score = Score(chords=chord_symbols(chords, whole, 480), length=whole * 4 * 480)
        told = Chords(4 * whole).encode(score).reshape(-1, 4 * size, 36)
        return told.astype(np.float32)

    def _style(self, style: str | None) -> int | None:
        if style is None:
            return None
        if style not in self.styles:
            raise ModelError(f"{self.bundle.name}: no style {style!r}{nearest(style, self.styles)}")
        return self.styles.index(style)

    def _best(
        self, drawn: Symbols, before: Symbols | None, told: Floats | None, window: int
    ) -> NDArray[np.int64]:
        """Which of the candidates [tries, n, ...] for a window fits best after what is `before` it
        [n, ...], as a loop after itself where nothing is, and its chords, [n].
        """
        if len(drawn) == 1:
            return np.zeros(drawn.shape[1], np.int64)
        pairs = [zip(row if before is None else before, row, strict=True) for row in drawn]
        misfits = np.array([[self._misfit(b, w) for b, w in pair] for pair in pairs])
        if told is not None:
            strange = [
                [1 - chord_tones(w[None], told[window][None])["chord tones"] for w in row]
                for row in drawn
            ]
            misfits += 6 * np.maximum(np.array(strange) - STRANGE, 0)
        return misfits.argmin(axis=0)

    def _misfit(self, before: Symbols, window: Symbols) -> float:
        """How badly a window of melody follows: notes outside the scale, leap at the seam, bars in
        which nothing begins; of a trio, the scale of melody and bass together and silent bars of
        all three; nothing for drums.
        """
        if isinstance(self.representation, Drums):
            return 0.0
        line, top, pitched = Melody(), (before, window), [before, window]
        if before.ndim > 1:
            top, pitched = (before[0], window[0]), [*before[:2], *window[:2]]
        old, new = (line.decode_steps(events) for events in top)
        if not len(new) or not len(old):
            return 9.0
        leap = abs(int(new[0, PITCH]) - int(old[-1, PITCH]))
        bars = len(distinct(new[:, ONSET] // STEPS_PER_BAR))
        silent = self.representation.bars - bars
        if window.ndim > 1:
            begun = np.stack([window[1] >= FIRST_ONSET, window[2] > 0])
            silent += int((~begun.reshape(2, -1, STEPS_PER_BAR).any(-1)).sum())
        notes = np.concatenate([line.decode_steps(events) for events in pitched])
        return 6 * (1 - float(scale_consistency(notes)[0])) + leap / 12 + silent


def _times(told: Floats | None, window: int, n: int) -> Floats | None:
    """What is told of a window, `n` times."""
    return None if told is None else np.tile(told[window], (n, 1, 1))


def _takes_chords(name: str) -> bool:
    config = pretrained.read_config(pretrained.locate(name))
    return config["family"] == "musicvae" and not MusicVAEPipeline.untold(config["model"])
