"""Reports on a tiny data set: figures in range, yardsticks that hold, the same every time."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from musegen import metrics, pretrained
from musegen.dataset import Windows
from musegen.errors import InputError
from musegen.evaluate.musicvae import copies, draw, evaluate, scores, table
from musegen.representations.events import Melody
from musegen.representations.trio import Trio


@pytest.fixture(scope="module")
def bundle() -> pretrained.Bundle:
    return pretrained.load(tiny.bundle(styles=("midi",), shares=(1.0,)))


def test_figures_are_in_range_and_the_table_holds_them(bundle: pretrained.Bundle) -> None:
    held_out, training = tiny.windows("test"), tiny.windows("train")
    said: list[str] = []
    result = evaluate(bundle, held_out, training, n=40, seed=3, report=said.append)
    assert said
    figures = result.reconstruction["all"]
    assert figures["windows"] == len(held_out)
    assert all(0 <= figures[k] <= 1 for k in ("teacher", "sampled", "sampled_mean"))
    assert figures["ce"] > 0
    assert figures["kl"] > 0
    assert result.samples["n"] == 40
    assert all(0 <= v <= 1 for k, v in result.samples.items() if k != "n")
    rows = result.overlap["all"]
    assert list(rows) == ["model", "N(0,I)", "real", "naive"]
    for row in rows.values():
        assert set(row) == set(metrics.FEATURES)
        assert all(0 <= v <= 1 + 1e-9 for v in row.values())
    text = "\n".join(table(result))
    assert f"{figures['teacher']:.4f}" in text
    assert f"{rows['real']['pitch']:.3f}" in text
    short = scores(result)
    assert short["teacher-forced"] == pytest.approx(figures["teacher"], abs=1e-3)
    assert short["least overlap with held-out music"] <= rows["model"]["pitch"] + 1e-3
    json.dumps([result.reconstruction, result.samples, result.overlap])  # plain numbers only


def test_music_is_wholly_like_itself(bundle: pretrained.Bundle) -> None:
    """The yardstick "real" is 1 when the training songs are the held-out ones, and less if not."""
    data, other = tiny.windows("test"), tiny.windows("train")
    same = evaluate(bundle, data, data, n=16).overlap["all"]["real"]
    assert same == pytest.approx(dict.fromkeys(metrics.FEATURES, 1.0))
    different = evaluate(bundle, data, other, n=16).overlap["all"]["real"]
    assert max(different.values()) < 1


def test_same_seed_same_report(bundle: pretrained.Bundle) -> None:
    data = tiny.windows("test")
    first, again, other = (evaluate(bundle, data, data, n=24, seed=s) for s in (1, 1, 2))
    assert first.reconstruction == again.reconstruction
    assert first.overlap == again.overlap
    assert first.reconstruction != other.reconstruction


def test_each_known_style_gets_a_row() -> None:
    bundle = pretrained.load(tiny.bundle(styles=("march", "waltz")))
    data = tiny.windows("train")
    half = np.arange(len(data)) % 2
    mixed = replace(data, styles=("march", "polka"), style=half)
    result = evaluate(bundle, mixed, mixed, n=16)
    assert list(result.reconstruction) == ["all", "march"]  # the model knows no polka
    assert result.reconstruction["march"]["windows"] == (half == 0).sum()


def test_reconstruction_counts_right_steps() -> None:
    """A decoder that only ever says "no event" is right where the music does."""
    bundle = pretrained.load(tiny.silent_bundle())
    data = tiny.windows("test")
    figures = evaluate(bundle, data, None, n=16).reconstruction["all"]
    held = float((data.encode(np.arange(len(data))) == 0).mean())
    assert figures["teacher"] == pytest.approx(held, abs=1e-6)
    assert figures["sampled"] == figures["sampled_mean"] == figures["teacher"]


def test_copies_are_found_in_every_key() -> None:
    data = tiny.windows("train")
    x = data.encode(np.arange(4))
    low = np.where(x[0] >= 2, x[0] - 3, x[0])
    strange = np.where(x[0] >= 2, 2 + np.arange(x.shape[1]), x[0])
    found = copies(np.stack([x[0], x[1], x[1], low, strange]), data)
    assert found["n"] == 5
    assert found["distinct"] == pytest.approx(4 / 5)
    assert found["identical"] == pytest.approx(3 / 5)
    assert found["identical_transposed"] == pytest.approx(4 / 5)


def test_drawing_gives_as_many_windows_as_asked(bundle: pretrained.Bundle) -> None:
    generator = torch.Generator().manual_seed(0)
    assert len(draw(bundle, 300, generator, 1.0, bundle.model.normal_prior)) == 300


def test_unsuitable_data_is_refused_in_words(bundle: pretrained.Bundle) -> None:
    data = tiny.windows("test")
    with pytest.raises(InputError, match="4-bar windows"):
        evaluate(bundle, replace(data, representation=Melody(4)), data)
    empty = replace(data, offsets=np.zeros(1, np.int64), style=np.zeros(0, np.int64))
    with pytest.raises(InputError, match="no held-out windows"):
        evaluate(bundle, empty, data)


def test_voices_of_a_trio_are_counted_each() -> None:
    """A trio of silence, whatever it is told: each voice is right where it is silent."""
    model = tiny.network(tiny.config(vocab=(90, 90, 512)))
    with torch.no_grad():
        for voice in model.voices:
            voice.logits.bias[0] = 1000.0
    where = pretrained.save(tiny.FOLDER / "silent-trio", model, Trio(2), tiny.INFO)
    rng = np.random.default_rng(0)
    track, onset = rng.integers(0, 3, 300), np.sort(rng.integers(0, 32, 300))
    notes = np.stack([onset, np.ones(300), 36 + track * 3, np.full(300, 80), track], axis=1)
    offsets = np.arange(0, 301, 10)
    data = Windows(
        notes.astype(np.int16), offsets, np.zeros(30, np.int64), ("march",), Trio(2), drums=2
    )
    found = evaluate(pretrained.load(where), data, None, n=16)
    row = found.reconstruction["all"]
    x = data.encode(np.arange(30))
    silent = [float((x[:, i] == 0).mean()) for i in range(3)]
    assert [row[f"{v} sampled"] for v in ("melody", "bass", "drums")] == pytest.approx(silent)
    assert row["teacher"] == pytest.approx(np.mean(silent))
    assert sum("melody" in line for line in table(found)) > 1
