"""MuseGAN: published sizes, who hears whom, what is given stays, every flag trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from musegen.config import from_dict, override, to_dict
from musegen.errors import MusegenError
from musegen.models.musegan import MuseGAN, MuseGANConfig, led
from musegen.models.musegan_critic import CriticConfig
from musegen.objectives import Batch
from musegen.objectives.adversarial import Adversarial
from musegen.optimisation import optimiser
from musegen.presets import PRESETS, Preset, Training, check, preset
from musegen.representations.pianoroll import Pianoroll
from musegen.train import one_step

ROLL = Pianoroll("lpd5", 4, bars=2, low=36, high=59, onsets=True)
TINY = MuseGANConfig(
    bars=2,
    pitches=24,
    latent=16,
    temporal=12,
    hidden=20,
    start=(4, 2, 6),
    reader=24,
    critic=CriticConfig(private=(((6, 4, 12),),), shared=((8, 1, 1),), bar=12, phrase=(12, 2)),
)
LIKE_48 = replace(
    TINY,
    onsets=False,
    composition="composer",
    temporal=0,
    hidden=0,
    start=(1, 1, 16),
    trunk=((12, 4, 2),),
    branches=(((6, 1, 12), (4, 4, 1)), ((6, 4, 1), (4, 1, 12))),
    private=True,
    merge="beside",
    out_norm=True,
    norm="batch",
    place=False,
    output="tanh",
)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(config: MuseGANConfig = TINY, seed: int = 0) -> MuseGAN:
    torch.manual_seed(seed)
    return MuseGAN(config).eval()


def music(config: MuseGANConfig = TINY, n: int = 6, share: float = 0.1) -> torch.Tensor:
    cells = torch.rand(n, config.planes, config.tracks, *config.shape[1:], generator=noise(9))
    return model(config).whole((cells < share).float()).to(torch.uint8)


def count(parameters: object) -> int:
    return sum(p.numel() for p in parameters)  # type: ignore[attr-defined]


def test_sizes_are_the_published_ones() -> None:
    later = model(preset("musegan_48").model)
    assert count(later.generator_parameters()) == 2_578_127
    assert count(later.critic_parameters()) == 1_362_065  # with private streams that are private
    refined = model(preset("musegan_48_binary").model)
    assert count(refined.refiner.parameters()) == 5 * 9606  # 76,848 for eight tracks
    first = model(preset("musegan_96_hybrid").model)
    assert count(first.bar.parameters()) == 5 * 1_228_481
    assert count(first.temporal.parameters()) == 167_008


BANDS = [name for name in PRESETS if isinstance(preset(name).model, MuseGANConfig)]


@pytest.mark.parametrize("name", BANDS)
def test_presets_hold_their_rules_and_survive_json(name: str) -> None:
    one = preset(name)
    check(one)
    assert from_dict(MuseGANConfig, to_dict(one.model)) == one.model


@pytest.mark.parametrize("name", ["musegan_48", "musegan_96_composer", "band"])
def test_presets_make_rolls_of_their_representation(name: str) -> None:
    one = preset(name)
    net = model(one.model)
    x = net.decode(net.prior(1, noise()), noise())
    assert x.shape == (1, *one.representation.shape)
    assert net.critic(x.float()).shape == (1,)


@pytest.mark.parametrize(
    "change",
    [
        "model.beat=6",
        "model.onsets=false",
        "model.given=piano",
        "model.tracks=4",
        "model.density=[0.1,0.2]",
        "model.reader=0",
        "objective.recall=0.0",
        "objective.strangers=2",
        "model.apart=1.5",
        "model.memory=0",
        "representation.velocities=true",
    ],
)
def test_settings_that_cannot_be_are_refused(change: str) -> None:
    with pytest.raises(MusegenError, match="cannot train: "):
        check(override(preset("band"), [change]))


def test_still_latents_are_the_same_in_all_bars() -> None:
    net = model()
    z = net.prior(3, noise())
    seen = net.latents(z)
    still = TINY.parts[0] + TINY.parts[1]
    assert torch.equal(seen[:, :, 0, :still], seen[:, :, 1, :still])
    assert not torch.allclose(seen[:, :, 0, still:], seen[:, :, 1, still:])


def test_moving_latents_do_not_touch_the_still_ones() -> None:
    net = model()
    z, other = net.prior(3, noise()), net.prior(3, noise(1))
    mixed = torch.where(net.moving(), other, z)
    still = TINY.parts[0] + TINY.parts[1]
    assert torch.equal(net.latents(mixed)[..., :still], net.latents(z)[..., :still])


@pytest.mark.parametrize("composition", ["jamming", "hybrid", "composer"])
def test_who_hears_whom(composition: str) -> None:
    """A track's own latents change that track alone; shared ones change all."""
    config = replace(TINY, composition=composition)
    net = model(config)
    shared, own, shared_moving, _ = config.parts
    z = net.prior(2, noise())
    with torch.no_grad():
        before = net.logits(z)
    changed = z.clone()
    changed[:, shared + own : shared + 2 * own] += 1  # the second track's
    touched = (net.logits(changed) != before).flatten(3).any(-1).any(1).any(0)
    assert touched.tolist() == ([False] * 5 if not own else [k == 1 for k in range(5)])
    changed = z.clone()
    changed[:, :shared] += 1
    touched = (net.logits(changed) != before).flatten(3).any(-1).any(1).any(0)
    assert touched.tolist() == [shared > 0] * 5
    assert (shared_moving > 0) == (composition != "jamming")


def test_the_generator_starts_at_the_density_it_is_told() -> None:
    density = tuple(np.linspace(0.01, 0.2, 10).tolist())
    net = model(replace(TINY, density=density, output="sigmoid"))
    share = torch.sigmoid(net.bar.haste * net.bar.bias).mean((3, 4)).flatten()
    torch.testing.assert_close(share, torch.tensor(density))


def test_hard_neurons_start_at_the_density_of_music() -> None:
    config = preset("band").model
    net = model(config)
    x = net.decode(net.prior(24, noise()), noise()).float().unflatten(1, (2, 5))
    struck = x[:, 1].mean((0, 2, 3))
    wanted = torch.tensor(config.density[5:])
    assert ((struck > wanted / 3) & (struck < wanted * 3)).all()


def test_what_is_struck_sounds_and_drums_have_no_length() -> None:
    x = music().unflatten(1, (2, 5)).bool()
    assert (x[:, 0] | ~x[:, 1]).all()
    assert torch.equal(x[:, 0, 0], x[:, 1, 0])
    assert (x[:, 0, 1:] & ~x[:, 1, 1:]).any()


def test_repeated_notes_survive() -> None:
    cells = torch.zeros(1, 2, 5, 32, 24)
    cells[0, 0, 3, :8, 5] = 1
    cells[0, 1, 3, [0, 2, 4], 5] = 1
    roll = model().whole(cells)[0].numpy()
    notes = ROLL.decode_steps(roll)
    assert notes[:, :2].tolist() == [[0, 2], [2, 2], [4, 4]]


def test_what_was_never_struck_is_no_note() -> None:
    x = torch.zeros(1, 2, 7, 1, dtype=torch.uint8)
    x[0, 0, :, 0] = torch.tensor([1, 1, 1, 0, 1, 1, 1])
    x[0, 1, [1, 6], 0] = 1  # struck late, and after a rest very late
    assert led(x)[0, 0, :, 0].tolist() == [0, 1, 1, 0, 0, 0, 1]
    assert torch.equal(led(x)[:, 1], x[:, 1])


@pytest.mark.parametrize("given", ["any", "some", "one", "3"])
def test_given_tracks_are_kept_note_for_note(given: str) -> None:
    net, x = model(replace(TINY, given=given)), music()
    asked = [net.ask(x, noise(i)) for i in range(8)]
    assert any(a is None for a in asked) == (given == "some")
    for a in asked:
        if a is None:
            continue
        known = a >= 0
        per_track = known.unflatten(1, (2, 5)).flatten(3)
        assert (per_track.all(-1) == per_track.any(-1)).all()
        assert torch.equal(per_track[:, 0].any(-1), per_track[:, 1].any(-1))
        many = per_track[:, 0].any(-1).sum(1)
        assert ((many >= 1) & (many <= (1 if given in ("one", "3") else 4))).all()
        made = net.decode(net.prior(len(x), noise()), noise(), a)
        assert torch.equal(made[known], x[known])


def test_what_is_given_changes_the_other_tracks() -> None:
    net, x = model(replace(TINY, given="0")), music()
    z, given = net.prior(6, noise()), net.ask(x, noise())
    assert given is not None
    alone, told = net.logits(z), net.logits(z, given)
    assert not torch.allclose(alone[:, :, 1:], told[:, :, 1:])
    elsewhere = given.clone()
    elsewhere[:, 0, -1] = 1 - elsewhere[:, 0, -1]
    # The last bar is told of in the first, too.
    assert not torch.allclose(net.logits(z, elsewhere)[:, :, 1:, :16], told[:, :, 1:, :16])


def test_threshold_temperature_and_seed() -> None:
    net = model(replace(TINY, density=(0.3,)))
    z = net.prior(4, noise())
    few, many = (net.decode(z, noise(), threshold=t).sum() for t in (0.7, 0.1))
    assert few < many
    silent = torch.tensor([0.5, 1.0, 0.5, 0.5, 0.5])
    assert not net.decode(z, noise(), threshold=silent).unflatten(1, (2, 5))[:, :, 1].any()
    drawn = [net.decode(z, noise(s), temperature=1.0) for s in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(net.decode(z, noise(1)), net.decode(z, noise(2)))


def test_latents_are_drawn_where_they_are_read() -> None:
    net, x = model(replace(TINY, memory=400)).train(), music(n=64)
    with torch.no_grad():
        net.reader.score.bias[0, 0, 3] = 2.5
        for i in range(60):
            net.recall(x[i % 2 :: 2], None, noise(i))
        mean, std = net.read(x)
    expected = (mean.var(0) + std.square().mean(0)).sqrt()
    for apart in (0.0, 0.6, 1.0):  # all have the mean and the spread of what was read
        net.config = replace(net.config, apart=apart)
        drawn = net.prior(4000, noise())
        torch.testing.assert_close(drawn.mean(0), mean.mean(0), atol=0.2, rtol=0)
        assert float((drawn.std(0) / expected - 1).abs().mean()) < 0.15
        far = (drawn[:50, None] - net.memory).norm(dim=2)
        nearest = far.min(1).values.mean()
        assert (nearest < 1e-3) == (apart == 0)
    before = net.memory.clone()
    net.eval().recall(x, None, noise())
    assert torch.equal(net.memory, before)


def test_truncated_latents_stay_within_and_keep_their_shape() -> None:
    z = model(replace(TINY, reader=0, truncate=2.0, spread=0.5)).prior(400, noise())
    assert float(z.abs().max()) <= 1.0
    assert abs(float(z.std()) - 0.5 * 0.8796) < 0.005  # of a normal distribution cut at 2


def test_private_critics_hear_their_own_track() -> None:
    """Jamming's score is a sum over tracks, so no two tracks act on each other's part of it."""
    separate = replace(TINY, critic=replace(TINY.critic, separate=True))
    for config, together in ((separate, False), (TINY, True)):
        net, x = model(config), music().float()
        a, b, both = x.clone(), x.clone(), x.clone()
        a[:, 1] = 0
        b[:, 3] = 0
        both[:, [1, 3]] = 0
        crossed = net.critic(x) - net.critic(a) - net.critic(b) + net.critic(both)
        assert (float(crossed.detach().abs().max()) > 1e-5) == together


def test_the_phrase_critic_looks_across_bars() -> None:
    x = music().float()
    other = x.unflatten(2, (2, 16)).flip(2).flatten(2, 3)
    across = model()
    alone = model(replace(TINY, critic=replace(TINY.critic, phrase=())))
    assert not torch.allclose(across.critic(x), across.critic(other))
    torch.testing.assert_close(alone.critic(x), alone.critic(other))


def test_chroma_is_octave_equivalent() -> None:
    streams = replace(TINY.critic, private=(((6, 4, 12),),), onsets=())
    net = model(replace(TINY, critic=streams)).judge
    with torch.no_grad():
        net.shared[0].linear.weight.zero_()  # only the chroma stream is left
    x = torch.zeros(1, 2, 5, 32, 24)
    x[0, 0, 2, 3, 4] = 1
    octave, fifth = x.roll(12, -1), x.roll(7, -1)
    torch.testing.assert_close(net(x), net(octave))
    assert not torch.allclose(net(x), net(fifth))


def test_the_critic_is_shown_both_alike() -> None:
    net = model(replace(TINY, critic=replace(TINY.critic, shift=3, drop=0.5)))
    x = music().float().requires_grad_()
    shown = net.augment(x, noise(3))
    assert torch.equal(shown, net.augment(x, noise(3)))
    track = shown.unflatten(1, (2, 5))
    gone = (track == 0).flatten(3).all(-1).all(1)
    assert gone.any()
    assert not gone.all()
    drums = track[:, :, 0].flatten(1).any(1)
    assert torch.equal(track[drums][:, :, 0], x.unflatten(1, (2, 5))[drums][:, :, 0])
    shown.sum().backward()
    assert x.grad is not None
    assert set(x.grad.unique().tolist()) == {0.0, 1.0}


def test_slopes_are_annealed() -> None:
    net = model(replace(TINY, slope=(1.0, 5.0, 10, 20)))
    slopes = []
    for step in (0, 10, 15, 20, 99):
        net.at(step)
        slopes.append(net.slope)
    assert slopes == [1.0, 1.0, 3.0, 5.0, 5.0]


def test_two_stages_train_the_refiner_alone() -> None:
    net = model(replace(TINY, refine="frozen"))
    assert set(net.generator_parameters()) == set(net.refiner.parameters())
    everything = set(net.parameters())
    joint = model(replace(TINY, refine="joint"))
    assert len(set(joint.generator_parameters())) + len(set(joint.critic_parameters())) == len(
        everything
    )


def trained(config: MuseGANConfig, objective: Adversarial, steps: int) -> list[dict[str, float]]:
    net = model(config).train()
    training = Training(9, 6, lr=2e-3, schedule="constant", betas=(0.5, 0.9), clip=0.0)
    phases = objective.phases(net)
    optimisers = [optimiser(phase, training, "cpu") for phase in phases]
    still = torch.zeros(6, dtype=torch.long)
    batch = Batch(music(config), still, still)
    return [one_step(phases, optimisers, batch, training, 0, i) for i in range(steps)]


PENALTY = Adversarial(n_critic=1, weight=5.0)
FLAGS = {
    "jamming": (replace(TINY, composition="jamming"), PENALTY),
    "composer": (replace(TINY, composition="composer"), PENALTY),
    "later code": (LIKE_48, PENALTY),
    "given": (replace(LIKE_48, given="1"), PENALTY),
    "any": (replace(TINY, given="any"), PENALTY),
    "sigmoid": (replace(TINY, output="sigmoid"), PENALTY),
    "stochastic": (replace(TINY, output="stochastic", slope=(1.0, 5.0, 0, 2)), PENALTY),
    "joint": (replace(TINY, refine="joint", refiner=4), PENALTY),
    "two stages": (replace(TINY, refine="frozen", refiner=4), PENALTY),
    "no normalisation": (replace(TINY, norm="none"), PENALTY),
    "rectified": (replace(TINY, rectified=True, norm="batch"), PENALTY),
    "no place": (replace(TINY, place=False), PENALTY),
    "no streams": (replace(TINY, critic=replace(TINY.critic, chroma=(), onsets=())), PENALTY),
    "shared only": (replace(TINY, critic=replace(TINY.critic, own=False)), PENALTY),
    "separate": (replace(TINY, critic=replace(TINY.critic, separate=True)), PENALTY),
    "bars alone": (replace(TINY, critic=replace(TINY.critic, phrase=())), PENALTY),
    "r1": (TINY, Adversarial("non-saturating", "r1", n_critic=1, interval=2)),
    "strangers": (
        replace(TINY, given="any", harmony=6, home=True),
        replace(PENALTY, strangers=0.5),
    ),
    "recall": (TINY, Adversarial("hinge", "r1", n_critic=1, recall=0.01)),
}


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_trains_both_networks(flag: str) -> None:
    config, objective = FLAGS[flag]
    rows = trained(config, objective, 3)
    assert all(np.isfinite(v) for row in rows for v in row.values())
    assert {"critic loss", "generator loss"} <= set(rows[0])
    assert len({row["critic loss"] for row in rows}) == 3
    assert len({row["generator loss"] for row in rows}) == 3
    assert trained(config, objective, 2) == rows[:2]


def test_a_generator_learns_to_make_music_again_before_there_is_a_critic() -> None:
    objective = Adversarial("non-saturating", "r1", n_critic=1, warm=60, recall=0.01)
    rows = trained(replace(TINY, given="some"), objective, 62)
    assert "critic loss" not in rows[59]
    assert "critic loss" in rows[60]
    assert rows[59]["generator nats"] < 0.7 * rows[0]["generator nats"]


def test_a_critic_learns_to_tell() -> None:
    rows = trained(TINY, Adversarial("wasserstein", "gradient-penalty", weight=1.0), 40)
    gaps = [row["critic real"] - row["critic fake"] for row in rows]
    assert np.mean(gaps[-5:]) > np.mean(gaps[:5]) + 0.5


def test_a_preset_names_what_it_trains_on() -> None:
    one = Preset("tiny", TINY, ROLL, PENALTY, Training(3, 6))
    check(one)
