"""Songs to a prepared folder, in two stages that may be stopped at any moment.

The first makes shards of windows (`musegen.prepare.shards`), in processes of this machine or on a
cluster. The second puts variants of a tune into one part of the split (`musegen.prepare.split`),
drops what is there twice, and writes the tables. See docs/prepare.md.

A prepared folder holds `plan.json` (what was asked for), `shards/`, for each part of the split
(train, valid, test) `PART.notes.npy` (int16 [m, 4 or 5]: onset, duration, pitch, velocity and, in
kinds of several tracks, track; times in steps), `PART.offsets.npy` (int64 [windows + 1]),
`PART.songs.npy` (int32 [windows]: line of `songs.jsonl`) and perhaps `PART.chords.npy`, then
`songs.jsonl`, `rejects.jsonl`, and last of all `manifest.json` with counts and hashes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from musegen import corpora
from musegen.errors import InputError, MusegenError
from musegen.prepare import shards, tables
from musegen.prepare.cluster import run as run_there
from musegen.prepare.shards import ENTRIES, Task
from musegen.prepare.split import PARTS, assign, clusters, collect, known
from musegen.prepare.windows import KINDS, Settings, check, drums_of
from musegen.prepare.workers import run as run_here

VERSION = 2
Report = Callable[[int, "int | None"], None]
MELODIES = Settings()


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: Settings = MELODIES,
    *,
    held_out: tuple[float, float] = (0.05, 0.05),
    everything: str = "",
    like: Sequence[str | Path] = (),
    force: bool = False,
    workers: int | None = None,
    cluster: str = "",
    shard: tuple[int, int] | None = None,
    report: Report | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Read every source and write a prepared folder; returns its manifest.

    Killed and called again alike, it goes on where it was and ends with the same bytes. Called on a
    finished folder it compares that with its hashes and makes again what is damaged.

    Args:
        sources: corpora as `musegen.corpora.entries` takes them.
        out: the folder to write; readers find it whole or not at all.
        settings: what to cut.
        held_out: shares of songs for valid and test.
        everything: put all songs into this part instead.
        like: prepared folders whose songs stay in the parts they are in there, so that what one
            model never heard is held out of the next; songs of several folders in the first part.
        force: replace a finished folder, as soon as the new one is complete.
        workers: processes that read, None for one a core; 0 reads in this one, without a guard
            against files that crash it or hang.
        cluster: address of a Dask scheduler whose workers read instead.
        shard: (i, n) makes only every n-th shard, from the i-th (1 to n) on, and returns how many
            as {"shards": ...}; a call without it then finishes the folder.
        report: called with the number of files done and of all, None where that is not known.
        say: called with remarks.

    Raises:
        InputError: a source is missing or nothing usable is in it, or `like` is no prepared folder.
        MusegenError: `out` is taken, or cannot be written, or settings do not fit together.
    """
    check(settings)
    out = Path(out)
    names = [_checked(source, out) for source in sources]
    before = known(map(Path, like))
    plan: dict[str, Any] = {
        "version": VERSION,
        "sources": [Path(name).name for name in names],
        **settings.told(),
        "held_out": list(held_out),
        "everything": everything,
        "entries_per_shard": ENTRIES,
    }
    if like:
        songs = json.dumps(sorted(before.items()))
        plan["like"] = hashlib.sha256(songs.encode()).hexdigest()
    folder = _place(out, plan, force)
    manifest = _read(folder / "manifest.json") or {}
    if manifest.keys() >= {"entries", "files"}:
        same = manifest["entries"] == _identity(names, settings)
        broken = tables.damaged(folder, manifest) + _broken_shards(folder) if same else []
        if same and not broken:
            say(f"{out}: is prepared already, and as its hashes say")
            return {"shards": 0} if shard else _moved(folder, out, manifest)
        if same:
            say(f"{out}: {', '.join(broken)} damaged, made again")
        elif force:  # it was complete, and then the source changed before it got its place
            shutil.rmtree(folder)
            folder = _place(out, plan, force)
        else:
            raise MusegenError(
                f"{out}: was made from other music than {', '.join(plan['sources'])} holds now; "
                "choose another folder or use --force"
            )
    made = kept = done = 0
    total = sum(1 for _ in _entries(names)) if report and _countable(names) else None
    tasks = _tasks(names, folder, shard)
    if cluster:
        results = run_there(tasks, settings, folder, cluster)
    else:
        results = run_here(tasks, settings, folder, workers)
    for task, new in results:
        made, kept, done = made + new, kept + (not new), done + len(task.entries)
        if report:
            report(done, total)
    if kept:
        say(f"{out}: {kept} shards were there already")
    if shard:
        return {"shards": made + kept}
    try:
        manifest = _reduced(folder, made + kept, settings, plan, before)
    except OSError as error:
        raise shards.unwritable(folder, error) from None
    return _moved(folder, out, manifest)


def _checked(source: str | Path, out: Path) -> str:
    """A source that is there and does not hold `out`, its path absolute for other machines."""
    name, colon, path = "", "", str(source)
    if not _exists(path):
        name, colon, path = path.rpartition(":")  # a corpus and its path, or its name alone
    if _exists(path):
        path = str(Path(path).absolute())
        if Path(path).resolve() in out.resolve().parents:
            raise MusegenError(f"{out}: lies inside {path}; choose a folder outside")
    next(corpora.entries(name + colon + path))
    return name + colon + path


def _exists(path: str) -> bool:
    with suppress(OSError, ValueError):  # a name that no file can have
        return Path(path).exists()
    return False


def _entries(names: list[str]) -> Iterator[corpora.Entry]:
    return chain.from_iterable(map(corpora.entries, names))


def _countable(names: list[str]) -> bool:
    """Whether listing all files is quick, which it is not in a packed tar."""
    return not any(re.search(r"\.(tar\.\w+|tgz|txz|tbz2?)$", name.lower()) for name in names)


def _lots(names: list[str]) -> Iterator[tuple[corpora.Entry, ...]]:
    entries = _entries(names)
    while lot := tuple(islice(entries, ENTRIES)):
        yield lot


def _tasks(names: list[str], folder: Path, shard: tuple[int, int] | None) -> Iterator[Task]:
    for k, entries in enumerate(_lots(names)):
        if shard and k % shard[1] != shard[0] - 1:
            continue
        # A run that was stopped as a whole puts the blame on no entry.
        shards.path_of(folder, k).with_suffix(".reading").unlink(missing_ok=True)
        yield Task(k, entries)


def _identity(names: list[str], settings: Settings) -> str:
    """What the manifest has of all that is to be read."""
    each = (shards.identify(lot, settings) for lot in _lots(names))
    return hashlib.sha256("".join(each).encode()).hexdigest()


def _place(out: Path, plan: dict[str, Any], force: bool) -> Path:
    """The folder to work in: `out`, or one beside it while a finished one stays; with its plan.

    Raises:
        MusegenError: `out` is taken.
    """
    beside = out.with_name(f".{out.name}.part")
    finished = (out / "manifest.json").is_file()
    found = _read(out / "plan.json")
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    foreign = any(not name.startswith(shards.UNFINISHED) for name in names)
    if out.is_file() or (foreign and not finished and found is None):  # perhaps somebody's music
        raise MusegenError(f"{out}: is no prepared folder and stays as it is; choose another")
    if (finished or found) and found != plan and not force:
        other = [key for key in plan | (found or {}) if plan.get(key) != (found or {}).get(key)]
        raise MusegenError(
            f"{out}: exists already, made with other settings ({', '.join(other)}); "
            "choose another folder or use --force"
        )
    complete = _read(beside / "plan.json") == plan and (beside / "manifest.json").is_file()
    folder = beside if force and (finished or complete) else out
    try:
        if _read(folder / "plan.json") != plan:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            shards.publish(folder / "plan.json", _json(plan))
        (folder / "shards").mkdir(exist_ok=True)
    except OSError as error:
        raise MusegenError(f"{out}: cannot be written ({error.strerror})") from None
    return folder


def _read(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds, None when it is not there or is damaged."""
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, indent=1).encode() + b"\n"


def _broken_shards(folder: Path) -> list[str]:
    """Shards that are there and damaged; they may also have been deleted."""
    found = sorted((folder / "shards").glob("*.npz"))
    return [f"shards/{path.name}" for path in found if not shards.is_whole(path)]


def _reduced(
    folder: Path,
    n: int,
    settings: Settings,
    plan: dict[str, Any],
    before: Mapping[tuple[str, str], int],
) -> dict[str, Any]:
    """Turn `n` shards into tables and a manifest, which is returned.

    Raises:
        InputError: there are no windows in them.
        OSError: they cannot be written.
    """
    paths = [shards.path_of(folder, k) for k in range(n)]
    songs = collect(paths, before)
    if not len(songs.digest):
        rows = chain.from_iterable(map(shards.songs, paths))
        reasons = Counter(row["reason"] for row in rows).most_common(3)
        said = "; ".join(f"{n} x {reason}" for reason, n in reasons)
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            ", ".join(plan["sources"]), f"gives no {settings.bars}-bar windows ({said})"
        )
    names = clusters(songs)
    if plan["everything"]:
        part = np.full(len(names), PARTS.index(plan["everything"]))
    else:
        part = assign(names, songs, plan["held_out"])
    steps = KINDS[settings.kind].steps
    identities = [shards.about(path)["identity"] for path in paths]
    manifest = plan | {
        "steps_per_quarter": steps,
        "steps_per_bar": 4 * steps,
        "drums": drums_of(settings),
        "entries": hashlib.sha256("".join(identities).encode()).hexdigest(),
        **tables.write(folder, paths, songs, names, part, settings),
    }
    for path in {*folder.glob("shards/*"), *folder.glob(f"{shards.UNFINISHED}*")} - set(paths):
        path.unlink(missing_ok=True)  # of runs that were killed, or of a larger source
    shards.publish(folder / "manifest.json", _json(manifest))
    return manifest


def _moved(folder: Path, out: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Put a finished folder in the place of an older one."""
    if folder != out:
        old = out.with_name(f".{out.name}.old")
        try:
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.rename(old)
            folder.rename(out)
        except OSError as error:
            raise MusegenError(f"{out}: cannot be written ({error.strerror})") from None
        shutil.rmtree(old, ignore_errors=True)
    return manifest
