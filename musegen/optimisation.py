"""What training does at a step besides the loss: rates, optimisers, precision, averages, noise."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import nn

from musegen.errors import MusegenError
from musegen.objectives import Phase
from musegen.presets import Training


def optimiser(phase: Phase, training: Training, device: str) -> torch.optim.AdamW:
    """The optimiser of a phase."""
    return torch.optim.AdamW(
        phase.parameters,
        lr=training.lr * phase.rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=device != "mps",
    )


def learning_rate(training: Training, step: int) -> float:
    """The rate of a step, see `Training`."""
    rise = min(1.0, (step + 1) / training.warmup) if training.warmup else 1.0
    along = min(1.0, step / training.steps)
    fall = {
        "constant": 1.0,
        "linear": 1 - along,
        "cosine": 0.5 * (1 + math.cos(math.pi * along)),
        "exponential": training.decay**step,
    }[training.schedule]
    return rise * (training.lr_final + (training.lr - training.lr_final) * fall)


def halved(training: Training, phase: Phase, device: str) -> bool:
    """Whether a phase runs in bfloat16: as told, or where the device is faster with it.

    Raises:
        MusegenError: told so on a CPU that cannot.
    """
    if phase.exact or training.precision == "fp32":
        return False
    if device == "cpu":
        if training.precision == "auto":
            return bool(torch.cpu._is_amx_tile_supported())
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            raise MusegenError("this CPU has no bfloat16; use --set training.precision=fp32")
        return True
    return training.precision == "bf16" or (device == "cuda" and torch.cuda.is_bf16_supported())


class Average:
    """An exponential moving average of what a phase trains, short at the start so that it does not
    lag. All else (a critic that the phase does not train, buffers) is copied when asked for.
    """

    def __init__(self, kept: nn.Module, model: nn.Module, phase: Phase) -> None:
        trained = {id(p) for p in phase.parameters}
        pairs = list(zip(kept.parameters(), model.parameters(), strict=True))
        self.kept: list[torch.Tensor] = [a for a, p in pairs if id(p) in trained]
        self.new: list[torch.Tensor] = [p for p in model.parameters() if id(p) in trained]
        self.rest: list[tuple[torch.Tensor, torch.Tensor]] = [
            (a, p) for a, p in pairs if id(p) not in trained
        ]
        self.rest += zip(kept.buffers(), model.buffers(), strict=True)

    @torch.no_grad()
    def update(self, training: Training, step: int) -> None:
        """After an update of the phase."""
        decay = min(training.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.kept, self.new, 1 - decay)

    @torch.no_grad()
    def copy_rest(self) -> None:
        """Before the averaged model is used."""
        for kept, new in self.rest:
            kept.copy_(new)


def noise(*place: int) -> torch.Generator:
    """A generator whose numbers depend on nothing but its place, such as (seed, step, ...)."""
    return torch.Generator().manual_seed(random.Random(str(place)).getrandbits(63))


def best_device() -> str:
    """The GPU when there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def set_up_cpu(threads: int | None = None) -> None:
    """Settings that matter on CPUs: denormals are flushed (up to 8 times faster), and threads."""
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # it is kept; looked for later, without denormals, it warns of their lack
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
