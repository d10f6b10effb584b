"""Files broken at random: for the tests and for `make fuzz`."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import music21
import numpy as np

from musegen import interop, midi
from musegen.errors import InputError
from musegen.formats import quick
from musegen.score import Score, as_notes

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
FORMATS = ("mid", "abc", "musicxml", "mxl", "json", "npz")
Edit = Callable[[bytes, Random, bytes], bytes]


def _span(data: bytes, random: Random, longest: int = 64) -> slice:
    start = random.randrange(len(data) + 1)
    return slice(start, start + random.randint(1, random.choice((4, longest))))


def _cut(data: bytes, span: slice, new: bytes) -> bytes:
    return data[: span.start] + new + data[span.stop :]


def flip(data: bytes, random: Random, other: bytes) -> bytes:
    at = random.randrange(max(1, len(data)))
    return _cut(
        data, slice(at, at + 1), bytes([(data[at] if data else 0) ^ 1 << random.randrange(8)])
    )


def early(data: bytes, random: Random, other: bytes) -> bytes:
    """A byte of the first 64, where headers are."""
    at = random.randrange(64)
    return _cut(data, slice(at, at + 1), random.randbytes(1))


def odd_byte(data: bytes, random: Random, other: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    value = random.choice(b"\x00\x01\x2f\x7f\x80\x90\xb0\xc0\xf0\xf7\xff")
    return _cut(data, slice(at, at + 1), bytes([value]))


def number(data: bytes, random: Random, other: bytes) -> bytes:
    """Four bytes that are a size, or as many digits."""
    value = random.choice((0, 1, 2**15, 2**16, 2**24, 2**28 - 1, 2**31 - 1, 2**31, 2**32 - 1))
    at = random.randrange(len(data) + 1)
    if random.random() < 0.5:
        return _cut(data, slice(at, at + 4), value.to_bytes(4, "big"))
    digits = list(re.finditer(rb"-?\d+", data[at : at + 4096]))
    text = random.choice((str(value), f"-{value}", "1e9", "0", "", "9" * 400, "0.0001", "nan"))
    if not digits:
        return data
    found = random.choice(digits)
    return _cut(data, slice(at + found.start(), at + found.end()), text.encode())


def drop(data: bytes, random: Random, other: bytes) -> bytes:
    return _cut(data, _span(data, random, 1024), b"")


def insert(data: bytes, random: Random, other: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return _cut(data, slice(at, at), random.randbytes(random.randint(1, 32)))


def truncate(data: bytes, random: Random, other: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def repeat(data: bytes, random: Random, other: bytes) -> bytes:
    """A piece many times over, up to a megabyte."""
    span = _span(data, random, 4096)
    times = min(random.choice((2, 3, 100, 10**5)), 2**20 // max(1, len(data[span])))
    return _cut(data, span, data[span] * times)


def move(data: bytes, random: Random, other: bytes) -> bytes:
    span = _span(data, random, 1024)
    rest = _cut(data, span, b"")
    at = random.randrange(len(rest) + 1)
    return _cut(rest, slice(at, at), data[span])


def splice(data: bytes, random: Random, other: bytes) -> bytes:
    return _cut(data, _span(data, random, 1024), other[_span(other, random, 4096)])


def join(data: bytes, random: Random, other: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


EDITS: Sequence[Edit] = (
    *(flip, flip, early, odd_byte, odd_byte, number, number, drop, insert),
    *(truncate, repeat, move, splice, splice, join),
)


def mutate(data: bytes, random: Random, other: bytes) -> bytes:
    """`data` after some edits, for which `other` lends material; of a zip mostly what is in it."""
    if data.startswith(b"PK") and other.startswith(b"PK") and random.random() < 0.8:
        files, lent = _unzipped(data), _unzipped(other)
        name = random.choice(sorted(files))
        files[name] = mutate(files[name], random, random.choice(sorted(lent.values())))
        return zipped(files)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        data = random.choice(EDITS)(data, random, other)
    return data


def _unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def read_or_refused(data: bytes, name: str, **options: bool) -> Score | None:
    """The score of a file, proved usable, or None where it was refused in one good sentence.

    Raises:
        Exception: anything else that happened; this is what tests look for.
    """
    try:
        score = midi.read(io.BytesIO(data), name=name, **options)
    except InputError as error:
        text = str(error)
        assert text.startswith(f"{name}: "), text
        assert "\n" not in text, text
        assert len(text) < 250, text
        assert "Error" not in text, text
        assert "Traceback" not in text, text
        return None
    assert score.ppq > 0
    if data.startswith(b"MThd"):  # the quicker way finds the same, or says that it cannot tell
        plain, found = midi.read(io.BytesIO(data), name=name, repair=False), None
        with contextlib.suppress(InputError):
            found = quick.columns(data, name)
        if found is not None:
            assert found.ppq == plain.ppq
            assert found.counts == [len(t) for t in plain.tracks]
            assert found.drums == [t.is_drum for t in plain.tracks]
    for track in score.tracks:
        assert np.array_equal(track.notes, as_notes(track.notes))
        assert not track.notes.flags.writeable
        assert 0 <= track.program <= 127
    for events in (score.tempos, score.metres, score.keys, score.markers, score.chords):
        ticks = [e[0] for e in events]
        assert ticks == sorted(ticks)
        assert min(ticks, default=0) >= 0
    assert score.tempos[0][0] == score.metres[0][0] == 0
    assert all(0 < qpm < np.inf for _, qpm in score.tempos)
    lines = score.bar_lines()
    assert lines[-1] >= score.end
    assert score.seconds >= 0
    assert "Score(" in repr(score)
    assert all(len(r) < 200 and "\n" not in r for r in score.remarks), score.remarks
    return score


def seeds(formats: Sequence[str]) -> dict[str, list[bytes]]:
    """Real files of each format; those that we cannot write are made by other libraries."""
    found: dict[str, list[bytes]] = {}
    pieces = [SAMPLES / f"{name}.mid" for name in ("bach_bwv66_6", "cc0_aloha_oe")]
    for suffix in formats:
        if suffix in ("mid", "abc"):
            found[suffix] = [p.read_bytes() for p in sorted(SAMPLES.glob(f"*.{suffix}"))]
        else:
            found[suffix] = [converted(piece, suffix) for piece in pieces]
    return found


def converted(piece: Path, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"x.{suffix}"
        if suffix == "json":
            interop.to_muspy(midi.read(piece)).save_json(path)
        elif suffix == "npz":
            interop.to_pypianoroll(midi.read(piece)).save(path)
        else:
            score = music21.converter.parse(piece)
            path = Path(score.write("musicxml", Path(folder) / "x.musicxml"))
        data = path.read_bytes()
    return zipped({"x.xml": data}) if suffix == "mxl" else data
