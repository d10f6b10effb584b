"""musegen: symbolic music from neural networks, MIDI in and MIDI out.

Importing this loads neither torch nor numpy; names are fetched when they are used.

    >>> import musegen as mg
    >>> m = mg.load("melody-2bar")
    >>> melodies = m.generate(4, seed=1)
    >>> melodies[0].write("tune.mid")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from musegen.version import __version__

if TYPE_CHECKING:
    from musegen.errors import InputError, ModelError, MusegenError, NothingGeneratedError
    from musegen.midi import read
    from musegen.pipeline import Pipeline, load
    from musegen.score import Score, Track

_HOME = {
    "InputError": "musegen.errors",
    "ModelError": "musegen.errors",
    "MusegenError": "musegen.errors",
    "NothingGeneratedError": "musegen.errors",
    "Pipeline": "musegen.pipeline",
    "Score": "musegen.score",
    "Track": "musegen.score",
    "load": "musegen.pipeline",
    "read": "musegen.midi",
}

__all__ = [
    "InputError",
    "ModelError",
    "MusegenError",
    "NothingGeneratedError",
    "Pipeline",
    "Score",
    "Track",
    "__version__",
    "load",
    "read",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'musegen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
