"""Bundles: what is saved is what is loaded, and nothing that was changed on the way."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import torch

from musegen import pretrained
from musegen.errors import ModelError, MusegenError
from musegen.representations.events import Melody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle that a test may break."""
    return Path(shutil.copytree(tiny.bundle(), tmp_path / "bundle"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Other weights, under a hash that is right."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    change(weights)
    data = safetensors.torch.save(weights)
    (folder / "model.safetensors").write_bytes(data)
    edit(folder, lambda c: c.update(sha256=hashlib.sha256(data).hexdigest()))


def test_loaded_weights_are_the_saved_ones_in_half_precision() -> None:
    model = tiny.network(tiny.config())
    bundle = pretrained.load(tiny.bundle())
    assert bundle.model.config == model.config
    loaded = bundle.model.state_dict()
    assert set(loaded) == set(model.state_dict())
    for key, weight in model.state_dict().items():
        assert torch.equal(loaded[key], weight.half().float()), key
    assert not bundle.model.training
    assert not any(p.requires_grad for p in bundle.model.parameters())


@pytest.mark.parametrize("more", [{}, {"embedding": 0, "readout": "last", "unconditional": False}])
def test_save_and_load_give_identical_output(tmp_path: Path, more: dict[str, Any]) -> None:
    """Once weights are in half precision, another round trip changes nothing."""
    first = pretrained.load(tiny.bundle(**more))
    path = pretrained.save(tmp_path / "again", first.model, first.representation, first.info)
    second = pretrained.load(path)
    assert second.name == "again"
    assert second.representation == first.representation == Melody(2)
    assert second.info == first.info
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    x = [b.model.decode(z, torch.Generator().manual_seed(1)) for b in (first, second)]
    assert torch.equal(*x)
    mean = [b.model.encode(x[0])[0] for b in (first, second)]
    assert torch.equal(*mean)
    assert (path / "model.safetensors").read_bytes() == (
        tiny.bundle(**more) / "model.safetensors"
    ).read_bytes()


def test_a_bundle_is_three_files_without_pickles() -> None:
    names = {p.name for p in tiny.bundle().iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}


def test_saving_over_a_bundle_needs_force(folder: Path) -> None:
    bundle = pretrained.load(folder)
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(MusegenError, match="exists already"):
        pretrained.save(folder, bundle.model, bundle.representation, bundle.info)
    assert (folder / "model.safetensors").read_bytes() == before
    pretrained.save(folder, bundle.model, bundle.representation, bundle.info, force=True)


def flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_safetensors(folder: Path) -> None:
    data = b"not safetensors"
    (folder / "model.safetensors").write_bytes(data)
    edit(folder, lambda c: c.update(sha256=hashlib.sha256(data).hexdigest()))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte": (flip, "SHA-256"),
    "cut short": (cut, "SHA-256"),
    "wrong hash": (lambda f: edit(f, lambda c: c.update(sha256="0" * 64)), "SHA-256"),
    "no hash": (lambda f: edit(f, lambda c: c.pop("sha256")), "sha256 is missing"),
    "not safetensors": (no_safetensors, "broken bundle"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "No such file"),
    "missing tensor": (
        lambda f: edit_weights(f, lambda w: w.pop("voices.0.logits.bias")),
        "Missing key.*logits.bias",
    ),
    "extra tensor": (
        lambda f: edit_weights(f, lambda w: w.update(more=torch.zeros(1))),
        "Unexpected key.*more",
    ),
    "wrong shape": (
        lambda f: edit_weights(f, lambda w: w.update({"voices.0.logits.bias": torch.zeros(3)})),
        "size mismatch for voices.0.logits.bias",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config is not JSON": (lambda f: (f / "config.json").write_text("{"), "config.json"),
    "config is not text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.js"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "has no fields"),
    "config is empty": (lambda f: (f / "config.json").write_text("{}"), "format is missing"),
    "other format": (lambda f: edit(f, lambda c: c.update(format=2)), "format 2, this version"),
    "other family": (lambda f: edit(f, lambda c: c.update(family="musicvea")), "'musicvae'"),
    "no info": (lambda f: edit(f, lambda c: c.pop("info")), "info is missing"),
    "unknown key": (
        lambda f: edit(f, lambda c: c["model"].update(latents=8)),
        "did you mean 'latent'",
    ),
    "wrong type": (lambda f: edit(f, lambda c: c["model"].update(latent="8")), "expected int"),
    "wrong size": (lambda f: edit(f, lambda c: c["model"].update(latent=9)), "size mismatch"),
    "negative size": (lambda f: edit(f, lambda c: c["model"].update(view=-1)), "broken bundle"),
    "no decoder": (lambda f: edit(f, lambda c: c["model"].update(decoder=[])), "broken bundle"),
    "model is a list": (lambda f: edit(f, lambda c: c.update(model=[])), "model is missing"),
    "other windows": (
        lambda f: edit(f, lambda c: c["representation"].update(bars=4)),
        "32 steps, not 64",
    ),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # "no decoder"
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bundle_is_an_error_of_one_sentence(folder: Path, name: str) -> None:
    pretrained.load(folder)
    break_it, words = BROKEN[name]
    break_it(folder)
    with pytest.raises(ModelError, match=words) as error:
        pretrained.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    assert len(str(error.value)) < 400


def test_describing_changes_info_and_card_but_no_weights(folder: Path) -> None:
    before = pretrained.load(folder)
    pretrained.describe(folder, dict(before.info) | {"evaluation": ["a table of figures"]})
    after = pretrained.load(folder)
    assert after.info["evaluation"] == ["a table of figures"]
    assert "a table of figures" in (folder / "README.md").read_text()
    for key, weight in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[key], weight)


def test_unknown_models_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'melody-2bars', did you mean 'melody-2bar'"):
        pretrained.load("melody-2bars")
    with pytest.raises(ModelError, match="not a bundle"):
        pretrained.load(tmp_path)
    with pytest.raises(ModelError, match="no model"):
        pretrained.load(tmp_path / "nothing")
    with pytest.raises(ModelError, match="has no name"):
        pretrained.load("")


def test_the_shipped_bundle_is_small_and_its_card_tells_where_it_comes_from() -> None:
    assert pretrained.DEFAULT in pretrained.names()
    for name in pretrained.names():
        folder = pretrained.locate(name)
        assert sum(p.stat().st_size for p in folder.iterdir()) <= 25e6
        config = pretrained.read_config(folder)
        card = (folder / "README.md").read_text()
        for corpus, licence in config["info"]["data_licences"].items():
            assert corpus in card
            assert licence in card
            assert config["info"]["corpora"][corpus] in card


def test_the_shipped_bundle_loads_and_is_what_its_preset_says() -> None:
    from musegen.presets import preset

    bundle = pretrained.load()
    wanted = preset(bundle.info["preset"])
    assert bundle.name == pretrained.DEFAULT
    assert bundle.representation == wanted.representation
    for field in ("latent", "encoder", "decoder", "readout"):
        assert getattr(bundle.model.config, field) == getattr(wanted.model, field)
    assert len(bundle.model.config.styles) == len(bundle.model.config.shares)
    assert all(torch.isfinite(p).all() for p in bundle.model.parameters())
