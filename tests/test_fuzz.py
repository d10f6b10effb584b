"""Whatever the bytes: music, or one sentence about why not; soon, and in bounded memory.

`make fuzz` does the same for an hour, in worker processes; what it finds comes here.
"""

from __future__ import annotations

import io
import resource
import time
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutations import FORMATS, mutate, read_or_refused, seeds
from strategies import END, NOTE, smf

from musegen import midi

BROKEN = sorted((Path(__file__).parent / "golden" / "broken").glob("*.*"))
PREFIXES = [b"", b"MThd", smf()[:8], smf(claims=1)[:14], b"RIFF", b"PK\3\4", b"X:1\n", b"{", b"<"]
options = st.fixed_dictionaries({"pedal": st.booleans(), "repair": st.booleans()})


@cache
def files() -> dict[str, list[bytes]]:
    return seeds(FORMATS)


@settings(max_examples=200)
@given(st.sampled_from(PREFIXES), st.binary(max_size=300), options)
@example(b"{", b'"resolution": ' + b"9" * 300, {})
def test_any_bytes(start: bytes, rest: bytes, how: dict[str, bool]) -> None:
    read_or_refused(start + rest, "x", **how)


@settings(max_examples=200)
@given(st.binary(max_size=200), options)
def test_any_bytes_as_a_track(body: bytes, how: dict[str, bool]) -> None:
    for data in (smf(body), smf(NOTE + END, body)):
        score = read_or_refused(data, "x.mid", **how)
        if score:
            back = midi.read(io.BytesIO(midi.to_bytes(score)))
            assert len(back.tracks) == len(score.tracks)


@pytest.mark.parametrize("suffix", FORMATS)
def test_real_files_mutated(suffix: str) -> None:
    @settings(max_examples=80 if suffix == "mid" else 40)
    @given(st.integers(0, 2**32), options)
    def mutated(seed: int, how: dict[str, bool]) -> None:
        random = Random(seed)
        data, other = random.choice(files()[suffix]), random.choice(files()[suffix])
        start, peak = time.process_time(), peak_kb()
        read_or_refused(mutate(data, random, other), f"x.{suffix}", **how)
        assert time.process_time() - start < 30
        assert peak_kb() - peak < 2**20

    for data in files()[suffix]:
        assert read_or_refused(data, f"x.{suffix}") is not None
    mutated()


def peak_kb() -> int:
    """Most memory that this process ever held; KB on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.name)
def test_what_once_broke_something(path: Path) -> None:
    for how in ({}, {"pedal": True}, {"repair": False}):
        start, peak = time.process_time(), peak_kb()
        read_or_refused(path.read_bytes(), path.name, **how)
        assert time.process_time() - start < 30
        assert peak_kb() - peak < 2**20
