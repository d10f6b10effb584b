"""One set of rules for what is asked of a model, and which one it is when nobody says."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import tiny

from musegen import midi, pipeline
from musegen.pipeline.base import VERBS, Pipeline, drums_alone
from musegen.score import Score, Track
from musegen.server import worker
from musegen.server.tasks import OPTIONS, parse

BEAT = Score((Track(np.array([[i * 240, 120, 36 + 2 * (i % 2), 90] for i in range(16)]), 0, True),))
TUNE = tiny.tune([60, 62, 64, 65] * 4)
BOTH = Score((*TUNE.tracks, *BEAT.tracks))


class Asked(Pipeline):
    """Says what came to it."""

    def vary(self, score, n=4, *, seed, amount=0.3, say=None):
        return [(score, n, seed, amount)]

    def blend(self, a, b, *, weight=0.5):
        return (a, b, weight)

    def reconstruct(self, score, *, seed):
        return score, {"accuracy": 1.0}

    def interpolate(self, a: int, b: int, *, steps: int = 8):
        return [a, b, steps]

    def grid(self, corners: tuple[Score, ...], *, size: int = 4):
        return [corners, size]

    def continue_(self, score, *, bars=None):
        if bars == 3:
            raise ValueError("bars cannot be 3")
        return score


@pytest.fixture
def asked() -> Asked:
    return Asked(tiny.pipeline().bundle)


def test_options_that_were_given_come_to_the_verb_and_the_rest_where_it_is_taken(asked) -> None:
    more = {"seed": 5, "say": print, "name": "x", "report": print}
    assert asked.ask("vary", ["s"], {"n": 2, "amount": None}, more, OPTIONS) == (
        [("s", 2, 5, 0.3)],
        {},
    )
    assert asked.ask("continue", ["s"], {}, more, OPTIONS) == (["s"], {})
    assert asked.ask("reconstruct", ["s"], {}, more, OPTIONS) == (["s"], {"accuracy": 1.0})
    assert asked.ask("interpolate", [], {"seeds": [1, 2]}, more, OPTIONS) == ([1, 2, 8], {})
    assert asked.ask("grid", [*"abcd"], {"size": 2}, more, OPTIONS) == ([tuple("abcd"), 2], {})


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        ("vary", {"tempo": 90}, r"vary with tiny takes no tempo; it takes n, seed, amount$"),
        ("vary", {"seeds": [1]}, "vary with tiny takes music, not seeds"),
        ("interpolate", {}, "interpolate with tiny takes seeds in place of music"),
        ("interpolate", {"seeds": [1, "2"]}, "seeds are whole numbers, not"),
        ("continue", {"bars": 3}, "bars cannot be 3"),
        ("accompany", {}, "tiny cannot accompany, it can reconstruct, interpolate, grid, vary"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(asked, verb, options, words) -> None:
    with pytest.raises(Exception, match=words) as error:
        asked.ask(verb, ["s"], options, {}, OPTIONS)
    assert isinstance(error.value, (ValueError, pipeline.base.ModelError))


def test_options_are_refused_as_the_user_writes_them(asked) -> None:
    with pytest.raises(ValueError, match=r"takes no --tempo; it takes --amount$"):
        asked.ask("vary", ["s"], {"tempo": 90}, {}, ["amount"], lambda name: f"--{name}")


def test_families_say_what_goes_by_seeds() -> None:
    kinds = {name: pipeline.PIPELINES[name] for name in pipeline.PIPELINES}
    by_seed = {
        (name, verb)
        for name, kind in kinds.items()
        for verb in VERBS
        if hasattr(kind, verb) and kind.by_seed(verb)
    }
    assert by_seed == {("crnngan", "interpolate"), ("musegan", "interpolate"), ("musegan", "grid")}


def test_drums_alone() -> None:
    assert [drums_alone(s) for s in (BEAT, TUNE, BOTH, Score(()))] == [True, False, False, False]


@pytest.mark.parametrize(
    ("verb", "options", "music", "model"),
    [
        ("vary", (), [TUNE], "melody-2bar"),
        ("vary", (), [BOTH], "melody-2bar"),
        ("vary", (), [BEAT], "drums-2bar"),
        ("interpolate", (), [BEAT, BEAT], "drums-2bar"),
        ("interpolate", (), [BEAT, TUNE], "melody-2bar"),
        ("interpolate", ["seeds"], (), "performance"),
        ("accompany", (), [TUNE], "piano-8bar"),
        ("accompany", (), [BEAT], "band-4bar"),
        ("grid", ["seeds"], (), "band-4bar"),
        ("groove", (), [TUNE], "groove-melody-2bar"),
        ("groove", (), [BEAT], "groove-melody-2bar"),  # none that ships plays drums
        ("continue", (), [TUNE], "performance"),
        ("generate", ["chords"], (), "melody-chords-4bar"),
        ("generate", ["seconds"], (), "performance"),
        ("generate", ["rhythm"], (), "performance-rhythm"),
    ],
)
def test_the_model_follows_the_options_and_the_music(verb, options, music, model) -> None:
    assert pipeline.default(verb, options, music) == model


@pytest.mark.parametrize("drums", [False, True])
def test_groove_takes_the_player_of_what_there_is(monkeypatch, drums: bool) -> None:
    """Two players, as where somebody trained one for drums."""
    config = {"family": "groovae", "model": {}, "info": {"verbs": ["groove"]}}
    told = {n: config | {"representation": {"kit": n}} for n in ("gm", "octaves")}
    monkeypatch.setattr(pipeline.pretrained, "names", lambda: [*told])
    monkeypatch.setattr(pipeline.pretrained, "verbs", lambda name: ["groove"])
    monkeypatch.setattr(pipeline.pretrained, "locate", lambda name: name)
    monkeypatch.setattr(pipeline.pretrained, "read_config", lambda name: told[name])
    monkeypatch.setattr(pipeline.pretrained, "size", lambda name: len(name))
    music = BEAT if drums else BOTH
    assert pipeline.default("groove", (), [music]) == ("gm" if drums else "octaves")


def test_the_command_line_the_server_and_a_batch_choose_alike(cli, tmp_path: Path) -> None:
    file = str(BEAT.write(tmp_path / "beat.mid"))
    done = cli("vary", file, "-n", 1, "--seed", 3, "-o", tmp_path / "a", "--json").json
    job = f'{{"verb": "vary", "inputs": ["{file}"], "options": {{"n": 1, "seed": 3}}}}'
    (tmp_path / "jobs").write_text(job)
    (tmp_path / "b").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "b")
        batch = cli("batch", tmp_path / "jobs").json["result"]
    assert done["model"] == batch["model"] == "drums-2bar"
    piece = {"midi": base64.b64encode(midi.to_bytes(BEAT)).decode(), "name": "beat.mid"}
    options = {"n": 1, "seed": 3}
    task = parse({"verb": "vary", "options": options, "inputs": [piece]})
    server = worker.perform(task.as_dict(), print)
    assert server["model"] == "drums-2bar"
    files = [tmp_path / folder / "beat-variation-01.mid" for folder in "ab"]
    made = base64.b64decode(server["scores"][0]["midi"])
    assert [file.read_bytes() for file in files] == [made, made]
    assert worker.perform(parse({"verb": "generate"}).as_dict(), print)["model"] == "melody-2bar"
