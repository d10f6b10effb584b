"""The loop: it learns, goes on bit for bit where it was stopped, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from musegen import train as loop
from musegen.config import override
from musegen.dataset import Windows
from musegen.errors import InputError, MusegenError
from musegen.models.musicvae import MusicVAE
from musegen.objectives import Batch
from musegen.optimisation import learning_rate, noise, optimiser
from musegen.presets import Preset, Training
from musegen.train import Progress, Stopped, train


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums of floats depend on the number of threads; runs are compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(out: Path, preset: Preset = tiny.PRESET, **options: Any) -> MusicVAE:
    options = {"seed": 3, "every": 4, "device": "cpu"} | options
    return train(preset, tiny.windows("train"), tiny.windows("valid"), out, **options)


def rows(out: Path) -> list[dict[str, Any]]:
    """The log without its times."""
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "time"} for row in found]


def assert_same_run(a: Path, b: Path) -> None:
    assert rows(a) == rows(b)
    old, new = (torch.load(p / "checkpoint.pt", weights_only=True) for p in (a, b))
    assert_same(old, new)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps that nobody stopped."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


def test_the_loss_of_one_batch_falls() -> None:
    torch.manual_seed(0)
    model = MusicVAE(replace(tiny.PRESET.model, shift=3, styles=("midi",), shares=(1.0,)))
    arrays = tiny.windows("train").batch(0, 16, 0, 3)
    batch = Batch(*(torch.from_numpy(np.asarray(a, np.int64)) for a in arrays))
    phases = tiny.PRESET.objective.phases(model)
    training = replace(tiny.PRESET.training, lr=0.02, warmup=0, schedule="constant")
    optimisers = [optimiser(p, training, "cpu") for p in phases]
    losses = []
    for step in range(120):
        found = loop.one_step(phases, optimisers, batch, training, 0, step)
        losses.append(found["ce"])
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_a_network_may_be_told_keys_for_moves() -> None:
    """A window's key is its song's, as far up as it was moved."""
    data, training = tiny.windows("train"), replace(tiny.PRESET.training, transpose=6)
    moved = loop.take(data, training, 0, 3, "cpu")
    keyed = loop.take(data, replace(training, keys=True), 0, 3, "cpu")
    assert torch.equal(moved.x, keyed.x)
    index, _ = data.draw(3, len(moved.x), 0, 6)
    at_rest = -torch.from_numpy(data.home[index])
    assert torch.equal(keyed.shift, (moved.shift + at_rest + 6) % 12 - 6)
    assert not torch.equal(keyed.shift, moved.shift)


def test_a_run_is_a_folder_that_tells_what_it_did(whole: Path) -> None:
    assert {p.name for p in whole.iterdir()} == {"config.json", "log.jsonl", "checkpoint.pt"}
    config = json.loads((whole / "config.json").read_text())
    assert config["seed"] == 3
    assert config["preset"]["model"]["styles"] == ["midi"]
    assert config["preset"]["model"]["shift"] == tiny.PRESET.training.transpose
    assert [row["step"] for row in rows(whole)] == [4, 8, 12]
    for row in rows(whole):
        assert set(row["train"]) == {"loss", "ce", "kl", "alone"}
        assert np.isfinite(list(row["held_out"].values())).all()


def test_the_returned_weights_are_the_best_averages(tmp_path: Path) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def watch(model: MusicVAE, step: int) -> None:
        seen[step] = {k: v.clone() for k, v in model.state_dict().items()}

    model = run(tmp_path, watch=watch)
    best = min(rows(tmp_path), key=lambda row: row["held_out"]["loss"])["step"]
    assert not model.training
    assert_same(dict(model.state_dict()), seen[best])


def test_averages_follow_the_weights(tmp_path: Path) -> None:
    """Without averaging the kept weights are the last ones."""
    preset = override(tiny.PRESET, ["training.ema=0"])
    run(tmp_path, preset, every=12)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert_same(dict(saved["model"]), dict(saved["average"]))


def test_same_seed_same_run_other_seed_other_run(whole: Path, tmp_path: Path) -> None:
    run(tmp_path / "same")
    assert_same_run(whole, tmp_path / "same")
    run(tmp_path / "other", seed=4)
    assert rows(whole) != rows(tmp_path / "other")


@pytest.mark.parametrize("at", [3, 4, 9])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_saves_and_goes_on_bit_for_bit(
    whole: Path, tmp_path: Path, at: int, signum: signal.Signals
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == at:
            os.kill(os.getpid(), signum)
            time.sleep(0.01)  # until the handler has run

    with pytest.raises(Stopped, match="stopped and saved; the same command goes on") as error:
        run(tmp_path, report=stop)
    assert error.value.exit_code == 128 + signum
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert at <= saved["step"] <= at + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run(tmp_path)
    assert_same_run(whole, tmp_path)


def test_a_watcher_that_fails_costs_no_steps(whole: Path, tmp_path: Path) -> None:
    def full(model: object, step: int) -> dict[str, float]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run(tmp_path, watch=full)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4
    run(tmp_path)
    assert_same_run(whole, tmp_path)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import tiny, torch
from musegen import runs, train as loop
torch.set_num_threads(1)
log = runs.log
def log_and_die(out, step, *figures):
    log(out, step, *figures)
    if step == 8:  # the row is written, the checkpoint is not
        with open(out / "log.jsonl", "a") as file:
            file.write('{"step": 9, "tr')
        os.kill(os.getpid(), signal.SIGKILL)
runs.log = log_and_die
loop.train(tiny.PRESET, tiny.load(sys.argv[3], "train"), tiny.load(sys.argv[3], "valid"),
           sys.argv[2], seed=3, every=4, device="cpu")
"""


def test_a_killed_run_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    arguments = [str(Path(__file__).parent), str(tmp_path / "run"), str(tiny.prepared())]
    root = str(Path(loop.__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 4
    run(tmp_path / "run")
    assert_same_run(whole, tmp_path / "run")


def test_a_finished_run_is_not_trained_again(whole: Path) -> None:
    before = (whole / "checkpoint.pt").read_bytes()
    steps: list[int] = []
    model = run(whole, report=lambda p: steps.append(p.step))
    assert steps == []
    assert (whole / "checkpoint.pt").read_bytes() == before
    saved = torch.load(whole / "checkpoint.pt", weights_only=True)
    assert_same(dict(model.state_dict()), dict(saved["best_weights"]))


def test_the_best_weights_survive_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When held-out music gets worse from the first validation on, its weights are the result."""
    best: dict[str, torch.Tensor] = {}
    losses = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(loop, "validate", lambda *_: {"loss": next(losses)})

    def watch(model: MusicVAE, step: int) -> None:
        if step == 4:
            best.update({k: v.clone() for k, v in model.state_dict().items()})

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    with pytest.raises(Stopped):
        run(tmp_path, watch=watch, report=stop)
    model = run(tmp_path)
    assert next(losses, None) is None
    assert_same(dict(model.state_dict()), best)


def test_a_loss_that_is_no_number_stops_the_run_with_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.one_step

    def diverge(*arguments: Any) -> dict[str, float]:
        found = real(*arguments)
        return found | {"loss": float("nan")} if arguments[-1] == 6 else found

    monkeypatch.setattr(loop, "one_step", diverge)
    with pytest.raises(MusegenError, match=r"not a number at step 6.*--set training.lr=0.00125"):
        run(tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 4
    assert all(torch.isfinite(v).all() for v in saved["model"].values())


def test_steps_without_a_finite_gradient_change_nothing() -> None:
    model = tiny.network(replace(tiny.PRESET.model, shift=3))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    (phase,) = tiny.PRESET.objective.phases(model)

    def broken(*_: Any) -> dict[str, torch.Tensor]:
        return {"loss": sum((p * float("inf")).sum() for p in phase.parameters)}

    adam = torch.optim.AdamW(phase.parameters)
    batch = Batch(*[torch.zeros(1, dtype=torch.long)] * 3)
    training = tiny.PRESET.training
    loop.one_step([replace(phase, loss=broken)], [adam], batch, training, 0, 0)
    assert_same(before, dict(model.state_dict()))


def some(data: Windows, n: int) -> Windows:
    return replace(data, offsets=data.offsets[: n + 1], style=data.style[:n])


def test_too_little_data_is_said(tmp_path: Path) -> None:
    full, valid = tiny.windows("train"), tiny.windows("valid")
    for data, held_out, words in (
        (some(full, 31), valid, "31 training and .* give more MIDI files"),
        (full, some(valid, 0), "0 held-out windows are too few"),
    ):
        with pytest.raises(InputError, match=words):
            train(tiny.PRESET, data, held_out, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(tiny.PRESET, some(full, 32), some(valid, 1), tmp_path / "run", device="cpu")


@pytest.mark.parametrize("change", ["training.lr=0.004", "model.latent=9", "objective.beta=1"])
def test_another_preset_in_the_same_folder_is_refused(whole: Path, change: str) -> None:
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    with pytest.raises(MusegenError, match="holds a run with another preset, data or seed"):
        run(whole, override(tiny.PRESET, [change]))
    with pytest.raises(MusegenError, match="another"):
        run(whole, seed=4)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == before


def test_a_run_that_never_began_does_not_keep_its_folder(tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        run(tmp_path, report=fail)
    run(tmp_path, override(tiny.PRESET, ["training.steps=2"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training.steps=0", "at least 1"),
        ("training.batch=0", "at least 1"),
        ("training.lr=NaN", "numbers from 0 up"),
        ("training.transpose=-1", "not be negative"),
        ("model.vocab=[5]", r"model.vocab must be \[90\]"),
        ("model.steps=64", "model.steps must be 32, which 2 bars have"),
        ("representation.bars=4", "model.steps must be 64, which 4 bars have"),
        ("objective.unconditional=0", "model.unconditional needs"),
        ("model.unconditional=false", "model.unconditional needs"),
        ("objective.unconditional=0.01", "windows of both kinds"),
        ("objective.unconditional=1", "windows of both kinds"),
        ("model.heard=4", "model.heard needs model.encode_segments"),
        ("model.latent=-1", "there is no such model"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, change: str, words: str) -> None:
    with pytest.raises(MusegenError, match=words) as error:
        run(tmp_path / "run", override(tiny.PRESET, [change]))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_windows_of_another_length_are_refused(tmp_path: Path) -> None:
    preset = override(tiny.PRESET, ["representation.bars=4", "model.steps=64"])
    with pytest.raises(InputError, match="has windows of 2 bars"):
        run(tmp_path, preset)


def out_of_space(state: Any, file: Any) -> None:
    file.write(b"half of it")
    raise OSError(28, "No space left on device")


def test_a_failed_checkpoint_leaves_the_last_good_one(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    save = torch.save

    def full_disk(state: Any, file: Any) -> None:
        calls.append(state["step"])
        (save if len(calls) < 2 else out_of_space)(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(MusegenError, match=r"cannot be written .*the last checkpoint is kept"):
            run(tmp_path)
    assert calls == [4, 8]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4
    assert not list(tmp_path.glob("*.part"))
    run(tmp_path)
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("checkpoint.pt", "rubbish", "broken checkpoint .* remove it to start anew"),
        ("config.json", "{", "cannot be read"),
    ],
)
def test_broken_files_of_a_run_are_told(
    whole: Path, tmp_path: Path, name: str, text: str, words: str
) -> None:
    for p in whole.iterdir():
        (tmp_path / p.name).write_bytes(p.read_bytes())
    (tmp_path / name).write_text(text)
    with pytest.raises(MusegenError, match=words):
        run(tmp_path)


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MusegenError, match="cannot be written"):
        run(tmp_path / "file" / "run")


SCHEDULES: list[tuple[Callable[[int], float], Training]] = [
    (lambda s: 1e-5 + (1e-3 - 1e-5) * 0.9999**s, Training(100, schedule="exponential")),
    (
        lambda s: 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * s / 100)),
        Training(100, lr=1.0, lr_final=0.1),
    ),
    (
        lambda s: min(1.0, (s + 1) / 10) * (1e-5 + (1e-3 - 1e-5) * 0.9999**s),
        Training(100, schedule="exponential", warmup=10),
    ),
]


@pytest.mark.parametrize(("expected", "training"), SCHEDULES)
def test_learning_rates(expected: Callable[[int], float], training: Training) -> None:
    for step in (0, 1, 5, 9, 10, 50, 99):
        assert learning_rate(training, step) == pytest.approx(expected(step))


def test_noise_depends_on_seed_and_step_alone() -> None:
    def draw(*place: int) -> float:
        return float(torch.rand(1, generator=noise(*place)))

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(s, t) for s in range(4) for t in range(-3, 4)}) == 28
