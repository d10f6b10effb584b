"""Named experiments: what the reference code has, and sizes that agree with each other."""

from __future__ import annotations

import pytest
import torch

from musegen.errors import ModelError
from musegen.models.musicvae import MusicVAE
from musegen.presets import PRESETS, check, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_their_own_rules(name: str) -> None:
    assert preset(name).about
    check(preset(name))


@pytest.mark.parametrize("name", [n for n, h in PRESETS.homes.items() if ".musicvae:" in h])
def test_model_and_representation_agree(name: str) -> None:
    p = preset(name)
    assert p.model.steps == p.representation.steps
    assert p.model.vocab == p.representation.vocab
    assert bool(p.objective.unconditional) == p.model.unconditional


def test_published_settings() -> None:
    """Table of magenta's configs.py."""
    small, big = preset("cat-mel_2bar_small"), preset("melody_2bar_big")
    assert (small.model.latent, small.model.encoder, small.model.decoder) == (256, 512, (256, 256))
    assert (big.model.latent, big.model.encoder, big.model.decoder) == (512, 2048, (2048,) * 3)
    assert (small.objective.beta, big.objective.beta) == (0.2, 0.5)
    for p in (small, big):
        assert p.model.readout == "last"
        assert not p.model.embedding
        assert (p.objective.beta_rate, p.objective.sampling_rate) == (0.99999, 1000)
        assert (p.objective.free_bits, p.objective.input_dropout) == (0, 0)
        assert (p.training.batch, p.training.lr, p.training.lr_final) == (512, 1e-3, 1e-5)
        assert (p.training.schedule, p.training.transpose) == ("exponential", 5)


def tensorflow_count(latent: int, encoder: int, decoder: tuple[int, ...], vocab: int = 90) -> int:
    """Parameters of magenta's model, by hand: an LSTM there has one bias a gate."""

    def lstm(inputs: int, units: int) -> int:
        return 4 * units * (inputs + units + 1)

    total = 2 * lstm(vocab, encoder)
    total += 2 * latent * (2 * encoder + 1)  # mu and sigma
    total += 2 * sum(decoder) * (latent + 1)  # initial states
    for inputs, units in zip((vocab + latent, *decoder[:-1]), decoder, strict=True):
        total += lstm(inputs, units)
    return total + vocab * (decoder[-1] + 1)


@pytest.mark.parametrize(
    ("name", "millions"), [("cat-mel_2bar_small", 4.42), ("melody_2bar_big", 134.6)]
)
def test_published_models_have_the_published_number_of_parameters(
    name: str, millions: float
) -> None:
    config = preset(name).model
    with torch.device("meta"):
        model = MusicVAE(config)
    # torch's LSTMs have a second bias that adds nothing; the one-hot table is not trained.
    count = sum(
        p.numel() for key, p in model.named_parameters() if p.requires_grad and "bias_hh" not in key
    )
    assert count == tensorflow_count(config.latent, config.encoder, config.decoder)
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_default_is_small() -> None:
    with torch.device("meta"):
        model = MusicVAE(preset("melody_2bar_small").model)
    assert 2 * sum(p.numel() for p in model.parameters()) < 12e6  # bytes in float16


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean 'melody_2bar_small'"):
        preset("melody_2bar_smal")


def test_the_compared_decoders_are_of_equal_size_and_all_else_is_the_same() -> None:
    flat, hierarchical = preset("flat_mel_16bar_small"), preset("hierdec_mel_16bar_small")
    encoder = ("encoder", "project", "gist", "over_segments", "project_segment", "posterior")
    encoders, decoders = [], []
    for which in (flat, hierarchical):
        with torch.device("meta"):
            shapes = {k: p.shape for k, p in MusicVAE(which.model).named_parameters()}
        encoders.append({k: shape for k, shape in shapes.items() if k.split(".")[0] in encoder})
        decoders.append(sum(s.numel() for k, s in shapes.items() if k not in encoders[-1]))
    assert encoders[0] == encoders[1]
    assert len(encoders[0]) > 20
    assert decoders[0] == pytest.approx(decoders[1], rel=0.005)
    assert (flat.objective, flat.training) == (hierarchical.objective, hierarchical.training)
    assert (flat.model.segments, hierarchical.model.segments) == (1, 16)
