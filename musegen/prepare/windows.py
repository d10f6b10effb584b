"""Windows of notes: what is cut from a score, on which grid, and which windows are worth keeping.

A window is `bars` bars of four quarters, cut every `hop` bars. Its notes are rows (onset, duration,
pitch, velocity) or, in kinds of several tracks, (onset, duration, pitch, velocity, track), with
times in steps from its start. A note belongs where it begins and is cut at the window's end.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.errors import MusegenError
from musegen.representations.chords import Chords
from musegen.representations.drums import KITS
from musegen.representations.events import HIGHEST, LOWEST, STEPS_PER_QUARTER, monophonic
from musegen.representations.tracks import TRACK, TRACKSETS, gather, to_steps
from musegen.representations.trio import TRIO
from musegen.representations.tuples import PPQ as TUPLES_PPQ
from musegen.score import DURATION, ONSET, PITCH, Notes, Score
from musegen.segment import bar_runs, pick_melody, step_runs, trio_tracks, windows

Runs = list[tuple[Notes, int]]
_SILENT = ("a silent bar", "too many silent bars")
SKETCH = 256  # hashes that stand for the shapes of a song, the smallest of them
_CHORD_BYTES = 5  # the 36 bits of `Chords` for a beat


@dataclass(frozen=True)
class Settings:
    """What to cut.

    Attributes:
        kind: a key of `KINDS`.
        bars: length of a window.
        hop: bars from one window to the next.
        tracks: a key of `TRACKSETS`, for the kind "band".
        min_tracks: tracks that must sound in at least half of the bars; None is the kind's own.
        chords: keep the chord symbol of each beat, too.
        rests: bars of a window in which nothing may sound.
    """

    kind: str = "melody"
    bars: int = 2
    hop: int = 1
    tracks: str = ""
    min_tracks: int | None = None
    chords: bool = False
    rests: int = 0

    def told(self) -> dict[str, Any]:
        """As folders keep it: `rests` only where there may be some, since older folders lack it."""
        return {k: v for k, v in asdict(self).items() if k != "rests" or v}


@dataclass(frozen=True)
class Kind:
    """A kind of windows.

    Attributes:
        about: what is in it.
        steps: steps in a quarter.
        runs: the notes of a score, in steps from the start of each run of bars of four quarters,
            and how many bars it has; ValueError when the score has none of this kind.
        same: columns that make two windows the same.
        shape: columns that, on 16ths and whatever the key, make them variants of each other.
        tracks: tracks in a window; 0 is as many as the track set has.
        drums: index of the drum track, -1 for none.
        min_notes: fewest notes.
        min_pitches: fewest different pitches.
        min_tracks: fewest tracks that sound in at least half of the bars.
        lowest: lowest pitch of pitched tracks.
        highest: highest pitch of pitched tracks.
        apart: held-out windows that the training part has, too, are dropped.
    """

    about: str
    steps: int
    runs: Callable[[Score, Settings], Runs]
    same: tuple[int, ...] = (ONSET, DURATION, PITCH, TRACK)
    shape: tuple[int, ...] = (ONSET, PITCH, TRACK)
    tracks: int = 1
    drums: int = -1
    min_notes: int = 3
    min_pitches: int = 1
    min_tracks: int = 1
    lowest: int = 0
    highest: int = 127
    apart: bool = True


class Cut(NamedTuple):
    """The windows of a song.

    Attributes:
        notes: int16 [m, 4 or 5], one window after the other.
        counts: notes of each window, int64 [n].
        keys: a hash of each window, equal for equal windows, uint64 [n].
        shapes: hashes of the different shapes (windows without their key), rising, at most
            `SKETCH`, uint64.
        different: how many shapes there are.
        digest: SHA-256 of the windows, in hex.
        chords: the chord symbols of each beat in bits, uint8 [n, 4 * bars, 5], or none.
    """

    notes: NDArray[np.int16]
    counts: NDArray[np.int64]
    keys: NDArray[np.uint64]
    shapes: NDArray[np.uint64]
    different: int
    digest: str
    chords: NDArray[np.uint8]


def cut(score: Score, settings: Settings, dropped: Counter[str]) -> Cut:
    """The windows of a song that are worth keeping, each once.

    Args:
        score: the song.
        settings: what to cut.
        dropped: counts the windows that are not kept, by reason.

    Raises:
        ValueError: none is; the message says why.
    """
    kind = KINDS[settings.kind]
    columns = TRACK + (tracks_of(settings) > 1)
    runs = kind.runs(score, settings)
    if not runs:
        raise ValueError("no bars of four quarters (metre {1}/{2})".format(*score.metres[0]))
    parts, counts, starts = [np.zeros((0, columns), np.int64)], [], []
    for (line, bars), ticks in zip(runs, bar_runs(score), strict=True):
        rows, count = windows(line, bars, settings.bars, settings.hop, 4 * kind.steps)
        parts.append(rows)
        counts.append(count)
        starts.append(ticks[: -settings.bars : settings.hop])
    notes, count = np.concatenate(parts), np.concatenate(counts)
    if not len(count):
        raise ValueError(f"shorter than {settings.bars} bars")
    why = _unsuitable(notes, count, settings)
    texts = _texts(notes[:, [c for c in kind.same if c < columns]], count)
    seen: dict[bytes, None] = {}
    kept = np.zeros(len(count), bool)
    for i, (reason, text) in enumerate(zip(why, texts, strict=True)):
        if reason or text in seen:
            dropped[reason or "repeated in its song"] += 1
        else:
            seen[text], kept[i] = None, True
    if not seen:
        reason = Counter(why).most_common(1)[0][0]
        raise ValueError(f"no {settings.bars}-bar window is worth keeping ({reason})")
    notes, count = notes[np.repeat(kept, count)], count[kept]
    shapes = np.unique(_hashes(_texts(_shapes(notes, count, settings), count)))
    return Cut(
        notes.astype(np.int16),
        count,
        _hashes(list(seen)),
        shapes[:SKETCH],
        len(shapes),
        hashlib.sha256(b"".join(sorted(seen))).hexdigest(),
        _chords(score, np.concatenate(starts)[kept], settings),
    )


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises:
        MusegenError: says what is wrong and what there is.
    """
    kind, sets = settings.kind, ", ".join(TRACKSETS)
    if kind not in KINDS:
        raise MusegenError(f"no kind of windows {kind!r}; there are {', '.join(KINDS)}")
    if KINDS[kind].tracks and settings.tracks:
        raise MusegenError(f"the kind {kind} has no track sets; use --kind band")
    if not KINDS[kind].tracks and settings.tracks not in TRACKSETS:
        raise MusegenError(f"the kind {kind} needs a track set: --tracks with one of {sets}")
    longest = np.iinfo(np.int16).max // (4 * KINDS[kind].steps)
    if not 1 <= settings.bars <= longest or settings.hop < 1:
        raise MusegenError(f"{kind} windows have 1 to {longest} bars, and a hop of at least 1")
    if not 0 <= (settings.min_tracks or 0) <= tracks_of(settings):
        raise MusegenError(f"{settings.min_tracks} tracks are more than there are")


def tracks_of(settings: Settings) -> int:
    """How many tracks the windows have."""
    return KINDS[settings.kind].tracks or len(TRACKSETS[settings.tracks])


def drums_of(settings: Settings) -> int:
    """Index of the drum track, -1 for none."""
    kind = KINDS[settings.kind]
    return kind.drums if kind.tracks else TRACKSETS[settings.tracks].drums


def _on_grid(score: Score, notes: Notes, settings: Settings, lines: int = 0) -> Runs:
    """Notes in ticks to those of each run, in steps and sorted by onset, track and pitch, each
    once; of the first `lines` tracks only the highest note of a chord.
    """
    found = []
    steps = KINDS[settings.kind].steps
    for run in bar_runs(score):
        rows = notes.copy()
        rows[:, ONSET] -= run[0]
        rows = rows[rows[:, ONSET] >= -score.ppq // 8]  # just early is on the first beat
        rows[:, ONSET] = np.maximum(rows[:, ONSET], 0)
        bars = len(run) - 1
        rows = to_steps(rows, score.ppq, steps)
        rows = rows[rows[:, ONSET] < bars * 4 * steps]
        track = _track(rows)
        rows = np.concatenate(
            [monophonic(rows[track == i]) for i in range(lines)] + [rows[track >= lines]]
        )
        rows = rows[np.lexsort((-rows[:, DURATION], rows[:, PITCH], _track(rows), rows[:, ONSET]))]
        place = np.column_stack([rows[:, ONSET], _track(rows), rows[:, PITCH]])
        first = np.append(True, (np.diff(place, axis=0) != 0).any(axis=1))[: len(rows)]
        found.append((rows[first], bars))
    return found


def _track(notes: NDArray[np.integer]) -> NDArray[np.integer]:
    return notes[:, TRACK] if notes.shape[1] > TRACK else np.zeros_like(notes[:, PITCH])


def _drum_runs(score: Score, settings: Settings) -> Runs:
    kit = KITS["gm"]
    notes = gather(score, kit.tracks)[:, :TRACK]
    notes = notes[kit.class_of[notes[:, PITCH]] >= 0]
    if not len(notes):
        raise ValueError("has no drums")
    return _on_grid(score, notes, settings)


def _trio_runs(score: Score, settings: Settings) -> Runs:
    """Melody, bass and drums, as `musegen.segment.trio_tracks` finds them; songs may lack as many
    of them as windows may.
    """
    parts = trio_tracks(score).tracks
    lacking = [track.name.lower() for track in parts if not len(track)]
    least = KINDS["trio"].min_tracks if settings.min_tracks is None else settings.min_tracks
    if len(parts) - len(lacking) < least:
        raise ValueError(f"has no {lacking[0]}")
    notes = np.concatenate([np.insert(t.notes, TRACK, i, axis=1) for i, t in enumerate(parts)])
    return _on_grid(score, notes, settings, lines=2)


def _performance_runs(score: Score, settings: Settings) -> Runs:
    notes = gather(score, TRACKSETS["piano"])[:, :TRACK]
    if not len(notes):
        raise ValueError("has no pitched notes")
    return _on_grid(score, notes, settings)


def _band_runs(score: Score, settings: Settings) -> Runs:
    notes = gather(score, TRACKSETS[settings.tracks])[:, : TRACK + (tracks_of(settings) > 1)]
    if not len(notes):
        raise ValueError(f"has no notes for the tracks of {settings.tracks}")
    return _on_grid(score, notes, settings)


KINDS = {
    "melody": Kind(
        "one line, the likeliest melody of a song",
        STEPS_PER_QUARTER,
        lambda score, settings: step_runs(score, pick_melody(score).track),
        shape=(ONSET, DURATION, PITCH),
        min_pitches=2,
        lowest=LOWEST,
        highest=HIGHEST,
        apart=False,  # as the shipped weights were trained and measured
    ),
    "drums": Kind(
        "drum tracks, nine classes of hits",
        STEPS_PER_QUARTER,
        _drum_runs,
        same=(ONSET, PITCH),
        drums=0,
        min_pitches=2,
    ),
    "groove": Kind(
        "drum tracks as they are played, 480 steps to a quarter",
        480,
        _drum_runs,
        drums=0,
        min_pitches=2,
    ),
    "trio": Kind(
        "melody, bass and drums",
        STEPS_PER_QUARTER,
        _trio_runs,
        tracks=len(TRIO),
        drums=TRIO.drums,
        min_tracks=3,
        lowest=LOWEST,
        highest=HIGHEST,
    ),
    "performance": Kind(
        "all pitched notes as they are played, 384 steps to a quarter",
        TUPLES_PPQ,
        _performance_runs,
        min_pitches=2,
        lowest=LOWEST,
        highest=HIGHEST,
    ),
    "band": Kind("all tracks of a track set", 24, _band_runs, tracks=0, min_tracks=3),
}


def _unsuitable(notes: Notes, count: NDArray[np.int64], settings: Settings) -> list[str]:
    """Why each window is not worth keeping, "" where it is."""
    kind, n, bars = KINDS[settings.kind], len(count), settings.bars
    owner, track, tracks = np.repeat(np.arange(n), count), _track(notes), tracks_of(settings)
    # Sounding notes per window, track and bar, as a running sum of those that begin and end.
    cell = (owner * tracks + track) * (bars + 1)
    ends = notes[:, ONSET] + notes[:, DURATION] - 1
    size, per_bar = n * tracks * (bars + 1), 4 * kind.steps
    begin = np.bincount(cell + notes[:, ONSET] // per_bar, minlength=size)
    end = np.bincount(cell + ends // per_bar + 1, minlength=size)
    sounding = np.cumsum((begin - end).reshape(n, tracks, bars + 1), axis=2)[:, :, :bars] > 0
    active = (2 * sounding.sum(axis=2) >= bars).sum(axis=1)
    pitches = np.zeros((n, 128), bool)
    pitches[owner, notes[:, PITCH]] = True
    pitched = track != drums_of(settings)
    outside = (notes[:, PITCH] < kind.lowest) | (notes[:, PITCH] > kind.highest)
    least = kind.min_tracks if settings.min_tracks is None else settings.min_tracks
    least = min(least, tracks)
    reasons = (
        (count < kind.min_notes, f"fewer than {kind.min_notes} notes"),
        (sounding.any(axis=1).sum(axis=1) < bars - settings.rests, _SILENT[settings.rests > 0]),
        (active < least, f"fewer than {least} tracks playing"),
        (pitches.sum(axis=1) < kind.min_pitches, "one pitch only"),
        (np.bincount(owner[outside & pitched], minlength=n) > 0, "outside the piano's range"),
    )
    why = np.full(n, "", object)
    for applies, reason in reversed(reasons):
        why[applies] = reason
    return [str(reason) for reason in why]


def _texts(rows: Notes, count: NDArray[np.int64]) -> list[bytes]:
    """The bytes of each window's rows."""
    data = np.ascontiguousarray(rows).tobytes()
    ends = np.append(0, np.cumsum(count)) * rows.shape[1] * rows.itemsize
    return [data[a:b] for a, b in pairwise(ends.tolist())]


def _hashes(texts: list[bytes]) -> NDArray[np.uint64]:
    """64 bits of each text; among 10^8 windows two collide with a probability of 1 in 4,000."""
    joined = b"".join(hashlib.blake2b(t, digest_size=8).digest() for t in texts)
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def _shapes(notes: Notes, count: NDArray[np.int64], settings: Settings) -> Notes:
    """The rows of windows on 16ths, pitches above the lowest of the window's pitched notes."""
    kind = KINDS[settings.kind]
    owner, track = np.repeat(np.arange(len(count)), count), _track(notes)
    pitched = track != drums_of(settings)
    lowest = np.full(len(count), 128)
    np.minimum.at(lowest, owner[pitched], notes[pitched, PITCH])
    rows = np.column_stack([notes[:, :TRACK], track])
    rows[:, PITCH] -= lowest[owner] * pitched
    rows[:, ONSET] = (2 * STEPS_PER_QUARTER * rows[:, ONSET] + kind.steps) // (2 * kind.steps)
    order = np.lexsort((rows[:, PITCH], track, rows[:, ONSET], owner))
    return rows[order][:, list(kind.shape)]


def _chords(score: Score, starts: NDArray[np.int64], settings: Settings) -> NDArray[np.uint8]:
    """The chord symbols of the windows that begin at the ticks `starts`, in bits."""
    if not settings.chords:
        return np.zeros((0, 4 * settings.bars, _CHORD_BYTES), np.uint8)
    beat = (2 * starts + score.ppq) // (2 * score.ppq)
    index = beat[:, None] + np.arange(4 * settings.bars)
    whole = Chords(int(index.max()) + 1).encode(score)
    return np.packbits(whole[index], axis=-1)
