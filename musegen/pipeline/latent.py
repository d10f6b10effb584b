"""Music of the user as latents and back, and the verbs that move it about in there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen import runtime
from musegen.config import nearest
from musegen.errors import InputError
from musegen.melody import Excerpt, Say, excerpt
from musegen.pipeline.base import Pipeline
from musegen.pretrained import Bundle
from musegen.representations.events import STEPS_PER_BAR
from musegen.runtime import Draws, slerp
from musegen.score import VELOCITY, Score

_log = logging.getLogger("musegen")
Symbols: TypeAlias = NDArray[np.integer]
Floats: TypeAlias = NDArray[np.float32]
DRAWS = 4  # latents tried for each variation that is asked for


class LatentPipeline(Pipeline):
    """What a model with an encoder does to music: `vary`, `blend` and `grid`."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.model, self.representation = runtime.of(bundle.model), bundle.representation

    def vary(
        self,
        score: Score,
        n: int = 4,
        *,
        seed: int,
        amount: float | None = None,
        attributes: Mapping[str, float] | None = None,
        temperature: float = 0.0,
        track: str | None = None,
        name: str = "input",
        say: Say = _log.info,
    ) -> list[Score]:
        """Variations of a piece, the nearest first.

        Each window's latent goes `amount` of the way (slerp) to one that the prior draws, the same
        for all windows of a variation, so that what returns in the piece returns in it. Of more
        draws than are asked for, those that change something are kept, ordered by how much.
        Attributes move all of them along the vectors that the bundle knows: the last variation by
        as much as is asked for, those before it by less.

        Args:
            score: the user's music.
            n: how many.
            seed: of the draws.
            amount: 0 gives the reconstruction, 1 something else altogether; 0.3 by default, 0
                where attributes are given.
            attributes: how much more (or less) of each of `attributes.OF`: 1 goes 0.4 of the way
                from one melody to another, in the direction of more. Beyond 1.5 either way other
                things change as much.
            temperature: of the symbols; 0 takes the likeliest.
            track: which track holds the melody, by name or number from 1.
            name: what to call the music in remarks.
            say: is told what was taken and what left out.

        Raises:
            InputError: nothing in it that the model knows; in words.
            ValueError: an amount that is not from 0 to 1, or an attribute the model lacks.
        """
        amount = (0.0 if attributes else 0.3) if amount is None else amount
        push = self._push(attributes or {})
        if not 0 <= amount <= 1:
            raise ValueError(f"amount must be from 0 to 1, not {amount:g}")
        line = self._excerpt(score, name, track, say)
        x = self._windows(line)
        z = self._encode(x)
        draws = Draws(seed)
        if attributes and not amount:
            steps = (np.arange(1, n + 1) / n).astype(np.float32)[:, None, None]
            drawn = self._decode_all(z + steps * push, line.bars, draws, temperature)
            recipe = self._recipe("vary", seed, temperature=temperature, inputs=[name])
            recipe |= {"attributes": dict(attributes)}
            return [
                self._voiced(line, events, line.tempo, recipe | {"index": k})
                for k, events in enumerate(drawn)
            ]
        others = self.model.prior(DRAWS * n, draws)
        moved = np.stack([slerp(z, np.broadcast_to(o, z.shape), amount)[0] for o in others])
        drawn = self._decode_all(moved + push, line.bars, draws, temperature)
        changes = [int((d != joined(x, line.bars)).sum()) for d in drawn]
        # Different from the original first, then different from each other, then the nearest.
        seen = {joined(x, line.bars).tobytes()}
        ranks = []
        for i, events in enumerate(drawn):
            known = events.tobytes() in seen
            seen.add(events.tobytes())
            ranks.append((known, changes[i], i))
        kept = sorted(sorted(ranks)[:n], key=lambda rank: rank[1:])
        recipe = self._recipe("vary", seed, temperature=temperature, amount=amount, inputs=[name])
        return [
            self._voiced(line, drawn[i], line.tempo, recipe | {"index": k})
            for k, (_, _, i) in enumerate(kept)
        ]

    def _push(self, attributes: Mapping[str, float]) -> Floats:
        """The sum of the attributes' vectors [z], each times what is asked for."""
        known = self.bundle.info.get("attributes", {})
        total = np.zeros(self.model.config.latent, np.float32)
        for name, much in attributes.items():
            if name not in known:
                raise ValueError(
                    f"{self.bundle.name} has no vector for {name!r}{nearest(name, known)}"
                )
            total += much * np.asarray(known[name], np.float32)
        return total

    def blend(
        self,
        a: Score,
        b: Score,
        *,
        seed: int,
        weight: float = 0.5,
        temperature: float = 0.0,
        tracks: tuple[str | None, str | None] = (None, None),
        names: tuple[str, str] = ("A", "B"),
        fit: str = "loop",
        say: Say = _log.info,
    ) -> Score:
        """One piece between two: `weight` 0 is A as written, 1 is B, by slerp of their latents.

        Raises:
            InputError: nothing in one of them that the model knows; in words.
            ValueError: a weight that is not from 0 to 1.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must be from 0 to 1, not {weight:g}")
        (first, last), (za, zb) = self._fitted((a, b), names, tracks, fit, say)
        recipe = self._recipe("blend", seed, temperature=temperature, inputs=list(names))
        recipe |= {"weight": weight, "fit": fit}
        if weight in (0, 1):
            return replace((last if weight else first).score(), recipe=recipe)
        z = slerp(za, zb, weight)
        draws = Draws(seed)
        (events,) = self._decode_all(z, first.bars, draws, temperature)
        tempo = round(first.tempo + weight * (last.tempo - first.tempo), 3)
        velocity = (1 - weight) * first.mean_velocity() + weight * last.mean_velocity()
        like = last if weight > 0.5 else first
        return with_velocity(self._voiced(like, events, tempo, recipe), round(velocity))

    def grid(
        self,
        corners: tuple[Score, Score, Score, Score],
        *,
        size: int = 4,
        seed: int,
        temperature: float = 0.0,
        names: tuple[str, str, str, str] = ("A", "B", "C", "D"),
        fit: str = "loop",
        say: Say = _log.info,
    ) -> list[Score]:
        """A plane between four pieces: `size` rows of `size`, from A (first row, first place) to B
        (first row, last), C (last row, first) and D; the corners are as written.

        Raises:
            InputError: nothing in one of them that the model knows; in words.
            ValueError: fewer than 2 rows.
        """
        if size < 2:
            raise ValueError("a grid needs at least 2 rows: its corners")
        lines, z = self._fitted(corners, names, (None,) * 4, fit, say)
        t = np.linspace(0, 1, size)
        left, right = slerp(z[0], z[2], t), slerp(z[1], z[3], t)  # [rows, windows, z]
        plane = np.stack([slerp(a, b, t) for a, b in zip(left, right, strict=True)])
        draws = Draws(seed)
        events = self._decode_all(
            plane.reshape(-1, *z.shape[1:]), lines[0].bars, draws, temperature
        )
        recipe = self._recipe("grid", seed, temperature=temperature, inputs=list(names))
        recipe |= {"size": size, "fit": fit}
        made = []
        at = {0: 0, size - 1: 1, size * (size - 1): 2, size * size - 1: 3}
        for i, symbols in enumerate(events):
            row, place = divmod(i, size)
            down, across = row / (size - 1), place / (size - 1)
            shares = np.outer([1 - down, down], [1 - across, across]).ravel()
            note = recipe | {"index": i, "row": row, "place": place}
            if i in at:
                made.append(replace(lines[at[i]].score(), recipe=note))
                continue
            tempo = float(shares @ [line.tempo for line in lines])
            velocity = float(shares @ [line.mean_velocity() for line in lines])
            like = lines[int(shares.argmax())]
            score = self._voiced(like, symbols, round(tempo, 3), note)
            made.append(with_velocity(score, round(velocity)))
        return made

    def _fitted(
        self,
        scores: tuple[Score, ...],
        names: tuple[str, ...],
        tracks: tuple[str | None, ...],
        fit: str,
        say: Say,
        bars: int | None = None,
    ) -> tuple[list[Excerpt], Floats]:
        """Excerpts of equal length and their latents [pieces, windows, z]."""
        if fit not in ("loop", "pad"):
            raise ValueError(f"fit must be 'loop' or 'pad', not {fit!r}")
        lines = [self._excerpt(s, n, t, say) for s, n, t in zip(scores, names, tracks, strict=True)]
        bars = bars or max(line.bars for line in lines)
        for line, name in zip(lines, names, strict=True):
            if line.bars < bars:
                how = "repeated" if fit == "loop" else "followed by rests"
                say(f"{name}: {line.bars} bar{'s' * (line.bars > 1)}, {how} to make {bars}")
        fitted = [line.fitted(bars, fit) for line in lines]
        z = self._encode(np.concatenate([self._windows(line) for line in fitted]))
        return fitted, z.reshape(len(fitted), -1, z.shape[-1])

    def _excerpt(self, score: Score, name: str, track: str | None, say: Say) -> Excerpt:
        try:
            return excerpt(score, self.representation, name, track, say)
        except ValueError as error:
            raise InputError(name, str(error)) from None

    def _windows(self, line: Excerpt) -> Symbols:
        """An excerpt as whole windows [windows, ..., steps], rests after its end."""
        size = self.representation.bars
        whole = line.fitted(-(-line.bars // size) * size, "pad")
        return whole.windows(self.representation)

    def _encode(self, x: Symbols) -> Floats:
        mean: Floats = self.model.encode(x)[0]
        return mean

    def _decode(
        self, z: Floats, draws: Draws, temperature: float, given: Floats | None = None
    ) -> Symbols:
        return self.model.decode(z, draws, temperature, given=given).astype(np.uint16)

    def _decode_all(self, z: Floats, bars: int, draws: Draws, temperature: float) -> list[Symbols]:
        """Symbols of `bars` bars for each row of z [n, windows, z]."""
        if not len(z):
            return []
        events = self._decode(z.reshape(-1, z.shape[-1]), draws, temperature)
        return [joined(row, bars) for row in events.reshape(*z.shape[:2], *events.shape[1:])]

    def _voiced(
        self, line: Excerpt, events: Symbols, tempo: float, recipe: dict[str, Any]
    ) -> Score:
        """A score of the symbols, as loud as the excerpt on the whole, with its instrument."""
        score = self._like(line, self._score(events, tempo, recipe))
        return with_velocity(score, round(line.mean_velocity()))

    def _score(self, events: Symbols, tempo: float, recipe: dict[str, Any]) -> Score:
        bars = events.shape[-1] // STEPS_PER_BAR
        score = replace(self.representation, bars=bars).decode(events)
        return replace(score, tempos=((0, float(tempo)),), recipe=recipe)

    def _like(self, line: Excerpt, score: Score) -> Score:
        """A score whose one track has the name and the instrument of the excerpt's."""
        if len(score.tracks) != 1 or len(line.tracks) != 1:
            return score
        theirs = line.tracks[0]
        track = replace(score.tracks[0], program=theirs.program, name=theirs.name)
        return replace(score, tracks=(track,))


def joined(windows: NDArray[Any], bars: int) -> NDArray[Any]:
    """Windows [n, ..., steps] one after the other as [..., steps of `bars` bars]."""
    whole = np.moveaxis(windows, 0, -2)
    return whole.reshape(*whole.shape[:-2], -1)[..., : bars * STEPS_PER_BAR]


def with_velocity(score: Score, velocity: int) -> Score:
    """The score with all notes of this velocity, kept within 1 to 127."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes[:, VELOCITY] = min(max(velocity, 1), 127)
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))
