"""The training of C-RNN-GAN: pretraining, the game, who rests; and runs on real music."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import tiny
import torch

from musegen import pretrained, runs
from musegen.dataset import load
from musegen.errors import MusegenError
from musegen.fitting import fitted
from musegen.models.crnngan import CRNNGAN, CRNNGANConfig
from musegen.objectives import Batch
from musegen.objectives.recurrent import Recurrent
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.presets import PRESETS, Preset, Training, check
from musegen.representations.tuples import Tuples
from musegen.train import train

TUPLES = Tuples(12, bars=2)
MODEL = CRNNGANConfig(
    steps=12, hidden=16, layers=1, width=12, critic=8, critic_width=6, condition="beats"
)
TINY = Preset(
    "tiny",
    MODEL,
    TUPLES,
    Recurrent(loss="hinge", pretrain=6, growth=2, likelihood=0.5, matching="means", unguided=0.5),
    Training(10, 8, lr=5e-3, schedule="constant", transpose=2, chords=True),
)


@cache
def folder() -> Path:
    settings = Settings("performance", 2, chords=True)
    prepare([tiny.SAMPLES], tiny.FOLDER / "played", settings, held_out=(0.25, 0.25), workers=0)
    return tiny.FOLDER / "played"


def run(preset: Preset, out: Path) -> list[torch.Tensor]:
    data = [load(folder(), part, preset.representation) for part in ("train", "valid")]
    model = train(preset, *data, out, device="cpu", every=3, watch=lambda _, step: {"at": step})
    return [v.clone() for v in model.state_dict().values()]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 4) -> Batch:
    data = load(folder(), "train", TUPLES)
    x, style, shift = (torch.from_numpy(a) for a in data.batch(0, n, 0))
    index, _ = data.draw(0, n, 0)
    return Batch(x, style, shift, torch.from_numpy(data.chord_symbols(index)))


def test_a_run_stopped_and_begun_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = run(TINY, tmp_path / "a")
    short = replace(TINY, training=replace(TINY.training, steps=6))
    run(short, tmp_path / "b")
    text = (tmp_path / "b" / "config.json").read_text()
    (tmp_path / "b" / "config.json").write_text(text.replace('"steps": 6', '"steps": 10', 1))
    assert all(map(torch.equal, whole, run(TINY, tmp_path / "b")))
    logs = [
        [(row["step"], row["made"], row["held_out"]) for row in runs.read_log(tmp_path / name)]
        for name in "ab"
    ]
    assert logs[0] == logs[1]
    assert [made for _, made, _ in logs[0]] == [{"at": step} for step in (3, 6, 9, 10)]


def test_telling_the_next_cell_is_learnt(tmp_path: Path) -> None:
    objective = Recurrent(pretrain=60)
    preset = replace(TINY, objective=objective, training=replace(TINY.training, steps=60, lr=0.02))
    torch.manual_seed(0)
    before = CRNNGAN(MODEL)
    after = CRNNGAN(MODEL)
    after.load_state_dict(
        dict(zip(before.state_dict(), run(preset, tmp_path / "run"), strict=True))
    )
    with torch.no_grad():
        losses = [
            float(objective.held_out(m, batch(16), seeded())["told"]) for m in (before, after)
        ]
    assert losses[1] < 0.75 * losses[0]


@pytest.mark.parametrize("name", ["crnngan", "crnngan_plain", "crnngan_3", "crnngan_baseline"])
def test_published_presets_train(name: str, tmp_path: Path) -> None:
    """At the paper's sizes cut down, through pretraining and the game."""
    preset = PRESETS[name]()
    check(preset)
    assert isinstance(preset.model, CRNNGANConfig)
    assert isinstance(preset.objective, Recurrent)
    assert isinstance(preset.representation, Tuples)
    small = replace(
        preset,
        model=replace(preset.model, hidden=10, critic=6, steps=12),
        representation=replace(preset.representation, cells=12, bars=2),
        objective=replace(preset.objective, pretrain=min(preset.objective.pretrain, 3)),
        training=replace(preset.training, steps=6),
    )
    run(small, tmp_path / name)


@pytest.mark.parametrize("name", ["performance", "performance_game", "performance_rhythm"])
def test_presets_fit_together(name: str) -> None:
    check(PRESETS[name]())


def test_sequences_may_be_longer_than_those_of_the_weights_begun_with(tmp_path: Path) -> None:
    path = pretrained.save(tmp_path / "short", CRNNGAN(MODEL), TUPLES, tiny.INFO)
    short, data = pretrained.load(path), load(folder(), "train", TUPLES)
    longer = replace(TINY, model=replace(MODEL, steps=24))
    assert fitted(longer, data, short).model.steps == 24
    wider = replace(TINY, model=replace(MODEL, hidden=17))
    with pytest.raises(MusegenError, match="its hidden is 16, the preset's 17"):
        fitted(wider, data, short)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(MusegenError, match=r"training\.chords"):
        check(replace(TINY, training=replace(TINY.training, chords=False)))
    with pytest.raises(MusegenError, match=r"model\.steps must be 12"):
        check(replace(TINY, model=replace(MODEL, steps=13)))
    with pytest.raises(MusegenError, match="at least"):
        Recurrent(n_critic=0).phases(CRNNGAN(MODEL))


def test_sequences_of_pretraining_get_four_cells_longer() -> None:
    curriculum = Recurrent(growth=10)
    assert [curriculum.cells(s, 14) for s in (0, 9, 10, 25, 900)] == [4, 4, 8, 12, 14]
    assert Recurrent().cells(0, 14) == 14


def test_the_critic_waits_for_the_end_of_pretraining() -> None:
    critic, generator = Recurrent(pretrain=3, n_critic=2).phases(CRNNGAN(MODEL))
    assert [critic.due(s) for s in range(6)] == [False] * 3 + [True] * 3
    assert [generator.due(s) for s in range(7)] == [True] * 3 + [False, True, False, True]


def test_who_wins_rests_until_the_other_has_caught_up() -> None:
    model, objective = CRNNGAN(MODEL), Recurrent(freeze=0.7)
    critic, generator = objective.phases(model)
    for losses, due in (((1.0, 1.0), (1, 1)), ((0.5, 1.0), (0, 1)), ((1.0, 0.6), (1, 0))):
        model.last.copy_(torch.tensor(losses))
        assert (critic.due(9), generator.due(9)) == tuple(map(bool, due))
    critic.loss(batch(), 0, seeded())
    assert model.last[0] != 1
    assert "last" in model.state_dict()


@torch.no_grad()
def test_a_critic_of_no_opinion_loses_two_log_two() -> None:
    model, objective = CRNNGAN(MODEL), Recurrent()
    with torch.no_grad():
        model.judge.decide.weight.zero_()
        model.judge.decide.bias.zero_()
    critic, generator = objective.phases(model)
    assert float(critic.loss(batch(), 0, seeded())["loss"]) == pytest.approx(1.3863, abs=1e-3)
    assert float(generator.loss(batch(), 0, seeded())["loss"]) == pytest.approx(0.6931, abs=1e-3)


def test_the_generator_gives_the_critic_no_gradients_and_the_other_way_round() -> None:
    model = CRNNGAN(MODEL)
    objective = Recurrent(regulariser="gradient-penalty", matching="pairs", l2=1e-3, likelihood=1)
    for phase, other in zip(objective.phases(model), ("generator", "critic"), strict=True):
        model.zero_grad()
        losses = phase.loss(batch(), 0, seeded())
        losses["loss"].backward()
        for p in getattr(model, f"{other}_parameters")():
            assert p.grad is None or (objective.l2 == 0 and p.grad.eq(0).all())
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in phase.parameters)


@pytest.mark.parametrize("kind", ["pairs", "means"])
def test_feature_matching_by_hand(kind: str) -> None:
    """The generator's loss is the distance of features, and the game none of it at weight 0."""
    torch.manual_seed(0)
    model = CRNNGAN(MODEL)
    objective = Recurrent(matching=kind, matching_weight=2, adversarial=0)
    generator = objective.phases(model)[1]
    found = generator.loss(batch(), 0, seeded())
    shown = objective._shown(model, batch(), seeded())
    with torch.no_grad():
        fake = model.unroll(shown.z, shown.given)[1] * shown.here
        real, made = (model.judge.features(seen)[0] for seen in (shown.seen, fake))
        apart = real.mean(0) - made.mean(0) if kind == "means" else real - made
        assert float(found["loss"]) == pytest.approx(2 * float(apart.square().mean()), rel=1e-5)
        scores = model.critic(fake)
        assert float(found["game"]) == pytest.approx(-float(log(scores)), rel=1e-5)
        assert float(objective._matched(real, real)) == 0


def log(scores: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(scores).log().mean()


def test_both_players_meet_what_was_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One recurrence a part serves both, and gives the gradients of two."""
    torch.manual_seed(0)
    model, unrolled = CRNNGAN(MODEL), []
    unroll = CRNNGAN.unroll

    def counted(self: CRNNGAN, *args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        unrolled.append(torch.is_grad_enabled())
        return unroll(self, *args)

    monkeypatch.setattr(CRNNGAN, "unroll", counted)
    critic, generator = Recurrent(likelihood=1, n_critic=2, unguided=0.5).phases(model)

    def gradients(step: int, seed: int) -> list[torch.Tensor]:
        model.zero_grad()
        generator.loss(batch(), step, seeded(seed))["loss"].backward()
        return [p.grad.clone() for p in generator.parameters if p.grad is not None]

    alone = [gradients(1, seed) for seed in (5, 6)]
    assert unrolled == [True, True]
    critic.loss(batch(), 0, seeded(4))  # the generator is not due, so nothing is kept
    for seed in (5, 6):  # two parts of a batch
        critic.loss(batch(), 1, seeded(seed))
    together = [gradients(1, seed) for seed in (5, 6)]
    assert unrolled == [True, True, False, True, True]
    for one, other in zip(alone, together, strict=True):
        assert all(map(torch.equal, one, other))
    assert all(map(torch.equal, alone[0], gradients(1, 5)))  # taken once
    assert len(unrolled) == 6


def test_a_share_of_sequences_is_told_nothing() -> None:
    told = Batch(torch.zeros(1000, 1), torch.zeros(1), torch.zeros(1), torch.ones(1000, 2, 3))
    given = Recurrent(unguided=0.25)._given(told, seeded())
    assert given is not None
    assert given.flatten(1).mean(1).mean().item() == pytest.approx(0.75, abs=0.05)
    assert set(given.flatten(1).mean(1).tolist()) == {0.0, 1.0}


@torch.no_grad()
def test_the_longest_distance_is_that_of_other_music() -> None:
    """Held-out figures tell real sequences from an untrained network's."""
    found = Recurrent(chosen="distance").held_out(CRNNGAN(MODEL), batch(16), seeded())
    assert float(found["loss"]) == float(found["distance"]) > 0.1
