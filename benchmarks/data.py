"""The data layer beside other toolkits: MIDI to piano rolls, batches of phrases, `prepare`.

Rolls and batches run on one core in one process: every pipeline over the same files or phrases, in
turn, several times; medians count. The tables go to standard output as Markdown, and with --write
into docs/performance.md. Pieces of music21's corpus are exported to build/bench-data once.

Usage: python benchmarks/data.py [--repeats N] [--files N] [--folder FOLDER]... [--write]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import muspy
import numpy as np
import pretty_midi
import pypianoroll
import symusic
from numpy.typing import NDArray

from musegen import dataset, midi
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.representations.pianoroll import Pianoroll
from musegen.representations.rolls import read_roll, roll
from musegen.representations.tracks import to_steps
from musegen.score import ONSET, Notes

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "bench-data"
REPORT = ROOT / "docs" / "performance.md"
MARKS = "<!-- make bench-data -->", "<!-- end of make bench-data -->"
PACKAGES = ("numpy", "symusic", "pypianoroll", "pretty_midi", "muspy", "music21")
COMPOSERS = ("bach", "beethoven", "haydn", "mozart", "schumann_robert")
PHRASES = Pianoroll("lpd5", steps_per_beat=12, bars=4)  # 5 tracks, 192 steps, 84 pitches
BATCH = 64


# The files.


def export(pair: tuple[str, str]) -> None:
    """One piece of music21's corpus as a MIDI file of music21's making."""
    from music21 import converter

    source, target = pair
    partial = Path(target).with_suffix(".part")
    try:
        converter.parse(source).write("midi", fp=str(partial))
    except Exception:  # four pieces have repeats that music21 cannot expand
        Path(target).with_suffix(".none").touch()
    else:
        partial.replace(target)


def exports() -> list[Path]:
    """The chorales and quartets of music21's corpus as MIDI files, made once."""
    from music21 import corpus

    pairs = []
    for composer in COMPOSERS:
        for source in sorted(p for p in corpus.getComposer(composer) if p.suffix == ".mxl"):
            name = "_".join(source.with_suffix(".mid").parts[source.parts.index(composer) :])
            pairs.append((str(source), str(CACHE / name)))
    made = {p.stem for p in CACHE.glob("*") if p.suffix in (".mid", ".none")}
    missing = [p for p in pairs if Path(p[1]).stem not in made]
    if missing:
        CACHE.mkdir(parents=True, exist_ok=True)
        note(f"exporting {len(missing)} pieces of music21's corpus to {CACHE}, once (minutes)")
        with ProcessPoolExecutor() as pool:
            list(pool.map(export, missing, chunksize=2))
    return [path for _, target in pairs if (path := Path(target)).is_file()]


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# MIDI to rolls: a path and steps to a quarter note give a roll [time, pitch] for each track.


def by_musegen(path: str, per_beat: int) -> Any:
    return read_roll(path, per_beat)


def by_musegen_score(path: str, per_beat: int) -> Any:
    return roll(midi.read(path, repair=False), per_beat)


def by_musegen_mending(path: str, per_beat: int) -> Any:
    return roll(midi.read(path), per_beat)


def by_symusic(path: str, per_beat: int) -> Any:
    return symusic.Score(path).resample(per_beat, 1).pianoroll(modes=["frame"])


def by_pypianoroll(path: str, per_beat: int) -> Any:
    return [t.pianoroll for t in pypianoroll.read(path, resolution=per_beat).tracks]


def by_pretty_midi(path: str, per_beat: int) -> Any:
    """On a grid of constant tempo, the first; so of all its ways the quickest, if not the best."""
    read = pretty_midi.PrettyMIDI(path)
    fs = per_beat * read.get_tempo_changes()[1][0] / 60
    return [i.get_piano_roll(fs=fs, pedal_threshold=None) for i in read.instruments]


def by_muspy(path: str, per_beat: int) -> Any:
    read = muspy.read_midi(path)
    read.adjust_resolution(per_beat)
    return [t.pianoroll for t in read.to_pypianoroll().tracks]


def read_only(path: str, per_beat: int) -> Any:
    return midi.read(path, repair=False)


def parse_only(path: str, per_beat: int) -> Any:
    return symusic.Score(path)


QUICK = {
    "**musegen** `read_roll(path)`": by_musegen,
    "musegen `roll(read(path, repair=False))`": by_musegen_score,
    "musegen `roll(read(path))`, broken files mended": by_musegen_mending,
    "symusic `resample` + `pianoroll`": by_symusic,
    "*part of it*: musegen `read(path, repair=False)`": read_only,
    "*part of it*: symusic `Score(path)`": parse_only,
}
SLOW = {
    "pypianoroll `read`": by_pypianoroll,
    "pretty_midi `get_piano_roll`": by_pretty_midi,
    "muspy `read_midi` + `to_pypianoroll`": by_muspy,
}
OURS = next(iter(QUICK))


def times(
    pipelines: dict[str, Callable[[str, int], Any]],
    files: Sequence[str],
    per_beat: int,
    repeats: int,
) -> dict[str, NDArray[np.float64]]:
    """Median seconds of each file in each pipeline, nan where it fails: {name: [files]}."""
    found = {name: np.full((repeats, len(files)), np.nan) for name in pipelines}
    for i in range(repeats):
        for name, pipeline in pipelines.items():
            for j, file in enumerate(files):
                start = time.perf_counter()
                try:
                    pipeline(file, per_beat)
                except Exception:
                    continue
                found[name][i, j] = time.perf_counter() - start
            note(f"{per_beat} steps a quarter, round {i + 1} of {repeats}: {name}")
    return {name: np.median(seconds, axis=0) for name, seconds in found.items()}


def rolls(files: Sequence[str], notes: NDArray[np.int64], repeats: int) -> Iterator[str]:
    """The tables of MIDI to rolls."""
    for per_beat in (4, 24):
        seconds = times(QUICK, files, per_beat, repeats)
        seconds |= times(SLOW, files, per_beat, max(1, repeats // 3))
        yield f"\n{per_beat} steps a quarter note:\n"
        yield "| pipeline | files/s | notes/s | median ms | errors | musegen is |"
        yield "|---|---|---|---|---|---|"
        for name, spent in seconds.items():
            done = ~np.isnan(spent)
            total, ours = spent[done].sum(), seconds[OURS][done].sum()
            yield (
                f"| {name} | {done.sum() / total:,.0f} | {notes[done].sum() / total:,.0f} "
                f"| {1000 * np.median(spent[done]):.3f} | {(~done).sum()} "
                f"| {total / ours:.{0 if total / ours >= 10 else 2}f} x |"
            )


# Batches of phrases.


def table(path: Path, phrases: Sequence[Notes], per_beat: int) -> dataset.Windows:
    """Phrases stored as a prepared folder stores them: int16 notes and offsets, memory-mapped."""
    np.save(path / f"notes{per_beat}.npy", np.concatenate(phrases).astype(np.int16))
    np.save(path / f"offsets{per_beat}.npy", np.cumsum([0, *map(len, phrases)]))
    notes, offsets = (
        np.load(path / f"{name}{per_beat}.npy", mmap_mode="r") for name in ("notes", "offsets")
    )
    style = np.zeros(len(phrases), np.int64)
    return dataset.Windows(notes, offsets, style, ("",), PHRASES, steps_per_quarter=per_beat)


def batches(folder: Path, n: int, repeats: int) -> Iterator[str]:
    """The table of stored phrases; `folder` is a prepared one."""
    whole = dataset.load(folder, "train", PHRASES)
    spread = np.linspace(0, len(whole) - 1, min(n, len(whole))).astype(np.int64)
    fine = [whole.window(i) for i in spread]
    coarse = [to_steps(notes, whole.steps_per_quarter, PHRASES.steps_per_beat) for notes in fine]
    coarse = [notes[notes[:, ONSET] < PHRASES.steps] for notes in coarse]
    ours = table(folder, coarse, PHRASES.steps_per_beat)
    finer = table(folder, fine, whole.steps_per_quarter)
    n, shape = len(fine), PHRASES.shape
    dense = np.memmap(folder / "dense.bin", np.uint8, "w+", shape=(n, *shape))
    packed = np.memmap(folder / "packed.bin", np.uint8, "w+", shape=(n, dense[0].size // 8))
    for i in range(0, n, 256):
        some = ours.encode(np.arange(i, min(i + 256, n)))
        dense[i : i + 256] = some
        packed[i : i + 256] = np.packbits(some.reshape(len(some), -1), axis=1)
    d, p = np.asarray(dense), np.asarray(packed)
    ways: dict[str, tuple[int, Callable[[NDArray[np.int64]], NDArray[np.uint8]]]] = {
        "dense uint8": (d.nbytes, lambda i: d[i]),
        "bit-packed": (p.nbytes, lambda i: np.unpackbits(p[i], axis=1).reshape(len(i), *shape)),
        "**musegen**: notes, int16": (ours.notes.nbytes + ours.offsets.nbytes, ours.encode),
        "musegen: notes at 24 steps a quarter": (
            finer.notes.nbytes + finer.offsets.nbytes,
            finer.encode,
        ),
    }
    random = np.random.default_rng(0)
    first = np.arange(min(n, 500))
    if any(not np.array_equal(way(first), d[first]) for _, way in ways.values()):
        raise SystemExit("the stored phrases differ")
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3 * repeats):
        for name, (_, way) in ways.items():
            for chosen in random.integers(0, n, (20, BATCH)):
                start = time.perf_counter()
                way(chosen)
                found[name].append(time.perf_counter() - start)
    yield (
        f"\nBatches of {BATCH} of {n:,} phrases of {' x '.join(map(str, shape))} (tracks, steps, "
        f"pitches), {len(ours.notes) / n:.0f} notes in each on average; memory-mapped, in the page "
        "cache; as uint8:\n"
    )
    yield "| stored as | bytes a phrase | of dense | ms a batch | phrases/s | of dense |"
    yield "|---|---|---|---|---|---|"
    reference = statistics.median(found["dense uint8"])
    for name, (size, _) in ways.items():
        median = statistics.median(found[name])
        yield (
            f"| {name} | {size / n:,.0f} | 1/{d.nbytes / size:.0f} | {1000 * median:.2f} "
            f"| {BATCH / median:,.0f} | {median / reference:.2f} x |"
        )


# `prepare`.


def preparing(folders: Sequence[Path], out: Path, repeats: int) -> Iterator[str]:
    """The table of `prepare` on one and two cores; leaves a prepared folder at `out`."""
    settings = Settings(kind="band", bars=4, tracks="lpd5", min_tracks=1)
    found: dict[int, list[float]] = {1: [], 2: []}
    for i in range(repeats):
        for workers in found:
            shutil.rmtree(out, ignore_errors=True)
            start = time.perf_counter()
            manifest = prepare(folders, out, settings, workers=workers)
            found[workers].append(time.perf_counter() - start)
            note(f"prepare, round {i + 1} of {repeats}: {workers} workers")
    files, windows = (sum(manifest[what].values()) for what in ("inputs", "windows"))
    one, two = (statistics.median(seconds) for seconds in found.values())
    yield (
        f"\n`musegen prepare --kind band` with {files:,} files, into {windows:,} windows of "
        "four bars (reading with mending, cutting, hashing, splitting, writing):\n"
    )
    yield "| workers | seconds | files/s | speed-up |"
    yield "|---|---|---|---|"
    yield f"| 1 | {one:.1f} | {files / one:,.0f} | |"
    yield f"| 2 | {two:.1f} | {files / two:,.0f} | {one / two:.2f} x |"


# The report.


def machine() -> str:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.split(": ")[1] for x in lines if x.startswith("model name")), name)
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in PACKAGES)
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}."


def report(options: argparse.Namespace) -> Iterator[str]:
    """The lines of the report."""
    warnings.simplefilter("ignore")
    folders = [ROOT / "data" / "bands", ROOT / "data" / "samples", *options.folder]
    files = [p for f in folders for p in sorted(f.rglob("*")) if p.suffix.lower() == ".mid"]
    files += exports()
    if options.files and options.files < len(files):
        files = [files[i] for i in np.linspace(0, len(files) - 1, options.files).astype(int)]
    paths = [str(p) for p in files]
    notes = np.array([sum(map(len, midi.read(p, repair=False).tracks)) for p in paths])
    yield machine()
    yield (
        f"\n{len(paths)} MIDI files: the bands and samples of this repository and the chorales and "
        f"quartets that come with music21, exported by it; {notes.sum():,} notes, median "
        f"{int(np.median(notes)):,}, most {notes.max():,}. Medians of {options.repeats} rounds "
        f"({max(1, options.repeats // 3)} of the slow ones), on one core."
    )
    with tempfile.TemporaryDirectory() as name:
        sources = [f for f in (*folders, CACHE) if any(f.rglob("*.mid"))]
        made = list(preparing(sources, Path(name) / "band", max(1, options.repeats // 3)))
        core = {max(os.sched_getaffinity(0))} if hasattr(os, "sched_setaffinity") else set()
        if core:
            os.sched_setaffinity(0, core)
        yield from rolls(paths, notes, options.repeats)
        yield from batches(Path(name) / "band", options.phrases, options.repeats)
    yield from made


def write(lines: Sequence[str]) -> None:
    """Put the lines between the marks in docs/performance.md."""
    before, _, rest = REPORT.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    REPORT.write_text("\n".join([before + MARKS[0], *lines, MARKS[1] + after]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=9, help="rounds for each median")
    parser.add_argument("--files", type=int, help="only so many, evenly chosen")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="more MIDI files")
    parser.add_argument("--phrases", type=int, default=5000, help="stored for the batches")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md, too")
    options = parser.parse_args()
    lines = []
    for line in report(options):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        write(lines)


if __name__ == "__main__":
    main()
