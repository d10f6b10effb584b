"""One piece of a corpus into a Song: a reader for each corpus, on top of the readers of formats.

Scores come out with a metre map in which bar lines are true, save where the music was played
freely: there ticks are time and nothing else, and a remark says so.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace

import numpy as np

from musegen import midi
from musegen.corpora import containers, grid
from musegen.errors import InputError
from musegen.formats import musicxml
from musegen.score import ONSET, PITCH, Score

HOPELESS = 0.5  # a band song with fewer of its onsets on any grid of sixteenths is set aside
LONGEST = 1e5  # seconds of a song
FREE = "played freely: the ticks are time, not beats"


@dataclass(frozen=True)
class Entry:
    """A piece that has not been read yet; small, and can be sent to another process.

    Attributes:
        corpus: a key of `corpora.CORPORA`; says how to read it.
        name: unique in the source.
        container: the folder, zip or tar that holds it.
        member: its relative path in there.
        data: its bytes, where the container can only be read from front to back.
        span: first byte and size in a plain tar.
        beside: names and bytes of the files that belong to it, in a tar.
        title: as in `Song`.
        split: as in `Song`.
        cluster: as in `Song`.
        fault: why it cannot be read, if that is known already.
    """

    corpus: str
    name: str
    container: str
    member: str
    data: bytes | None = None
    span: tuple[int, int] | None = None
    beside: tuple[tuple[str, bytes], ...] = ()
    title: str = ""
    split: str = ""
    cluster: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Song:
    """A piece of a corpus.

    Attributes:
        name: unique in its source.
        corpus: a key of `corpora.CORPORA`.
        score: the music.
        title: may be empty or several (" / "); songs with a title in common are versions.
        split: the part ("train", "valid", "test") that the corpus itself puts it into, or "".
        cluster: equal for pieces that must not be parted, or "".
    """

    name: str
    corpus: str
    score: Score
    title: str = ""
    split: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class Reject:
    """A file or tune that was set aside, and why."""

    name: str
    reason: str


def content(entry: Entry) -> bytes:
    """The bytes of an entry.

    Raises:
        InputError: they cannot be read.
    """
    if entry.data is not None:
        return entry.data
    return containers.load(entry.container, entry.member, entry.span)


def as_written(entry: Entry) -> Song:
    """Any file that `midi.read` takes, as it is."""
    return _song(entry, midi.read(io.BytesIO(content(entry)), name=entry.name))


def _song(entry: Entry, score: Score, cluster: str = "") -> Song:
    cluster = cluster or entry.cluster
    return Song(entry.name, entry.corpus, score, entry.title, entry.split, cluster)


def freely(entry: Entry) -> Song:
    """A performance: times are true, bars and beats are not known."""
    song = as_written(entry)
    return replace(song, score=_free(song.score))


def _free(score: Score) -> Score:
    return replace(score, metres=((0, 4, 4),), remarks=(*score.remarks, FREE))


def pop909(entry: Entry) -> Song:
    """A song on the grid of its beat_midi.txt (column 1 seconds, last column downbeat), with the
    chords of its chord_midi.txt (start, end, label), if it has one.

    The file's own tempo and metre events are nominal, so every time is placed between beats, and
    the metre comes from the distance of downbeats.
    """
    song, name = as_written(entry), "beat_midi.txt"
    try:
        rows = _beside(entry, name).split(b"\n")
        beats = np.array([row.split() for row in rows if row.strip()], float)
        if beats.ndim != 2 or beats.shape[1] < 2:
            raise ValueError("expected lines of seconds and downbeat")
        chords = _pop909_chords(entry)
        score = grid.on_beats(song.score, beats[:, 0], beats[:, -1] > 0.5, chords)
    except InputError as error:
        raise InputError(entry.name, f"{name} {error.reason}") from None
    except ValueError as error:
        raise InputError(entry.name, f"{name} cannot be used ({error})") from None
    return replace(song, score=score)


def pop909_freely(entry: Entry) -> Song:
    """A song as it was played, chords at their seconds."""
    song = freely(entry)
    chords = _pop909_chords(entry)
    ticks = np.rint(grid.ticks_at(song.score, [second for second, _ in chords])).astype(int)
    placed = tuple((int(t), label) for t, (_, label) in zip(ticks, chords, strict=True))
    return replace(song, score=replace(song.score, chords=placed))


def _beside(entry: Entry, name: str) -> bytes:
    """A file in the folder of an entry."""
    path = entry.member.rpartition("/")[0] + "/" + name
    if entry.data is None:
        return containers.load(entry.container, path)
    if path not in (beside := dict(entry.beside)):
        raise InputError(path, "is missing")
    return beside[path]


def _pop909_chords(entry: Entry) -> tuple[tuple[float, str], ...]:
    """(second, label) of each chord, "N" behind the last; none if there is no such file, or another
    one of that name."""
    try:
        text = _beside(entry, "chord_midi.txt").decode("utf-8", "replace")
        rows = [line.split() for line in text.splitlines() if line.strip()]
        chords = [(float(row[0]), row[2]) for row in rows]
        chords += [(float(row[1]), "N") for row in rows[-1:]]
    except (InputError, ValueError, IndexError):
        return ()
    seconds = np.array([0, *(second for second, _ in chords), LONGEST])
    return tuple(chords) if (np.diff(seconds) >= 0).all() else ()


def bands(entry: Entry) -> Song:
    """A song of Freedoom on the grid of sixteenths that its notes keep, see `grid.regrid`."""
    song = as_written(entry)
    if not any(len(track) for track in song.score.tracks):
        raise InputError(entry.name, "no notes")
    share = grid.find_grid(song.score).share
    if share < HOPELESS:
        raise InputError(entry.name, f"no grid of sixteenths fits it ({share:.0%} of its onsets)")
    return replace(song, score=grid.regrid(song.score))


def chorale(entry: Entry) -> Song:
    """A chorale in four parts, as written; harmonisations of one tune share the beginning of the
    soprano, whatever the key."""
    score = musicxml.parse(content(entry), entry.name, repeats=False)
    if len(score.tracks) != 4:
        raise InputError(entry.name, f"{len(score.tracks)} parts, not four")
    notes = score.tracks[0].notes
    tune = np.diff(notes[np.argsort(notes[:, ONSET], kind="stable"), PITCH])[:10]
    return _song(entry, score, " ".join(map(str, tune.tolist())))


def tunes(text: str) -> list[tuple[str, str]]:
    """The tunes of an ABC book, each with its titles (" / " between them)."""
    found = []
    for tune in re.split(r"(?m)^(?=X:)", text)[1:]:
        found.append((tune, " / ".join(re.findall(r"(?m)^T:\s*(.*?)\s*$", tune))))
    return found
