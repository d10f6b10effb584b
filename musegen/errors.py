"""The errors that users meet, each with the exit code of the command line."""

from __future__ import annotations


class MusegenError(Exception):
    """Something a user can act on; the message is one sentence and says what to do. Exit code 1."""

    exit_code = 1


class InputError(MusegenError):
    """An input file is missing, broken or unsuitable. Exit code 3."""

    exit_code = 3

    def __init__(self, path: object, reason: str) -> None:
        """`path` names the file; `reason` says what was expected and what to do."""
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason


class ModelError(MusegenError):
    """A model or preset is unknown, or a bundle is broken. Exit code 4."""

    exit_code = 4


class NothingGeneratedError(MusegenError):
    """A model ran and gave no notes. Exit code 5."""

    exit_code = 5
