"""The network against an LSTM written out in numpy, and its step-wise decoder against itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from musegen.models.musicvae import MusicVAE, MusicVAEConfig
from musegen.models.voice import _Stepper

BATCH, STEPS, VOCAB, LATENT = 5, 8, 11, 6
CONFIGS = {
    "published": {"decoder": (7, 4)},
    "published, one layer": {"decoder": (7,)},
    "published, embedded": {"decoder": (7, 4, 5), "embedding": 3},
    "views": {"decoder": (7,), "embedding": 3, "readout": "steps", "view": 4},
    "views, one-hot, two layers": {"decoder": (7, 4), "readout": "steps", "view": 4},
    "language model": {
        "decoder": (7,),
        "embedding": 3,
        "readout": "steps",
        "view": 4,
        "unconditional": True,
        "shift": 2,
        "styles": ("a", "b"),
        "shares": (0.75, 0.25),
    },
}


def build(name: str, seed: int = 0, spread: float = 0.4) -> MusicVAE:
    """A small model whose trained weights are all well away from 0."""
    torch.manual_seed(seed)
    model = MusicVAE(
        MusicVAEConfig(vocab=(VOCAB,), steps=STEPS, latent=LATENT, encoder=5, **CONFIGS[name])
    )
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=spread)
    return model


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def symbols(seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCAB, (BATCH, STEPS), generator=generator(seed))


def latents(seed: int = 2) -> torch.Tensor:
    return torch.randn(BATCH, LATENT, generator=generator(seed))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def numpy_lstm(lstm: torch.nn.LSTM, x: np.ndarray, suffix: str, h: np.ndarray, c: np.ndarray):
    """States [t, units] of one sequence x [t, d], gate by gate as in the paper."""
    w, u, b, b2 = (
        getattr(lstm, f"{kind}_l0{suffix}").detach().numpy()
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    states = []
    for row in x:
        i, f, g, o = np.split(w @ row + u @ h + b + b2, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def linear(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    out = layer.weight.detach().numpy() @ x
    return out if layer.bias is None else out + layer.bias.detach().numpy()


@pytest.mark.parametrize("name", CONFIGS)
def test_posterior_by_hand(name: str) -> None:
    """mu is linear and sigma the softplus of linear, of both directions' states."""
    model, x = build(name), symbols()
    mean, std = model.encode(x)
    assert mean.shape == std.shape == (BATCH, LATENT)
    table = model.voices[0].table.weight.detach().numpy()
    zero = np.zeros(5)
    for b in range(BATCH):
        vectors = table[x[b].numpy()]
        forward = numpy_lstm(model.encoder, vectors, "", zero, zero)
        back = numpy_lstm(model.encoder, vectors[::-1], "_reverse", zero, zero)[::-1]
        if model.config.readout == "steps":
            both = np.concatenate([forward, back], axis=1)
            summary = np.concatenate([linear(model.project, row) for row in both])
        else:
            summary = np.concatenate([forward[-1], back[0]])
        mu, raw = np.split(linear(model.posterior, summary), 2)
        np.testing.assert_allclose(mean[b].detach(), mu, atol=1e-5)
        np.testing.assert_allclose(std[b].detach(), np.log1p(np.exp(raw)), atol=1e-5)


@pytest.mark.parametrize("name", ["published", "views, one-hot, two layers"])
def test_decoder_by_hand(name: str) -> None:
    """Initial states are tanh of linear; each step sees the symbol before it and z or its view."""
    model, x, z = build(name), symbols(), latents()
    logits = model(z, x)[0].detach()
    assert logits.shape == (BATCH, STEPS, VOCAB)
    for b in range(BATCH):
        vector = z[b].numpy()
        h0, c0, h1, c1 = np.split(np.tanh(linear(model.voices[0].initial, vector)), [7, 14, 18])
        if model.config.readout == "steps":
            seen = linear(model.voices[0].view, vector).reshape(STEPS, -1)
        else:
            seen = np.tile(vector, (STEPS, 1))
        before = np.vstack([np.zeros(VOCAB), np.eye(VOCAB)[x[b, :-1].numpy()]])
        below = numpy_lstm(model.voices[0].layers[0], np.hstack([before, seen]), "", h0, c0)
        top = numpy_lstm(model.voices[0].layers[1], below, "", h1, c1)
        for t in range(STEPS):
            expected = linear(model.voices[0].logits, top[t])
            if model.config.readout == "steps":
                expected = expected + linear(model.voices[0].view_to_logits, seen[t])
            np.testing.assert_allclose(logits[b, t], expected, atol=1e-5)


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    model = MusicVAE(MusicVAEConfig(latent=64, encoder=64, decoder=(64,)))
    for layer in (model.posterior, model.voices[0].initial):
        assert float(layer.weight.detach().std()) == pytest.approx(0.001, rel=0.1)
        assert not layer.bias.detach().any()
    mean, std = model.encode(torch.randint(90, (4, 32)))
    assert float(mean.detach().abs().max()) < 0.05
    assert float(std.detach().mean()) == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.parametrize("name", CONFIGS)
def test_stepwise_decoder_equals_the_parallel_one(name: str) -> None:
    model, x, z = build(name), symbols(), latents()
    previous = model.voices[0].previous(x)
    gates = _Stepper(model.voices[0], model.conduct(z))
    steps = torch.stack([gates.step(gates.fold(previous[:, t]), t) for t in range(STEPS)], dim=1)
    torch.testing.assert_close(steps, model(z, x)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_likeliest_symbols_are_their_own_argmax(name: str) -> None:
    model, z = build(name), latents()
    x = model.decode(z, generator(), temperature=0)
    assert x.shape == (BATCH, STEPS)
    assert torch.equal(model(z, x)[0].argmax(-1), x)


def test_drawn_symbols_are_as_frequent_as_their_probabilities() -> None:
    model = build("views")
    z = latents()[:1]
    drawn = model.decode(z.expand(20_000, -1), generator(3))
    first = torch.softmax(model(z, symbols()[:1])[0][0, 0].double(), -1)
    counts = np.bincount(drawn[:, 0].numpy(), minlength=VOCAB)
    assert chisquare(counts, 20_000 * first.detach().numpy()).pvalue > 0.001
    # the second step, given the most frequent first symbol
    top = int(counts.argmax())
    after = drawn[drawn[:, 0] == top, 1].numpy()
    x = torch.full((1, STEPS), top)
    second = torch.softmax(model(z, x)[0][0, 1].double(), -1).detach().numpy()
    expected = len(after) * second
    common = expected > 5
    assert (
        chisquare(
            np.bincount(after, minlength=VOCAB)[common],
            expected[common]
            * np.bincount(after, minlength=VOCAB)[common].sum()
            / expected[common].sum(),
        ).pvalue
        > 0.001
    )


def test_same_generator_same_symbols_and_latents() -> None:
    model, z = build("language model"), latents()
    assert torch.equal(model.decode(z, generator(5)), model.decode(z, generator(5)))
    assert not torch.equal(model.decode(z, generator(5)), model.decode(z, generator(6)))
    assert torch.equal(model.prior(3, generator(5)), model.prior(3, generator(5)))


def test_previous_is_the_vector_of_the_symbol_before() -> None:
    model, x = build("views"), symbols()
    previous = model.voices[0].previous(x)
    assert not previous[:, 0].any()
    assert torch.equal(previous[:, 1:], model.voices[0].table(x[:, :-1]))


def test_one_hot_table_is_fixed() -> None:
    model = build("published")
    assert torch.equal(model.voices[0].table.weight, torch.eye(VOCAB))
    assert not model.voices[0].table.weight.requires_grad


@pytest.mark.parametrize("name", CONFIGS)
def test_scheduled_sampling_with_chance_0_is_teacher_forcing(name: str) -> None:
    model, x, z = build(name), symbols(), latents()
    logits = model.scheduled(model.conduct(z), x, 0.0, generator())[0]
    torch.testing.assert_close(logits, model(z, x)[0], atol=1e-5, rtol=1e-5)


def test_scheduled_sampling_with_chance_1_sees_nothing_of_the_truth() -> None:
    model, z = build("published"), latents()
    ours, other = (
        model.scheduled(model.conduct(z), symbols(s), 1.0, generator())[0] for s in (1, 7)
    )
    assert torch.equal(ours, other)
    mixed, truth = (
        model.scheduled(model.conduct(z), symbols(1), chance, generator())[0] for chance in (0.5, 0)
    )
    assert not torch.allclose(ours, mixed)
    assert not torch.allclose(truth, mixed)


def test_normal_prior_is_normal() -> None:
    model = build("published")
    z = model.prior(20_000, generator())
    assert z.shape == (20_000, LATENT)
    assert float(z.mean()) == pytest.approx(0, abs=0.01)
    assert float(z.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(z, model.normal_prior(20_000, generator()))


def test_language_model_prior_encodes_what_it_draws() -> None:
    """With sigma all but 0 the latents are the means of the melodies drawn at the style's point."""
    model = build("language model")
    with torch.no_grad():
        model.posterior.bias[LATENT:] = -40
        model.posterior.weight[LATENT:] = 0
    z = model.prior(6, generator(4), style=1)
    point = model.point(torch.ones(6, dtype=torch.long))
    x = model.decode(point, generator(4))
    torch.testing.assert_close(z, model.encode(x)[0].detach(), atol=1e-5, rtol=1e-5)


def test_spread_scales_the_noise_of_the_prior() -> None:
    """From one seed the means are the same, and the distance to them grows with the spread."""
    model = build("language model")
    none, half, whole = (model.prior(6, generator(4), 1, spread=s) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(whole - none, 2 * (half - none))
    assert float((whole - none).abs().min()) > 0


def test_points_differ_by_style_and_shift() -> None:
    model = build("language model")
    style = torch.tensor([0, 1, 0, 0])
    points = model.point(style, torch.tensor([0, 0, 2, -2]))
    assert len({tuple(p.tolist()) for p in points}) == 4
    torch.testing.assert_close(model.point(style)[0], points[0])


def test_styles_are_as_frequent_as_their_shares() -> None:
    model = build("language model")
    drawn = model.draw_styles(10_000, generator())
    assert float((drawn == 0).float().mean()) == pytest.approx(0.75, abs=0.02)
    assert model.draw_styles(4, generator(), 1).tolist() == [1] * 4
    counts = model.draw_styles(10_000, generator(), [1, 3])  # counts will do for shares
    assert float((counts == 1).float().mean()) == pytest.approx(0.75, abs=0.02)
    given = torch.tensor([1, 0, 1])
    assert torch.equal(model.draw_styles(3, generator(), given), given)
    assert build("published").draw_styles(3, generator()).tolist() == [0] * 3
