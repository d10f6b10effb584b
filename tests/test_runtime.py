"""NumPy's networks beside torch's: the same chance, the same numbers; and music without torch."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny
import torch
from test_imports import loaded_by

from musegen import pretrained, runtime
from musegen.errors import ModelError
from musegen.formats import quick
from musegen.models.crnngan import CRNNGAN
from musegen.models.crnngan_events import choose
from musegen.models.groovae import GrooVAE
from musegen.runtime import Draws
from musegen.runtime.parts import at_places, gelu
from musegen.sizes import CRNNGANConfig, GrooVAEConfig

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
FAMILIES = {
    name: pretrained.read_config(pretrained.locate(name))["family"] for name in pretrained.names()
}
VAES = [name for name, family in FAMILIES.items() if family == "musicvae"]
GROOVES = [name for name, family in FAMILIES.items() if family == "groovae"]
RHYTHM = "performance-rhythm"
EVENTS = [name for name, family in FAMILIES.items() if family == "crnngan"]


def chance(seed: int) -> tuple[torch.Generator, Draws]:
    return torch.Generator().manual_seed(seed), Draws(seed)


@cache
def both(name: str) -> tuple[Any, Any]:
    """A shipped model in torch and in NumPy."""
    return pretrained.load(name).model, pretrained.playable(name).model


# chance


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_a_seed_gives_the_numbers_of_torch(seed: int) -> None:
    generator, draws = chance(seed)
    for n in (1, 700):  # beyond what the twister makes at a time
        assert np.array_equal(torch.rand(n, 3, generator=generator), draws.uniform(n, 3))
        normal = torch.randn(n, 16 + n % 7, generator=generator).numpy()
        np.testing.assert_allclose(draws.normal(*normal.shape), normal, **CLOSE)
        shares = torch.tensor([0.5, 0.2, 0.3])
        chosen = torch.multinomial(shares, n + 1, True, generator=generator)
        assert np.array_equal(chosen, draws.choose([0.5, 0.2, 0.3], n + 1))


def test_few_normal_numbers_are_normal() -> None:
    draws = Draws(3)
    many = np.concatenate([draws.normal(2, 3).ravel() for _ in range(2000)])
    assert abs(many.mean()) < 0.05
    assert abs(many.std() - 1) < 0.05


def test_marks_at_the_same_places() -> None:
    """Of the softmax, narrowed to the likeliest, colder and at zero, as torch's functions do."""
    generator, _ = chance(5)
    logits = torch.randn(500, 40, generator=generator) * 3
    u = torch.rand(500, generator=generator)
    for temperature, top_p in ((1.0, 1.0), (0.7, 0.9), (2.0, 0.3), (0.0, 1.0)):
        theirs = choose(logits, u, temperature, top_p).argmax(-1)
        ours = at_places(logits.numpy(), u.numpy(), temperature, top_p)
        assert np.array_equal(ours, theirs), (temperature, top_p)


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-8, 8, 4001, dtype=np.float32)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    np.testing.assert_allclose(gelu(x), exact, atol=1e-6)


# shipped models


@pytest.mark.parametrize("name", VAES)
def test_shipped_models_give_the_numbers_of_torch(name: str) -> None:
    theirs, ours = both(name)
    generator, draws = chance(11)
    styles = theirs.draw_styles(3, generator)
    assert np.array_equal(styles, ours.draw_styles(3, draws))
    z = theirs.prior(3, generator, styles)
    np.testing.assert_allclose(ours.prior(3, draws, styles.numpy()), z, **CLOSE)
    x = theirs.decode(z, generator, 0.9)
    assert np.array_equal(ours.decode(z.numpy(), draws, 0.9), x)
    assert len(x.unique()) > 5
    for mine, torchs in zip(ours.encode(x.numpy()), theirs.encode(x), strict=True):
        np.testing.assert_allclose(mine, torchs, **CLOSE)
    logits = theirs(z, x)
    for mine, torchs in zip(ours.forward(z.numpy(), x.numpy()), logits, strict=True):
        np.testing.assert_allclose(mine, torchs, **CLOSE)


@pytest.mark.parametrize("name", EVENTS)
def test_shipped_events_are_the_numbers_of_torch(name: str) -> None:
    theirs, ours = both(name)
    generator, draws = chance(2)
    z = theirs.prior(2, generator, 40)
    assert np.array_equal(ours.prior(2, draws, 40), z)
    rng = np.random.RandomState(0)
    if theirs.config.condition == "rhythm":
        ticks = np.stack([rng.choice([0, 96, 384], (2, 40)), rng.choice([90, 400], (2, 40))], -1)
        rhythm = torch.from_numpy(np.log2(1 + ticks) / 16).float()
        made = same_cells(theirs, ours, z, given=rhythm, temperature=0.9, top_p=0.9)
        np.testing.assert_allclose(made[..., :2], rhythm, **CLOSE)
        return
    chords = rng.rand(2, 12, theirs.config.cues) > 0.7
    told = {"given": torch.from_numpy(chords.astype(np.float32)), "top_p": 0.9}
    first = same_cells(theirs, ours, z, temperature=0.9, **told)
    same_cells(theirs, ours, z[:, :20], start=torch.from_numpy(first[:, :9]))
    short = same_cells(theirs, ours, z, until=600.0)
    assert short.shape[1] < 40


@pytest.mark.parametrize("name", GROOVES)
def test_shipped_grooves_are_the_numbers_of_torch(name: str) -> None:
    theirs, ours = both(name)
    generator, draws = chance(6)
    k = theirs.config.classes
    hits = (torch.rand(2, theirs.config.steps, k, generator=generator) < 0.2).float()
    x = torch.cat([hits, hits * 0.5, hits * 0.0], -1)
    draws.uniform(*hits.shape)
    for mine, torchs in zip(ours.encode(x.numpy()), theirs.encode(x), strict=True):
        np.testing.assert_allclose(mine, torchs, **CLOSE)
    z = theirs.prior(2, generator)
    np.testing.assert_allclose(ours.prior(2, draws), z, **CLOSE)
    made = theirs.decode(z, generator, given=x)
    np.testing.assert_allclose(ours.decode(z.numpy(), draws, given=x.numpy()), made, **CLOSE)


def same_cells(theirs: CRNNGAN, ours: Any, z: torch.Tensor, **options: Any) -> np.ndarray:
    x = theirs.decode(z, **options)
    options = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    made = ours.decode(z.numpy(), **options)
    np.testing.assert_allclose(made, x, **CLOSE)
    assert len(np.unique(made)) > 3
    return made


# other models


@pytest.mark.parametrize(
    "more",
    [
        {"readout": "last", "layers": 2},
        {"vocab": (90, 40), "embedding": 0},
        {"steps": 64, "segments": 4, "conductor": (12, 10), "readout": "last"},
        {"steps": 64, "segments": 4, "conductor": (12,), "context": 32, "encode_segments": True},
        {
            "steps": 64,
            "vocab": (30, 20),
            "segments": 4,
            "conductor": (32,),
            "encode_segments": True,
            "recall": 2,
            "readout": "last",
        },
        {"vocab": (30, 20, 40), "embedding": 0, "heed": True},
        {
            "steps": 64,
            "vocab": (30, 20, 40),
            "segments": 4,
            "conductor": (32,),
            "encode_segments": True,
            "recall": 2,
            "heed": True,
        },
        {"unconditional": False, "latent": 20},
        {"readout": "encoder", "unconditional": False},
        {"steps": 64, "encode_segments": True, "heard": 4},
        {"steps": 64, "segments": 2, "conductor": (12,), "encode_segments": True, "heard": 8},
        {
            "steps": 64,
            "segments": 4,
            "conductor": (12,),
            "encode_segments": True,
            "readout": "encoder",
            "unconditional": False,
        },
    ],
)
def test_models_of_every_build_give_the_numbers_of_torch(more: dict[str, Any]) -> None:
    theirs = tiny.network(tiny.config(**more))
    ours = runtime.of(theirs)
    assert runtime.of(ours) is ours
    generator, draws = chance(3)
    z = theirs.prior(4, generator)
    np.testing.assert_allclose(ours.prior(4, draws), z, **CLOSE)
    x = theirs.decode(z, generator, 1.0, 0.9)
    assert np.array_equal(ours.decode(z.numpy(), draws, 1.0, 0.9), x)
    with torch.no_grad():
        np.testing.assert_allclose(ours.encode(x.numpy())[1], theirs.encode(x)[1], **CLOSE)
        mine = ours.forward(z.numpy(), x.numpy())
        for logits, torchs in zip(mine, theirs(z, x), strict=True):
            np.testing.assert_allclose(logits, torchs, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize(
    ("more", "given"),
    [
        ({"head": "numbers", "numbers": 4}, None),
        ({"slots": 0, "spectral": True}, None),
        ({"condition": "rhythm"}, (2, 30, 2)),
        ({"condition": "beats", "layers": 1}, (2, 5, 36)),
    ],
)
def test_events_of_every_build_are_the_numbers_of_torch(
    more: dict[str, Any], given: tuple[int, ...] | None
) -> None:
    torch.manual_seed(0)
    theirs = CRNNGAN(replace(CRNNGANConfig(hidden=16, width=8, critic=4), **more)).eval()
    ours = runtime.of(theirs)
    z = theirs.prior(2, torch.Generator().manual_seed(1), 30)
    told = {} if given is None else {"given": torch.rand(*given) * 0.4}
    x = same_cells(theirs, ours, z, **told)
    if more.get("condition") != "rhythm":
        same_cells(theirs, ours, z, start=torch.from_numpy(x[:, :7]), temperature=0.0, **told)


@pytest.mark.parametrize(
    "more",
    [
        {"reads": "hits", "bar": 16},
        {"reads": "tap", "decoder": (20, 12)},
        {"reads": "groove", "control": "hits", "ahead": 2},
        {"reads": "groove", "control": "tap"},
    ],
)
def test_grooves_of_every_build_are_the_numbers_of_torch(more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    sizes = GrooVAEConfig(**({"latent": 16, "encoder": 12, "decoder": (16,)} | more))
    theirs = GrooVAE(sizes).eval().requires_grad_(False)
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.3)
    ours = runtime.of(theirs)
    hits = (torch.rand(3, 32, 9) < 0.3).float()
    x = torch.cat([hits, hits * torch.rand(hits.shape), hits * (torch.rand(hits.shape) - 0.5)], -1)
    for mine, torchs in zip(ours.encode(x.numpy()), theirs.encode(x), strict=True):
        np.testing.assert_allclose(mine, torchs, **CLOSE)
    generator, draws = chance(4)
    z = theirs.prior(3, generator)
    np.testing.assert_allclose(ours.prior(3, draws), z, **CLOSE)
    for temperature, given in ((1.0, x), (0.7, None), (0.0, x)):
        made = theirs.decode(z, generator, temperature, given=given)
        heard = None if given is None else given.numpy()
        mine = ours.decode(z.numpy(), draws, temperature, given=heard)
        np.testing.assert_allclose(mine, made, **CLOSE)
        assert made[..., :9].sum() > 20


# loading


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("posterior.bias"), "posterior.bias is missing"),
        (lambda w: w.update(more=w["posterior.bias"]), "more is not known"),
        (
            lambda w: w.update({"posterior.bias": w["posterior.bias"][:3]}),
            r"posterior.bias has shape \[3\], not \[16\]",
        ),
    ],
)
def test_weights_are_all_there_and_no_others(tmp_path: Path, change: Any, words: str) -> None:
    bundle = pretrained.load(tiny.bundle())
    folder = pretrained.save(tmp_path / "broken", bundle.model, bundle.representation, bundle.info)
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    change(weights)
    data = safetensors.numpy.save(weights)
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        pretrained.playable(folder)
    config = json.loads((folder / "config.json").read_text())
    config["sha256"] = pretrained.hashlib.sha256(data).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        pretrained.playable(folder)


def test_recurrent_models_make_music_without_torch(tmp_path: Path) -> None:
    tune = tmp_path / "tune.mid"
    tiny.tune([60, 62, 64, 65, 67, 69, 71, 72] * 2).write(tune)
    verbs = [
        f"run({['generate', '--seed', '1', '-q', '--model', name, '-o', str(tmp_path / name)]})"
        for name in (*VAES, *EVENTS)
        if name != RHYTHM
    ]
    rhythm = ["generate", "--rhythm", "1 1/2 1/2 2", "-q", "--seed", "1", "-o", str(tmp_path / "r")]
    verbs.append(f"run({rhythm})")
    for verb in ("interpolate", "vary", "reconstruct"):
        files = [str(tune)] * (2 if verb == "interpolate" else 1)
        verbs.append(f"run({[verb, *files, '--seed', '1', '-q', '-o', str(tmp_path / verb)]})")
    sure = "\n".join(f"assert {verb} == 0" for verb in verbs)
    found = loaded_by(f"from musegen.cli.main import run\n{sure}")
    assert found == {"numpy"}


def test_only_many_files_or_long_ones_are_worth_loading_symusic(tmp_path: Path) -> None:
    short, long = (tiny.tune([60, 62] * n).write(tmp_path / f"{n}.mid") for n in (8, 8000))
    assert long.stat().st_size > quick.MAX_SHORT
    read = "from musegen import midi\n{}\nassert midi.read({!r}).tracks[0].notes[-1, 2] == 62"
    few = f"for _ in range({quick.FEW - 1}): midi.read({str(short)!r})"
    assert loaded_by(read.format(few, str(short))) == {"numpy"}
    assert "symusic" in loaded_by(read.format(f"{few}\nmidi.read({str(short)!r})", str(short)))
    assert "symusic" in loaded_by(read.format("", str(long)))
