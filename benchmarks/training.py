"""What training costs: the loop against a bare torch loop, the data, and examples a second.

    python benchmarks/training.py --data data/melody [--presets melody_2bar_small,...]

Each preset is trained twice side by side in one process, on the same batches: by the steps of
`musegen.train`, and by a bare loop of forward, backward, clipping and optimiser. Three steps each
warm up, then twenty are timed, turn by turn; medians are printed. With --processor seconds are
those of the processor, which other work on the machine does not lengthen much. --first is the
number of the first step: some presets begin with a phase of their own ("band" has no critic for
2,200).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from musegen import dataset, models
from musegen import train as loop
from musegen.optimisation import Average, best_device, noise, optimiser, set_up_cpu
from musegen.presets import PRESETS, preset

WARM_UP, TIMED = 3, 20


def seconds(work: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    """Time of a call, the device's work included."""
    start = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def measure(
    name: str,
    data: dataset.Windows,
    device: str,
    size: int | None,
    clock: Callable[[], float] = time.perf_counter,
    first: int = 0,
) -> list[str]:
    """One row of the table."""
    wanted = loop.fitted(preset(name), data, None)
    training = replace(wanted.training, batch=size or wanted.training.batch)
    if len(data) < training.batch:
        return [name, f"needs {training.batch} windows"]
    ours, bare = (models.build(wanted.model).to(device) for _ in range(2))
    bare.load_state_dict(ours.state_dict())
    average = models.build(wanted.model).to(device)
    phases, theirs = wanted.objective.phases(ours), wanted.objective.phases(bare)
    optimisers = [optimiser(p, training, device) for p in phases]
    mean = Average(average, ours, phases[-1])
    plain = [torch.optim.AdamW(p.parameters, lr=training.lr, fused=True) for p in theirs]
    times: dict[str, list[float]] = {"data": [], "ours": [], "bare": []}

    def our_step(step: int) -> None:
        batch = loop.take(data, training, 0, step, device)
        loop.one_step(phases, optimisers, batch, training, 0, step)
        if phases[-1].due(step):
            mean.update(training, step)

    def bare_step(step: int) -> None:
        for phase, adam in zip(theirs, plain, strict=True):
            if not phase.due(step):
                continue
            adam.zero_grad()
            loss = phase.loss(batch, step, noise(0, step, 0, 0))["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(phase.parameters, training.clip)
            adam.step()

    for step in range(first, first + WARM_UP + TIMED):
        batch = loop.take(data, training, 0, step, device)
        found = {
            "bare": seconds(lambda: bare_step(step), device, clock),  # noqa: B023
            "data": seconds(lambda: loop.take(data, training, 0, step, device), device, clock),  # noqa: B023
            "ours": seconds(lambda: our_step(step), device, clock),  # noqa: B023
        }
        if step >= first + WARM_UP:
            for key, value in found.items():
                times[key].append(value)
    median = {key: statistics.median(values) for key, values in times.items()}
    # Of the pairs of a step, so that what else runs on the machine weighs on both alike.
    overhead = statistics.median(
        (o - b) / b for o, b in zip(times["ours"], times["bare"], strict=True)
    )
    parameters = sum(p.numel() for p in ours.parameters() if p.requires_grad)
    return [
        name,
        f"{parameters / 1e6:.2f} M",
        str(training.batch),
        f"{1000 * median['bare']:.0f} ms",
        f"{1000 * median['ours']:.0f} ms",
        f"{100 * overhead:+.1f} %",
        f"{100 * median['data'] / median['ours']:.1f} %",
        f"{training.batch / median['ours']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a prepared folder")
    parser.add_argument("--presets", default="melody_2bar_small", help="names, or all")
    parser.add_argument("--batch", type=int, help="windows a step, if not the preset's")
    parser.add_argument("--device", default=best_device())
    parser.add_argument("--threads", type=int, help="of a CPU, as many as it has by default")
    parser.add_argument("--first", type=int, default=0, help="number of the first step")
    parser.add_argument("--processor", action="store_true", help="seconds of the processor")
    options = parser.parse_args()
    set_up_cpu(options.threads)
    clock = time.process_time if options.processor else time.perf_counter
    names = list(PRESETS) if options.presets == "all" else options.presets.split(",")
    where = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads")
    print("| preset | parameters | batch | bare step | our step | overhead | data | examples/s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        data = dataset.load(options.data, "train", preset(name).representation)
        row = measure(name, data, options.device, options.batch, clock, options.first)
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
