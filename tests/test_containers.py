"""Folders, zips and tars: the same files, one after the other, whatever else lies in there."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musegen.corpora import containers
from musegen.corpora.containers import Member, load, members
from musegen.errors import InputError

Files = dict[str, bytes]

_part = st.text("aAbB_. -é音", min_size=1, max_size=4).filter(lambda t: t.strip(". ") == t and t)
_names = st.lists(_part, min_size=1, max_size=3).map("/".join)


def _apart(files: Files) -> Files:
    """Without files that would lie inside of another file."""
    kept: Files = {}
    for name, data in files.items():
        if not any(n.startswith(name + "/") or name.startswith(n + "/") for n in kept):
            kept[name] = data
    return kept


def folder(path: Path, files: Files) -> Path:
    path.mkdir(parents=True)
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def tarred(path: Path, files: Files, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


KINDS: dict[str, Callable[[Path, Files], Path]] = {
    "folder": folder,
    "x.zip": zipped,
    "x.tar": tarred,
    "x.tar.gz": lambda path, files: tarred(path, files, "w:gz"),
    "x.tgz": lambda path, files: tarred(path, files, "w:gz"),
    "x.tar.xz": lambda path, files: tarred(path, files, "w:xz"),
    "no_suffix": lambda path, files: tarred(path, files, "w:bz2"),
}


def contents(path: Path) -> list[tuple[str, bytes]]:
    found = list(members(path))
    assert not any(m.fault for m in found)
    return [(m.name, m.data if m.data is not None else load(path, m.name, m.span)) for m in found]


@settings(max_examples=25)
@given(files=st.dictionaries(_names, st.binary(max_size=40), min_size=1, max_size=6).map(_apart))
def test_all_containers_hold_the_same(tmp_path_factory: Any, files: Files) -> None:
    path = tmp_path_factory.mktemp("c")
    found = {kind: contents(make(path / kind, files)) for kind, make in KINDS.items()}
    assert all(dict(f) == files for f in found.values())
    by_name = [
        p.relative_to(path / "folder").as_posix() for p in sorted((path / "folder").rglob("*"))
    ]
    assert [n for n, _ in found["folder"]] == [n for n in by_name if n in files]
    assert [n for n, _ in found["x.zip"]] == sorted(files)
    assert [n for n, _ in found["x.tar"]] == list(files)  # as they lie in it
    assert found["x.tar.gz"] == found["x.tar.xz"] == found["x.tar"]


def test_links_that_lead_nowhere_or_round_in_circles(tmp_path: Path) -> None:
    (folder(tmp_path / "a", {"b/x.mid": b"1", "y.mid": b"2"}) / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "gone.mid").symlink_to(tmp_path / "nothing")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    os.mkfifo(tmp_path / "a" / "pipe.mid")
    folder(tmp_path / "elsewhere", {"z.mid": b"3"})
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    found = {m.name: m.fault for m in members(tmp_path / "a")}
    inside = "a link to a folder that it lies in"
    nowhere = "not a file, or a link to nothing"
    assert found.pop("self") in (nowhere, "cannot be read (Too many levels of symbolic links)")
    assert found == {
        "b/up": inside,
        "b/x.mid": "",
        "gone.mid": nowhere,
        "link/z.mid": "",
        "loop": inside,
        "pipe.mid": nowhere,  # and nobody waits for somebody to write into it
        "y.mid": "",
    }
    assert load(tmp_path / "a", "link/z.mid") == b"3"


def test_folders_that_may_not_be_read(tmp_path: Path, monkeypatch: Any) -> None:
    folder(tmp_path / "a", {"b/x.mid": b"1", "y.mid": b"2"})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list(members(tmp_path / "a"))
    assert found == [Member("b", fault="cannot be read (Permission denied)"), Member("y.mid")]
    with pytest.raises(InputError, match=r"b: cannot be read \(Permission denied\)"):
        list(members(tmp_path / "a" / "b"))


def test_names_that_would_climb_out_do_no_harm(tmp_path: Path) -> None:
    files = {"../up.mid": b"1", "/etc/x.mid": b"2", "a/../../b.mid": b"3"}
    home = folder(tmp_path / "home", {"kept": b""})
    for kind in ("x.zip", "x.tar", "x.tgz"):
        path = KINDS[kind](home / kind, files)
        assert dict(contents(path)) == files
    assert {p.name for p in tmp_path.iterdir()} == {"home"}
    assert {p.name for p in home.iterdir()} == {"kept", "x.zip", "x.tar", "x.tgz"}


@pytest.mark.parametrize("kind", ["x.tar", "x.tar.gz", "x.tar.xz"])
def test_a_tar_that_was_cut_short_gives_what_it_has(kind: str, tmp_path: Path) -> None:
    files = {f"{i}.mid": os.urandom(5000) for i in range(20)}
    path = KINDS[kind](tmp_path / kind, files)
    path.write_bytes(path.read_bytes()[:60_000])
    *whole, last = members(path)
    assert 5 <= len(whole) <= 12
    for m in whole[:-1]:
        assert (m.data or load(path, m.name, m.span)) == files[m.name]
    assert last.name == kind
    assert last.fault.startswith("the archive breaks off here (")


def test_what_is_no_container(tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    zipped(broken, {"a.mid": b"1"})
    data = bytearray(broken.read_bytes())
    data[data.index(b"PK\x01\x02") :][:4] = b"XXXX"
    at = data.index(b"PK\x01\x02")
    data[at : at + 4] = b"XXXX"
    broken.write_bytes(data)
    (tmp_path / "text.mid").write_text("music")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "one.mid.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\0junk")
    for name, said in [
        ("broken.zip", "broken zip"),
        ("text.mid", "expected a folder or a zip or tar of music files"),
        ("empty", "expected a folder or a zip or tar of music files"),
        ("one.mid.gz", "expected a folder or a zip or tar of music files"),
        ("none", "no such folder or corpus"),
        ("\0", "no such folder or corpus|cannot be read"),
        ("n" * 300, "cannot be read"),
    ]:
        with pytest.raises(InputError, match=said):
            list(members(tmp_path / name))


def test_links_and_giants_in_a_tar_are_said(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(containers, "MAX_BYTES", 1000)
    for kind, mode in [("x.tar", "w"), ("x.tgz", "w:gz")]:
        with tarfile.open(tmp_path / kind, mode) as file:  # type: ignore[call-overload]
            for name, what in [("l.mid", tarfile.SYMTYPE), ("h.mid", tarfile.LNKTYPE)]:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = what, "big.mid"
                file.addfile(info)
            info = tarfile.TarInfo("d")
            info.type = tarfile.DIRTYPE
            file.addfile(info)
            info = tarfile.TarInfo("big.mid")
            info.size = 5000
            file.addfile(info, io.BytesIO(bytes(5000)))
        found = {m.name: m for m in members(tmp_path / kind)}
        assert set(found) == {"l.mid", "h.mid", "big.mid"}
        assert all("a link" in found[n].fault for n in ("l.mid", "h.mid"))
    assert "too large" in found["big.mid"].fault
    assert len(load(tmp_path / "x.tar", "big.mid", (1536 + 512, 5000))) == 1001


def test_a_file_that_went_away_or_a_zip_that_changed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.mid": b"1"})
    assert load(path, "a.mid") == b"1"
    with pytest.raises(InputError, match=r"b\.mid: is missing"):
        load(path, "b.mid")
    zipped(path, {"a.mid": b"another"})
    os.utime(path, (1, 1))
    assert load(path, "a.mid") == b"another"
    with pytest.raises(InputError, match=r"b\.mid: is missing"):
        load(tmp_path, "b.mid")
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        load(path, "a.mid")


@pytest.mark.parametrize("kind", ["x.tar", "x.tar.gz"])
def test_a_long_tar_takes_no_more_memory_than_a_short_one(kind: str, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path / kind, {f"{i}.mid": os.urandom(20_000) for i in range(500)})
    tracemalloc.start()
    assert sum(1 for _ in members(path)) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # of 10 MB
