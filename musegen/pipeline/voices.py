"""Which of a user's tracks is which voice of a choir."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from musegen.errors import InputError
from musegen.representations.tracks import TrackSet
from musegen.score import ONSET, PITCH, Score, Track
from musegen.segment import pick_melody

LIES = (70, 65, 59, 51)  # mean pitch of the soprano, alto, tenor and bass of Bach's chorales


def voices_of(score: Score, voices: TrackSet, track: str | int | None, name: str) -> list[int]:
    """The voice of each track, from 0 (the highest); -1 for drums and for what is none.

    Tracks that are named as voices are those, each voice once; then all others are none. Otherwise
    tracks are told by their mean pitch: the highest is the soprano, the others lie in their order
    where choirs have it. A track that is asked for is the soprano, unless it is named as another.

    Args:
        score: the piece.
        voices: of four parts, from high to low.
        track: the soprano's, by name or number from 1.
        name: what to call the piece in errors.

    Raises:
        InputError: there is no such track, there are too many of them, or one plays chords.
    """
    pitched = [i for i, t in enumerate(score.tracks) if len(t) and not t.is_drum]
    named = {i: voices.place(score.tracks[i]) for i in pitched}
    named = {i: voice for i, voice in named.items() if voice >= 0}
    if len(set(named.values())) < len(named):
        named = {}
    if track is not None:
        try:
            asked = pick_melody(score, track).index
        except ValueError as error:
            raise InputError(name, str(error)) from None
        if asked not in named:
            named = {i: voice for i, voice in named.items() if voice} | {asked: 0}
    found = named or _by_pitch(score, pitched, voices, name)
    chords = [i for i in found if chordal(score.tracks[i])]
    if chords:
        what = score.tracks[chords[0]].name or f"track {chords[0] + 1}"
        raise InputError(
            name, f"'{what}' plays chords; give each voice a track, or choose a --track"
        )
    return [found.get(i, -1) for i in range(len(score.tracks))]


def _by_pitch(score: Score, pitched: list[int], voices: TrackSet, name: str) -> dict[int, int]:
    """Voices of the tracks by their mean pitch."""
    if len(pitched) > len(voices):
        raise InputError(
            name,
            f"has {len(pitched)} pitched tracks, of which none is named as a voice; give at most "
            f"{len(voices)}, name them {', '.join(voices.names)}, or choose a --track",
        )
    mean = {i: float(score.tracks[i].notes[:, PITCH].mean()) for i in pitched}
    order = sorted(pitched, key=lambda i: -mean[i])
    ways = [(0, *rest) for rest in combinations(range(1, len(voices)), len(order) - 1)]
    best = min(
        ways, key=lambda way: sum(abs(mean[i] - LIES[v]) for i, v in zip(order, way, strict=True))
    )
    return dict(zip(order, best, strict=True))


def sung_by(score: Score, parts: Sequence[int], voices: TrackSet) -> str:
    """Which track each voice was found in, and what is left out, to follow a sentence."""
    names = [t.name or f"track {i + 1}" for i, t in enumerate(score.tracks)]
    said = "".join(
        f", {voices.names[p].lower()} '{name}'"
        for p, name in sorted(zip(parts, names, strict=True))
        if p >= 0
    )
    found = zip(parts, names, score.tracks, strict=True)
    left = [f"'{name}'" for p, name, track in found if p < 0 and len(track)]
    return said + (f"; as it is: {', '.join(left)}" if left else "")


def chordal(track: Track) -> bool:
    """Whether more than a fifth of its notes begin with another: a piano, not a tune."""
    _, count = np.unique(track.notes[:, ONSET], return_counts=True)
    return bool((count[count > 1]).sum() > 0.2 * len(track))
