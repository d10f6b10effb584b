"""Two processes on two halves of a batch have the gradients of one process on the whole.

The halves draw noise of their own; the whole draws the noise of both, row for row. So equality
also shows that no loss ties the rows of a batch to each other.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import test_adversarial
import tiny
import torch
from torch import Tensor, nn

from musegen import distributed
from musegen.layers import spectral
from musegen.objectives import Batch, Objective
from musegen.objectives.adversarial import LOSSES, REGULARISERS, Adversarial
from musegen.objectives.diffusion import Diffusion, Schedule
from musegen.objectives.variational import ELBO
from musegen.optimisation import noise

HALF, STEP = 8, 40
ALONE = 2  # rows of a half that the decoder sees alone


def toy(normalised: bool = False) -> nn.Module:
    model = test_adversarial.Toy()
    if normalised:
        spectral(model.score)
    return model


def melodies() -> nn.Module:
    return tiny.network(replace(tiny.PRESET.model, shift=3)).train()


class Denoiser(nn.Module):
    """A small network of a noisy x and its step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(test_adversarial.D + 1, 16), nn.SiLU(), nn.Linear(16, test_adversarial.D)
        )

    def forward(self, x: Tensor, t: Tensor, given: Tensor | None) -> Tensor:
        out: Tensor = self.net(torch.cat([x, t[:, None] / 1000], 1))
        return out


def denoiser() -> nn.Module:
    torch.manual_seed(0)
    return Denoiser()


CASES: dict[str, tuple[Callable[[], nn.Module], Objective]] = {
    "elbo": (
        melodies,
        ELBO(beta=0.3, beta_rate=0.9, input_dropout=0.3, unconditional=ALONE / HALF),
    ),
    "scheduled sampling": (
        lambda: tiny.network(tiny.config(unconditional=False)).train(),
        ELBO(beta=0.3, beta_rate=0.9, sampling_rate=5, free_bits=1.0),
    ),
    "diffusion": (denoiser, Diffusion(prediction="v", weighting="min-snr")),
    "flow": (denoiser, Diffusion(Schedule("flow"), "direction")),
    "spectral hinge": (lambda: toy(True), Adversarial(loss="hinge", regulariser="none")),
    **{f"{name} loss": (toy, Adversarial(loss=name, regulariser="none")) for name in LOSSES},
    **{
        f"wasserstein {name}": (toy, Adversarial(regulariser=name, interval=STEP))
        for name in REGULARISERS
    },
}


def half(name: str, rank: int) -> Batch:
    """What a process sees."""
    chosen = torch.Generator().manual_seed(rank)
    style, shift = (torch.randint(n, (HALF,), generator=chosen) for n in (1, 5))
    if isinstance(CASES[name][1], ELBO):
        x = torch.randint(90, (HALF, 32), generator=chosen)
    else:
        x = torch.randn(HALF, test_adversarial.D, generator=chosen)
    return Batch(x, style, shift - 2)


# The rows of the whole: those that the decoder sees alone come first in a batch.
BOTH = torch.arange(2 * HALF).view(2, HALF)
ORDER = torch.cat([BOTH[:, :ALONE].flatten(), BOTH[:, ALONE:].flatten()])


def joined(halves: list[Tensor]) -> Tensor:
    return torch.cat(halves)[ORDER]


class Both:
    """Draws what two generators draw, as the rows of one batch."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.each = [noise(7, STEP, rank) for rank in (0, 1)]


RANDINT = torch.randint


def drawn(real: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.rand`, `torch.randn` or `torch.randint` that also takes `Both`."""

    def draw(*asked: object, generator: object = None, **more: object) -> Tensor:
        if not isinstance(generator, Both):
            return real(*asked, generator=generator, **more)
        first = asked[:-1] if real is RANDINT else ()
        shape = asked[len(first) :]
        n, *rest = shape if isinstance(shape[0], int) else shape[0]
        return joined([real(*first, (n // 2, *rest), generator=g, **more) for g in generator.each])

    return draw


def gradients(name: str, batch: Batch, generator: object) -> dict[str, Tensor]:
    """Gradients of each phase of a case, averaged over processes where there are several."""
    make, objective = CASES[name]
    model = make()
    found = {}
    for phase in objective.phases(model):
        model.zero_grad()
        phase.loss(batch, STEP, generator)["loss"].backward()
        distributed.mean_gradients(phase.parameters)
        grads = [p.grad.flatten() for p in phase.parameters]
        found[phase.name] = torch.cat(grads)
    return found


def main(out: str) -> None:
    """One process of two: its gradients of all cases."""
    torch.set_num_threads(1)
    with distributed.processes("cpu"):
        rank = distributed.rank()
        assert distributed.world() == 2
        assert distributed.largest(rank) == 1
        found = {name: gradients(name, half(name, rank), noise(7, STEP, rank)) for name in CASES}
        torch.save(found, f"{out}/{rank}.pt")
        distributed.wait()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes that torchrun started have after averaging."""
    out = tmp_path_factory.mktemp("processes")
    here = Path(__file__).parent
    script = out / "run.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        f"import test_distributed; test_distributed.main({str(out)!r})\n"
    )
    path = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*run, str(script)],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture
def _both(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for function in ("rand", "randn", "randint"):
        monkeypatch.setattr(torch, function, drawn(getattr(torch, function)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_both")
@pytest.mark.parametrize("name", CASES)
def test_two_processes_have_the_gradients_of_one(
    name: str, found: list[dict[str, dict[str, Tensor]]]
) -> None:
    halves = [half(name, rank) for rank in (0, 1)]
    whole = Batch(*(joined(list(both)) for both in zip(*(b[:3] for b in halves), strict=True)))
    expected = gradients(name, whole, Both())
    single = gradients(name, halves[0], noise(7, STEP, 0))
    for phase, gradient in expected.items():
        size = gradient.abs().max().item()
        assert size > 1e-4
        for rank in (0, 1):
            torch.testing.assert_close(found[rank][name][phase], gradient, rtol=0, atol=2e-6 * size)
        assert (single[phase] - gradient).abs().max() > 1e-3 * size  # the halves do differ


def test_alone_nothing_happens() -> None:
    with distributed.processes("cpu") as device:
        assert device == "cpu"
        assert (distributed.rank(), distributed.world(), distributed.largest(7)) == (0, 1, 7)
        parameter = nn.Parameter(torch.ones(2))
        distributed.mean_gradients([parameter])
        assert parameter.grad is None
        distributed.wait()
