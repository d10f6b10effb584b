"""Named corpora: where the music is, under which licence, and how to read it into Scores.

A corpus yields `Song`s; a file that cannot be read becomes a `Reject` with its reason and never
stops the others. Scores come out with a metre map in which bar lines are true.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from musegen import abc, midi
from musegen.errors import InputError
from musegen.score import DURATION, ONSET, Score

# Tunes shipped in data/samples: their clusters always go to the test part, so demos are honest.
SAMPLE_TITLES = (
    "fishers hornpipe",
    "fishers",
    "durangs hornpipe",
    "durangs",
    "arkansas traveller",
    "swallows tail",
    "masons apron",
    "harvest home",
    "ranting highlandman",
    "white cockade",
)


@dataclass(frozen=True)
class Song:
    """A piece of a corpus: `name` is unique in it, `title` may be empty or several (" / ")."""

    name: str
    corpus: str
    score: Score
    title: str = ""


@dataclass(frozen=True)
class Reject:
    """A file or tune that was set aside, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Corpus:
    """What a named corpus is and under which terms."""

    name: str
    licence: str
    source: str


CORPORA = {
    c.name: c
    for c in (
        Corpus("pop909", "MIT", "POP909 (Wang et al., ISMIR 2020), the folder or a zip of it"),
        Corpus(
            "fiddle",
            "public-domain prints (Ryan 1883, O'Neill 1903, Aird 1778-1801), transcribers credited",
            "ABC collections inside the music21 wheel",
        ),
        Corpus("midi", "yours", "any folder or zip of .mid files"),
    )
}


@dataclass(frozen=True)
class Entry:
    """A piece that has not been read yet; small, and can be sent to another process.

    Attributes:
        corpus: a key of `CORPORA`; says how to read it.
        name: unique in the source.
        container: the folder or zip that holds it.
        member: its relative path in there.
        data: its bytes, where the container can only be read from front to back.
        title: as in `Song`.
    """

    corpus: str
    name: str
    container: str
    member: str
    data: bytes | None = None
    title: str = ""


def songs(source: str | Path) -> Iterator[Song | Reject]:
    """The pieces of `entries(source)`, read.

    Raises:
        InputError: the source does not exist or holds no MIDI file.
    """
    return map(read, entries(source))


def entries(source: str | Path) -> Iterator[Entry]:
    """What is in "fiddle", in a POP909 folder or zip, or in a folder or zip of MIDI files.

    The order is fixed, and no music is read.

    Raises:
        InputError: the source does not exist or holds no MIDI file.
    """
    if str(source) == "fiddle" and not Path("fiddle").is_dir():
        yield from _fiddle()
        return
    files = _files(str(source))
    if any(re.search(r"(^|/)beat_midi\.txt$", n) for n in files.names):
        # versions/ holds other takes of the same songs
        corpus, wanted = "pop909", r"(^|/)\d{3}/\d{3}\.mid$"
    else:
        corpus, wanted = "midi", r"(?i)\.midi?$"
    found = [name for name in files.names if re.search(wanted, name)]
    if not found and corpus == "midi":
        raise InputError(files.path, "holds no .mid files; give a folder with MIDI files in it")
    for name in found:
        yield Entry(corpus, name, str(source), name)


def read(entry: Entry) -> Song | Reject:
    """The piece of an entry, or why it cannot be used."""
    try:
        if entry.corpus == "fiddle":
            score = abc.parse((entry.data or b"").decode(), entry.name)
        else:
            files = _files(entry.container)
            score = files.read_midi(entry.member)
            if entry.corpus == "pop909":
                score = _pop909(files, entry.member, score)
    except InputError as error:
        return Reject(entry.name, error.reason)
    return Song(entry.name, entry.corpus, score, entry.title)


class _Files:
    """The files below a folder or inside a zip, by relative name."""

    def __init__(self, path: Path) -> None:
        self.path, self.zip = path, None
        if path.is_dir():
            pass
        elif path.is_file() and zipfile.is_zipfile(path):
            try:
                self.zip = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(path, f"broken zip ({error}); make it again") from None
        elif path.exists():
            raise InputError(path, "expected a folder or a zip of MIDI files")
        else:
            raise InputError(path, "no such folder or corpus; give a folder, a zip or 'fiddle'")

    @property
    def names(self) -> list[str]:
        if self.zip:
            return sorted(n for n in self.zip.namelist() if not n.endswith("/"))
        found = sorted(self.path.rglob("*"))
        return [p.relative_to(self.path).as_posix() for p in found if p.is_file()]

    def read(self, name: str) -> IO[bytes]:
        try:
            with self.zip.open(name) if self.zip else (self.path / name).open("rb") as file:
                return io.BytesIO(file.read(midi.MAX_BYTES + 1))
        except KeyError:
            raise InputError(name, "is missing") from None
        # A zip's entry may also be encrypted, packed in an unknown way, or garbled.
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(name, f"cannot be read ({error})") from None

    def read_midi(self, name: str) -> Score:
        return midi.read(self.read(name), name=name)


def _files(path: str) -> _Files:
    """A container, open; kept while it is the same file."""
    try:
        stat = Path(path).stat()
        return _opened(path, stat.st_mtime_ns, stat.st_size, os.getpid())
    except (OSError, ValueError):
        return _Files(Path(path))


@lru_cache(maxsize=4)
def _opened(path: str, *version: int) -> _Files:
    return _Files(Path(path))


def _pop909(files: _Files, name: str, score: Score) -> Score:
    """A song on the grid of its beat_midi.txt (column 1 seconds, last column downbeat).

    The file's own tempo and metre events are nominal, so every time is placed between beats, and
    the metre comes from the distance of downbeats.
    """
    try:
        rows = files.read(name.rsplit("/", 1)[0] + "/beat_midi.txt").read().split(b"\n")
        beats = np.array([row.split() for row in rows if row.strip()], float)
        if beats.ndim != 2 or beats.shape[1] < 2:
            raise ValueError("expected lines of seconds and downbeat")
        return on_beats(score, beats[:, 0], beats[:, -1] > 0.5)
    except InputError as error:
        raise InputError(name, f"beat_midi.txt {error.reason}") from None
    except ValueError as error:
        raise InputError(name, f"beat_midi.txt cannot be used ({error})") from None


def on_beats(score: Score, seconds: Any, downbeat: Any) -> Score:
    """A performed score moved onto its beats: beat i lands on quarter i.

    Args:
        score: notes in ticks with a true tempo map.
        seconds: time of each beat, increasing, [beats].
        downbeat: which beats begin a bar, bool [beats].

    Raises:
        ValueError: fewer than two beats, or no downbeat.
    """
    seconds, downbeat = np.asarray(seconds, float), np.flatnonzero(downbeat)
    if len(seconds) < 2 or not len(downbeat) or not (np.diff(seconds) > 0).all():
        raise ValueError("needs at least two rising beat times and a downbeat")
    tick = np.array([t for t, _ in score.tempos], float)
    qpm = np.array([q for _, q in score.tempos])
    start = np.concatenate([[0], np.cumsum(np.diff(tick) / score.ppq * 60 / qpm[:-1])])

    def quarters(ticks: Any) -> Any:
        region = np.searchsorted(tick, ticks, "right") - 1
        time = start[region] + (ticks - tick[region]) / score.ppq * 60 / qpm[region]
        after = (time - seconds[-1]) / (seconds[-1] - seconds[-2])
        before = (time - seconds[0]) / (seconds[1] - seconds[0])
        inside = np.interp(time, seconds, np.arange(len(seconds)))
        return inside + np.maximum(after, 0) + np.minimum(before, 0)

    tracks = []
    for track in score.tracks:
        on = quarters(track.notes[:, ONSET])
        off = quarters(track.notes[:, ONSET] + track.notes[:, DURATION])
        rows = track.notes.copy()
        rows[:, ONSET] = np.maximum(np.rint(on * 480), 0)
        rows[:, DURATION] = np.maximum(np.rint(off * 480) - rows[:, ONSET], 1)
        tracks.append(replace(track, notes=rows[on >= -1 / 8]))  # just early is on the first beat
    lengths = np.diff(downbeat)
    metres = [(int(d) * 480, int(n), 4) for d, n in zip(downbeat, lengths, strict=False)]
    if downbeat[0] > 0:
        metres.insert(0, (0, int(downbeat[0]), 4))
    changes = [m for i, m in enumerate(metres) if i == 0 or m[1] != metres[i - 1][1]]
    return Score(
        tuple(tracks),
        480,
        tempos=((0, round(60 / float(np.median(np.diff(seconds))), 3)),),
        metres=tuple(changes) or ((0, 4, 4),),
    )


def _fiddle() -> Iterator[Entry]:
    """Fiddle tunes in duple metre from the ABC collections of the music21 wheel, repeats once.

    Tunes in 2/4 get doubled note values, as the same dances are written in C| elsewhere.
    """
    import music21

    root = Path(music21.__file__).parent / "corpus"
    for folder in ("ryansMammoth", "oneills1850", "airdsAirs", "miscFolk"):
        for path in sorted((root / folder).glob("*.abc")):
            text = path.read_text("utf-8", "replace")
            for i, tune in enumerate(re.split(r"(?m)^(?=X:)", text)[1:]):
                name = f"{folder}/{path.stem}#{i}"
                titles = re.findall(r"(?m)^T:\s*(.*?)\s*$", tune)
                title = " / ".join(titles)
                yield Entry("fiddle", name, str(path), f"#{i}", tune.encode(), title)
