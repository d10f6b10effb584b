"""What the pipelines of all families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

from musegen import pretrained
from musegen.errors import ModelError
from musegen.pretrained import Bundle
from musegen.score import Score
from musegen.version import __version__

Say = Callable[[str], None]
# Every verb that some family has, as methods are called; on the command line without the "_".
VERBS = (
    "generate",
    "reconstruct",
    "interpolate",
    "grid",
    "vary",
    "blend",
    "continue_",
    "inpaint",
    "accompany",
    "groove",
    "drumify",
)


class Pipeline:
    """A model with its verbs: Score in, Score out. All randomness comes from each call's `seed`.

    A family has the verbs that it can do as methods, with the names of `VERBS`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __repr__(self) -> str:
        """Short: name of the model."""
        return f"Pipeline({self.bundle.name!r})"

    def __getattr__(self, verb: str) -> Any:
        """Verbs that this family lacks, refused in words."""
        if verb not in VERBS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {verb!r}")
        raise self.refusal(verb)

    def refusal(self, verb: str) -> ModelError:
        """That the model lacks a verb, what it can do, and who can."""
        can = [name for name in pretrained.names() if verb.rstrip("_") in pretrained.verbs(name)]
        others = f"; try --model {' or '.join(can)}" if can else ""
        does = f"it can {', '.join(self.verbs())}"
        return ModelError(f"{self.bundle.name} cannot {verb.rstrip('_')}, {does}{others}")

    def verbs(self) -> tuple[str, ...]:
        """What it can do, as on the command line."""
        return self.can(self.bundle.model.config)

    @classmethod
    def can(cls, config: Any) -> tuple[str, ...]:
        """What it can do with a model of these sizes: all that the family can."""
        return tuple(verb.rstrip("_") for verb in VERBS if hasattr(cls, verb))

    @classmethod
    def takes(cls, verb: str, sizes: Mapping[str, Any]) -> set[str]:
        """The options of a verb with a model of these sizes, as a bundle's config has them."""
        method = getattr(cls, verb, None) or getattr(cls, f"{verb}_")
        return set(signature(method).parameters) - cls.untold(sizes)

    @classmethod
    def untold(cls, sizes: Mapping[str, Any]) -> set[str]:
        """Options of the family that a model of these sizes refuses."""
        return set()

    def _recipe(self, verb: str, seed: int, **more: Any) -> dict[str, Any]:
        """What made a score, to be kept in its file."""
        recipe = {"version": __version__, "verb": verb, "model": self.bundle.name, "seed": seed}
        return recipe | more


def timeline(scores: list[Score], markers: list[str]) -> Score:
    """Scores one after the other in one, each with a marker where it begins."""
    joined = replace(scores[0], markers=((0, markers[0]),))
    for score, marker in zip(scores[1:], markers[1:], strict=True):
        joined = joined.concat(replace(score, markers=((0, marker),)))
    recipe = {k: v for k, v in scores[0].recipe.items() if k != "index"}
    return replace(joined, recipe=recipe)
