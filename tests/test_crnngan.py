"""C-RNN-GAN: networks against plain loops, and laws of events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from musegen.models.crnngan import CRNNGAN, CRNNGANConfig, Recurrence, ahead
from musegen.models.crnngan_events import Rulers, choose, marks, ticks_of

EVENTS = CRNNGANConfig(
    steps=6, hidden=12, layers=2, width=10, critic=6, critic_width=5, condition="beats", cues=3
)
NUMBERS = CRNNGANConfig(
    steps=6, head="numbers", hidden=9, critic=6, critic_width=0, decision="probability"
)


def network(config: CRNNGANConfig, seed: int = 0) -> CRNNGAN:
    torch.manual_seed(seed)
    model = CRNNGAN(config)
    for p in model.parameters():
        nn.init.normal_(p, std=0.4)
    return model.eval()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_recurrence_is_an_lstm_of_torch_and_its_steps() -> None:
    """Fused, step by step, and torch's own with the same weights."""
    torch.manual_seed(1)
    ours = Recurrence(5, 7, 2, both=True)
    theirs = nn.LSTM(5, 7, 2, bidirectional=True, batch_first=True)
    for i, place in enumerate(("l0", "l0_reverse", "l1", "l1_reverse")):
        getattr(theirs, f"weight_ih_{place}").data = ours.inputs[i].weight.data
        getattr(theirs, f"weight_hh_{place}").data = ours.states[i].weight.data
        getattr(theirs, f"bias_ih_{place}").data = ours.inputs[i].bias.data
        getattr(theirs, f"bias_hh_{place}").data.zero_()
    x = torch.randn(3, 4, 5)
    assert torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-6)
    one = Recurrence(5, 7, 2)
    out, (h, c) = one(x)
    state = [(s[0], s[1]) for s in zip(*one.begin(3, x), strict=True)]
    for t in range(4):
        y, state = one.step(x[:, t], state)
        assert torch.allclose(y, out[:, t], atol=1e-6)
    assert torch.allclose(state[1][0], h[1], atol=1e-6)
    assert torch.allclose(state[0][1], c[0], atol=1e-6)


def test_exact_recurrence_can_be_differentiated_twice() -> None:
    lstm = Recurrence(3, 4, 1, both=True)
    x = torch.randn(2, 5, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(lstm(x, exact=True)[0].sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert lstm.inputs[0].weight.grad is not None
    assert lstm.inputs[0].weight.grad.abs().sum() > 0


@given(st.integers(0, 2**31), st.integers(2, 9))
def test_choices_follow_the_probabilities_at_even_places(seed: int, n: int) -> None:
    """The inverse of the cumulative distribution: even places give each mark its share."""
    logits = torch.randn(1, n, generator=seeded(seed)).repeat(1000, 1)
    u = (torch.arange(1000) + 0.5) / 1000
    share = choose(logits, u).mean(0)
    assert torch.allclose(share, torch.softmax(logits[0], -1), atol=2e-3)
    assert choose(logits, u, temperature=0.0).argmax(-1).eq(logits[0].argmax()).all()
    narrow = choose(logits, u, top_p=1e-6)
    assert narrow.argmax(-1).eq(logits[0].argmax()).all()


def test_choices_pass_the_gradient_of_probabilities() -> None:
    logits = torch.randn(4, 5, requires_grad=True)
    weight = torch.randn(4, 5)
    hard = choose(logits, torch.rand(4))
    assert torch.allclose(hard.detach().sum(-1), torch.ones(4))
    (got,) = torch.autograd.grad((hard * weight).sum(), logits)
    (want,) = torch.autograd.grad((torch.softmax(logits, -1) * weight).sum(), logits)
    assert torch.allclose(got, want, atol=1e-6)


def test_marks_by_hand() -> None:
    assert marks(((8, 2), (32, 1))).tolist() == [0, 8, 16, 48]
    even = torch.log2(1 + torch.tensor([0.0, 1, 384, 1536])) / 16
    assert ticks_of(even).tolist() == pytest.approx([0, 1, 384, 1536], abs=0.01)


def cells(n: int = 3, t: int = 6, seed: int = 0) -> Tensor:
    """Cells on the marks of rulers, whose last row ends early."""
    rng = np.random.default_rng(seed)
    since, length = rng.choice([0, 96, 192], (n, t)), rng.choice([96, 192, 384], (n, t))
    x = np.stack(
        [
            np.log2(1 + since) / 16,
            np.log2(1 + length) / 16,
            rng.integers(40, 80, (n, t)) / 127,
            4 * rng.integers(5, 30, (n, t)) / 127,
        ],
        -1,
    )
    x[-1, t // 2 :] = 0
    return torch.tensor(x, dtype=torch.float32)


def rulers() -> Rulers:
    return Rulers(EVENTS.times, EVENTS.lengths, EVENTS.pitches, EVENTS.intensities)


def test_rulers_give_back_what_they_measured() -> None:
    x = cells(2, 9)[:1] + torch.rand(1, 9, 4, generator=seeded()) * 0.004
    index, place = rulers()(x)
    for i, column in enumerate((0, 2, 1, 3)):
        hot = torch.nn.functional.one_hot(index[..., i].flatten(), rulers().sizes[i]).float()
        mark, distance = (hot @ rulers().scale(i)).T
        value = mark + distance * place[..., i].flatten()
        assert torch.allclose(value, x[..., column].flatten(), atol=3e-3)
    on_marks = rulers()(cells(2)[:1])[1]
    assert on_marks[..., (0, 1, 3)].abs().max() < 1e-3


@torch.no_grad()
def test_likelihood_is_that_of_a_plain_loop() -> None:
    """Cross-entropies cell after cell, each from a network that saw only what came before."""
    model, x = network(EVENTS), cells()
    told = torch.randn(3, 2, 3)
    loss, parts = model.likelihood(x, model.prior(3, seeded()), told)
    whole = model.likelihood(x[:1], model.prior(1, seeded()), told[:1])[1]["time"]
    head = model.head
    index, _ = head.rulers(x[:1])
    state = [(h, c) for h, c in zip(*model.lstm.begin(1, x), strict=True)]
    heard, onset, total = head.start.expand(1, -1), torch.zeros(1), 0.0
    for t in range(6):
        h, state = model.lstm.step(heard, state)
        beat = min(int(onset) // 384, 1)
        q = nn.functional.gelu(head.trunk[0](h) + head.cue(told[:1, beat]))
        total += float(nn.functional.cross_entropy(head.logits[0](q), index[:, t, 0]))
        onset = onset + ticks_of(x[:1, t, 0]).round()
        heard = head.embedded(index[:, t : t + 1], onset[:, None])[:, 0]
    assert float(whole) == pytest.approx(total / 6, rel=1e-5)
    names = ("time", "pitch", "length", "intensity")
    assert float(loss) >= float(sum(parts[n] for n in names))


@pytest.mark.parametrize("config", [EVENTS, NUMBERS], ids=["events", "numbers"])
def test_music_is_a_function_of_noise_and_goes_on_after_a_start(config: CRNNGANConfig) -> None:
    model = network(config)
    z = model.prior(2, seeded(), 8)
    assert z.shape == (2, 9, 4)
    assert z.min() >= 0
    assert z.max() <= 1
    x = model.decode(z)
    assert x.shape == (2, 8, 4)
    assert torch.equal(x, model.decode(z))
    assert not torch.equal(x, model.decode(model.prior(2, seeded(1), 8)))
    if config.head == "events":
        # What comes after the first five cells depends on them alone.
        later = torch.cat([z[:, :1], z[:, 6:]], 1)
        assert torch.allclose(model.decode(later, start=x[:, :5]), x[:, 5:], atol=1e-3)


def test_the_published_loop() -> None:
    """u and its own previous output, linear and ReLU, LSTMs, linear: against torch's cells."""
    model = network(NUMBERS)
    z = model.prior(2, seeded(), 5)
    cell = [nn.LSTMCell(9, 9), nn.LSTMCell(9, 9)]
    for i, one in enumerate(cell):
        one.weight_ih.data, one.weight_hh.data = (
            model.lstm.inputs[i].weight.data,
            model.lstm.states[i].weight.data,
        )
        one.bias_ih.data = model.lstm.inputs[i].bias.data
        one.bias_hh.data.zero_()
    state = [(torch.zeros(2, 9), torch.zeros(2, 9)) for _ in cell]
    previous, made = z[:, 0], []
    for t in range(1, 6):
        h = torch.relu(model.enter(torch.cat([z[:, t], previous], -1)))
        for i, one in enumerate(cell):
            state[i] = one(h, state[i])
            h = state[i][0]
        previous = model.head(h)
        made.append(previous)
    assert torch.allclose(model.decode(z), torch.stack(made, 1), atol=1e-5)


def test_the_critic_averages_over_cells_that_are() -> None:
    """Zeros behind a sequence change nothing; by hand for both decisions."""
    for config in (EVENTS, NUMBERS):
        model, x = network(config), cells()[2:]
        seen = model.real(x)
        short = model.real(x[:, :3])
        out, here = model.judge.features(short)
        assert here.all()
        each = model.judge.decide(out)[..., 0]
        if config.decision == "score":
            want = each.mean(1)
        else:
            p = torch.sigmoid(each).mean(1)
            want = torch.log(p / (1 - p))
        assert torch.allclose(model.critic(short), want, atol=1e-5)
        assert seen[:, 3:].eq(0).all()
        assert torch.allclose(model.critic(seen)[0], model.critic(seen, exact=True)[0], atol=1e-5)


def test_a_made_sequence_is_seen_as_a_real_one_of_the_same_cells() -> None:
    model = network(EVENTS)
    told = torch.randn(2, 4, 3)
    with torch.no_grad():
        x, seen = model.unroll(model.prior(2, seeded()), told)
    again = model.real(x, told)
    sizes = sum(model.head.rulers.sizes)
    assert torch.allclose(seen[..., :sizes], again[..., :sizes], atol=1e-4)
    assert torch.allclose(seen[..., -3:], again[..., -3:], atol=1e-4)


def test_a_rhythm_is_kept() -> None:
    model = network(replace(EVENTS, condition="rhythm"))
    x = cells(2, 6, 3)[:1]
    made = model.decode(model.prior(1, seeded()), given=x[..., :2])
    assert torch.equal(made[..., :2], x[..., :2])
    other = model.decode(model.prior(1, seeded()), given=x[..., :2].flip(1))
    assert not torch.equal(made[..., 2], other[..., 2])


@torch.no_grad()
def test_notes_that_begin_together_in_a_rhythm_have_other_pitches() -> None:
    model = network(replace(EVENTS, condition="rhythm", pitches=(60, 4)))
    together = torch.tensor([0.5, 0.0, 0.0, 0.0, 0.5, 0.0])
    rhythm = torch.stack([together, torch.full((6,), 0.5)], -1).expand(40, -1, -1)
    for how in ({}, {"temperature": 0.0}, {"top_p": 0.5}):
        x = model.decode(model.prior(40, seeded(), 6), given=rhythm, **how)
        same = (127 * x[..., 2]).round().diff() == 0
        assert not same[:, [0, 1, 2, 4]].any()
    apart = rhythm.clone()
    apart[..., 0] = 0.5
    x = model.decode(model.prior(40, seeded(), 6), given=apart)
    assert ((127 * x[..., 2]).round().diff() == 0).any()


def test_an_event_is_told_its_time_and_length_and_when_the_next_one_comes() -> None:
    rhythm = torch.tensor([[[0.1, 0.5], [0.0, 0.4], [0.3, 0.2], [0.0, 0.0]]])  # the last is none
    told = ahead(rhythm)
    assert torch.equal(told[..., :2], rhythm)
    assert told[0, :3, 2].tolist() == pytest.approx([0.0, 0.3, 1.0])
    later = rhythm.clone()
    later[0, 1, 0] = 0.2  # of the second event: the first hears it coming
    model = network(replace(EVENTS, condition="rhythm"))
    z = model.prior(1, seeded(), 4)
    one, other = (model.decode(z, given=given)[0, 0, 2:] for given in (rhythm, later))
    assert not torch.equal(one, other)


@torch.no_grad()
@pytest.mark.parametrize("told", ["none", "beats", "rhythm"])
def test_weights_of_a_model_that_was_told_something_else(told: str) -> None:
    """Nothing changes at first: what is told has weights of zero, and the critic is new."""
    old, new = network(EVENTS), network(replace(EVENTS, condition=told, cues=5), seed=1)
    judged = new.judge.decide.weight.clone()
    new.adopt(old)
    x = cells(2, 6, 3)
    untold = old.likelihood(x, x)[1]
    parts = new.likelihood(x, x, torch.ones(2, 4, 5) if told == "beats" else None)[1]
    assert parts == {k: pytest.approx(float(untold[k]), rel=1e-5) for k in parts}
    assert torch.equal(new.judge.decide.weight, judged)
    same = network(EVENTS, seed=2)
    same.adopt(old)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), old.parameters(), strict=True))


def test_chords_that_are_told_change_the_music() -> None:
    model = network(EVENTS)
    z = model.prior(1, seeded())
    one, other = (model.decode(z, given=torch.full((1, 4, 3), v)) for v in (0.0, 2.0))
    assert torch.equal(one, model.decode(z))
    assert not torch.equal(one, other)


def test_gradients_reach_the_generator_through_marks_and_time() -> None:
    model = network(EVENTS)
    score = model.critic(model.generate(model.prior(2, seeded()), torch.zeros(2, 4, 3))).sum()
    score.backward()
    silent = [n for n, p in model.head.named_parameters() if p.grad is None]
    assert silent == []
    assert model.lstm.states[0].weight.grad.abs().sum() > 0


@torch.no_grad()
def test_minibatch_discrimination_by_hand() -> None:
    model = network(replace(EVENTS, kernels=2, kernel_size=3))
    seen = model.real(cells(3), None)
    out, here = model.judge.features(seen)
    m = (model.judge.compare(out.sum(1) / here.sum((1, 2))[:, None])).view(3, 2, 3)
    plain = model.judge.decide(out)[..., 0] * here[..., 0]
    want = []
    for i in range(3):
        alike = [
            sum(float(torch.exp(-(m[i, k] - m[j, k]).abs().sum())) for j in range(3) if j != i)
            for k in range(2)
        ]
        more = model.judge.alike(torch.tensor(alike))
        want.append(float(plain[i].sum() / here[i].sum() + more))
    assert model.critic(seen).tolist() == pytest.approx(want, rel=1e-4)


@torch.no_grad()
def test_spectral_norm_bounds_each_matrix_of_the_critic() -> None:
    torch.manual_seed(0)
    model = CRNNGAN(replace(EVENTS, spectral=True)).train()
    for p in model.judge.parameters():
        nn.init.normal_(p, std=2.0)
    for _ in range(30):
        model.critic(model.real(cells()))
    for layer in [*model.judge.lstm.inputs, *model.judge.lstm.states, model.judge.decide]:
        assert float(torch.linalg.matrix_norm(layer.weight, 2)) == pytest.approx(1, abs=0.05)


def test_cells_of_three_tones_need_numbers() -> None:
    with pytest.raises(ValueError, match="4 numbers"):
        CRNNGAN(replace(EVENTS, numbers=10))
    assert CRNNGAN(replace(NUMBERS, numbers=10)).prior(1, seeded()).shape == (1, 7, 10)
