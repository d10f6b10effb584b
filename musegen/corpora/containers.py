"""Files in folders, zips and tars of any size, listed in a fixed order and read one at a time.

Nothing is unpacked to disk, so no name inside an archive can do harm. A folder, a zip and a plain
tar are read at random; a compressed tar only from front to back, so its members come with their
bytes. What cannot be read is a member with a fault, and the others go on.
"""

from __future__ import annotations

import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from musegen.errors import InputError
from musegen.midi import MAX_BYTES

BROKEN = (OSError, EOFError, RuntimeError, ValueError, NotImplementedError)
BROKEN += (zipfile.BadZipFile, zlib.error, tarfile.TarError, lzma.LZMAError)  # type: ignore[assignment]


@dataclass(frozen=True)
class Member:
    """A file in a container.

    Attributes:
        name: relative, with slashes.
        data: its bytes, where they can only be had in passing.
        span: first byte and size in a plain tar.
        fault: why it cannot be read, if that is known already.
    """

    name: str
    data: bytes | None = None
    span: tuple[int, int] | None = None
    fault: str = ""


def members(path: str | Path) -> Iterator[Member]:
    """The files of a folder (by name), a zip (by name) or a tar (as they lie in it).

    Raises:
        InputError: there is no such container, or it cannot be opened.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        if path.is_file() and not _named_tar(path) and zipfile.is_zipfile(path):
            return _zip(path)
        if path.is_file():
            return _tar(path)
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name that no file can have
        raise InputError(path, f"cannot be read ({error})") from None
    if exists:
        raise InputError(path, "expected a folder or a zip or tar of music files")
    raise InputError(path, "no such folder or corpus; give a folder, a zip, a tar or a corpus name")


def load(container: str | Path, name: str, span: tuple[int, int] | None = None) -> bytes:
    """The bytes of a member without `data`, at most one more than `MAX_BYTES`.

    Raises:
        InputError: it is missing or cannot be read.
    """
    container = Path(container)
    try:
        if span:
            with container.open("rb") as file:
                file.seek(span[0])
                return file.read(min(span[1], MAX_BYTES + 1))
        if container.is_dir():
            with (container / name).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        stat = container.stat()
        with _opened(str(container), stat.st_mtime_ns, stat.st_size, os.getpid()).open(
            name
        ) as file:
            return file.read(MAX_BYTES + 1)
    except (KeyError, FileNotFoundError):
        raise InputError(name, "is missing") from None
    # A zip's entry may also be encrypted, packed in an unknown way, or garbled.
    except BROKEN as error:
        raise InputError(name, f"cannot be read ({error})") from None


@lru_cache(maxsize=4)
def _opened(path: str, *version: int) -> zipfile.ZipFile:
    """A zip, open; once for each state of the file and each process."""
    return zipfile.ZipFile(path)


def _folder(root: Path) -> Iterator[Member]:
    """A walk in the order of names, folder by folder; links to folders are followed, but not back
    into a folder that holds them."""
    try:
        stack = [("", iter(_listed(root)), _identity(root))]
    except OSError as error:
        raise InputError(root, f"cannot be read ({error.strerror})") from None
    while stack:
        above, rest, _ = stack[-1]
        item = next(rest, None)
        if item is None:
            stack.pop()
            continue
        name = above + item.name
        try:
            if item.is_dir():
                here = _identity(Path(item.path))
                if any(here == identity for _, _, identity in stack):
                    yield Member(name, fault="a link to a folder that it lies in")
                else:
                    stack.append((name + "/", iter(_listed(item.path)), here))
            elif item.is_file():
                yield Member(name)
            else:
                yield Member(name, fault="not a file, or a link to nothing")
        except OSError as error:
            yield Member(name, fault=f"cannot be read ({error.strerror})")


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda item: item.name)


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _zip(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as file:
            names = sorted({n for n in file.namelist() if not n.endswith("/")})
    except BROKEN as error:
        raise InputError(path, f"broken zip ({error}); make it again") from None
    yield from map(Member, names)


def _named_tar(path: Path) -> bool:
    return re.search(r"\.(tar(\.\w+)?|tgz|txz|tbz2?)$", path.name.lower()) is not None


def _tar(path: Path) -> Iterator[Member]:
    """The files of a tar; a plain one gives spans, a compressed one bytes."""
    plain = True
    try:
        file = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except tarfile.TarError:
        plain = False
        try:
            file = tarfile.open(path, "r|*")  # noqa: SIM115
        except BROKEN:
            raise InputError(path, "expected a folder or a zip or tar of music files") from None
    with file:
        while True:
            try:
                info = file.next()
                if info is None:
                    return
                # Else it keeps them all, for a million files too.
                file.members.clear()  # type: ignore[attr-defined]
                yield from _tar_member(file, info, plain)
            except BROKEN as error:
                fault = f"the archive breaks off here ({str(error)[:80] or 'cut short'})"
                yield Member(path.name, fault=fault)
                return


def _tar_member(file: tarfile.TarFile, info: tarfile.TarInfo, plain: bool) -> Iterator[Member]:
    if info.isdir():
        return
    if not info.isreg() or info.issparse():
        yield Member(info.name, fault="a link or a device inside a tar; unpack it first")
    elif plain:
        yield Member(info.name, span=(info.offset_data, info.size))
    elif info.size > MAX_BYTES:
        yield Member(info.name, fault=f"over {MAX_BYTES >> 20} MB, too large for a piece of music")
    else:
        content = file.extractfile(info)
        data = content.read() if content else b""
        if len(data) < info.size:
            raise EOFError("cut short")
        yield Member(info.name, data=data)
