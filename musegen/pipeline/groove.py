"""The verbs of GrooVAE: a stiff clip as if it were played, and drums for a rhythm."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen import runtime
from musegen.errors import InputError
from musegen.melody import Say
from musegen.pipeline import taps
from musegen.pipeline.base import Pipeline
from musegen.pretrained import Bundle
from musegen.representations.drums import KITS
from musegen.representations.events import STEPS_PER_QUARTER
from musegen.representations.groove import Groove
from musegen.runtime import Draws
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track

_log = logging.getLogger("musegen")


class GroovePipeline(Pipeline):
    """What a GrooVAE does with music: `groove` where it plays from hits, `drumify` from a tap."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model, self.representation = runtime.of(bundle.model), bundle.representation

    @classmethod
    def can(cls, config: Any) -> tuple[str, ...]:
        """One of its two verbs, by what the model plays from."""
        return ("groove",) if config.source == "hits" else ("drumify",)

    @classmethod
    def suits(cls, config: Mapping[str, Any], drums: bool) -> bool:
        """Drums alone, where it plays them, else pitched notes; to drum to, any rhythm."""
        if "groove" not in config["info"]["verbs"]:
            return True
        return Groove(kit=config["representation"]["kit"]).pitched != drums

    def groove(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        amount: float = 1.0,
        timing: float = 1.0,
        temperature: float = 0.7,
        track: str | None = None,
        name: str = "input",
        say: Say = _log.info,
    ) -> list[Score]:
        """The piece as if it were played: other velocities, onsets a little off, the same notes.

        The model reads where the notes of a track are on a grid of sixteenths, not how loud. Each
        track stays as loud on the whole as it was. Tempo, metre and all else stays.

        Args:
            score: the user's music.
            n: how many.
            seed: of the draws.
            amount: of the model's velocities, the rest being those of the score; and of its timing.
            timing: of the model's timing alone; 0 leaves onsets where they are.
            temperature: of how to play and of what strays from it; 0 plays as is usual.
            track: the one track to play, by name or number from 1; by default all that the model
                knows how to play, each by itself.
            name: what to call the music in remarks.
            say: is told what is left as it was.

        Raises:
            InputError: nothing in it that the model plays; in words.
            ValueError: an amount that is not from 0 to 1.
        """
        for what, much in (("amount", amount), ("timing", timing)):
            if not 0 <= much <= 1:
                raise ValueError(f"{what} must be from 0 to 1, not {much:g}")
        self._needs("groove")
        chosen = self._tracks(score, track, name)
        windows = taps.windows(score, self.representation.bars)
        class_of = KITS[self.representation.kit].class_of
        placed = {i: taps.places(score, score.tracks[i].notes, windows, class_of) for i in chosen}
        count = sum(len(p.row) for p in placed.values())
        if not count:
            raise InputError(name, taps.strange(score))
        others = sum(len(score.tracks[i]) for i in chosen) - count
        if others:
            say(f"{name}: {others} notes outside bars of four quarters stay as they are")
        draws = Draws(seed)
        recipe = self._recipe("groove", seed, temperature=temperature, inputs=[name])
        recipe |= {"amount": amount, "timing": timing} | ({"track": track} if track else {})
        made = []
        for k in range(n):
            z = temperature * self.model.prior(1, draws)
            tracks = list(score.tracks)
            for i, places in placed.items():
                played = self._play(places, len(windows), z, draws, temperature)
                tracks[i] = _played(tracks[i], places, played, score.ppq, amount, timing, score.end)
            made.append(replace(score, tracks=tuple(tracks), recipe=recipe | {"index": k}))
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
        """Drums for a rhythm: the onsets of a track, whatever its notes are.

        Args:
            score: the user's music.
            n: how many.
            seed: of the draws.
            temperature: of the hits; 0 takes what is likeliest.
            alone: the drums without the music; by default they are added to it.
            track: which track is tapped, by name or number from 1; the likeliest melody by default,
                or the drums where there is nothing else.
            name: what to call the music in remarks.
            say: is told what was taken and what left out.

        Raises:
            InputError: no notes, or no bars of four quarters; in words.
        """
        self._needs("drumify")
        tapped = taps.tapped(score, track, name, say)
        windows = taps.windows(score, self.representation.bars)
        places = taps.places(score, tapped.notes, windows)
        if not len(places.row):
            raise InputError(name, taps.strange(score))
        k, steps = self.model.config.classes, self.representation.steps
        x = np.zeros((len(windows), steps, 3, k), np.float32)
        x[places.window, places.step, 0, 0] = 1  # a tap; which drum does not matter
        heard = x.reshape(len(windows), steps, 3 * k)
        mean, std = self.model.encode(heard)
        draws = Draws(seed)
        recipe = self._recipe("drumify", seed, temperature=temperature, inputs=[name])
        recipe |= {"track": track} if track else {}
        parts = []
        for _ in range(n):
            noise = draws.normal(1, mean.shape[1])  # one hand throughout
            z = mean + temperature * std * noise
            y = self.model.decode(z, draws, temperature, given=heard)
            parts.append(Track(self._drums(y, windows, score.ppq), is_drum=True, name="Drums"))
        return taps.with_drums(score, parts, alone, recipe)

    def _tracks(self, score: Score, choice: str | None, name: str) -> list[int]:
        """The tracks that the model is to play, which it must know how to."""
        pitched = self.representation.pitched
        able = [i for i, t in enumerate(score.tracks) if len(t) and t.is_drum != pitched]
        sort = "pitched notes" if pitched else "drums"
        if not able:
            raise InputError(name, f"has no {sort}, which {self.bundle.name} plays")
        if choice is None:
            return able
        wanted = [i for i in able if taps.called(score, i, choice)]
        if not wanted:
            there = ", ".join(f"{i + 1} '{score.tracks[i].name}'" for i in able)
            raise InputError(name, f"has no track {choice!r} with {sort}; there are {there}")
        return wanted[:1]

    def _play(
        self,
        places: taps.Places,
        n: int,
        z: NDArray[np.float32],
        draws: Draws,
        temperature: float,
    ) -> NDArray[np.float32]:
        """Velocities and offsets [notes, 2] of the notes at places in `n` windows."""
        k, steps = self.model.config.classes, self.representation.steps
        x = np.zeros((n, steps, 3, k), np.float32)
        x[places.window, places.step, 0, places.kind] = 1
        score = x.reshape(n, steps, 3 * k)
        if not self.model.config.control:  # z tells the score
            mean, std = self.model.encode(score)
            z = mean + std * z
        y = self.model.decode(np.broadcast_to(z, (n, z.shape[1])), draws, temperature, given=score)
        cells = y.reshape(n, steps, 3, k)[places.window, places.step, 1:, places.kind]
        return np.asarray(cells)

    def _drums(self, y: NDArray[np.float32], windows: NDArray[np.int64], ppq: int) -> Notes:
        """The hits of windows [n, steps, 3k] as notes in ticks, a step long or up to the next."""
        hits, loud, late = np.moveaxis(y.reshape(*y.shape[:2], 3, -1), 2, 0)
        window, step, kind = np.nonzero(hits > 0.5)
        at = (window, step, kind)
        ticks = ppq / STEPS_PER_QUARTER
        inside = windows[window, 0] + step * ticks < windows[window, 1]
        onset = windows[window, 0] + np.rint((step + late[at]) * ticks).astype(np.int64)
        notes = np.ones((len(onset), 4), np.int64)
        notes[:, ONSET], notes[:, DURATION] = np.maximum(onset, 0), max(1, round(ticks))
        notes[:, PITCH] = KITS[self.representation.kit].written[kind]
        notes[:, VELOCITY] = np.rint(127 * loud[at]).clip(1, 127)
        notes = notes[inside]
        return _apart(notes, notes[:, ONSET], np.zeros(len(notes), np.int64))


def _played(
    track: Track,
    places: taps.Places,
    values: NDArray[np.float32],
    ppq: int,
    amount: float,
    timing: float,
    end: int,
) -> Track:
    """A track with the velocities and offsets [notes, 2] of the notes at places, as loud as before
    on the whole; no note ends after the tick `end`.
    """
    notes, i = track.notes.copy(), places.row
    if not len(i):
        return track
    own, loud = notes[i, VELOCITY], 127 * values[:, 0]
    loud = loud + own.mean() - loud.mean()
    notes[i, VELOCITY] = np.rint(own + amount * (loud - own)).clip(1, 127)
    written = track.notes[:, ONSET]
    late = np.rint(amount * timing * values[:, 1] * ppq / STEPS_PER_QUARTER).astype(np.int64)
    notes[i, ONSET] = np.clip(notes[i, ONSET] + late, 0, end - 1)
    notes = _apart(notes, written, notes[:, DURATION])
    notes[:, DURATION] = np.minimum(notes[:, DURATION], end - notes[:, ONSET])
    return replace(track, notes=notes)


def _apart(notes: Notes, written: NDArray[np.int64], lasted: NDArray[np.int64]) -> Notes:
    """Notes whose onsets and durations were `written` and `lasted`: those of a pitch stay in that
    order, and one that ended before the next began still does.
    """
    order = np.lexsort((written, notes[:, PITCH]))
    notes, before = notes[order].copy(), written[order]
    far = int(notes[:, ONSET].max(initial=0)) + 1
    pitch = notes[:, PITCH] * far
    notes[:, ONSET] = np.maximum.accumulate(notes[:, ONSET] + pitch) - pitch
    same = notes[1:, PITCH] == notes[:-1, PITCH]
    ended = (before + lasted[order])[:-1] <= before[1:]
    over = notes[:-1, ONSET] + notes[:-1, DURATION] > notes[1:, ONSET]
    cut = np.flatnonzero(same & over & ended)
    notes[cut, DURATION] = np.maximum(notes[cut + 1, ONSET] - notes[cut, ONSET], 1)
    return notes
