"""Dataclasses to dictionaries and back: nothing lost, nothing unknown taken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from musegen.config import ConfigError, from_dict, nearest, override, to_dict
from musegen.presets import PRESETS, Preset, preset


@dataclass(frozen=True)
class Circle:
    radius: float = 1.0


@dataclass(frozen=True)
class Square:
    side: float = 1.0
    name: str = "square"


@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Circle | Square, ...]
    corner: tuple[int, float] = (0, 0.5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    data = json.loads(json.dumps(to_dict(preset(name))))
    assert from_dict(Preset, data) == preset(name)


def test_members_of_unions_carry_their_class() -> None:
    drawing = Drawing((Circle(2.0), Square(3.0)))
    data = to_dict(drawing)
    assert data == {
        "shapes": [
            {"kind": "Circle", "radius": 2.0},
            {"kind": "Square", "side": 3.0, "name": "square"},
        ],
        "corner": [0, 0.5],
    }
    assert from_dict(Drawing, data) == drawing


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"shapes": [{"kind": "Circel"}]}, "Circle, Square"),
    ({"shapes": [{"radius": 1.0}]}, "kind"),
    ({"shapes": [{"kind": "Circle", "radios": 1.0}]}, "did you mean 'radius'"),
    ({"shapes": [{"kind": "Circle", "radius": "1"}]}, "Drawing.shapes.0.radius: expected float"),
    ({"shapes": [{"kind": "Circle", "radius": True}]}, "expected float"),
    ({"shapes": [{"kind": "Square", "name": 3}]}, "expected str"),
    ({"shapes": 3}, "expected a list"),
    ({"shapes": [], "corner": [1]}, "expected 2 values"),
    ({"shapes": [], "corner": [1.5, 2.0]}, "expected int"),
    ({"shapes": [], "zzz": 1}, "there are shapes, corner"),
    ({"corner": [0, 0.5]}, "shapes"),
]


@pytest.mark.parametrize(("data", "words"), WRONG, ids=[words for _, words in WRONG])
def test_wrong_keys_and_types_are_errors_in_words(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_dict(Drawing, data)


def test_whole_numbers_become_floats() -> None:
    (circle,) = from_dict(Drawing, {"shapes": [{"kind": "Circle", "radius": 2}]}).shapes
    assert circle == Circle(2.0)
    assert type(circle.radius) is float


def test_override_is_typed_and_leaves_the_rest() -> None:
    old = preset("melody_2bar_small")
    new = override(
        old, ["objective.beta=1", "model.decoder=[8, 9]", "training.steps=7", "about=a=b"]
    )
    assert new.objective.beta == 1.0
    assert type(new.objective.beta) is float
    assert new.model.decoder == (8, 9)
    assert new.training.steps == 7
    assert new.about == "a=b"
    assert new.representation == old.representation
    assert override(old, []) == old
    assert override(Drawing((Circle(), Square())), ["shapes.1.side=4"]).shapes[1] == Square(4.0)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("objective.betta=1", "did you mean 'beta'"),
        ("modell.latent=3", "did you mean 'model'"),
        ("training.steps=1.5", "expected int"),
        ("training.steps=many", "expected int"),
        ("model.readout=stepz", "must be one of"),
        ("model.decoder=5", "expected a list"),
        ("training.steps", "expected KEY=VALUE"),
        ("training.steps.more=1", "training.steps.more: unknown key 'more'; there are none"),
        ("model.decoder.9=1", "unknown key '9'"),
        ("model=3", "kind must be one of"),
    ],
)
def test_bad_overrides_say_what_is_there(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        override(preset("melody_2bar_small"), [assignment])


def test_nearest_names_one_or_all() -> None:
    assert nearest("melodi", ["melody", "drums"]) == ", did you mean 'melody'?"
    assert nearest("xyz", ["melody", "drums"]) == "; there are melody, drums"
    assert nearest("xyz", []) == "; there are none"
