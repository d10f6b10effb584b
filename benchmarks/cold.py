"""How long a musician waits: fresh processes, from the command to the file; beside torch.

    python benchmarks/cold.py            # all rows
    python benchmarks/cold.py --rounds 3
    OMP_NUM_THREADS=1 python benchmarks/cold.py --networks

Wall time depends on what else runs on the machine; processor time (user and system) much less.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The same work with the network in torch, as before there was a runtime in NumPy.
TORCH = """
import torch
from musegen import pretrained
bundle = pretrained.load({model!r})
generator = torch.Generator().manual_seed(1)
{make}
bundle.representation.decode(x[0].numpy()).write({out!r}, force=True)
"""
DRAW = "x = bundle.model.decode(bundle.model.prior(1, generator), generator)"
EVENTS = """z = bundle.model.prior(1, generator, 480)
x = bundle.model.decode(z, temperature=0.95, top_p=0.97, until=15360.0)"""


def installed(folder: str) -> dict[str, str]:
    """The package as pip leaves it, compiled, and the environment that finds it."""
    home = Path(folder) / "installed"
    shutil.copytree(ROOT / "musegen", home / "musegen")
    compileall.compile_dir(home, quiet=2)
    return {**os.environ, "PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"}


def measured(command: list[str], environment: dict[str, str], rounds: int) -> str:
    """Median and least wall time, median processor time, largest memory, as cells of a table."""
    wall, cpu, memory = [], [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, status, used = os.wait4(child.pid, 0)
        wall.append(time.perf_counter() - start)
        if status:
            raise SystemExit(f"{command} failed: {child.stderr.read().decode()}")
        cpu.append(used.ru_utime + used.ru_stime)
        memory.append(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)
    wall, cpu = wall[1:], cpu[1:]  # the first fills caches of files
    return (
        f"{statistics.median(wall):.2f} | {min(wall):.2f} | {statistics.median(cpu):.2f} "
        f"| {max(memory):.0f}"
    )


def networks() -> None:
    """Processor time of drawing n pieces, network and chance alone, the least of three."""
    import torch

    from musegen import pretrained
    from musegen.runtime import Draws

    torch.set_num_threads(1)
    print("| model | pieces | torch, ms | NumPy, ms |")
    print("|---|---|---|---|")
    for name in ("melody-2bar", "drums-2bar", "trio-4bar", "melody-16bar"):
        theirs, ours = pretrained.load(name).model, pretrained.playable(name).model
        for n in (1, 16, 128):
            times: list[list[float]] = [[], []]
            for _ in range(3):
                both = ((theirs, torch.Generator().manual_seed(1)), (ours, Draws(1)))
                for (network, chance), taken in zip(both, times, strict=True):
                    start = time.process_time()
                    network.decode(network.prior(n, chance), chance)
                    taken.append(1000 * (time.process_time() - start))
            print(f"| {name} | {n} | {min(times[0]):.0f} | {min(times[1]):.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", action="store_true", help="only how fast they draw")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    if arguments.networks:
        networks()
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = installed(folder)
        verb = [sys.executable, "-m", "musegen"]
        last = ["--seed", "1", "--force", "-q", "-o", folder]
        rows = {
            "`python -c pass`": [sys.executable, "-c", "pass"],
            "`import numpy`": [sys.executable, "-c", "import numpy"],
            "`import torch`": [sys.executable, "-c", "import torch"],
            "`musegen --help`": [*verb, "--help"],
            "`musegen generate`": [*verb, "generate", *last],
        }
        tunes = [f"{folder}/{name}.mid" for name in "ab"]
        for i, tune in enumerate(tunes):
            options = ["--seed", str(i), "--bars", "4", "-q", "-o", tune]
            subprocess.run([*verb, "generate", *options], check=True, env=environment)
        for model in ("drums-2bar", "trio-4bar", "melody-16bar", "performance"):
            rows[f"`musegen generate --model {model}`"] = [
                *verb, "generate", "--model", model, *last
            ]  # fmt: skip
        rows["`musegen interpolate A B`, 8 pieces of 4 bars"] = [
            *verb,
            "interpolate",
            *tunes,
            *last,
        ]
        rows["`musegen vary A`, 4 pieces of 4 bars"] = [*verb, "vary", tunes[0], *last]
        rows["`musegen drumify A`, 4 bars"] = [*verb, "drumify", tunes[0], *last]
        for model in ("melody-2bar", "melody-16bar", "performance"):
            make = EVENTS if model == "performance" else DRAW
            code = TORCH.format(model=model, make=make, out=f"{folder}/torch.mid")
            rows[f"{model}: one piece, network in torch"] = [sys.executable, "-c", code]
        print("| command | wall s | least | processor s | memory MB |")
        print("|---|---|---|---|---|")
        for name, command in rows.items():
            print(f"| {name} | {measured(command, environment, rounds)} |", flush=True)


if __name__ == "__main__":
    main()
