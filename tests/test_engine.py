"""What the loop offers beyond the plain step: parts of a batch, precision, patience, a bundle to
begin with, several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from musegen import distributed, models, pretrained
from musegen import train as loop
from musegen.config import describe, override
from musegen.errors import MusegenError
from musegen.models.musicvae import MusicVAE
from musegen.objectives import Batch, Losses
from musegen.objectives.variational import ELBO
from musegen.optimisation import halved, optimiser
from musegen.presets import PRESETS, preset
from musegen.train import train

ROOT = Path(loop.__file__).parents[1]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(out: Path, changes: list[str], **options: Any) -> MusicVAE:
    options = {"seed": 3, "every": 4, "device": "cpu"} | options
    wanted = override(tiny.PRESET, changes)
    model = train(wanted, tiny.windows("train"), tiny.windows("valid"), out, **options)
    assert isinstance(model, MusicVAE)
    return model


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def fresh() -> MusicVAE:
    torch.manual_seed(0)
    return models.build(replace(tiny.PRESET.model, shift=3, styles=("midi",), shares=(1.0,)))


def batch(n: int = 16) -> Batch:
    return Batch(*(torch.from_numpy(a) for a in tiny.windows("train").batch(0, n, 0, 3)))


@dataclass(frozen=True)
class Still(ELBO):
    """The ELBO at the posterior's mean: no noise, so that parts of a batch can be compared."""

    def loss(self, model: MusicVAE, batch: Batch, step: int, generator: torch.Generator) -> Losses:
        x = batch.x.long()
        mean, std = model.encode(x)
        logits = model(mean, x)[0]
        ce = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten())
        return {"loss": ce + std.square().mean()}


def gradients(model: MusicVAE, parts: int) -> torch.Tensor:
    """Gradients of one step over a batch cut into parts, as the step left them."""
    (phase,) = Still().phases(model)
    training = replace(tiny.PRESET.training, accumulate=parts, clip=0.0, lr=0.0)
    adam = optimiser(phase, training, "cpu")
    loop.one_step([phase], [adam], batch(), training, 0, 0)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.cat([g.flatten() for g in grads])


@pytest.mark.parametrize("parts", [2, 3, 16])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts: int) -> None:
    whole = gradients(fresh(), 1)
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(gradients(fresh(), parts), whole, rtol=1e-4, atol=1e-7)


BF16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def test_precision_is_as_told_and_never_for_exact_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    (phase,) = tiny.PRESET.objective.phases(fresh())
    half, full = (replace(tiny.PRESET.training, precision=p) for p in ("bf16", "fp32"))
    assert halved(half, phase, "cpu")
    assert not halved(full, phase, "cpu")
    assert not halved(half, replace(phase, exact=True), "cpu")
    assert halved(tiny.PRESET.training, phase, "cpu") == torch.cpu._is_amx_tile_supported()


@pytest.mark.skipif(BF16, reason="this CPU has bfloat16")
def test_bf16_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(MusegenError, match="this CPU has no bfloat16"):
        run(tmp_path, ["training.precision=bf16"])


@pytest.mark.skipif(not BF16, reason="this CPU has no bfloat16")
def test_bf16_trains(tmp_path: Path) -> None:
    run(tmp_path, ["training.precision=bf16"])
    full = tmp_path / "full"
    run(full, ["training.precision=fp32"])
    low, high = (rows(p)[-1]["held_out"]["loss"] for p in (tmp_path, full))
    assert low != high
    assert low == pytest.approx(high, rel=0.02)


def test_patience_ends_a_run_that_gets_no_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 4.0, 4.5, 4.1, 4.2])
    monkeypatch.setattr(loop, "validate", lambda *_: {"loss": next(losses)})
    changes = ["training.steps=40", "training.patience=2"]
    run(tmp_path, changes, every=2)
    assert [row["step"] for row in rows(tmp_path)] == [2, 4, 6, 8]
    run(tmp_path, changes, every=2)  # and stays ended
    assert [row["step"] for row in rows(tmp_path)] == [2, 4, 6, 8]


def test_trouble_stops_the_run_with_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(self: ELBO, seen: Any) -> str:
        assert len(seen) <= loop.REMEMBERED
        return "the critic is dead; try spectral" if len(seen) == 6 else ""

    monkeypatch.setattr(ELBO, "trouble", dead)
    with pytest.raises(MusegenError, match=r"the critic is dead; try spectral \(step 5; the ch"):
        run(tmp_path, [])
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 4


def known(styles: tuple[str, ...]) -> pretrained.Bundle:
    """A trained bundle of the tiny preset's sizes."""
    sizes = replace(tiny.PRESET.model, shift=3, styles=styles, shares=(1 / len(styles),) * 2)
    return pretrained.Bundle("known", tiny.network(sizes), tiny.PRESET.representation)


def test_training_begins_with_the_weights_of_a_bundle(tmp_path: Path) -> None:
    bundle = known(("march", "waltz"))
    model = run(tmp_path, ["training.lr=0", "training.lr_final=0"], init=bundle)
    assert model.config.styles == ("march", "waltz", "midi")
    assert model.config.shares == (0.0, 0.0, 1.0)
    old, new = bundle.model.state_dict(), model.state_dict()
    table = old.pop("style.weight")
    torch.testing.assert_close(new["style.weight"][:2], table)
    torch.testing.assert_close(new["style.weight"][2], table.mean(0))
    for key, weights in old.items():
        torch.testing.assert_close(new[key], weights)
    run(tmp_path / "anew", [])
    assert rows(tmp_path)[0]["held_out"] != rows(tmp_path / "anew")[0]["held_out"]
    with pytest.raises(MusegenError, match="holds a run with another"):
        run(tmp_path, ["training.lr=0", "training.lr_final=0"])


def test_a_bundle_of_other_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MusegenError, match="begin with known: its latent is 8, the preset's 9"):
        run(tmp_path / "run", ["model.latent=9"], init=known(("march", "waltz")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", PRESETS)
def test_every_field_of_a_preset_is_explained(name: str) -> None:
    fields = describe(preset(name))
    assert len({path for path, _, _ in fields}) == len(fields) > 25
    assert [path for path, _, meaning in fields if len(meaning) < 8] == []


SEVERAL = """
import sys
sys.path.insert(0, sys.argv[1])
import tiny, torch
from musegen import distributed, train as loop
torch.set_num_threads(1)
with distributed.processes("cpu") as device:
    loop.train(tiny.PRESET, tiny.load(sys.argv[3], "train"), tiny.load(sys.argv[3], "valid"),
               sys.argv[2], seed=3, every=4, device=device,
               report=lambda p: torch.save(p.losses, f"{sys.argv[2]}/{distributed.rank()}.pt"))
"""


def torchrun(n: int, script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, f"--nproc-per-node={n}", str(script), *arguments],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    script, out = tmp_path / "several.py", tmp_path / "run"
    out.mkdir()
    script.write_text(SEVERAL)
    here = str(Path(__file__).parent)
    done = torchrun(2, script, here, str(out), str(tiny.prepared()))
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["step"] for row in rows(out)] == [4, 8, 12]  # only the first one writes
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 12
    losses = [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert losses[0] != losses[1]  # each saw music of its own
    assert rows(out)[-1]["held_out"]["loss"] < rows(out)[0]["held_out"]["loss"]


def test_slices_of_a_batch_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data, training = tiny.windows("train"), tiny.PRESET.training
    monkeypatch.setattr(distributed, "world", lambda: 2)
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        found.append(loop.take(data, training, 3, 1, "cpu"))
    whole = data.batch(1, 2 * training.batch, 3, training.transpose)
    for i, tensor in enumerate(whole):
        both = np.empty_like(tensor)
        both[0::2], both[1::2] = found[0][i].numpy(), found[1][i].numpy()
        np.testing.assert_array_equal(both, tensor)


def test_tensorboard_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from musegen import runs

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MusegenError, match=r"pip install 'musegen\[tensorboard\]'"):
        runs.tensorboard(tmp_path)


def test_interrupts_outside_the_main_thread_are_left_alone() -> None:
    import threading

    from musegen import runs

    before = signal.getsignal(signal.SIGINT)
    seen: list[list[int]] = []

    def work() -> None:
        with runs.signals() as asked:
            seen.append(asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]
    assert signal.getsignal(signal.SIGINT) is before
