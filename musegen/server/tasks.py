"""What may be asked of the server, checked before it is accepted.

Only what holds for every model is checked here, without loading one; what a certain model's verb
takes is for the worker to say.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from musegen.config import nearest

VERBS: tuple[str, ...] = ("generate", "reconstruct", "interpolate", "grid", "vary", "blend")
VERBS += ("continue", "inpaint", "accompany", "groove", "drumify")
MUSIC = {"generate": 0, "interpolate": 2, "blend": 2, "grid": 4}  # pieces taken; others take 1
REPLIES = ("midi", "notes")


@dataclass(frozen=True)
class Option:
    """What an option takes.

    Attributes:
        kind: "integer", "number", "boolean", "text", "list" (of texts, numbers or null) or "table"
            (texts to numbers); "or" between those that will do.
        words: what it does.
        low: the least number.
        high: the greatest number, or the longest text or list.
    """

    kind: str
    words: str
    low: float = -math.inf
    high: float = 200

    def check(self, name: str, value: Any) -> Any:
        """The value, as the verb takes it.

        Raises:
            ValueError: it is of another kind or outside its range; in words.
        """
        for kind in self.kind.split(" or "):
            if kind == "integer" and isinstance(value, int) and not isinstance(value, bool):
                return int(self._within(name, value))
            if kind == "number" and isinstance(value, (int, float)) and not isinstance(value, bool):
                return self._within(name, float(value))
            if kind == "boolean" and isinstance(value, bool):
                return value
            if kind == "text" and isinstance(value, str) and len(value) <= self.high:
                return value
            if kind == "list" and isinstance(value, list) and len(value) <= 32 and _plain(value):
                return tuple(value)
            if kind == "table" and isinstance(value, dict) and len(value) <= 32:
                numbers = list(value.values())
                if _plain(numbers) and not any(v is None or isinstance(v, str) for v in numbers):
                    return value
        raise ValueError(f"{name} takes {self.kind}, not {str(value)[:60]!r}")

    def _within(self, name: str, value: float) -> float:
        if not self.low <= value <= self.high:  # which "nan" is not
            raise ValueError(f"{name} goes from {self.low:g} to {self.high:g}, not {value:g}")
        return value


def _plain(values: list[Any]) -> bool:
    return all(
        v is None or isinstance(v, str) or (isinstance(v, (int, float)) and math.isfinite(v))
        for v in values
    )


OPTIONS = {
    "n": Option("integer", "how many", 1, 64),
    "seed": Option("integer", "same seed, same notes; drawn when not given", 0, 2**31 - 1),
    "seeds": Option("list", "seeds in place of pieces, for models that read none"),
    "bars": Option("integer or text", "length in bars; for inpaint which bars, as 5-6", 1, 256),
    "seconds": Option("number", "length of music in free time", 1, 600),
    "temperature": Option("number", "higher is wilder, 0 takes the likeliest", 0, 5),
    "tempo": Option("number", "quarter notes a minute", 10, 400),
    "key": Option("text", "transpose into this key, as C, F# or Bbm"),
    "style": Option("text", "a kind of music that the model knows"),
    "steps": Option("integer", "pieces of an interpolation, or looks of a diffusion", 1, 256),
    "looks": Option("integer", "looks of a diffusion that interpolates", 1, 1000),
    "size": Option("integer", "rows of a grid", 2, 12),
    "amount": Option("number", "of a variation: 0 is the same, 1 something else", 0, 1),
    "attributes": Option("table", "more or less of what a variation can have"),
    "timing": Option("number", "of a groove's timing; 0 leaves onsets where they are", 0, 1),
    "alone": Option("boolean", "of drumify: the drums without the music"),
    "weight": Option("number", "of a blend: 0 is the first piece, 1 the second", 0, 1),
    "track": Option("text or integer", "which track, by name or number from 1", 0, 1000),
    "tracks": Option("list", "which track of each piece"),
    "fit": Option("text", "loop or pad: what to do with the shorter piece"),
    "pace": Option("text", "even or linear: the steps of an interpolation"),
    "chords": Option("text", "chords to play over, as C Am F G", high=10_000),
    "rhythm": Option("text", "lengths of notes in beats, as 1 1/2 1/2 (1) 2", high=10_000),
    "quantize": Option("integer", "notes to a grid of so many a beat", 0, 96),
    "top_p": Option("number", "draw from the likeliest of this much mass", 0, 1),
    "sampler": Option("text", "of a diffusion: ddim, ddpm, dpm++2m or heun"),
    "eta": Option("number", "noise that ddim adds", 0, 1),
    "guidance": Option("number", "how closely chords are followed", 0, 20),
    "resample": Option("integer", "times that a diffusion makes each step", 1, 50),
    "pitch": Option("text", "only these pitches, as C3-C5"),
    "part": Option("text", "only this part of what the model plays"),
    "given": Option("text", "what yours is in the band: drums, bass, guitar, piano or strings"),
    "threshold": Option("number or table", "above it a cell sounds", -100, 100),
    "mute": Option("list", "tracks to leave out"),
    "programs": Option("table", "MIDI programs of tracks"),
    "overlap": Option("integer", "bars that windows share", 0, 16),
}


@dataclass(frozen=True)
class Task:
    """A job as it was asked for, complete with its seed, so that doing it again gives the same."""

    verb: str
    model: str | None
    options: Mapping[str, Any]
    inputs: tuple[Mapping[str, Any], ...]
    reply: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def parse(body: Any) -> Task:
    """A task from the JSON of a request.

    Raises:
        ValueError: what is wrong with it, in words.
    """
    if not isinstance(body, dict):
        raise ValueError("a job is a JSON object with a verb")
    known = ("id", "verb", "model", "options", "inputs", "reply")
    for name in body:
        if name not in known:
            raise ValueError(f"a job has no {name!r}; it has {', '.join(known)}")
    verb, model = body.get("verb"), body.get("model")
    if verb not in VERBS:
        raise ValueError(f"no verb {verb!r}{nearest(str(verb), VERBS)}")
    if model is not None and (not isinstance(model, str) or len(model) > 1000):
        raise ValueError("model is a name or a folder")
    options = _options(body.get("options") or {})
    inputs = body.get("inputs") or []
    if not isinstance(inputs, list) or not all(isinstance(piece, dict) for piece in inputs):
        raise ValueError("inputs is a list of pieces, each with midi, notes or tracks")
    takes = MUSIC.get(verb, 1)
    if "seeds" in options and not inputs:
        inputs, found = [], len(options["seeds"])
    else:
        found = len(inputs)
    if found != takes:
        raise ValueError(f"{verb} takes {takes} pieces of music, {found} came")
    reply = body.get("reply") or list(REPLIES)
    if not isinstance(reply, list) or not set(map(str, reply)) <= set(REPLIES):
        raise ValueError(f"reply is a list of {' and '.join(REPLIES)}")
    options.setdefault("seed", secrets.randbelow(2**31))
    return Task(verb, model, options, tuple(inputs), tuple(reply))


def _options(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError("options is a JSON object")
    options = {}
    for name, value in given.items():
        if name not in OPTIONS:
            raise ValueError(f"no option {name!r}{nearest(str(name), OPTIONS)}")
        if value is not None:
            options[name] = OPTIONS[name].check(name, value)
    return options
