"""MusicVAE told chords: what is given goes beside the inputs, in torch and in NumPy alike."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tiny
import torch

from musegen import midi, pretrained, runtime
from musegen.attributes import chord_tones
from musegen.errors import ModelError, MusegenError
from musegen.models.musicvae import MusicVAE
from musegen.objectives import Batch
from musegen.objectives.variational import ELBO
from musegen.pipeline import load
from musegen.presets import check, preset
from musegen.representations.chords import Chords
from musegen.representations.events import FIRST_ONSET, LOWEST, Melody
from musegen.score import Score

LONG = {"segments": 2, "conductor": (12,), "context": 8, "encode_segments": True, "recall": 1}
SIZES = {
    "flat": {"decoder": (16,), "control": 36},
    "published": {"decoder": (16, 12), "control": 36, "readout": "last", "embedding": 0},
    "two segments": {"decoder": (16,), "control": 36, **LONG, "context": 32},
}


@cache
def model(kind: str) -> MusicVAE:
    return tiny.network(tiny.config(**SIZES[kind], unconditional=kind != "published"))


def melodies(n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randint(90, (n, 32), generator=g)
    return x, (torch.rand(n, 8, 36, generator=g) < 0.2).to(torch.uint8)


@pytest.mark.parametrize("kind", SIZES)
def test_numpy_and_torch_agree(kind: str) -> None:
    one, (x, chords) = model(kind), melodies()
    other = runtime.of(one)
    with torch.no_grad():
        mean, std = one.encode(x, chords)
        logits = one(mean, x, None, chords)[0]
        likeliest = one.decode(mean, torch.Generator(), 0.0, given=chords)
    found = other.encode(x.numpy(), chords.numpy())
    assert np.allclose(found[0], mean, atol=1e-4)
    assert np.allclose(found[1], std, atol=1e-4)
    assert np.allclose(other.forward(mean.numpy(), x.numpy(), chords.numpy())[0], logits, atol=1e-3)
    made = other.decode(mean.numpy(), runtime.Draws(0), 0.0, given=chords.numpy())
    assert (made == likeliest.numpy()).mean() > 0.99


@pytest.mark.parametrize("kind", SIZES)
def test_each_beat_sees_its_own_chord(kind: str) -> None:
    """A change of the chord of a beat changes logits from its first step on, none before."""
    one, (x, chords) = model(kind), melodies(1)
    z = torch.zeros(1, one.config.latent)
    other = chords.clone()
    other[:, 5] = 1 - other[:, 5]
    with torch.no_grad():
        a, b = (one(z, x, None, given)[0] for given in (chords, other))
        assert torch.equal(a[:, :20], b[:, :20])
        assert (a[:, 20:24] - b[:, 20:24]).abs().amax(dim=(0, 2)).min() > 1e-4
        assert not torch.allclose(one.encode(x, chords)[0], one.encode(x, other)[0])
        silent = one(z, x, None, torch.zeros_like(chords))[0]
        assert torch.equal(silent, one(z, x)[0])  # told nothing is told no chord


@pytest.mark.parametrize("kind", ["flat", "two segments"])
def test_a_model_without_chords_is_where_one_with_them_begins(kind: str) -> None:
    """Weights of zero for the chords: at first nobody hears them."""
    part = model(kind).config.part if kind == "two segments" else model(kind).config
    trained = tiny.network(replace(part, control=0), seed=3)
    new = tiny.network(model(kind).config, seed=4)
    new.adopt(trained)
    x, chords = melodies()
    with torch.no_grad():
        assert torch.equal(new.encode(x, chords)[0], new.encode(x)[0])
        z = new.encode(x)[0]
        assert torch.equal(new(z, x, None, chords)[0], new(z, x)[0])
        if kind == "flat":
            assert torch.allclose(new(z, x)[0], trained(z, x)[0], atol=1e-5)


def test_melodies_learn_to_follow_what_is_given() -> None:
    """One note a beat that its chord names: told, it costs less than untold."""
    torch.manual_seed(0)
    one = MusicVAE(tiny.config(decoder=(24,), control=36, unconditional=True, shift=0))
    g = torch.Generator().manual_seed(0)
    roots = torch.randint(12, (32, 8), generator=g)
    x = torch.zeros(32, 32, dtype=torch.long)
    x[:, ::4] = roots + 60 - LOWEST + FIRST_ONSET
    chords = torch.nn.functional.pad(torch.nn.functional.one_hot(roots, 12), (0, 24))
    loss = ELBO(beta=0.5, beta_rate=0.0, unconditional=0.5, unguided=0.2)
    (phase,) = loss.phases(one)
    adam = torch.optim.Adam(phase.parameters, 2e-2)
    batch = Batch(x, torch.zeros(32, dtype=torch.long), torch.zeros(32, dtype=torch.long), chords)
    for step in range(40):
        adam.zero_grad()
        phase.loss(batch, step, torch.Generator().manual_seed(step))["loss"].backward()
        adam.step()
    with torch.no_grad():
        told, untold = (
            float(loss.held_out(one, batch._replace(given=given), g)["alone"])
            for given in (chords, None)
        )
    assert told < 0.8 * untold


def test_shares_of_chord_tones_by_hand() -> None:
    chords = Chords(8).encode(Score(chords=((0, "C:maj"), (1920, "N")), length=3840))[None]
    x = np.zeros((1, 32), np.uint16)
    for step, pitch in ((0, 60), (2, 62), (4, 65), (6, 67), (16, 60)):  # the last: no chord
        x[0, step] = pitch - LOWEST + FIRST_ONSET
    assert chord_tones(x, chords) == {"chord tones": 0.5, "on quarters": 0.5}


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"control": 0}, "model.control must be 36"), ({"control": 13}, "model.control must be 36")],
)
def test_settings_that_cannot_be(settings: dict[str, int], words: str) -> None:
    wanted = preset("melody_chords_4bar_small")
    with pytest.raises(MusegenError, match=words):
        check(replace(wanted, model=replace(wanted.model, **settings)))


@cache
def bundle() -> str:
    info = {**tiny.INFO, "verbs": ["generate"]}
    path = tiny.FOLDER / "chord-melody"
    return str(pretrained.save(path, model("two segments"), Melody(2), info))


def test_generated_to_chords_of_any_length(cli, tmp_path) -> None:
    p = load(bundle())
    told = p.generate(2, seed=1, chords="C Am F")
    assert [s.bar_lines().size - 1 for s in told] == [3, 3]
    assert (
        told[0].chords
        == told[0].markers
        == (
            (0, "C:maj"),
            (1920, "A:min"),
            (3840, "F:maj"),
        )
    )
    assert told[0].tracks == p.generate(2, seed=1, chords="C Am F")[0].tracks
    assert told[0].tracks != p.generate(2, seed=1, chords="G D Em")[0].tracks
    assert p.generate(1, seed=1)[0].chords == ()
    done = cli(
        "generate", "--model", bundle(), "--chords", "C | G7", "--seed", 2, "-o", tmp_path / "a.mid"
    )
    assert done.code == 0, done.err
    assert midi.read(tmp_path / "a.mid").recipe["chords"] == "C | G7"
    done = cli("generate", "--model", bundle(), "--chords", "C H7", "-o", tmp_path / "b.mid")
    assert done.code == 2
    assert "'H7' is not a chord" in done.err
    done = cli(
        "generate", "--model", bundle(), "--chords", "C", "--key", "D", "-o", tmp_path / "b.mid"
    )
    assert done.code == 2
    assert "give chords or a key" in done.err
    with pytest.raises(ModelError, match="tiny takes no chords"):
        load(str(tiny.bundle())).generate(1, seed=1, chords="C")
