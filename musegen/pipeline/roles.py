"""Between a user's tracks and a band's: which is which, what is heard of them, what is played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.config import nearest
from musegen.errors import InputError, ModelError, MusegenError
from musegen.pipeline.base import Say
from musegen.representations.pianoroll import Pianoroll
from musegen.representations.tracks import TRACK, TrackSet
from musegen.score import DURATION, ONSET, PITCH, Score, Track
from musegen.segment import bar_runs


def part(band: TrackSet, wanted: str) -> int:
    """Index of a track of the band by its name.

    Raises:
        ModelError: the band has no such track; names the nearest.
    """
    names = [n.lower() for n in band.names]
    if wanted.lower() not in names:
        raise ModelError(f"the band has no track {wanted!r}{nearest(wanted.lower(), names)}")
    return names.index(wanted.lower())


def likely(band: TrackSet, score: Score) -> str:
    """The track of the band that takes in all that a score has, or else the piano."""
    places = {band.place(t) for t in score.tracks if len(t)}
    alone = len(places) == 1 and -1 not in places
    return band.names[places.pop()].lower() if alone else "piano"


def taken(
    band: TrackSet, score: Score, parts: Sequence[int], choice: str, name: str, say: Say
) -> dict[int, list[Track]]:
    """The user's tracks for each track of the band that they are.

    Args:
        band: the tracks of the band.
        score: the user's music.
        parts: which tracks of the band are the user's.
        choice: which track of the score the first of them is, by name or number from 1.
        name: what to call the music.
        say: is told what was left out.

    Raises:
        InputError: no notes or no such track, in words.
    """
    there = [t for t in score.tracks if len(t)]
    if not there:
        raise InputError(name, "has no notes; give a file with the track to accompany")
    if choice:
        one = chosen(score, choice, name)
        found = {parts[0]: [one]}
    else:
        place = [band.place(t) for t in there]
        found = {p: [t for t, at in zip(there, place, strict=True) if at == p] for p in parts}
        if len(parts) == 1 and not found[parts[0]] and len(there) == 1:
            found = {parts[0]: there}
    for p in parts:
        role = band.parts[p]
        if not found.get(p):
            names = ", ".join(f"{i + 1} {t.name!r}" for i, t in enumerate(score.tracks))
            raise InputError(
                name, f"has no {role.name.lower()}; say which --track it is of {names}"
            )
        if any(t.is_drum != role.is_drum or not len(t) for t in found[p]):
            what = "drums (channel 10)" if role.is_drum else "a track with pitched notes"
            raise InputError(name, f"the track for {role.name.lower()} must be {what}")
    others = len(there) - sum(map(len, found.values()))
    if others:
        say(f"{name}: left out {others} other track{'s' * (others > 1)}")
    return found


def runs(
    roll: Pianoroll, score: Score, users: Mapping[int, list[Track]], name: str, say: Say
) -> list[NDArray[np.int64]]:
    """Bar lines of the runs of four-quarter bars in which the given tracks play.

    Raises:
        InputError: there are none.
    """
    notes = np.concatenate([t.notes for tracks in users.values() for t in tracks])
    found, inside = [], np.zeros(len(notes), np.bool_)
    for run in bar_runs(score):
        here = (notes[:, ONSET] >= run[0]) & (notes[:, ONSET] < run[-1])
        inside |= here
        if here.any():
            last = int(notes[here, ONSET].max())
            found.append(run[: int(np.searchsorted(run, last, "right")) + 1])
    if not found:
        metres = sorted({f"{n}/{d}" for _, n, d in score.metres})
        raise InputError(
            name,
            f"is in {', '.join(metres)}, but this model knows bars of four quarters; "
            "give music in 4/4, 2/2 or 2/4",
        )
    left = int((~inside).sum())
    if left:
        say(f"{name}: {left} notes in bars of another metre are kept without accompaniment")
    low, high = roll.low, roll.high
    pitched = [t.notes[:, PITCH] for ts in users.values() for t in ts if not t.is_drum]
    deaf = sum(int(((p < low) | (p > high)).sum()) for p in pitched)
    if deaf:
        say(f"{name}: {deaf} notes beyond pitches {low} to {high} are kept but not listened to")
    return found


def heard(
    roll: Pianoroll, score: Score, users: Mapping[int, list[Track]], run: NDArray[np.int64]
) -> NDArray[np.int8]:
    """The given tracks of a run of bars as a roll [channels, steps, pitches], -1 elsewhere."""
    tracks = []
    for p, theirs in users.items():
        role = roll.trackset.parts[p]
        notes = np.concatenate([t.notes for t in theirs])
        notes = notes[(notes[:, ONSET] >= run[0]) & (notes[:, ONSET] < run[-1])]
        notes = notes - np.array([run[0], 0, 0, 0])
        tracks.append(Track(notes, role.program, role.is_drum, role.name))
    whole = replace(roll, bars=len(run) - 1)
    x = whole.encode(Score(tuple(tracks), score.ppq)).astype(np.int8)
    known = np.isin(np.arange(len(x)) % len(roll.trackset), list(users))
    x[~known] = -1
    return x


def played(
    roll: Pianoroll, x: NDArray[Any], ppq: int, start: int, users: Sequence[int]
) -> list[Track]:
    """A roll as tracks of the band but the user's, in the user's ticks from `start` on."""
    notes = roll.decode_steps(x)
    ends = notes[:, ONSET] + notes[:, DURATION]
    per = roll.steps_per_beat
    onset = notes[:, ONSET] * ppq // per
    notes[:, DURATION] = np.maximum(1, ends * ppq // per - onset)
    notes[:, ONSET] = onset + start
    notes = notes[~np.isin(notes[:, TRACK], list(users))]
    return [t for i, t in enumerate(roll.trackset.tracks(notes)) if i not in users]


def named(
    band: TrackSet,
    tracks: Sequence[Track],
    mute: Sequence[str],
    programs: Mapping[str, int] | None,
) -> list[Track]:
    """Tracks of the band without muted ones, with the programs that are asked for.

    Raises:
        ModelError: no such track.
        MusegenError: no such program.
    """
    gone = {band.names[part(band, one)] for one in mute}
    wanted = {}
    for key, program in (programs or {}).items():
        if not 0 <= program <= 127:
            raise MusegenError(f"program {program} is not from 0 to 127, as General MIDI has")
        wanted[band.names[part(band, key)]] = program
    kept = [t for t in tracks if t.name not in gone]
    return [replace(t, program=wanted.get(t.name, t.program)) for t in kept]


def chosen(score: Score, choice: str, name: str) -> Track:
    """A track of a score by number from 1, or by a part of its name."""
    if choice.isdecimal():
        hits = [t for i, t in enumerate(score.tracks) if i + 1 == int(choice)]
    else:
        hits = [t for t in score.tracks if choice.lower() in t.name.lower()]
    if not hits:
        names = ", ".join(f"{i + 1} {t.name!r}" for i, t in enumerate(score.tracks))
        raise InputError(name, f"has no track {choice!r}; there are {names}")
    return hits[0]


def joined(tracks: Sequence[Track]) -> list[Track]:
    """Tracks of several runs of bars, those of one name in one."""
    names = list(dict.fromkeys(t.name for t in tracks))
    same = [[t for t in tracks if t.name == n] for n in names]
    return [replace(ts[0], notes=np.concatenate([t.notes for t in ts])) for ts in same]
