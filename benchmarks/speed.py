"""How long the everyday things take: medians, beside the targets, which are never asserted.

Usage: python benchmarks/speed.py [--repeats N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIECE = ROOT / "data" / "samples" / "mutopia_maple_leaf_rag.mid"
PACKAGES = ("torch", "numpy", "symusic", "pretty_midi", "mido")


def median(work: Callable[[], object], repeats: int, least: float = 0.0) -> float:
    """Seconds of one call; each of `repeats` timings lasts at least `least` seconds."""
    work()  # caches warm, files read
    start = time.perf_counter()
    work()
    calls = max(1, round(least / max(time.perf_counter() - start, 1e-9)))
    timings = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        timings.append((time.perf_counter() - start) / calls)
    return statistics.median(timings)


def process(*arguments: str) -> Callable[[], object]:
    """A fresh Python process with these arguments."""
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def measure(repeats: int) -> list[dict[str, object]]:
    """Rows of what was timed, its median in seconds and its target."""
    import mido
    import pretty_midi

    from musegen import midi, pipeline

    warnings.filterwarnings("ignore", module="pretty_midi")

    rows: list[dict[str, object]] = []

    def row(what: str, seconds: float, target: float | None = None, **more: float) -> None:
        rows.append({"what": what, "seconds": seconds, "target": target, **more})

    few = max(3, repeats // 2)
    with tempfile.TemporaryDirectory() as folder:
        generate = ("-m", "musegen", "generate", "-q", "--seed", "1", "--force", "-o", folder)
        row("python, nothing imported", median(process("-c", "pass"), repeats))
        row("import musegen", median(process("-c", "import musegen"), repeats), 0.2)
        row("musegen --help", median(process("-m", "musegen", "--help"), repeats), 0.2)
        row("musegen generate, cold", median(process(*generate), few), 4.0)
    model = pipeline.load()
    row("8 melodies of 2 bars, warm", median(lambda: model.generate(8, seed=1), repeats), 0.1)
    row("256 melodies of 2 bars, warm", median(lambda: model.generate(256, seed=1), few), 1.5)
    name = str(PIECE)
    ours = median(lambda: midi.read(name), repeats, 0.05)
    row(f"musegen.read {PIECE.name}", ours)
    for label, reader in (
        ("pretty_midi", lambda: pretty_midi.PrettyMIDI(name)),
        ("mido", lambda: mido.MidiFile(name)),
    ):
        theirs = median(reader, repeats, 0.05)
        row(f"{label}, the same file", theirs, ratio=theirs / ours)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="timings for each median")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    rows = measure(options.repeats)
    machine = {
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
    if options.json:
        print(json.dumps({"machine": machine, "repeats": options.repeats, "rows": rows}, indent=1))
        return
    print(f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}")
    print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    print(f"medians of {options.repeats}, seconds\n")
    print(f"{'':44} {'median':>9} {'target':>8} {'ratio':>7}")
    for r in rows:
        target = f"< {r['target']:g}" if r["target"] else ""
        ratio = f"{r['ratio']:.0f} x" if "ratio" in r else ""
        print(f"{r['what']:44} {r['seconds']:9.4f} {target:>8} {ratio:>7}")


if __name__ == "__main__":
    main()
