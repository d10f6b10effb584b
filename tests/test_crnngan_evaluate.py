"""C-RNN-GAN's report: laws of its counts, and a whole report on tiny real data."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from test_crnngan_pipeline import FOLDER, pipeline

from musegen import evaluate as evaluation
from musegen import midi, plot, pretrained, runs
from musegen.dataset import load
from musegen.errors import InputError
from musegen.evaluate import crnngan as report
from musegen.evaluate import curves, measure
from musegen.evaluate.crnngan import (
    EDGES,
    densities,
    drawn,
    evaluate,
    nats,
    patterns,
    shuffle,
    statistics,
    variety,
    watched,
)
from musegen.models.crnngan import CRNNGAN, CRNNGANConfig
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.representations.tuples import Tuples


@cache
def folder() -> str:
    settings = Settings("performance", 2)
    out = tiny.FOLDER / "played-report"
    prepare([tiny.SAMPLES], out, settings, held_out=(0.25, 0.25), workers=0)
    return str(out)


def piece(seed: int = 0, n: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    since = rng.choice([0, 96, 192], n)
    columns = (np.cumsum(since), rng.integers(50, 300, n), rng.integers(40, 80, n))
    return np.column_stack([*columns, rng.integers(20, 100, n)])


def test_patterns_are_the_same_in_any_key_and_a_little_early_or_late() -> None:
    a = piece()
    assert len(patterns([a])) == 30 - 7
    moved = a + np.array([0, 0, 5, 3])
    assert np.array_equal(patterns([a]), patterns([moved]))
    late = a + np.array([30, 7, 0, 0])
    assert np.array_equal(patterns([a]), patterns([late]))
    assert not np.isin(patterns([piece(1)]), patterns([a])).any()
    other = a.copy()
    other[10, 2] += 1
    assert np.isin(patterns([other]), patterns([a])).sum() == 23 - 8
    assert len(patterns([a[:7], a[:0]])) == 0


def test_shuffled_pieces_have_the_numbers_of_the_others() -> None:
    pieces = [piece(i, 10 + i) for i in range(5)]
    made = shuffle(pieces, np.random.default_rng(0))
    assert [len(p) for p in made] == [10, 11, 12, 13, 14]
    for name in ("duration", "pitch", "intensity"):
        got, want = densities(made)[name], densities(pieces)[name]
        assert sorted(got) == sorted(want)
        assert not np.array_equal(got, want)
    assert all((np.diff(p[:, 0]) >= 0).all() for p in made)
    kept = shuffle(pieces, np.random.default_rng(0), rhythm=True)
    assert all(np.array_equal(a[:, :2], b[:, :2]) for a, b in zip(kept, pieces, strict=True))
    assert sorted(densities(kept)["pitch"]) == sorted(densities(pieces)["pitch"])
    assert not np.array_equal(densities(kept)["pitch"], densities(pieces)["pitch"])


def test_densities_of_two_notes() -> None:
    found = densities([np.array([[0, 96, 60, 64], [96, 48, 64, 80]]), np.zeros((0, 4), int)])
    want = {
        "inter-onset": [96],
        "duration": [96, 48],
        "interval": [4],
        "pitch": [60, 64],
        "intensity": [64, 80],
    }
    assert {k: v.tolist() for k, v in found.items()} == want
    assert set(found) == set(EDGES)


def test_statistics_are_medians() -> None:
    pieces = [np.array([[0, 1, 60, 64], [0, 1, 60 + k, 64]]) for k in (1, 2, 9)]
    found = statistics([*pieces, np.zeros((0, 4), int)])
    assert (found["tone span"], found["polyphony"], found["unique tones"]) == (2, 1, 2)
    silent = statistics([np.zeros((0, 4), int)])
    assert list(silent) == list(found)
    assert np.isnan(list(silent.values())).all()


def network() -> pretrained.Bundle:
    """A tiny bundle with its network in torch, as `musegen evaluate` opens it."""
    pipeline("none")  # writes it
    return pretrained.load(FOLDER / "performed-none")


def test_a_report() -> None:
    bundle = network()
    held, training = (load(folder(), part, Tuples(12, bars=2)) for part in ("test", "train"))
    said: list[str] = []
    found = measure(
        bundle, held, training, n=20, seed=1, others={"other": bundle}, report=said.append
    )
    again = measure(bundle, held, training, n=20, seed=1, others={"other": bundle})
    assert found.lines == again.lines
    rows = found.numbers["statistics"]
    assert list(rows) == ["held-out", "real", "model", "other", "shuffle"]
    for row in found.numbers["overlap"].values():
        assert all(0 <= v <= 1 for v in row.values())
    assert found.numbers["overlap"]["shuffle"]["duration"] == pytest.approx(1)
    assert 0 <= found.numbers["copies"]["held-out"] < 1
    assert found.pictures["densities.png"].startswith(b"\x89PNG")
    assert said[0] == "drawing 20 sequences"
    same = evaluate(bundle, training, training, n=20)
    assert same.copies["held-out"] == 1
    assert all(v == 1 for v in same.overlap["real"].values())
    assert evaluate(bundle, held, None, n=5).copies == {}
    costs = found.numbers["nats"]["untold"]
    assert found.lines[-1].startswith(f"nats of held-out music, untold: event {costs['event']:.3f}")
    assert costs["event"] > costs["time"] + costs["pitch"] + costs["length"] + costs["intensity"]


def test_nats_are_those_of_all_events_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of different lengths in small parts; with chords only where the model knows any."""
    monkeypatch.setattr(report, "BATCH", 7)
    held = load(folder(), "test", Tuples(12, bars=2))
    for condition in ("none", "beats"):
        pipeline(condition)
        model = pretrained.load(FOLDER / f"performed-{condition}").model
        chords = np.zeros((len(held), 8, 5), np.uint8)
        found = nats(model, replace(held, chords=chords), len(held))
        assert list(found) == ["untold", "told chords"][: 1 + (condition == "beats")]
        x = torch.from_numpy(held.encode(np.arange(len(held)))).float()
        with torch.no_grad():
            loss, parts = model.likelihood(x, torch.zeros(0))
        want = {"event": float(loss), **{k: float(v) for k, v in parts.items()}}
        for row in found.values():
            assert row == pytest.approx(want, rel=1e-4)
    numbers = CRNNGAN(CRNNGANConfig(head="numbers", hidden=4, critic=4, critic_width=0))
    assert nats(numbers, held, 5) == {}


def test_models_of_rhythms_are_given_those_of_held_out_windows() -> None:
    pipeline("rhythm")
    bundle = pretrained.load(FOLDER / "performed-rhythm")
    held, training = (load(folder(), part, Tuples(12, bars=2)) for part in ("test", "train"))
    found = measure(bundle, held, training, n=20, seed=1)
    rows = found.numbers["overlap"]
    assert list(rows) == ["real", "model", "shuffle"]
    assert list(rows["model"]) == [
        *("interval", "pitch", "intensity", "polyphony", "scale consistency")
    ]
    assert rows["shuffle"]["pitch"] == rows["shuffle"]["polyphony"] == pytest.approx(1)
    assert rows["model"]["polyphony"] == pytest.approx(1)
    assert rows["model"]["pitch"] < 1
    (costs,) = found.numbers["nats"].values()
    assert list(costs) == ["event", "pitch", "intensity"]
    assert found.lines[-1].startswith("nats of held-out music, told rhythms: event")
    assert found.pictures["densities.png"].startswith(b"\x89PNG")
    index = np.arange(len(held))
    given = held.encode(index)[..., :2]
    made = drawn(bundle.model, Tuples(12, bars=2), len(held), 0, given=given)
    for piece, i in zip(made, index, strict=True):
        assert sorted(piece[:, :2].tolist()) == sorted(held.window(i)[:12, :2].tolist())
    assert watched(bundle.model, bundle.representation) == {}


def test_variety_is_the_share_of_patterns_that_occur_once() -> None:
    a, b = piece(), piece(1)
    assert variety([a, b]) == 1
    assert variety([a, a, b]) == pytest.approx(1 / 3)
    assert variety([a, a]) == variety([a[:3]]) == variety([]) == 0


def test_what_a_run_says_of_its_music() -> None:
    """The statistics of 64 pieces of fixed noise, in the order of the paper's, and two more."""
    bundle = network()
    found = watched(bundle.model, bundle.representation)
    pieces = drawn(bundle.model, bundle.representation, 64, 0)
    assert found == {**statistics(pieces), "variety": variety(pieces), "sounding": 1.0}
    silent = np.zeros((64, 12, 4), np.float32)
    bundle.model.decode = lambda z, **_: torch.from_numpy(silent)
    assert watched(bundle.model, bundle.representation) == {"variety": 0.0, "sounding": 0.0}
    assert evaluation.watched(tiny.network(tiny.config()), None) == {}


def test_curves_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure of every log at its steps, whatever the steps of the others."""
    for name, steps in (("a", (5, 10)), ("b", (4,))):
        for step in steps:
            (tmp_path / name).mkdir(exist_ok=True)
            made = {"tone span": 2.0 * step} if step > 4 else {}
            runs.log(tmp_path / name, step, {}, {"loss": 1.0, "told": 1 / step}, made)
    assert curves.picture([tmp_path / "a", tmp_path / "b"], {"told": 0.3}).startswith(b"\x89PNG")
    drawn = []
    monkeypatch.setattr(plot, "progress", lambda *given: drawn.append(given) or b"")
    curves.picture([tmp_path / "a", tmp_path / "b"], {"told": 0.3})
    want = {
        "tone span": {"a": ([5, 10], [10.0, 20.0])},
        "told": {"a": ([5, 10], [0.2, 0.1]), "b": ([4], [0.25])},
    }
    assert drawn == [(want, {"told": 0.3}, "step")]
    assert list(drawn[0][0]) == list(want)
    (tmp_path / "b" / "log.jsonl").write_text("{")
    for folder in ("b", "c"):
        with pytest.raises(InputError, match=rf"{folder}/log\.jsonl: is no log of a run"):
            curves.picture([tmp_path / folder], {})


def test_curves_beside_a_report(cli, tmp_path: Path) -> None:
    network()
    runs.log(tmp_path, 1, {}, {"told": 1.0}, {"tone span": 3.0})
    given = ("evaluate", FOLDER / "performed-none", "--data", folder(), "-n", "16")
    done = cli(*given, "--run", tmp_path, "-o", tmp_path / "report")
    assert done.code == 0
    assert (tmp_path / "report" / "curves.png").read_bytes().startswith(b"\x89PNG")
    for wrong, code, said in (("--run", 2, "name one"), ("--spread", 4, "without a spread")):
        done = cli(*given, wrong, 1)
        assert done.code == code
        assert said in done.err


def test_training_for_rhythms(cli, tmp_path: Path) -> None:
    """Begun with a model that is told chords; the pieces of its samples have held-out rhythms."""
    pipeline()
    sizes = ("hidden=16", "layers=1", "width=12", "critic=8", "critic_width=6", "spectral=false")
    settings = [f"model.{size}" for size in sizes]
    settings += ["model.steps=12", "representation.cells=12", "representation.bars=2"]
    settings += ["training.steps=2", "training.batch=2", "training.warmup=1"]
    given = [word for setting in settings for word in ("--set", setting)]
    begun = ("--init", FOLDER / "performed-beats", "-o", tmp_path / "run", "--every", 2)
    done = cli("train", "performance_rhythm", "--data", folder(), *begun, *given)
    assert done.code == 0, done.err
    assert "generate --rhythm FILE --model" in done.out
    bundle = pretrained.load(tmp_path / "run" / "bundle")
    assert bundle.info["verbs"] == ["generate"]
    valid = load(folder(), "valid", Tuples(12, bars=2))
    made = midi.read(tmp_path / "run" / "samples" / "step000002.mid")
    onsets = np.unique(made.tracks[0].notes[:, 0] * 384 // made.ppq)
    first = np.unique(valid.window(0)[:12, 0])
    assert onsets[: len(first)].tolist() == first.tolist()


def test_windows_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match="--kind performance"):
        measure(network(), tiny.windows("test"), None)
