"""A watched folder: what is put into it comes back varied, continued ... beside it.

It is the way into programs that have no scripts but can export and import MIDI files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from musegen.errors import MusegenError, unwritable
from musegen.midi import SUFFIXES

RESULTS = "musegen"  # the folder in the watched one for what is made
State = tuple[int, int]  # size and time of change of a file


def states(folder: Path) -> dict[Path, State]:
    """The music files of a folder as they are now."""
    found = {}
    for path in folder.iterdir():
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            try:
                status = path.stat()
            except OSError:  # gone meanwhile
                continue
            found[path] = (status.st_size, status.st_mtime_ns)
    return found


class Watch:
    """Sees files that are new or changed, once they are whole: as they were a look ago."""

    def __init__(self, folder: Path, old: bool = False) -> None:
        """`old`: also take what is there already."""
        if not folder.is_dir():
            raise MusegenError(f"{folder}: is no folder; make it, or name another")
        try:  # told now, not when the first file comes
            (folder / RESULTS).mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None
        self.folder = folder
        self._done = {} if old else states(folder)
        self._last = dict(self._done)

    def look(self) -> list[Path]:
        """Files to work on, in order of name."""
        now = states(self.folder)
        ready = [
            path
            for path, state in now.items()
            if state[0] and state == self._last.get(path) and state != self._done.get(path)
        ]
        self._last = now
        for path in ready:
            self._done[path] = now[path]
        return sorted(ready)


def watch(
    seen: Watch,
    make: Callable[[Path, Path], object],
    say: Callable[[str], None],
    *,
    every: float = 0.5,
    rounds: int | None = None,
) -> None:
    """Work on what is put into a folder until stopped; a file that cannot be used is said.

    Args:
        seen: the folder.
        make: is given a file and the folder for results.
        say: is told of errors.
        every: seconds between two looks.
        rounds: looks in all; None for ever.
    """
    while rounds is None or rounds > 0:
        for path in seen.look():
            try:
                make(path, seen.folder / RESULTS)
            except MusegenError as error:
                say(str(error))
        rounds = None if rounds is None else rounds - 1
        if rounds != 0:
            time.sleep(every)
