"""What the pipelines of all families share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

from musegen import pretrained
from musegen.errors import ModelError, OptionError
from musegen.pretrained import Bundle
from musegen.representations.chords import from_sheet
from musegen.score import Score
from musegen.version import __version__

Say = Callable[[str], None]
_Spelling = Callable[[str], str]
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


def chord_labels(text: str) -> tuple[str, ...]:
    """Labels of the chords of a lead sheet, see `representations.chords.from_sheet`.

    Raises:
        OptionError: they cannot be read.
    """
    try:
        return from_sheet(text)
    except ValueError as error:
        raise OptionError("chords", str(error)) from None


def chord_symbols(text: str, bars: int, ppq: int) -> tuple[tuple[int, str], ...]:
    """The chords of a lead sheet, one for each of so many bars of four quarters, from the beginning
    again where there are too few: (tick, label).

    Raises:
        OptionError: they cannot be read.
    """
    labels = chord_labels(text)
    return tuple((4 * ppq * i, labels[i % len(labels)]) for i in range(bars))


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
        others = "; no shipped model can: train one, see musegen presets"
        if can:
            others = f"; try --model {' or '.join(can)}"
        does = f"it can {', '.join(self.verbs())}"
        return ModelError(f"{self.bundle.name} cannot {verb.rstrip('_')}, {does}{others}")

    def _needs(self, verb: str) -> None:
        """Refuse a verb that the family has and this model was not made for, in words."""
        if verb not in self.verbs():
            raise self.refusal(verb)

    def verbs(self) -> tuple[str, ...]:
        """What it can do, as on the command line."""
        return self.can(self.bundle.model.config)

    @classmethod
    def can(cls, config: Any) -> tuple[str, ...]:
        """What it can do with a model of these sizes: all that the family can."""
        return tuple(verb.rstrip("_") for verb in VERBS if hasattr(cls, verb))

    def ask(
        self,
        verb: str,
        music: Sequence[Score],
        options: Mapping[str, Any],
        more: Mapping[str, Any],
        known: Collection[str],
        spell: _Spelling = str,
    ) -> tuple[list[Score], Mapping[str, Any]]:
        """Do a verb as a user asks for it; returns what was made, and figures where it has any.

        Args:
            verb: as on the command line.
            music: what it is done to; none for `generate`, and where `options` has `seeds`.
            options: of the verb, by the names of its method's arguments; None is not given.
            more: what is no wish of the user (`seed`, `name`, `say` ...), given where it is taken.
            known: names of options that a user can give, told when one is refused.
            spell: how a user writes an option.

        Raises:
            ModelError: the model lacks the verb.
            ValueError: the verb takes no such option, or it cannot be so; in words.
        """
        method = getattr(self, method_of(verb))
        takes = signature(method).parameters
        given = {name: value for name, value in options.items() if value is not None}
        seeds = given.pop("seeds", None)
        who = f"{verb} with {self.bundle.name}"
        if (seeds is not None) != self.by_seed(verb):
            wanted = f"{spell('seeds')} in place of music" if seeds is None else "music, not seeds"
            raise ValueError(f"{who} takes {wanted}")
        for name in given:
            if name not in takes:
                told = ", ".join(spell(one) for one in takes if one in known)
                raise ValueError(f"{who} takes no {spell(name)}; it takes {told}")
        if seeds is not None and not all(isinstance(seed, int) for seed in seeds):
            raise ValueError(f"seeds are whole numbers, not {list(seeds)!r}")
        first = [tuple(seeds or music)] if verb == "grid" else seeds or music
        made = method(*first, **given, **{k: v for k, v in more.items() if k in takes})
        figures: Mapping[str, Any] = {}
        if isinstance(made, tuple):
            made, figures = made
        return made if isinstance(made, list) else [made], figures

    @classmethod
    def by_seed(cls, verb: str) -> bool:
        """Whether a verb goes between seeds, where models that read music go between pieces."""
        takes = iter(signature(getattr(cls, method_of(verb))).parameters.values())
        next(takes)  # of a class, self
        return verb in ("interpolate", "grid") and "int" in str(next(takes).annotation)

    @classmethod
    def takes(cls, verb: str, sizes: Mapping[str, Any]) -> set[str]:
        """The options of a verb with a model of these sizes, as a bundle's config has them."""
        named = set(signature(getattr(cls, method_of(verb))).parameters) - cls.untold(sizes)
        return named | ({"seeds"} if cls.by_seed(verb) else set())

    @classmethod
    def untold(cls, sizes: Mapping[str, Any]) -> set[str]:
        """Options of the family that a model of these sizes refuses."""
        return set()

    @classmethod
    def needs(cls, sizes: Mapping[str, Any]) -> set[str]:
        """Options without which a model of these sizes makes nothing."""
        return set()

    @classmethod
    def suits(cls, config: Mapping[str, Any], drums: bool) -> bool:
        """Whether the model of a bundle's config is made for music of drums alone, or of others."""
        return not drums

    def _recipe(self, verb: str, seed: int, **more: Any) -> dict[str, Any]:
        """What made a score, to be kept in its file."""
        recipe = {"version": __version__, "verb": verb, "model": self.bundle.name, "seed": seed}
        return recipe | more


def method_of(verb: str) -> str:
    """The name of a verb's method."""
    return f"{verb}_" if f"{verb}_" in VERBS else verb


def drums_alone(score: Score) -> bool:
    """Whether a score has notes, all of them of drums."""
    kinds = {track.is_drum for track in score.tracks if len(track)}
    return kinds == {True}


def timeline(scores: list[Score], markers: list[str]) -> Score:
    """Scores one after the other in one, each with a marker where it begins."""
    joined = replace(scores[0], markers=((0, markers[0]),))
    for score, marker in zip(scores[1:], markers[1:], strict=True):
        joined = joined.concat(replace(score, markers=((0, marker),)))
    recipe = {k: v for k, v in scores[0].recipe.items() if k != "index"}
    return replace(joined, recipe=recipe)
