"""The training loop, visible from top to bottom.

Every random number is a function of (seed, step, process, part of the batch), so nothing but
weights, optimisers and averages has to be saved to go on bit for bit. Several processes
(`torchrun`) each take their slice of a larger batch and average their gradients in one flat
all_reduce after the backward, which is right for penalties on gradients too, as
DistributedDataParallel is not; only the first one writes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from musegen import distributed, models, runs
from musegen.dataset import Windows
from musegen.errors import MusegenError
from musegen.fitting import begin, check_data, fitted
from musegen.objectives import Batch, Objective, Phase
from musegen.optimisation import Average, best_device, halved, learning_rate, noise, optimiser
from musegen.presets import Preset, Training, check
from musegen.pretrained import Bundle

REMEMBERED = 200  # steps of losses that an objective sees when asked for trouble


@dataclass(frozen=True)
class Progress:
    """What the loop tells its caller after each step."""

    step: int
    total: int
    losses: dict[str, float]
    held_out: dict[str, float]


class Stopped(MusegenError):
    """The run was asked to stop and has saved; the exit code is 128 + the signal's number."""

    def __init__(self, out: Path, signum: int) -> None:
        super().__init__(f"{out}: stopped and saved; the same command goes on from here")
        self.exit_code = 128 + signum


def train(
    preset: Preset,
    train_data: Windows,
    valid_data: Windows,
    out: str | Path,
    *,
    seed: int = 0,
    device: str | None = None,
    every: int = 500,
    init: Bundle | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[nn.Module, int], Mapping[str, float]] = lambda model, step: {},
) -> nn.Module:
    """Train a preset, or go on where a run in `out` stopped; returns the best averaged weights.

    Args:
        preset: model, representation, objective and training.
        train_data: windows to learn from.
        valid_data: windows of other songs, for held-out figures and the choice of weights.
        out: the run's folder.
        seed: of weights, order and noise.
        device: "cpu", "cuda" or "mps"; the best there is by default.
        every: steps between validations, checkpoints and calls of `watch`.
        init: a bundle of the same sizes whose weights are the start.
        report: called after each step.
        watch: called with the averaged model and the step at each validation; what it says of the
            music that it made goes into the log.

    Raises:
        InputError: too little data, or windows of another kind.
        MusegenError: settings that cannot be, the loss is not a number or the critic is dead, the
            folder holds another run or cannot be written.
        Stopped: SIGINT or SIGTERM came; the checkpoint is written.
    """
    if every < 1:
        raise MusegenError("cannot train: --every must be at least 1")
    check(preset)
    check_data(preset, train_data, valid_data, out)
    out, first = Path(out), distributed.rank() == 0
    device = device or best_device()
    training, objective = preset.training, preset.objective
    preset = fitted(preset, train_data, init)
    torch.manual_seed(seed)
    try:
        model, average = (models.build(preset.model).to(device) for _ in range(2))
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise MusegenError(f"cannot train: there is no such model ({reason})") from None
    if init is not None:
        begin(model, init, train_data, training.transpose)
    average.load_state_dict(model.state_dict())
    if training.compile:
        model.compile()
    phases = objective.phases(model)
    optimisers = [optimiser(phase, training, device) for phase in phases]
    mean = Average(average, model, phases[-1])  # of the generator, where there is a critic
    state: dict[str, Any] = {"step": 0, "best": math.inf, "best_weights": None, "stale": 0}
    if first:
        start = "" if init is None else init.name
        runs.write_config(out, preset, seed, train_data.digest, start)
    saved = runs.load_checkpoint(out / "checkpoint.pt")
    if saved:
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        for one, old in zip(optimisers, saved["optimisers"], strict=True):
            one.load_state_dict(old)
        state = {k: saved[k] for k in state}
    if first:
        runs.trim_log(out, state["step"])

    def save() -> None:
        everything = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimisers": [o.state_dict() for o in optimisers],
            **state,
        }
        if first:
            runs.save_checkpoint(out / "checkpoint.pt", everything)

    recent: deque[dict[str, float]] = deque(maxlen=REMEMBERED)
    with runs.signals() as asked:
        while state["step"] < training.steps and not enough(state["stale"], training):
            step = state["step"]
            batch = take(train_data, training, seed, step, device)
            losses = one_step(phases, optimisers, batch, training, seed, step)
            recent.append(losses)
            refuse_trouble(out, losses, objective.trouble(list(recent)), training, step)
            if phases[-1].due(step):
                mean.update(training, step)
            state["step"] = step = step + 1
            held_out: dict[str, float] = {}
            if step % every == 0 or step == training.steps:
                mean.copy_rest()
                told = (training.chords, training.keys)
                held_out = validate(objective, average, valid_data, seed, device, *told)
                better = held_out["loss"] < state["best"]
                state["stale"] = 0 if better else state["stale"] + 1
                if better:
                    weights = {k: v.clone() for k, v in average.state_dict().items()}
                    state |= {"best": held_out["loss"], "best_weights": weights}
                if first:
                    made: Mapping[str, float] = {}
                    try:
                        made = watch(average, step)
                    finally:  # what is learned stays, whatever becomes of the pictures
                        runs.log(out, step, losses, held_out, made)
                        save()
            report(Progress(step, training.steps, losses, held_out))
            signum = distributed.largest(max(asked, default=0))
            if signum:
                save()
                raise Stopped(out, signum)
    if state["best_weights"] is not None:
        average.load_state_dict(state["best_weights"])
    return average.eval()


def take(data: Windows, training: Training, seed: int, step: int, device: str) -> Batch:
    """This process's slice of a step's batch."""
    how = (seed, training.transpose, training.balance)
    arrays = data.batch(step, training.batch * distributed.world(), *how)
    mine = slice(distributed.rank(), None, distributed.world())
    x, style, shift = (torch.from_numpy(a[mine]).to(device) for a in arrays)
    given = None
    if training.keys or training.chords:
        index, _ = data.draw(step, len(arrays[0]), *how)
    if training.keys:
        shift = torch.from_numpy(data.keys(index, arrays[2])[mine]).to(device)
    if training.chords:
        given = torch.from_numpy(data.chord_symbols(index, arrays[2])[mine]).to(device)
    return Batch(x, style, shift, given)


def one_step(
    phases: list[Phase],
    optimisers: list[torch.optim.AdamW],
    batch: Batch,
    training: Training,
    seed: int,
    step: int,
) -> dict[str, float]:
    """One update of every phase that is due; returns its losses as numbers."""
    found: dict[str, float] = {}
    kind = batch.x.device.type
    chunks = [t.chunk(training.accumulate) for t in batch if t is not None]
    parts = [Batch(*p) for p in zip(*chunks, strict=True)]
    for phase, adam in zip(phases, optimisers, strict=True):
        if not phase.due(step):
            continue
        prefix = f"{phase.name} " if len(phases) > 1 else ""
        adam.zero_grad()
        for group in adam.param_groups:
            group["lr"] = learning_rate(training, step) * phase.rate
        for i, part in enumerate(parts):
            share = len(part.x) / len(batch.x)
            with torch.autocast(kind, torch.bfloat16, enabled=halved(training, phase, kind)):
                losses = phase.loss(part, step, noise(seed, step, distributed.rank(), i))
            (losses["loss"] * share).backward()
            for k, v in losses.items():
                found[prefix + k] = found.get(prefix + k, 0.0) + float(v.detach()) * share
        distributed.mean_gradients(phase.parameters)
        norm = nn.utils.clip_grad_norm_(phase.parameters, training.clip or math.inf)
        if torch.isfinite(norm):
            adam.step()
            phase.after()
    return found


def refuse_trouble(
    out: Path, losses: dict[str, float], trouble: str, training: Training, step: int
) -> None:
    """Stop a run that cannot end well.

    Raises:
        MusegenError: what is wrong, and what to try.
    """
    if not math.isfinite(sum(losses.values())):
        raise MusegenError(
            f"{out}: the loss is not a number at step {step}; the checkpoint is intact, "
            f"try a lower rate (--set training.lr={training.lr / 4:g})"
        )
    if trouble:
        raise MusegenError(f"{out}: {trouble} (step {step}; the checkpoint is intact)")


def enough(stale: int, training: Training) -> bool:
    """Whether training has not got better for as long as it may."""
    return bool(training.patience) and stale >= training.patience


@torch.no_grad()
def validate(
    objective: Objective,
    model: nn.Module,
    data: Windows,
    seed: int,
    device: str,
    chords: bool = False,
    keys: bool = False,
    limit: int = 1024,
) -> dict[str, float]:
    """Held-out figures of up to `limit` windows, always with the same noise, told their chords
    and keys where the training is.
    """
    model.eval()
    total: dict[str, float] = {}
    n = 0
    for i, index in enumerate(data.parts(256, limit)):
        x, style = (torch.from_numpy(a).to(device) for a in (data.encode(index), data.style[index]))
        still = data.keys(index) if keys else np.zeros(len(x), np.int64)
        given = torch.from_numpy(data.chord_symbols(index)).to(device) if chords else None
        batch = Batch(x, style, torch.from_numpy(still).to(device), given)
        figures = objective.held_out(model, batch, noise(seed, -1 - i))
        for key, value in figures.items():
            total[key] = total.get(key, 0.0) + float(value) * len(x)
        n += len(x)
    return {k: v / n for k, v in total.items()}
