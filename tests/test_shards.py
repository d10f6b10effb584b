"""Shards: the same bytes whatever happens to the processes that make them."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import environment
from hypothesis import given
from hypothesis import strategies as st
from test_prepare import contents, make_up, many, song, walk
from tiny import SAMPLES

from musegen import corpora, prepare
from musegen.corpora import Entry, Reject, Song
from musegen.errors import MusegenError
from musegen.prepare import shards, workers
from musegen.prepare.shards import Task, process_shard
from musegen.prepare.windows import Settings

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def entries(n: int = 9) -> tuple[Entry, ...]:
    return tuple(Entry("midi", f"s{i}", "made", f"s{i}") for i in range(n))


def run(folder: Path, n: int = 2, lots: int = 3, **more: Any) -> None:
    """Nine songs in shards of three, by processes of this machine."""
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    each = entries()
    tasks = [Task(k, each[3 * k : 3 * k + 3]) for k in range(lots)]
    done = [task.k for task, _ in workers.run(tasks, Settings(), folder, n, **more)]
    assert sorted(done) == list(range(lots))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Callable]:
    """Nine songs, and what else happens when one of them is read; processes inherit both."""
    make_up(monkeypatch, many(9))
    read, happens = corpora.read, {}

    def reading(entry: Entry) -> Song | Reject:
        if entry.name in happens:
            happens[entry.name]()
        return read(entry)

    monkeypatch.setattr(corpora, "read", reading)
    monkeypatch.setattr(workers, "multiprocessing", multiprocessing.get_context("fork"))
    run(tmp_path / "expected", 0)
    return happens


def crash() -> None:
    faulthandler.disable()  # it would tell all about it
    os.kill(os.getpid(), signal.SIGSEGV)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [r for p in sorted((folder / "shards").glob("*.npz")) for r in shards.songs(p)]


# The file


def test_a_shard_is_arrays_and_rows_that_numpy_opens(reader: Any, tmp_path: Path) -> None:
    with np.load(tmp_path / "expected" / "shards" / "00001.npz") as arrays:
        named = {name: arrays[name] for name in arrays.files}
    songs = [json.loads(line) for line in named["songs"].tobytes().splitlines()]
    assert [row["name"] for row in songs] == ["s3", "s4", "s5"]
    assert sum(row["windows"] for row in songs) == len(named["counts"]) == len(named["keys"])
    assert sum(row["shapes"] for row in songs) == len(named["shapes"])
    assert named["notes"].dtype == np.int16
    assert named["notes"].shape == (named["counts"].sum(), 4)


def test_the_same_songs_give_the_same_bytes(reader: Any, tmp_path: Path) -> None:
    for folder, n in (("one", 1), ("three", 3)):
        run(tmp_path / folder, n)
        assert contents(tmp_path / folder) == contents(tmp_path / "expected")


def test_spawned_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: Any) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for path in sorted(SAMPLES.glob("*.mid"))[:8]:
        shutil.copy(path, music)
    monkeypatch.setattr(prepare, "ENTRIES", 3)
    for folder, n in (("here", 0), ("spawned", 2)):
        method = multiprocessing.get_context("spawn")
        monkeypatch.setattr(workers, "multiprocessing", method)
        prepare.prepare([music], tmp_path / folder, workers=n)
    assert contents(tmp_path / "here") == contents(tmp_path / "spawned")
    assert len(list((tmp_path / "here" / "shards").iterdir())) == 3


def test_what_is_there_is_kept(reader: Any, tmp_path: Path) -> None:
    folder = tmp_path / "expected"
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*.npz")}
    (folder / "shards" / "00001.npz").unlink()
    run(folder, 2)
    again = {p: p.stat().st_mtime_ns for p in folder.rglob("*.npz")}
    assert [p.name for p in stamps if again[p] != stamps[p]] == ["00001.npz"]


def test_other_songs_or_settings_make_another_shard(reader: Any, tmp_path: Path) -> None:
    folder, three = tmp_path / "expected", entries(3)
    assert not process_shard(0, three, Settings(), folder)
    assert process_shard(0, three, Settings(hop=2), folder)
    assert process_shard(0, three[:2], Settings(hop=2), folder)
    assert [row["name"] for row in shards.songs(shards.path_of(folder, 0))] == ["s0", "s1"]


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_is_seen(tmp_path_factory: Any, place: float, bit: int, cut: bool) -> None:
    folder = tmp_path_factory.getbasetemp() / "damage"
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    path = shards.path_of(folder, 0)
    if not path.exists():
        with pytest.MonkeyPatch.context() as patch:
            make_up(patch, many(3))
            process_shard(0, entries(3), Settings(), folder)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at] ^= 1 << bit
    broken = path.with_name("broken.npz")
    broken.write_bytes(data[:at] if cut else data)
    assert shards.is_whole(path)
    assert not shards.is_whole(broken)


# Processes that end


def test_a_file_that_ends_its_reader_is_set_aside_the_second_time(
    reader: dict[str, Callable], tmp_path: Path
) -> None:
    """The others of its shard stay; two such files in one shard, too."""
    reader["s3"] = lambda: os._exit(139)
    reader["s5"] = crash
    run(tmp_path / "out")
    found, expected = rows(tmp_path / "out"), rows(tmp_path / "expected")
    aside = {row["name"]: row["reason"] for row in found if "reason" in row}
    assert aside == dict.fromkeys(("s3", "s5"), "it ended or blocked its reader 2 times")
    assert [r for r in found if "reason" not in r] == [
        r for r in expected if r["name"] not in aside
    ]
    assert {p.suffix for p in (tmp_path / "out" / "shards").iterdir()} == {".npz"}
    reader.clear()
    run(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "expected")


def test_a_process_that_ends_once_loses_nothing(
    reader: dict[str, Callable], tmp_path: Path
) -> None:
    def once() -> None:
        with contextlib.suppress(FileExistsError):
            (tmp_path / "mark").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)

    reader["s4"] = once
    run(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_a_file_that_hangs_is_set_aside(reader: dict[str, Callable], tmp_path: Path) -> None:
    reader["s7"] = lambda: time.sleep(60)
    began = time.monotonic()
    run(tmp_path / "out", limit=0.4)
    assert time.monotonic() - began < 20
    aside = [row["name"] for row in rows(tmp_path / "out") if "reason" in row]
    assert aside == ["s7"]


def test_a_mistake_of_the_reader_is_a_reject(reader: dict[str, Callable], tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError("by zero")

    reader["s1"] = fail
    run(tmp_path / "out")
    aside = {row["name"]: row["reason"] for row in rows(tmp_path / "out") if "reason" in row}
    assert aside == {"s1": "cannot be used (ZeroDivisionError: by zero)"}


def test_processes_that_cannot_even_start_are_told(
    reader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_serve", lambda *arguments: os._exit(7))
    with pytest.raises(MusegenError, match="its processes end with code 7"):
        run(tmp_path / "out")


def test_no_process_is_left_behind(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / "shards").mkdir(parents=True)
    tasks = [Task(k, entries()[3 * k : 3 * k + 3]) for k in range(3)]
    made = workers.run(tasks, Settings(), tmp_path / "out", 2)
    next(made)
    made.close()
    assert not multiprocessing.active_children()


# Disks


@linux
@pytest.mark.parametrize("hit", [1, 3])
def test_what_a_process_had_half_written_goes_with_it(
    reader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hit: int
) -> None:
    """Killed between writing and renaming, once or until the run gives up."""
    sync, hits = os.fsync, tmp_path / "hits"
    hits.write_text("")

    def killed(handle: int) -> None:
        if (
            "00001" in str(Path(f"/proc/self/fd/{handle}").readlink())
            and len(hits.read_text()) < hit
        ):
            hits.write_text(hits.read_text() + "x")
            os.kill(os.getpid(), signal.SIGKILL)
        sync(handle)

    monkeypatch.setattr(os, "fsync", killed)
    monkeypatch.setattr(workers, "ATTEMPTS", -0.5)  # gives up after the second death
    if hit == 3:
        with pytest.raises(MusegenError, match="processes end with code -9"):
            run(tmp_path / "out", 1)
    else:
        run(tmp_path / "out", 1)
        assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    assert not list(tmp_path.rglob(f"{shards.UNFINISHED}*"))


@pytest.mark.parametrize("n", [0, 2])
def test_a_full_disk_is_told_and_finished_shards_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    """A limit on the size of files stands for it: the shard of a longer song does not fit."""
    items = many(9)
    items[4] = song("s4", walk(4, 400))
    make_up(monkeypatch, items)
    monkeypatch.setattr(workers, "multiprocessing", multiprocessing.get_context("fork"))
    run(tmp_path / "expected", 0)
    sizes = [p.stat().st_size for p in sorted(tmp_path.rglob("*.npz"))]
    assert sizes[1] > 2 * max(sizes[0], sizes[2])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[1] - 1, hard))
    try:
        with pytest.raises(MusegenError, match=r"cannot be written \(File too large\); .*again"):
            run(tmp_path / "out", n)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finished = {p.name for p in (tmp_path / "out").rglob("*.npz")}
    assert "00000.npz" in finished
    assert "00001.npz" not in finished
    run(tmp_path / "out", n)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_a_folder_that_is_gone_is_told(reader: Any, tmp_path: Path) -> None:
    with pytest.raises(MusegenError, match="its folder is gone"):
        process_shard(0, entries(3), Settings(), tmp_path / "nowhere")


# The whole run, killed

DRIVER = """
import sys, time
from musegen import corpora, prepare

prepare.ENTRIES = 4
read = corpora.read

def slowly(entry):
    time.sleep(0.01)
    return read(entry)

corpora.read = slowly
prepare.prepare([sys.argv[1]], sys.argv[2], workers=2, held_out=(0.2, 0.2))
"""


@linux
@pytest.mark.parametrize("whole", [True, False], ids=["all processes", "the parent alone"])
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path, whole: bool) -> None:
    music = tmp_path / "music"
    for i in range(4):
        for path in sorted(SAMPLES.glob("*.mid")):
            (music / str(i)).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, music / str(i))
    rng, out = random.Random(whole), tmp_path / "out"

    def start(folder: Path) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-c", DRIVER, str(music), str(folder)]
        return subprocess.Popen(arguments, env=environment(), start_new_session=True)

    assert start(tmp_path / "expected").wait() == 0
    expected = contents(tmp_path / "expected")
    kills, children = 0, []
    while True:
        running = start(out)
        there = len(list(out.glob("shards/*.npz")))
        until = time.monotonic() + 20
        while (
            running.poll() is None
            and time.monotonic() < until
            and len(list(out.glob("shards/*.npz"))) < there + 5
        ):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        if running.poll() is not None:
            break
        listed = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text()
        children += map(int, listed.split())
        assert not (out / "manifest.json").exists()
        if whole:
            os.killpg(running.pid, signal.SIGKILL)
        else:
            running.kill()
        running.wait()
        kills += 1
    assert running.returncode == 0
    assert kills >= 3
    assert contents(out) == expected
    time.sleep(1.5)
    assert not [pid for pid in children if alive(pid)]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
