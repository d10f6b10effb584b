"""Break files at random and read them, for as long as you like.

Every case is a mutation of a real file (see tests/mutations.py), a function of --seed and its
number alone. It is read in a worker process, which may use 1 GB more than it has and 2 s of its
processor; a case that breaks anything else than a sentence out of the reader, that takes more, or
that kills or hangs its worker has failed. Its bytes are kept in tests/golden/broken/, which the
tests read from then on.

Usage: python benchmarks/fuzz.py [--minutes M] [--seed N] [--formats mid,abc,...] [--case N]
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mutations import FORMATS, mutate, read_or_refused, seeds  # noqa: E402

Answer = tuple[str, str, float]  # what became of a case, what failed, seconds of the processor
KEPT = ROOT / "tests" / "golden" / "broken"
SECONDS = 2.0  # of the processor, for one file
HANGS = 600.0  # seconds without an answer, as the machine may be busy
MEMORY = 2**30
BATCH = 500  # cases to a worker


def case(
    number: int, seed: int, files: dict[str, list[bytes]]
) -> tuple[str, bytes, dict[str, bool]]:
    """The suffix, the bytes and the options of a case."""
    random = Random(f"{seed} {number}")
    suffix = random.choice([*files, *["mid"] * ("mid" in files)])
    data, other = random.choice(files[suffix]), random.choice(files[suffix])
    options = {"pedal": random.random() < 0.2, "repair": random.random() < 0.7}
    return suffix, mutate(data, random, other), options


def work(pipe: Connection, first: int, seed: int, files: dict[str, list[bytes]]) -> None:
    """Reads case after case and tells how each went: what became of it, what failed, seconds."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for number in range(first, first + BATCH):
        suffix, data, options = case(number, seed, files)
        most = int(time.process_time() + SECONDS) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))  # else it is killed
        start, became, trouble = time.process_time(), "refused", ""
        try:
            score = read_or_refused(data, f"x.{suffix}", **options)
            if score is not None:
                became = "mended" if score.remarks else "read"
        except BaseException as error:  # all that is no sentence is what we look for
            last = traceback.extract_tb(error.__traceback__)[-1]
            trouble = f"{type(error).__name__} {error!s:.200} at {last.filename}:{last.lineno}"
        seconds = time.process_time() - start
        if seconds > SECONDS and not trouble:
            trouble = f"took {seconds:.1f} s"
        pipe.send((became, trouble, seconds))


def answers(first: int, seed: int, files: dict[str, list[bytes]]) -> Iterator[Answer]:
    """What a worker says of the cases from `first` on; of its death as well."""
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(
        target=work, args=(theirs, first, seed, files), daemon=True
    )
    worker.start()
    theirs.close()
    try:
        for _ in range(BATCH):
            if not ours.poll(HANGS):
                yield "failed", f"hangs for {HANGS:g} s", HANGS
                return
            try:
                yield ours.recv()
            except EOFError:
                worker.join()
                yield "failed", f"kills its process, exit code {worker.exitcode}", 0.0
                return
    finally:
        worker.kill()
        worker.join()


def run(minutes: float, seed: int, files: dict[str, list[bytes]]) -> int:
    """Cases until time is up; prints each failure, and in the end what became of them all."""
    begun = said = time.monotonic()
    number, failures, slowest = 0, 0, 0.0
    all_became: Counter[str] = Counter()
    while time.monotonic() - begun < 60 * minutes:
        for became, trouble, seconds in answers(number, seed, files):
            if trouble:
                failures += 1
                print(
                    f"case {number}: {trouble}\n  kept as {keep(number, seed, files)}", flush=True
                )
            all_became["failed" if trouble else became] += 1
            slowest = max(slowest, seconds)
            number += 1
            if time.monotonic() - said > 60:
                said = time.monotonic()
                print(line(number, said - begun, all_became, slowest), flush=True)
            if time.monotonic() - begun >= 60 * minutes:
                break
    print(line(number, time.monotonic() - begun, all_became, slowest))
    return failures


def line(number: int, seconds: float, became: Counter[str], slowest: float) -> str:
    counts = ", ".join(f"{n:,} {how}" for how, n in sorted(became.items()))
    rate = number / seconds
    return (
        f"{seconds / 60:.0f} min: {number:,} cases, {rate:.0f}/s: {counts}; slowest {slowest:.2f} s"
    )


def keep(number: int, seed: int, files: dict[str, list[bytes]]) -> str:
    """The bytes of a case as a file for the tests, named by their hash."""
    suffix, data, _ = case(number, seed, files)
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
    path.write_bytes(data)
    return str(path.relative_to(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--case", type=int, help="write this case to standard output and end")
    options = parser.parse_args()
    files = seeds(options.formats.split(","))
    if options.case is not None:
        suffix, data, how = case(options.case, options.seed, files)
        print(f"x.{suffix}, {len(data):,} bytes, {how}", file=sys.stderr)
        sys.stdout.buffer.write(data)
        return 0
    for suffix, several in files.items():  # whole they can be read; and this loads what readers use
        for data in several:
            assert read_or_refused(data, f"x.{suffix}") is not None, suffix
    print(
        f"seed {options.seed}: {', '.join(f'{len(v)} {k}' for k, v in files.items())}", flush=True
    )
    return 1 if run(options.minutes, options.seed, files) else 0


if __name__ == "__main__":
    sys.exit(main())
