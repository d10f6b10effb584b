"""The hierarchical decoder: bars that only the conductor ties together, and published sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from musegen.models.musicvae import MusicVAE, MusicVAEConfig
from musegen.models.voice import _Stepper
from musegen.presets import preset

BATCH, BARS, STEPS, VOCAB, LATENT = 3, 4, 8, 11, 6
WHOLE = {"vocab": (VOCAB,), "steps": BARS * STEPS, "latent": LATENT, "encoder": 5, "segments": BARS}
CONFIGS: dict[str, dict[str, Any]] = {
    "published": {"decoder": (7, 4), "conductor": (5, 6), "layers": 2},
    "published, projected": {"decoder": (7,), "conductor": (5,), "context": 3},
    "published encoder of bars": {"decoder": (7,), "conductor": (5,), "encode_segments": True},
    "views": {
        "decoder": (7,),
        "conductor": (5,),
        "context": 3,
        "embedding": 3,
        "readout": "steps",
        "view": 4,
    },
    "views, bars": {
        "decoder": (7, 4),
        "conductor": (5, 6),
        "readout": "steps",
        "view": 4,
        "encode_segments": True,
    },
}


def build(name: str) -> MusicVAE:
    torch.manual_seed(0)
    model = MusicVAE(MusicVAEConfig(**WHOLE, **CONFIGS[name]))
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.4)
    return model.eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def symbols(seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCAB, (BATCH, BARS * STEPS), generator=generator(seed))


def trio(seed: int = 1) -> torch.Tensor:
    """Symbols of two voices, of 11 and of 7."""
    return torch.stack([symbols(seed), symbols(seed + 9) % 7], dim=1)


def latents(seed: int = 2) -> torch.Tensor:
    return torch.randn(BATCH, LATENT, generator=generator(seed))


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_bars_see_nothing_of_each_other(name: str) -> None:
    """Other symbols in bar 2 change what is expected in bar 2, after them, and nowhere else."""
    model, z, x = build(name), latents(), symbols()
    before = model(z, x)[0]
    assert before.shape == (BATCH, BARS * STEPS, VOCAB)
    x[:, STEPS] = (x[:, STEPS] + 1) % VOCAB
    changed = (model(z, x)[0] != before).any(-1).any(0)
    assert changed.nonzero().flatten().tolist() == list(range(STEPS + 1, 2 * STEPS))


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_every_bar_hears_the_whole_latent(name: str) -> None:
    """Through the conductor each number of z changes each bar."""
    model, x = build(name), symbols()[:1]
    z = torch.zeros(1, LATENT)
    still = model(z, x)[0]
    for i in range(LATENT):
        moved = z.clone()
        moved[0, i] = 1.0
        bars = (model(moved, x)[0] - still).abs().reshape(BARS, -1)
        assert (bars.amax(1) > 1e-4).all()


@torch.no_grad()
def test_the_conductor_by_hand() -> None:
    """Its input is a zero, its first states are tanh of linear in z (published)."""
    model, z = build("published, projected"), latents()
    told = model.conduct(z).reshape(BATCH, BARS, -1).numpy()
    (lstm,) = model.conductor
    w_h, b = (lstm.weight_hh_l0.numpy(), (lstm.bias_ih_l0 + lstm.bias_hh_l0).numpy())
    for n in range(BATCH):
        start = np.tanh(model.lead.weight.numpy() @ z[n].numpy() + model.lead.bias.numpy())
        h, c = np.split(start, 2)
        for u in range(BARS):
            i, f, g, o = np.split(w_h @ h + b, 4)
            i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            expected = model.tell.weight.numpy() @ h + model.tell.bias.numpy()
            np.testing.assert_allclose(told[n, u], expected, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_step_by_step_is_the_same_network(name: str) -> None:
    model, z, x = build(name), latents(), symbols()
    forward = model(z, x)[0]
    gates = _Stepper(model.voices[0], model.conduct(z))
    tokens = model.voices[0].previous(x.reshape(BATCH * BARS, STEPS))
    rows = [gates.step(gates.fold(tokens[:, t]), t) for t in range(STEPS)]
    torch.testing.assert_close(torch.stack(rows, 1).reshape(forward.shape), forward)
    own = model.scheduled(model.conduct(z), x, 0.0, generator())[0]
    torch.testing.assert_close(own, forward)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_drawn_music_follows_the_logits(name: str) -> None:
    """Without temperature, each symbol is the likeliest after those drawn before it in its bar."""
    model, z = build(name), latents()
    x = model.decode(z, generator(), temperature=0)
    assert x.shape == (BATCH, BARS * STEPS)
    assert torch.equal(model(z, x)[0].argmax(-1), x)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_every_bar_reaches_the_posterior(name: str) -> None:
    model, x = build(name), symbols()
    mean, std = model.encode(x)
    assert mean.shape == std.shape == (BATCH, LATENT)
    for bar in range(BARS):
        other = x.clone()
        other[:, bar * STEPS + 3] = (other[:, bar * STEPS + 3] + 1) % VOCAB
        assert (model.encode(other)[0] != mean).any(1).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_reach_every_trained_parameter(name: str) -> None:
    model, x = build(name), symbols()
    mean, std = model.encode(x)
    (model(mean + std, x)[0].square().sum()).backward()
    for key, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, key
            if key == "conductor.0.weight_ih_l0" and model.config.readout == "last":
                continue  # what it multiplies is the published input of zero
            assert float(p.grad.abs().sum()) > 0, key


@pytest.mark.parametrize(
    ("name", "millions"), [("hierdec-mel_16bar", 176.1), ("flat-mel_16bar", 235.3)]
)
def test_published_models_have_the_published_number_of_parameters(
    name: str, millions: float
) -> None:
    with torch.device("meta"):
        model = MusicVAE(preset(name).model)
    # torch's LSTMs have a second bias that adds nothing; the one-hot table is not trained.
    count = sum(
        p.numel() for key, p in model.named_parameters() if p.requires_grad and "bias_hh" not in key
    )
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


# The language model above segments, and several voices

VOICES = WHOLE | {"vocab": (VOCAB, 7)} | CONFIGS["views, bars"] | {"embedding": 3}
ALONE = {
    "conductor": (64,),
    "decoder": (7,),
    "readout": "steps",
    "view": 4,
    "encode_segments": True,
    "unconditional": True,
    "recall": 2,
    "styles": ("a", "b"),
}


def alone(**more: Any) -> MusicVAE:
    torch.manual_seed(0)
    model = MusicVAE(MusicVAEConfig(**(WHOLE | ALONE | more)))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model.eval()


@torch.no_grad()
def test_a_segment_is_told_of_those_before_it_only() -> None:
    model, x, style = alone(), symbols(), torch.zeros(BATCH, dtype=torch.long)
    told = model.alone(x, style).unflatten(0, (BATCH, BARS))
    for u in range(BARS):
        other = x.clone()
        other[:, u * STEPS : (u + 1) * STEPS] = 3
        changed = (model.alone(other, style).unflatten(0, (BATCH, BARS)) - told).abs().amax((0, 2))
        assert (changed[: u + 1] < 1e-6).all()
        assert (changed[u + 1 :] > 1e-4).all()


@torch.no_grad()
def test_improvised_music_is_likeliest_after_its_own_past() -> None:
    """Without temperature each symbol is the likeliest given the segments that were drawn."""
    model, style = alone(), torch.tensor([0, 1, 1])
    x = model.improvise(style, generator(), temperature=0)
    assert x.shape == (BATCH, BARS * STEPS)
    assert torch.equal(model.predict(model.alone(x, style), x)[0].argmax(-1), x)


@torch.no_grad()
def test_voices_are_written_apart_and_encoded_together() -> None:
    torch.manual_seed(0)
    model = MusicVAE(MusicVAEConfig(**VOICES)).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    x, z = trio(), latents()
    first, second = model(z, x)
    assert first.shape == (BATCH, BARS * STEPS, VOCAB)
    assert second.shape == (BATCH, BARS * STEPS, 7)
    other = x.clone()
    other[:, 1] = (other[:, 1] + 1) % 7
    assert torch.equal(model(z, other)[0], first)  # a voice does not hear the other
    assert not torch.equal(model(z, other)[1], second)
    assert not torch.equal(model.encode(other)[0], model.encode(x)[0])
    drawn = model.decode(z, generator(), temperature=0)
    assert drawn.shape == x.shape
    for voice, logits in enumerate(model(z, drawn)):
        assert torch.equal(logits.argmax(-1), drawn[:, voice])


@torch.no_grad()
def test_a_voice_that_heeds_hears_those_before_it_up_to_its_step() -> None:
    torch.manual_seed(0)
    model = MusicVAE(MusicVAEConfig(**VOICES, heed=True)).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    x, z = trio(), latents()
    first, second = model(z, x)
    other = x.clone()
    other[:, 0, STEPS + 2] = (other[:, 0, STEPS + 2] + 1) % VOCAB
    changed = (model(z, other)[1] != second).any(-1).any(0)
    assert changed.nonzero().flatten().tolist() == list(range(STEPS + 2, 2 * STEPS))
    other = x.clone()
    other[:, 1] = (other[:, 1] + 1) % 7
    assert torch.equal(model(z, other)[0], first)
    drawn = model.decode(z, generator(), temperature=0)
    for voice, logits in enumerate(model(z, drawn)):
        assert torch.equal(logits.argmax(-1), drawn[:, voice])
    scheduled = model.scheduled(model.conduct(z), x, 0.0, generator())
    for one, two in zip(scheduled, model(z, x), strict=True):
        torch.testing.assert_close(one, two)


@torch.no_grad()
def test_a_trio_improvises_in_all_voices() -> None:
    model = alone(vocab=(VOCAB, 7))
    x = model.improvise(torch.tensor([0, 1]), generator(), temperature=0)
    assert x.shape == (2, 2, BARS * STEPS)
    logits = model.predict(model.alone(x, torch.tensor([0, 1])), x)
    for voice, one in enumerate(logits):
        assert torch.equal(one.argmax(-1), x[:, voice])


@torch.no_grad()
def test_decoders_to_compare_begin_with_the_same_encoder_which_stays() -> None:
    """Of 4 bars and of the whole, they get the latents of a model of 2 segments and keep them."""
    sizes = WHOLE | {"readout": "steps", "view": 4, "embedding": 3, "encode_segments": True}
    heard = MusicVAE(MusicVAEConfig(**(sizes | {"segments": 2, "conductor": (5,), "context": 10})))
    flat, bars = sizes | {"segments": 1, "heard": 2}, sizes | {"conductor": (5,), "heard": 2}
    published = {"readout": "encoder"}
    x = symbols()
    for config in (flat, bars, flat | published, bars | published):
        model = MusicVAE(MusicVAEConfig(**config))
        assert model.config.ear == heard.config.ear
        before = {k: w.clone() for k, w in model.state_dict().items()}
        model.adopt(heard)
        torch.testing.assert_close(model.encode(x), heard.encode(x))
        trained = {k for k, p in model.named_parameters() if p.requires_grad}
        assert "voices.0.logits.weight" in trained
        assert not any(k.startswith(("encoder", "gist", "posterior")) for k in trained)
        assert all(torch.equal(before[k], w) for k, w in model.named_parameters() if k in trained)


def test_a_hierarchy_begins_with_the_weights_of_a_segment() -> None:
    """The gist of a segment is the flat model's mean, and what is written is written alike."""
    big = alone(conductor=(5,), context=64)
    flat = MusicVAE(big.config.part).eval()
    for p in flat.parameters():
        torch.nn.init.normal_(p, std=0.3)
    big.adopt(flat)
    x = symbols()
    pieces = x.reshape(BATCH * BARS, STEPS)
    mean, _ = flat.encode(pieces)
    torch.testing.assert_close(big.gists(x).flatten(0, 1), mean)
    torch.testing.assert_close(
        big.predict(mean, x)[0].reshape(BATCH * BARS, STEPS, -1), flat(mean, pieces)[0]
    )
