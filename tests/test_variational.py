"""The loss of MusicVAE against closed forms and torch.distributions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from test_musicvae import BATCH, CONFIGS, STEPS, build, generator, symbols
from torch.distributions import Normal, kl_divergence

from musegen.models.musicvae import MusicVAE
from musegen.objectives import Batch
from musegen.objectives.variational import ELBO, cross_entropy, gaussian_kl, inverse_sigmoid, mixed


def batch(seed: int = 1) -> Batch:
    style = torch.arange(BATCH) % 2
    return Batch(symbols(seed), style, torch.arange(BATCH) % 5 - 2)


def losses(
    elbo: ELBO, model: MusicVAE, step: int = 10**9, of: Batch | None = None
) -> dict[str, float]:
    found = elbo.loss(model, of or batch(), step, generator(4))
    return {k: float(v.detach()) for k, v in found.items()}


def test_kl_is_that_of_torch() -> None:
    mean, std = torch.randn(7, 9, generator=generator()), torch.rand(7, 9, generator=generator())
    expected = kl_divergence(Normal(mean, std + 0.1), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(gaussian_kl(mean, std + 0.1), expected)
    assert not gaussian_kl(torch.zeros(2, 3), torch.ones(2, 3)).any()


@pytest.mark.parametrize(
    ("step", "rate", "expected"),
    [
        (0, 1000, 1 - 1000 / 1001),
        (1000, 1000, 1 - 1000 / (1000 + math.e)),
        (round(1000 * math.log(1000)), 1000, 0.5),
        (10, 5, 1 - 5 / (5 + math.exp(2))),
        (10**9, 1000, 1.0),
    ],
)
def test_inverse_sigmoid_at_known_points(step: int, rate: float, expected: float) -> None:
    assert inverse_sigmoid(step, rate) == pytest.approx(expected, abs=1e-4)


def test_inverse_sigmoid_rises() -> None:
    points = [inverse_sigmoid(s, 1000) for s in range(0, 30_000, 500)]
    assert points == sorted(points)


@pytest.mark.parametrize("name", CONFIGS)
def test_terms_are_those_of_the_distributions(name: str) -> None:
    model, b = build(name), batch()
    found = losses(ELBO(beta=0.7, beta_rate=0.0), model)
    mean, std = model.encode(b.x)
    z = mean + std * torch.randn(mean.shape, generator=generator(4))
    log_p = torch.log_softmax(model(z, b.x)[0], -1)
    ce = -log_p.gather(-1, b.x[..., None]).sum() / BATCH
    kl = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum(-1).mean()
    ce, kl = ce.detach(), kl.detach()
    assert found["ce"] == pytest.approx(float(ce), rel=1e-5)
    assert found["kl"] == pytest.approx(float(kl), rel=1e-5)
    assert found["loss"] == pytest.approx(float(ce + 0.7 * kl), rel=1e-5)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.9), (1, 0.9), (7, 0.9), (500, 0.999), (3, 0.0)])
def test_beta_is_annealed(step: int, rate: float) -> None:
    found = losses(ELBO(beta=0.5, beta_rate=rate), build("published"), step)
    beta = (1 - rate**step) * 0.5
    assert found["loss"] - found["ce"] == pytest.approx(beta * found["kl"], rel=1e-4, abs=1e-5)


def test_free_bits_are_one_budget_for_the_sequence() -> None:
    model = build("published")
    kl = losses(ELBO(beta_rate=0.0), model)["kl"]
    for bits, cost in ((1.0, kl - math.log(2)), (kl / math.log(2) + 1, 0.0)):
        found = losses(ELBO(beta=1.0, beta_rate=0.0, free_bits=bits), model)
        assert found["loss"] - found["ce"] == pytest.approx(cost, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_scheduled_sampling_at_chance_0_equals_teacher_forcing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(name)
    monkeypatch.setattr("musegen.objectives.variational.inverse_sigmoid", lambda step, rate: 0.0)
    found = losses(ELBO(sampling_rate=1000), model)
    assert found == pytest.approx(losses(ELBO(), model), rel=1e-5)


def test_input_dropout_hides_previous_symbols_only() -> None:
    """With all symbols hidden the loss is that of a decoder that sees z alone."""
    model, b = build("views").requires_grad_(False), batch()
    found = losses(ELBO(input_dropout=1.0), model)
    mean, std = model.encode(b.x)
    z = mean + std * torch.randn(mean.shape, generator=generator(4))
    logits = model(z, b.x, torch.ones(b.x.shape, dtype=torch.bool))[0]
    ce = torch.nn.functional.cross_entropy(logits.flatten(0, 1), b.x.flatten(), reduction="sum")
    assert found["ce"] == pytest.approx(float(ce) / BATCH, rel=1e-5)
    assert found["ce"] != pytest.approx(losses(ELBO(), model)["ce"], rel=1e-4)


def test_language_model_rows_see_nothing_of_the_encoder() -> None:
    """ "alone" is the loss at the points of style and shift, whatever the encoder says."""
    model, b = build("language model").requires_grad_(False), batch()
    elbo = ELBO(unconditional=0.4, input_dropout=0.5)
    found = losses(elbo, model)
    first = slice(0, 2)  # 0.4 of 5 rows
    logits = model(model.point(b.style[first], b.shift[first]), b.x[first])[0]
    ce = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), b.x[first].flatten(), reduction="sum"
    )
    assert found["alone"] == pytest.approx(float(ce) / 2, rel=1e-5)
    with torch.no_grad():
        model.posterior.bias += 3.0
    changed = losses(elbo, model)
    assert changed["alone"] == pytest.approx(found["alone"], rel=1e-6)
    assert changed["ce"] != pytest.approx(found["ce"], rel=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("sampling_rate", [0.0, 5.0])
def test_gradients_reach_every_trained_parameter(name: str, sampling_rate: float) -> None:
    model = build(name)
    model.zero_grad()
    alone = 0.6 if model.config.unconditional else 0.0
    elbo = ELBO(beta_rate=0.0, sampling_rate=sampling_rate, unconditional=alone)
    (phase,) = elbo.phases(model)
    trained = {id(p) for p in phase.parameters}
    assert trained == {id(p) for p in model.parameters() if p.requires_grad}
    phase.loss(batch(), 20, generator())["loss"].backward()
    for key, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, key
            assert p.grad.abs().sum() > 0, key
        else:
            assert p.grad is None, key


def test_held_out_figures() -> None:
    model, b = build("language model").eval().requires_grad_(False), batch()
    elbo = ELBO(beta=0.3, unconditional=0.4)
    with torch.no_grad():
        found = {k: float(v) for k, v in elbo.held_out(model, b, generator(4)).items()}
        still = replace(elbo, unconditional=0.0).held_out(model, b, generator(4))
    assert set(found) == {"loss", "ce", "kl", "teacher", "sampled", "sampled_mean", "alone"}
    assert all(0 <= found[k] <= 1 for k in ("teacher", "sampled", "sampled_mean"))
    assert found["loss"] == pytest.approx(
        found["ce"] + 0.3 * found["kl"] + 0.4 * found["alone"], rel=1e-5
    )
    assert float(still["loss"]) == pytest.approx(found["ce"] + 0.3 * found["kl"], rel=1e-5)
    assert found["alone"] > 0
    mean, std = model.encode(b.x)
    z = mean + std * torch.randn(mean.shape, generator=generator(4))
    right = (model(z, b.x)[0].argmax(-1) == b.x).float().mean()
    assert found["teacher"] == pytest.approx(float(right))


def test_a_decoder_that_knows_the_answer_is_always_right() -> None:
    """A symbol that is all but certain: every accuracy is 1."""
    model = build("views").eval().requires_grad_(False)
    x = torch.full((BATCH, STEPS), 3)
    with torch.no_grad():
        model.voices[0].logits.bias[3] = 100.0
    found = ELBO().held_out(model, Batch(x, x[:, 0] * 0, x[:, 0] * 0), generator())
    assert [float(found[k]) for k in ("teacher", "sampled", "sampled_mean")] == [1.0] * 3
    assert float(found["ce"]) == pytest.approx(0.0, abs=1e-4)


# Mixed windows


def mixed_once(x: torch.Tensor, vocab: tuple[int, ...], share: float = 1.0) -> torch.Tensor:
    return mixed(x, vocab, share, 0.25, generator(1))


def test_drums_are_mixed_by_class_and_turned_by_beats() -> None:
    x = torch.randint(512, (8, 32), generator=generator(3))
    made = mixed_once(x, (512,))
    assert torch.equal(made[:2], x[:2])  # the language model's part
    for row in made[2:]:
        for bit in range(9):
            line = (row >> bit) & 1
            turned = [torch.roll((y >> bit) & 1, 4 * k) for y in x for k in range(8)]
            assert any(torch.equal(line, t) for t in turned)
    assert torch.equal(mixed_once(x, (512,), 0.0), x)


def test_of_a_trio_the_drums_alone_are_mixed() -> None:
    x = torch.randint(90, (8, 3, 16), generator=generator(3))
    made = mixed_once(x, (90, 90, 512))
    assert torch.equal(made[:, :2], x[:, :2])
    assert torch.equal(made[:2], x[:2])
    assert not torch.equal(made[2:, 2], x[2:, 2])


def test_cross_entropy_sums_over_voices_and_steps() -> None:
    logits = [torch.zeros(2, 5, 4), torch.zeros(2, 5, 8)]
    x = torch.zeros(2, 2, 5, dtype=torch.long)
    expected = 5 * (math.log(4) + math.log(8))
    assert cross_entropy(logits, x).tolist() == pytest.approx([expected] * 2)
