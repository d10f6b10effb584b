"""muspy's JSON and pypianoroll's .npz: read as their owners read them, or refused in a sentence."""

from __future__ import annotations

import io
import json
import resource
import time
import zipfile
from pathlib import Path
from typing import Any

import muspy
import numpy as np
import pypianoroll
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix
from strategies import normal_scores, one_track

from musegen import interop, midi
from musegen.errors import InputError
from musegen.formats import toolkits
from musegen.score import Score


def one_sentence(error: BaseException, name: str) -> None:
    text = str(error)
    assert text.startswith(f"{name}: ")
    assert "\n" not in text
    assert len(text) < 250
    assert "Error" not in text


def refused(parse: Any, data: bytes, reason: str) -> None:
    """`parse` says why it cannot read `data`, within two seconds and a gigabyte."""
    start, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=reason) as caught:
        parse(data, "x")
    one_sentence(caught.value, "x")
    assert time.process_time() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2**20  # KB


def survives(parse: Any, data: bytes) -> None:
    try:
        score = parse(data, "x")
    except InputError as error:
        one_sentence(error, "x")
    else:
        assert score.bar_lines()[-1] >= score.end
        assert score.seconds >= 0
        assert "Score(" in repr(score)


# muspy


def muspy_json(**parts: Any) -> bytes:
    track = {"program": 0, "is_drum": False, "name": "", "notes": [], **parts.pop("track", {})}
    return json.dumps({"resolution": 24, "tracks": [track], **parts}).encode()


NOTE = {"time": 0, "pitch": 60, "duration": 24, "velocity": 64}


def test_a_file_of_muspy_is_what_muspy_read(samples: Path, tmp_path: Path) -> None:
    for name in ("bach_bwv66_6", "freedm_d_shawn3", "cc0_aloha_oe"):
        music = muspy.read_midi(samples / f"{name}.mid")
        music.save_json(tmp_path / "x.json")
        score = toolkits.parse_muspy((tmp_path / "x.json").read_bytes(), "x")
        assert score == interop.from_muspy(music)
        there = midi.read(samples / f"{name}.mid")
        assert score.metres == there.metres
        assert [t for t, _ in score.tempos] == [t for t, _ in there.tempos]
        ours, theirs = (
            sorted(n for t in s.tracks for n in t.notes.tolist()) for s in (score, there)
        )
        assert ours == theirs


@settings(max_examples=30)
@given(normal_scores(fewest=0))
def test_scores_come_back_from_muspys_json(score: Score) -> None:
    text = io.StringIO()
    interop.to_muspy(score).save_json(text)
    assert toolkits.parse_muspy(text.getvalue().encode(), "x") == score


def test_muspys_little_things() -> None:
    score = toolkits.parse_muspy(
        muspy_json(
            track={
                "name": " Piano\n",
                "notes": [
                    {"time": 0, "pitch": 60, "duration": 0},
                    {"time": 24, "pitch": 61, "duration": 24, "velocity": 0},
                ],
                "chords": [{"time": 48, "pitches": [60, 64], "duration": 24, "velocity": None}],
            },
            tempos=[{"time": 24, "qpm": 90}, {"time": 48, "qpm": 0}],
            key_signatures=[
                {"time": 0, "root": 9, "mode": "minor"},
                {"time": 24, "root": 2, "mode": "major"},
                {"time": 48, "fifths": -3, "mode": "minor"},
            ],
            time_signatures=[{"time": 0, "numerator": 3, "denominator": 4}],
            annotations=[
                {"time": 0, "annotation": "verse", "group": "marker"},
                {"time": 0, "annotation": "C:maj", "group": "chord"},
                {"time": 0, "annotation": {"x": 1}, "group": "control_change"},
            ],
        ),
        "x",
    )
    track = score.tracks[0]
    assert track.name == "Piano"
    assert track.notes.tolist() == [[0, 1, 60, 64], [48, 24, 60, 64], [48, 24, 64, 64]]
    assert score.tempos == ((0, 120.0), (24, 90.0))
    assert score.keys == ((0, 0, True), (24, 2, False), (48, -3, True))
    assert score.metres == ((0, 3, 4),)
    assert score.markers == ((0, "verse"),)
    assert score.chords == ((0, "C:maj"),)


def test_where_muspy_has_no_metre_barlines_tell_it() -> None:
    bars = [{"time": t} for t in (24, 120, 216, 288, 360)]  # a pickup, two of 4/4, two of 3/4
    score = toolkits.parse_muspy(muspy_json(track={"notes": [NOTE]}, barlines=bars), "x")
    assert score.metres == ((0, 1, 4), (24, 4, 4), (216, 3, 4))


BROKEN_MUSPY = {
    b"": "not JSON",
    b"\xff\xfe": "not JSON",
    b"{": "not JSON",
    b"[" * 100_000: "not JSON",
    b"[]": "no resolution",
    b"{}": "no resolution",
    b'{"a": 1}': "no resolution",
    b'{"resolution": 0, "tracks": []}': "resolution is not a whole number",
    b'{"resolution": 1e400, "tracks": []}': "resolution is not a",
    b'{"resolution": "x", "tracks": []}': "resolution is not a number",
    b'{"resolution": [1, 2], "tracks": []}': "resolution is not a",
    b'{"resolution": 24, "tracks": {}}': None,
    b'{"resolution": 24, "tracks": 3}': "tracks are not a list",
    b'{"resolution": 24, "tracks": [3]}': "tracks are not a list",
    muspy_json(track={"notes": [{**NOTE, "pitch": 128}]}): "the pitch of a note",
    muspy_json(track={"notes": [{**NOTE, "pitch": 60.5}]}): "the pitch of a note",
    muspy_json(track={"notes": [{**NOTE, "pitch": None}]}): "the pitch of a note",
    muspy_json(track={"notes": [{**NOTE, "pitch": {}}]}): "the pitch of a note is not a number",
    muspy_json(track={"notes": [{**NOTE, "time": -1}]}): "the time of a note",
    muspy_json(track={"notes": [{**NOTE, "time": 10**400}]}): "the time of a note",
    muspy_json(track={"notes": [{**NOTE, "duration": 10**9}]}): "the duration of a note",
    muspy_json(track={"notes": [{**NOTE, "velocity": 200}]}): "the velocity of a note",
    muspy_json(track={"chords": [{**NOTE, "pitches": 5}]}): "the pitches of a chord",
    muspy_json(track={"program": 128}): "the program of a track",
    muspy_json(tempos=[{"qpm": 3}]): "a time in tempos",
    muspy_json(key_signatures=[{"time": 0, "root": 900}]): "the root of a key",
    b'{"tracks": [' + b"{}," * 2000 + b"{}]}": "2001 tracks",
    b'{"tracks": [' + b"[]," * 10_000_000 + b"[]]}": "over 250,000 objects",
    muspy_json(track={"chords": [{**NOTE, "pitches": [60] * 1_100_000}]}): "over 1,048,576 notes",
    muspy_json(track={"chords": [{**NOTE, "pitches": [60] * 1_600_000}]}): "or 1,500,000 values",
    muspy_json(track={"name": "x" * 2**25}): "over 32 MB",
    b" " * (2**25 + 1): "over 32 MB",
}


@pytest.mark.parametrize("data", BROKEN_MUSPY, ids=lambda d: str(d[:60]))
def test_broken_json_is_refused_in_words(data: bytes) -> None:
    if reason := BROKEN_MUSPY[data]:
        refused(toolkits.parse_muspy, data, reason)
    else:
        assert toolkits.parse_muspy(data, "x").tracks == ()


def test_as_many_notes_as_are_let_in_take_less_than_two_seconds() -> None:
    note = b'{"time":1,"pitch":60,"duration":24},'
    data = b'{"resolution":24,"tracks":[{"notes":[' + note * 249_000 + note[:-1] + b"]}]}"
    start = time.process_time()
    assert len(toolkits.parse_muspy(data, "x").tracks[0]) == 249_001
    assert time.process_time() - start < 30


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=150)
@given(st.data())
def test_any_value_anywhere_in_muspys_json(data: st.DataObject) -> None:
    text = io.StringIO()
    score = one_track([(0, 10, 60, 80)], markers=((0, "a"),), keys=((0, 1, False),))
    interop.to_muspy(score).save_json(text)
    music = json.loads(text.getvalue())
    spot, key = music, None
    while isinstance(spot, (dict, list)) and spot and (key is None or data.draw(st.booleans())):
        keys = sorted(spot) if isinstance(spot, dict) else list(range(len(spot)))
        holder, key = spot, data.draw(st.sampled_from(keys))
        spot = holder[key]
    holder[key] = data.draw(values)
    survives(toolkits.parse_muspy, json.dumps(music).encode())


# pypianoroll


def npz(info: Any, **arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("info.json", info if isinstance(info, bytes) else json.dumps(info))
    return file.getvalue()


def csc(roll: Any, i: int = 0) -> dict[str, Any]:
    sparse = csc_matrix(roll)
    parts = ("data", "indices", "indptr", "shape")
    return {f"pianoroll_{i}_csc_{part}": getattr(sparse, part) for part in parts}


def lpd(rolls: list[Any], **rest: Any) -> bytes:
    """A file as pypianoroll 0.1 wrote them, and so the Lakh Pianoroll Dataset has them."""
    info: dict[str, Any] = {"beat_resolution": 24, "name": "x"}
    arrays: dict[str, Any] = {"tempo": rest.pop("tempo", np.full(len(rolls[0]), 120.0)), **rest}
    for i, roll in enumerate(rolls):
        info[str(i)] = {"program": 8 * i, "is_drum": i == 0, "name": f"T{i}"}
        arrays |= csc(roll, i)
    return npz(info, **arrays)


def roll_of(cells: list[tuple[Any, int, int]], steps: int = 96, dtype: Any = np.uint8) -> Any:
    roll = np.zeros((steps, 128), dtype)
    for step, pitch, velocity in cells:
        roll[step, pitch] = velocity
    return roll


def test_a_file_of_the_lakh_pianoroll_dataset() -> None:
    drums = roll_of([(slice(0, 96, 24), 36, 100)], 192)
    piano = roll_of([(slice(0, 23), 60, 80), (slice(24, 96), 60, 90), (slice(50, 60), 0, 1)], 192)
    downbeat = np.zeros(192, bool)
    downbeat[0] = True
    bpm = np.array([120.0, 121, 122, 123, 120, 120, 120, 120])
    tempo = np.tile(bpm, (1, 24)).reshape(-1)
    score = toolkits.parse_npz(lpd([drums, piano, 0 * piano], tempo=tempo, downbeat=downbeat), "x")
    assert [(t.program, t.is_drum, t.name) for t in score.tracks] == [
        (0, True, "T0"),
        (8, False, "T1"),
        (16, False, "T2"),
    ]
    assert score.tracks[0].notes.tolist() == [[24 * i, 1, 36, 100] for i in range(4)]
    assert score.tracks[1].notes.tolist() == [[0, 23, 60, 80], [24, 72, 60, 90], [50, 10, 0, 1]]
    assert score.tempos == ((0, 120.0), (24, 121.0), (48, 122.0), (72, 123.0), (96, 120.0))
    assert score.metres == ((0, 4, 4),)
    assert (score.ppq, score.length) == (24, 192)
    assert score.remarks == ("the tempo array was tiled instead of repeated, and was put right",)


def test_both_versions_and_all_types_of_cells_give_the_same_notes() -> None:
    cells = [(slice(3, 9), 60, 80), (9, 60, 70), (slice(0, 96), 127, 1)]
    expected = toolkits.parse_npz(lpd([roll_of(cells)]), "x").tracks[0].notes.tolist()
    assert expected == [[0, 96, 127, 1], [3, 6, 60, 80], [9, 1, 60, 70]]
    for kind in (np.int64, np.int8, np.float32):
        score = toolkits.parse_npz(lpd([roll_of(cells, dtype=kind)]), "x")
        assert score.tracks[0].notes.tolist() == expected
    binary = toolkits.parse_npz(lpd([roll_of(cells).astype(bool)]), "x").tracks[0].notes.tolist()
    assert binary == [[0, 96, 127, 64], [3, 7, 60, 64]]
    summed = toolkits.parse_npz(lpd([roll_of([(0, 60, 200)], dtype=np.int64)]), "x")
    assert summed.tracks[0].notes.tolist() == [[0, 1, 60, 127]]
    assert summed.remarks == ("velocities over 127 became 127",)


@settings(max_examples=30)
@given(normal_scores(fewest=0), st.booleans())
def test_files_of_pypianoroll_are_what_it_loads(score: Score, compressed: bool) -> None:
    file = io.BytesIO()
    there = interop.to_pypianoroll(score, 4)
    there.name = "x"
    pypianoroll.save(file, there, compressed)
    read = toolkits.parse_npz(file.getvalue(), "x")
    assert read == interop.from_pypianoroll(there)
    file.seek(0)
    assert read == interop.from_pypianoroll(pypianoroll.load(file))


def test_what_pypianoroll_read_from_midi(samples: Path, tmp_path: Path) -> None:
    for name in ("bach_bwv66_6", "bach_bwv347"):  # x/4 and one metre, where it is right
        there, score = pypianoroll.read(samples / f"{name}.mid"), midi.read(samples / f"{name}.mid")
        assert there.tempo.shape[1] == 1
        there.save(str(tmp_path / "x.npz"))
        read = toolkits.parse_npz((tmp_path / "x.npz").read_bytes(), "x")
        assert len(read.tempos) == 1
        assert read.tempos[0][1] == pytest.approx(score.tempos[0][1], rel=1e-5)
        for mine, true in zip(read.tracks, score.resample(24).tracks, strict=True):
            assert mine.notes[:, [0, 2]].tolist() == true.notes[:, [0, 2]].tolist()


@pytest.mark.parametrize(
    ("downbeats", "metres"),
    [
        ([], ((0, 4, 4),)),
        ([0], ((0, 4, 4),)),
        ([24], ((0, 1, 4), (24, 4, 4))),  # a pickup, then nothing is known
        ([0, 72], ((0, 3, 4),)),
        ([0, 72, 144], ((0, 3, 4),)),
        ([0, 96, 168, 240, 276], ((0, 4, 4), (96, 3, 4), (240, 3, 8), (276, 3, 4))),
        ([24, 120, 216], ((0, 1, 4), (24, 4, 4))),
        ([0, 7, 103], ((0, 4, 4), (7, 4, 4))),  # seven steps of 24 are no metre
        ([0, 24 * 13, 24 * 14], ((0, 13, 4), (24 * 13, 1, 4), (24 * 14, 4, 4))),
    ],
)
def test_bars_go_from_downbeat_to_downbeat(downbeats: list[int], metres: Any) -> None:
    length = max([*downbeats, 0]) + 72
    downbeat = np.zeros(length, bool)
    downbeat[downbeats] = True
    data = lpd([roll_of([(0, 60, 80)], length)], downbeat=downbeat[:, None])
    score = toolkits.parse_npz(data, "x")
    lines = score.bar_lines()
    assert set(downbeats) <= set(lines.tolist())
    if len(downbeats) < 9 and downbeats not in ([24], [0, 24 * 13, 24 * 14]):
        assert score.metres == metres


@pytest.mark.parametrize(
    ("tempo", "expected"),
    [
        (None, ((0, 120.0),)),
        ([], ((0, 120.0),)),
        ([90.0] * 96, ((0, 90.0),)),
        ([[90.0]] * 96, ((0, 90.0),)),
        ([[90.0] * 96], ((0, 90.0),)),
        ([90.0] * 48 + [60] * 48, ((0, 90.0), (48, 60.0))),
        ([90.0] * 10, ((0, 90.0),)),
        ([90.0] * 96 + [60.0] * 96, ((0, 90.0),)),
        ([90.0] * 48 + [np.inf] * 24 + [0] * 10 + [-1] + [np.nan] * 13, ((0, 90.0),)),
        ([np.nan] * 95 + [77.0], ((0, 77.0),)),
        ([0] * 96, ((0, 120.0),)),
        ([90 + 1e-12 * i for i in range(96)], ((0, 90.0),)),
    ],
)
def test_of_tempo_arrays_what_is_sane_is_taken(tempo: Any, expected: Any) -> None:
    rest = {} if tempo is None else {"tempo": np.array(tempo, float)}
    data = npz({"resolution": 24, "0": {}}, **csc(roll_of([(0, 60, 80)])), **rest)
    assert toolkits.parse_npz(data, "x").tempos == expected


def header(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def with_member(name: str, content: bytes, data: bytes | None = None) -> bytes:
    """A good file in which one member is another."""
    good = zipfile.ZipFile(io.BytesIO(data or lpd([roll_of([(0, 60, 80)])])))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in good.namelist():
            archive.writestr(member, content if member == name else good.read(member))
    return file.getvalue()


def array_bytes(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


CSC = "pianoroll_0_csc_{}.npy".format
BROKEN_NPZ = {
    "empty": (b"", "broken or encrypted zip"),
    "text": (b"PK\x03\x04 hello", "broken or encrypted zip"),
    "no info": (b"PK\x05\x06" + bytes(18), "no info"),
    "info is a list": (npz([]), "info.json is not an object"),
    "info is no JSON": (npz(b"{"), "not JSON"),
    "no resolution": (npz({}), "the resolution is not"),
    "resolution 0": (npz({"resolution": 0}), "the resolution is not"),
    "resolution of text": (npz({"resolution": "x"}), "the resolution is not a number"),
    "array missing": (npz({"resolution": 24, "0": {}}), "an array is missing"),
    "no array": (with_member("tempo.npy", b"x"), "missing or broken"),
    "pickled": (with_member("tempo.npy", header("(1,)", "|O") + bytes(8)), "missing or broken"),
    "text array": (with_member("tempo.npy", array_bytes(["a"])), "missing or broken"),
    "a claim of a terabyte": (with_member("tempo.npy", header(f"({2**40},)")), "missing or broken"),
    "a shape below 0": (with_member("tempo.npy", header("(-1,)") + bytes(80)), "missing or broken"),
    "a shape of names": (with_member("tempo.npy", header("(x,)")), "missing or broken"),
    "a deep header": (with_member("tempo.npy", header("(" * 9000)), "missing or broken"),
    "steps without end": (with_member(CSC("shape"), array_bytes([2**62, 128])), "quarters long"),
    "steps below 0": (with_member(CSC("shape"), array_bytes([-1, 128])), "do not fit together"),
    "12 pitches": (with_member(CSC("shape"), array_bytes([96, 12])), "not of 128 pitches"),
    "flat shape": (with_member(CSC("shape"), array_bytes(5)), "not of 128 pitches"),
    "short indptr": (with_member(CSC("indptr"), array_bytes([0, 1])), "not of 128 pitches"),
    "falling indptr": (with_member(CSC("indptr"), array_bytes([0, 5, *[1] * 127])), "do not fit"),
    "index behind": (with_member(CSC("indices"), array_bytes([96])), "do not fit together"),
    "index below 0": (with_member(CSC("indices"), array_bytes([-1])), "do not fit together"),
    "too many values": (with_member(CSC("data"), array_bytes([1, 2])), "do not fit together"),
    "a velocity below 0": (with_member(CSC("data"), array_bytes([-5])), "a velocity below 0"),
    "no number": (with_member(CSC("data"), array_bytes([np.nan])), "a velocity below 0"),
    "program 128": (with_member("info.json", b'{"resolution":24,"0":{"program":128}}'), "program"),
    "a cell twice": (
        npz(
            {"resolution": 24, "0": {}},
            pianoroll_0_csc_data=np.array([1, 1]),
            pianoroll_0_csc_indices=np.array([3, 3]),
            pianoroll_0_csc_indptr=np.array([0, *[2] * 128]),
            pianoroll_0_csc_shape=np.array([96, 128]),
        ),
        "given twice",
    ),
    "tiles of a year": (  # two beats of 65,536 steps each, in 24 tiles
        npz({"resolution": 65536}, tempo=np.tile([90.0, 60.0] * 80_000, 24)),
        None,
    ),
    "a bomb": (with_member("tempo.npy", header("(5000000,)") + bytes(40_000_000)), "over 32 MB"),
    "70,000 members": (b"PK\x01\x02" * 70_000, "more than 4096 files"),
}


@pytest.mark.parametrize("kind", BROKEN_NPZ)
def test_broken_npz_is_refused_in_words(kind: str) -> None:
    data, reason = BROKEN_NPZ[kind]
    if reason:
        refused(toolkits.parse_npz, data, reason)
    else:
        assert toolkits.parse_npz(data, "x").tempos == ((0, 90.0),)


def test_a_member_may_not_unpack_to_more_than_it_claims() -> None:
    data = bytearray(with_member("tempo.npy", header("(2000000,)") + bytes(16_000_000)))
    claimed = (16_000_000 + len(header("(2000000,)"))).to_bytes(4, "little")
    assert data.count(claimed) == 2
    refused(toolkits.parse_npz, bytes(data.replace(claimed, b"\x80\0\0\0")), "broken")


def test_the_largest_rolls_take_less_than_two_seconds() -> None:
    few, many = np.arange(1_600)[:, None] // 8 % 2 + 1, np.arange(1_600)[:, None] % 2 + 1
    for kind, tracks, reason in (
        (few, 20, ""),
        (many, 20, "over 1,048,576 notes"),
        (few, 21, "over 4,194,304 cells"),
    ):
        roll = np.broadcast_to(kind.astype(np.uint8), (1_600, 128))
        info = {"resolution": 24, **{str(i): {} for i in range(tracks)}}
        data = npz(info, **{k: v for i in range(tracks) for k, v in csc(roll, i).items()})
        start = time.process_time()
        if reason:
            refused(toolkits.parse_npz, data, reason)
        else:
            assert len(toolkits.parse_npz(data, "x").tracks[19]) == 200 * 128
        assert time.process_time() - start < 30


@settings(max_examples=100)
@given(st.data())
def test_mutated_npz(data: st.DataObject) -> None:
    good = bytearray(lpd([roll_of([(slice(0, 9), 60, 80)])], downbeat=np.arange(96) % 48 == 0))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(good)))
        good[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    survives(toolkits.parse_npz, bytes(good))


@settings(max_examples=100)
@given(st.data())
def test_any_array_in_any_place(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["i8", "u1", "f4", "?", "c8", "M8[s]", "U1"]))
    shape = data.draw(st.lists(st.integers(0, 130), max_size=3).filter(lambda s: np.prod(s) < 400))
    fill = data.draw(st.integers(0, 200))
    array = np.arange(fill, fill + int(np.prod(shape))).astype("i8").astype(kind).reshape(shape)
    good = lpd([roll_of([(0, 60, 80)])], downbeat=np.ones(96, bool))
    member = data.draw(st.sampled_from([n for n in zipfile.ZipFile(io.BytesIO(good)).namelist()]))
    survives(toolkits.parse_npz, with_member(member, array_bytes(array), good))
