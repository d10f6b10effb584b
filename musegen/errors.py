"""The errors that users meet, each with the exit code of the command line."""

from __future__ import annotations

from functools import partial
from typing import Any


class MusegenError(Exception):
    """Something a user can act on; the message is one sentence and says what to do. Exit code 1."""

    exit_code = 1


class InputError(MusegenError):
    """An input file is missing, broken or unsuitable. Exit code 3."""

    exit_code = 3

    def __init__(self, path: object, reason: str, *, offset: int | None = None) -> None:
        """`path` names the file; `reason` says what was expected and what to do; `offset` is the
        byte in the file where it went wrong, where that is known.
        """
        where = "" if offset is None else f" (at byte {offset:,})"
        super().__init__(f"{path}: {reason}{where}")
        self.path, self.reason, self.offset = str(path), reason, offset

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors go from worker processes to their parent."""
        return partial(type(self), offset=self.offset), (self.path, self.reason)


class OptionError(InputError):
    """An option, which `path` names, is none that can be read. Exit code 2."""

    exit_code = 2


class ModelError(MusegenError):
    """A model or preset is unknown, or a bundle is broken. Exit code 4."""

    exit_code = 4


class NothingGeneratedError(MusegenError):
    """A model ran and gave no notes. Exit code 5."""

    exit_code = 5


def unwritable(path: object, error: OSError) -> MusegenError:
    """What to say of a place that cannot be written."""
    why = f"cannot be written ({error.strerror}); choose a folder you may write to"
    return MusegenError(f"{path}: {why}")
