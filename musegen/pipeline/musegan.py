"""The verbs of MuseGAN: bands from noise, bands around your tracks, ways and planes of seeds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from musegen.config import from_dict
from musegen.errors import ModelError, MusegenError, NothingGeneratedError
from musegen.pipeline import roles
from musegen.pipeline.base import Pipeline, Say
from musegen.pipeline.choosing import Choice
from musegen.pretrained import Bundle
from musegen.representations.pianoroll import Pianoroll
from musegen.representations.tracks import TrackSet
from musegen.sampling import slerp
from musegen.score import Score, Track

_log = logging.getLogger("musegen")
CANDIDATES = 8  # phrases drawn for each window of an accompaniment, the best fitting is kept
MOST = 4096  # phrases in one call: more do not fit into the memory of a laptop

Roll: TypeAlias = NDArray[np.uint8]
PerTrack: TypeAlias = float | Mapping[str, float | Sequence[float]]


class MuseGANPipeline(Pipeline):
    """Bands of several tracks; phrases of a seed are the same whatever else is asked for."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model = bundle.model
        self.representation: Pianoroll = bundle.representation
        self.tracks: TrackSet = self.representation.trackset
        self.choice = from_dict(Choice, bundle.info.get("choice", {}))

    @classmethod
    def suits(cls, config: Mapping[str, Any], drums: bool) -> bool:
        """Drums, too."""
        return True

    def generate(
        self,
        n: int = 1,
        *,
        seed: int,
        bars: int | None = None,
        temperature: float = 0.0,
        threshold: PerTrack | None = None,
        tempo: float = 120.0,
        mute: Sequence[str] = (),
        programs: Mapping[str, int] | None = None,
    ) -> list[Score]:
        """New music for the band.

        Longer music than the model's phrases is made of several that belong together: they share
        the time-independent latents, and the time-dependent ones move away from those of the first
        and come back.

        Args:
            n: how many.
            seed: same seed, same music.
            bars: length of each, the model's phrase by default.
            temperature: 0 cuts probabilities at the threshold, above 0 cells are drawn.
            threshold: over which probability a cell sounds, for all or by name of the track, there
                also as two, of what is held and what is struck; what the bundle was measured with
                by default.
            tempo: quarter notes a minute.
            mute: names of tracks to leave out.
            programs: General MIDI programs (0-127) by name of the track.

        Raises:
            ModelError: no such track.
            MusegenError: more than memory allows, or numbers out of range.
            NothingGeneratedError: every piece came out empty.
        """
        bars = bars or self.representation.bars
        phrases = -(-bars // self.representation.bars)
        if n < 1 or bars < 1 or n * phrases > MOST:
            raise MusegenError(
                f"n and bars must be at least 1 and at most {MOST} phrases together; "
                "ask for fewer or shorter pieces"
            )
        x = self._drawn(n, phrases, seed, temperature, threshold)
        x = np.concatenate(np.split(x, phrases), axis=2)[:, :, : self._steps(bars)]
        recipe = self._recipe("generate", seed, temperature=temperature, bars=bars, n=n)
        return self._scores(x, tempo, mute, programs, recipe)

    def interpolate(
        self,
        a: int,
        b: int,
        *,
        steps: int = 8,
        bars: int | None = None,
        temperature: float = 0.0,
        threshold: PerTrack | None = None,
        tempo: float = 120.0,
        mute: Sequence[str] = (),
        programs: Mapping[str, int] | None = None,
    ) -> list[Score]:
        """Music on the way from that of seed `a` to that of seed `b`, both included.

        Latents are interpolated by slerp; the other options are those of `generate`.

        Raises:
            ValueError: fewer than 2 steps.
            ModelError: no such track.
        """
        if steps < 2:
            raise ValueError("an interpolation needs at least 2 steps: its two ends")
        ends = [self._of_seed(seed, bars) for seed in (a, b)]
        z = slerp(ends[0], ends[1], torch.linspace(0, 1, steps))  # [steps, phrases, z]
        recipe = self._recipe("interpolate", a, to=b, steps=steps, temperature=temperature)
        return self._written(z, bars, temperature, threshold, tempo, mute, programs, recipe)

    def grid(
        self,
        seeds: Sequence[int],
        *,
        size: int = 5,
        bars: int | None = None,
        temperature: float = 0.0,
        threshold: PerTrack | None = None,
        tempo: float = 120.0,
        mute: Sequence[str] = (),
        programs: Mapping[str, int] | None = None,
    ) -> list[Score]:
        """A plane of music between four seeds (top left, top right, bottom left, bottom right),
        row by row, `size` by `size`; the other options are those of `generate`.

        Raises:
            ValueError: not four seeds, or a plane of fewer than 2 by 2.
            ModelError: no such track.
        """
        if len(seeds) != 4 or size < 2:
            raise ValueError("a grid needs four seeds, one for each corner, and a size from 2")
        corners = [self._of_seed(seed, bars) for seed in seeds]
        t = torch.linspace(0, 1, size)
        left, right = slerp(corners[0], corners[2], t), slerp(corners[1], corners[3], t)
        z = slerp(left, right, t).transpose(0, 1).flatten(0, 1)
        recipe = self._recipe("grid", seeds[0], seeds=list(seeds), size=size)
        return self._written(z, bars, temperature, threshold, tempo, mute, programs, recipe)

    def accompany(
        self,
        score: Score,
        n: int = 1,
        *,
        seed: int,
        given: str = "",
        track: str = "",
        temperature: float = 0.0,
        threshold: PerTrack | None = None,
        overlap: int = 1,
        mute: Sequence[str] = (),
        programs: Mapping[str, int] | None = None,
        name: str = "the music",
        say: Say = _log.info,
    ) -> list[Score]:
        """The user's track with a band around it; the track stays note for note, and so do tempo
        and metre.

        The music goes by windows of the model's phrase, which overlap: of several drawn for each
        window that is taken which agrees best with what has been written for the bars before. All
        share the time-independent latents. Bars that are not of four quarters stay as they are.

        Args:
            score: the music with the track.
            n: how many accompaniments.
            seed: same seed, same music.
            given: which track of the band yours is: a name as "piano", or several with commas; by
                default what all your notes would be for the band, or else the piano.
            track: which track of the score is meant, by name or number from 1; otherwise those that
                the band would have as `given`, or the only one there is.
            temperature: see `generate`.
            threshold: see `generate`.
            overlap: bars that windows have in common.
            mute: names of tracks to leave out.
            programs: General MIDI programs (0-127) by name of the track.
            name: what to call the music in remarks.
            say: is told what was taken and what left out.

        Raises:
            InputError: no such track, no notes in it, or no bars of four quarters; in words.
            ModelError: the model takes no tracks, or has none of that name.
            MusegenError: an overlap that leaves nothing.
        """
        if self.model.config.given == "none":
            raise ModelError(
                f"{self.bundle.name} makes bands from noise alone; train the preset band"
            )
        size = self.representation.bars
        if not 0 <= overlap < size:
            raise MusegenError(f"overlap must be from 0 to {size - 1} bars, below a phrase")
        given = given or roles.likely(self.tracks, score)
        parts = [roles.part(self.tracks, one.strip()) for one in given.split(",") if one.strip()]
        if not 0 < len(set(parts)) < len(self.tracks):
            raise ModelError(f"{name}: give one to {len(self.tracks) - 1} tracks of the band")
        users = roles.taken(self.tracks, score, parts, track, name, say)
        runs = roles.runs(self.representation, score, users, name, say)
        generator = torch.Generator().manual_seed(seed)
        made: list[list[Track]] = [[] for _ in range(n)]
        still = self.model.prior(n, generator)
        for run in runs:
            heard = roles.heard(self.representation, score, users, run)
            x = self._around(heard, still, generator, overlap, n, temperature, threshold)
            for i, roll in enumerate(x):
                made[i] += roles.played(self.representation, roll, score.ppq, int(run[0]), parts)
        recipe = self._recipe("accompany", seed, given=given, inputs=[name], n=n)
        scores = []
        for i in range(n):
            whole = [t for tracks in users.values() for t in tracks]
            band = roles.joined(made[i])
            if not any(len(t) for t in band):
                say(f"{name}: nothing was made to go with it; try another --seed or --threshold")
            whole += roles.named(self.tracks, band, mute, programs)
            scores.append(replace(score, tracks=tuple(whole), recipe=recipe | {"index": i}))
        return scores

    def _around(
        self,
        heard: NDArray[np.int8],
        first: torch.Tensor,
        generator: torch.Generator,
        overlap: int,
        n: int,
        temperature: float,
        threshold: PerTrack | None,
    ) -> Roll:
        """Accompaniments [n, channels, steps, pitches] of a roll, window by window."""
        size, bar = self.representation.bars, self._steps(1)
        total = heard.shape[1]
        hop = size - overlap
        windows = max(1, -(-(total // bar - overlap) // hop))
        room = ((windows - 1) * hop + size) * bar - total
        silence = np.where(heard[:, :1].max(axis=(1, 2), keepdims=True) < 0, -1, 0)
        longer = np.concatenate(
            [heard, np.broadcast_to(silence, (len(heard), room, heard.shape[2]))], axis=1
        ).astype(np.int8)
        out = np.zeros((n, *longer.shape), np.uint8)
        asked = longer[:, 0, 0] < 0
        home = self.model.home(torch.from_numpy(longer)[None].clamp(min=0))
        for w in range(windows):
            start = w * hop * bar
            window = torch.from_numpy(longer[:, start : start + size * bar])
            many = 1 if w == 0 else CANDIDATES
            z = first.repeat_interleave(many, 0)
            if w:
                z = torch.where(self.model.moving(), self.model.prior(len(z), generator), z)
            given = window.expand(len(z), *window.shape)
            x = self._decode(z, generator, temperature, threshold, given, home)
            x = x.reshape(n, many, *x.shape[1:])
            known = overlap * bar * (w > 0)
            before, after = out[:, None, asked, start : start + known], x[:, :, asked, :known]
            # A share of what either plays: by cells that agree the emptiest would win.
            common, either = ((before & after).sum((2, 3, 4)), (before | after).sum((2, 3, 4)))
            same = common / np.maximum(either, 1)
            best = x[np.arange(n), same.argmax(1)]
            out[:, :, start + known : start + size * bar] = best[:, :, known:]
        return out[:, :, :total]

    def rolls(
        self,
        n: int,
        *,
        seed: int,
        temperature: float = 0.0,
        threshold: PerTrack | None = None,
        given: NDArray[np.int8] | None = None,
    ) -> Roll:
        """Phrases as the model has them, uint8 [n, channels, steps, pitches]; tracks that are
        `given` (int8 of that shape) have cells of 0 and 1, all others -1.
        """
        if given is None:
            return self._drawn(n, 1, seed, temperature, threshold)
        generator = torch.Generator().manual_seed(seed)
        z = self.model.prior(n, generator)
        return self._decode(z, generator, temperature, threshold, torch.from_numpy(given))

    def _drawn(
        self, n: int, phrases: int, seed: int, temperature: float, threshold: PerTrack | None
    ) -> Roll:
        """Music from noise, [phrases n, channels, steps, pitches]."""
        generator = torch.Generator().manual_seed(seed)
        z, heard = self._phrases(n, phrases, generator)
        if temperature == 0 and threshold is None and len(heard):
            return np.concatenate(heard)
        return self._decode(z.flatten(0, 1), generator, temperature, threshold)

    def _of_seed(self, seed: int, bars: int | None) -> torch.Tensor:
        """Latents [phrases, z] of a seed, as `generate` has them."""
        generator = torch.Generator().manual_seed(seed)
        phrases = -(-(bars or self.representation.bars) // self.representation.bars)
        return self._phrases(1, phrases, generator)[0][:, 0]

    def _phrases(
        self, n: int, many: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, list[Roll]]:
        """Latents [many, n, z] of music from noise, and rolls; see `Choice.phrases`."""
        made = self.model, self.representation, self._decode
        return self.choice.phrases(*made, n, many, generator)

    def _written(
        self,
        z: torch.Tensor,
        bars: int | None,
        temperature: float,
        threshold: PerTrack | None,
        tempo: float,
        mute: Sequence[str],
        programs: Mapping[str, int] | None,
        recipe: dict[str, Any],
    ) -> list[Score]:
        """Latents [n, phrases, z] as scores."""
        n, phrases, _ = z.shape
        generator = torch.Generator().manual_seed(recipe["seed"])
        x = self._decode(z.flatten(0, 1), generator, temperature, threshold)
        x = x.reshape(n, phrases, *x.shape[1:])
        x = np.concatenate([x[:, i] for i in range(phrases)], axis=2)
        x = x[:, :, : self._steps(bars or self.representation.bars)]
        return self._scores(x, tempo, mute, programs, recipe)

    def _decode(
        self,
        z: torch.Tensor,
        generator: torch.Generator,
        temperature: float = 0.0,
        threshold: PerTrack | None = None,
        given: torch.Tensor | None = None,
        home: torch.Tensor | None = None,
    ) -> Roll:
        if temperature < 0:
            raise MusegenError("temperature must be a number from 0 up")
        cut = torch.from_numpy(self._thresholds(threshold, given is not None))
        parts = []
        for i in range(0, len(z), 64):
            some, told = z[i : i + 64], None if given is None else given[i : i + 64]
            if told is None:
                parts.append(self.model.decode(some, generator, None, cut, temperature))
                continue
            # There and back again: all is learned in one key.
            by = self.model.home(told.clamp(min=0)) if home is None else home.expand(len(told))
            at_home = self.model.moved(told, by)
            x = self.model.decode(some, generator, at_home, cut, temperature)
            parts.append(self.model.kept(self.model.moved(x, -by), told))
        made: Roll = torch.cat(parts).numpy()
        return made

    def _thresholds(self, threshold: PerTrack | None, given: bool = False) -> NDArray[np.float32]:
        """Those of held and struck cells of each track, [planes, tracks], with others kept for
        music around given tracks.
        """
        info = self.bundle.info
        kept = info.get("thresholds", {})
        kept = info.get("thresholds_given", kept) if given else kept
        values = np.empty((self.model.config.planes, len(self.tracks)), np.float32)
        for i, name in enumerate(self.tracks.names):
            values[:, i] = kept.get(name.lower(), 0.5)
        if isinstance(threshold, Mapping):
            for key, value in threshold.items():
                values[:, roles.part(self.tracks, key)] = value
        elif threshold is not None:
            values[:] = threshold
        if not ((values > 0) & (values < 1)).all():
            raise MusegenError("a threshold must lie between 0 and 1; try 0.5")
        return values

    def _steps(self, bars: int) -> int:
        roll = self.representation
        return bars * roll.beats_per_bar * roll.steps_per_beat

    def _scores(
        self,
        x: Roll,
        tempo: float,
        mute: Sequence[str],
        programs: Mapping[str, int] | None,
        recipe: dict[str, Any],
    ) -> list[Score]:
        recipe = recipe | {"tempo": tempo} | ({"mute": list(mute)} if mute else {})
        scores = []
        for i, roll in enumerate(x):
            score = self.representation.decode(roll)
            tracks = roles.named(self.tracks, list(score.tracks), mute, programs)
            tempos = ((0, float(tempo)),)
            told = recipe | {"index": i}
            scores.append(replace(score, tracks=tuple(tracks), tempos=tempos, recipe=told))
        if not any(len(t) for s in scores for t in s.tracks):
            raise NothingGeneratedError(
                "the model gave no notes; try another --seed or a lower --threshold"
            )
        return scores
