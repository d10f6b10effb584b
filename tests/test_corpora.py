"""Corpora: performed songs on their beats, tunes in ABC, and what is set aside."""

from __future__ import annotations

import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import one_track

from musegen import abc, corpora, midi
from musegen.corpora import Reject, Song
from musegen.errors import InputError
from musegen.grid import on_beats
from musegen.score import Score, Track
from musegen.segment import step_runs

# Performed music: beat i at a known time, notes at known beats.

gaps = st.lists(st.floats(0.3, 1.2), min_size=4, max_size=20)


def performed(beats: np.ndarray, quarters: list[float], qpm: float) -> Score:
    """One-quarter notes at `quarters`, played where the beats are, in a file of steady `qpm`."""
    at = np.interp([q for x in quarters for q in (x, x + 1)], np.arange(len(beats)), beats)
    ticks = np.rint(at * qpm / 60 * 480).astype(int).reshape(-1, 2)
    rows = [(on, off - on, 60 + i % 12, 80) for i, (on, off) in enumerate(ticks.tolist())]
    return one_track(rows, tempos=((0, qpm),))


@given(gaps, st.floats(0, 2), st.sampled_from([60.0, 120.0, 200.0]))
def test_notes_played_on_beats_land_on_quarters(gaps: list, begin: float, qpm: float) -> None:
    beats = begin + np.concatenate([[0], np.cumsum(gaps)])
    quarters = [float(i) for i in range(len(gaps))]
    score = on_beats(performed(beats, quarters, qpm), beats, np.arange(len(beats)) % 4 == 0)
    # The file's ticks round a time by up to half of one; a beat of 0.3 s is fewer ticks than 480.
    near = 2 + 480 / (0.3 * qpm / 60 * 480)
    found = score.tracks[0].notes
    assert np.abs(found[:, 0] - 480 * np.array(quarters)).max() <= near
    assert np.abs(found[:, 1] - 480).max() <= 2 * near
    assert score.metres == ((0, 4, 4),)
    assert score.tempos[0][1] == pytest.approx(60 / np.median(np.diff(beats)), abs=1e-3)


def test_an_exact_grid_lands_exactly() -> None:
    beats = np.array([1.0, 1.5, 2.5, 3.0, 3.25])  # at 120 bpm: ticks 960, 1440, 2400, 2880, 3120
    rows = [(960, 480, 60, 80), (1440, 960, 62, 80), (1920, 480, 64, 80), (2880, 240, 65, 80)]
    rows += [(3120, 240, 67, 80), (3360, 480, 69, 80), (480, 480, 50, 80)]
    score = on_beats(one_track(rows), beats, np.array([1, 0, 0, 0, 1]) > 0)
    assert score.tracks[0].notes.tolist() == [
        [0, 480, 60, 80],
        [480, 480, 62, 80],
        [720, 240, 64, 80],
        [1440, 480, 65, 80],
        [1920, 480, 67, 80],  # behind the last beat its pace goes on
        [2400, 960, 69, 80],
    ]  # the note before the first beat has no place


def test_beats_follow_the_tempo_map() -> None:
    tempos = ((0, 120.0), (960, 60.0), (1920, 240.0))  # the changes are at 1 and 3 seconds
    rows = [(0, 480, 60, 80), (480, 480, 62, 80), (960, 480, 64, 80), (1440, 480, 65, 80)]
    rows.append((2400, 480, 67, 80))
    score = one_track(rows, tempos=tempos)
    there = on_beats(score, [0, 0.5, 1, 2, 3, 3.25, 3.5], np.arange(7) % 4 == 0)
    assert there.tracks[0].notes.tolist() == [list(r) for r in rows]


def test_metres_come_from_the_downbeats() -> None:
    score = one_track([(0, 9600, 60, 80)])
    beats = np.arange(14) * 0.5
    down = np.isin(np.arange(14), [2, 6, 10, 12])
    assert on_beats(score, beats, down).metres == ((0, 2, 4), (960, 4, 4), (4800, 2, 4))


@pytest.mark.parametrize(
    ("seconds", "down"),
    [
        ([], []),
        ([1.0], [True]),
        ([1, 1], [True, True]),
        ([2, 1], [True, True]),
        ([0, 1], [False, False]),
        ([0, float("nan"), 1], [True, True, True]),
    ],
)
def test_useless_beats_are_refused(seconds: list, down: list) -> None:
    with pytest.raises(ValueError, match="needs at least two rising beat times and a downbeat"):
        on_beats(one_track([(0, 480, 60, 80)]), seconds, np.array(down, bool))


# Folders and zips.


def pop909(folder: Path, songs: int = 3) -> Path:
    """A folder like POP909: beats half a second apart, a melody and a bass on them."""
    lines = [f"{i / 2} {float(i % 2 == 0)} {float(i % 4 == 0)}" for i in range(33)]
    for n in range(1, songs + 1):
        song = folder / "POP909" / f"{n:03d}"
        tune = [(480 * i, 480, 60 + n + i % 5, 90) for i in range(32)]
        low = [(480 * i, 480, 36 + n, 90) for i in range(32)]
        score = Score((Track(tune, name="MELODY"), Track(low, name="PIANO")), metres=((0, 1, 4),))
        score.write(song / f"{n:03d}.mid")
        (song / "versions").mkdir()
        shutil.copy(song / f"{n:03d}.mid", song / "versions" / f"{n:03d}-v1.mid")
        (song / "beat_midi.txt").write_text("\n".join(lines) + "\n")
    (folder / "POP909" / "index.xlsx").write_bytes(b"PK")
    return folder / "POP909"


def zipped(folder: Path, inside: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for found in sorted(folder.rglob("*")):
            file.write(found, inside + found.relative_to(folder).as_posix())
    return path


def all_of(source: str | Path) -> tuple[list[Song], list[Reject]]:
    items = list(corpora.songs(source))
    songs = [i for i in items if isinstance(i, Song)]
    return songs, [i for i in items if isinstance(i, Reject)]


def test_a_folder_and_a_zip_give_the_same_songs(tmp_path: Path) -> None:
    folder = pop909(tmp_path)
    songs, rejects = all_of(folder)
    assert [s.name for s in songs] == ["001/001.mid", "002/002.mid", "003/003.mid"]
    assert {s.corpus for s in songs} == {"pop909"}
    assert not rejects
    assert songs[0].score.metres == ((0, 4, 4),)  # the file itself claims 1/4
    assert songs[0].score.tracks[0].notes[:2].tolist() == [[0, 480, 61, 90], [480, 480, 62, 90]]
    from_zip, rejects = all_of(zipped(folder, "POP909/"))
    assert [s.score for s in from_zip] == [s.score for s in songs]
    assert not rejects


def test_one_broken_song_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    folder = pop909(tmp_path, 8)
    broken = folder / "001" / "001.mid"
    broken.write_bytes(broken.read_bytes()[:60])
    (folder / "002" / "beat_midi.txt").unlink()
    (folder / "003" / "beat_midi.txt").write_text("0.0 1.0 one\n")
    (folder / "004" / "beat_midi.txt").write_text("")
    (folder / "005" / "beat_midi.txt").write_text("0.0 1.0 1.0\n0.5 1.0\n")
    (folder / "006" / "beat_midi.txt").write_bytes(bytes(range(256)))
    (folder / "007" / "beat_midi.txt").write_text("1.0 1.0 1.0\n0.5 0.0 0.0\n")
    songs, rejects = all_of(folder)
    assert [s.name for s in songs] == ["008/008.mid"]
    assert [r.name for r in rejects] == [f"00{i}/00{i}.mid" for i in range(1, 8)]
    reasons = [r.reason for r in rejects]
    assert reasons[0].startswith("broken or truncated MIDI")
    assert reasons[1] == "beat_midi.txt is missing" or "No such file" in reasons[1]
    assert all(r.startswith("beat_midi.txt cannot be used") for r in reasons[2:])
    assert all("\n" not in r for r in reasons)
    assert [s.name for s in all_of(zipped(folder))[0]] == ["008/008.mid"]


def test_any_folder_of_midi_files(tmp_path: Path, samples: Path) -> None:
    (tmp_path / "deep").mkdir()
    shutil.copy(samples / "bach_bwv66_6.mid", tmp_path / "deep" / "B.MIDI")
    (tmp_path / "a.mid").write_bytes(b"text")
    (tmp_path / "notes.txt").write_text("not music")
    songs, rejects = all_of(tmp_path)
    assert [s.name for s in songs] == ["deep/B.MIDI"]
    assert songs[0].score == midi.read(samples / "bach_bwv66_6.mid")
    assert [(r.name, r.reason[:15]) for r in rejects] == [("a.mid", "not a MIDI file")]


def test_sources_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mid").write_text("x")
    (tmp_path / "empty").mkdir()
    for path, said in [
        (tmp_path / "none", "no such folder or corpus"),
        (tmp_path / "text.mid", "expected a folder or a zip or tar"),
        (tmp_path / "empty", "holds no music files"),
    ]:
        with pytest.raises(InputError, match=said) as caught:
            all_of(path)
        assert str(path) in str(caught.value)


def test_a_zip_without_its_list_is_refused(tmp_path: Path) -> None:
    path = zipped(pop909(tmp_path))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") : data.index(b"PK\x01\x02") + 4] = b"XXXX"
    path.write_bytes(data)
    with pytest.raises(InputError, match="broken zip"):
        all_of(path)


def test_garbled_and_encrypted_entries_are_set_aside(tmp_path: Path) -> None:
    path = zipped(pop909(tmp_path))
    with zipfile.ZipFile(path) as file:
        garbled, locked = file.getinfo("001/001.mid"), file.getinfo("002/002.mid")
    data = bytearray(path.read_bytes())
    start = garbled.header_offset + 30 + len("001/001.mid")
    data[start : start + garbled.compress_size] = b"\xff" * garbled.compress_size
    data[locked.header_offset + 6] |= 1
    at = data.index(b"002/002.mid", data.index(b"PK\x01\x02")) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 8] |= 1
    path.write_bytes(data)
    songs, rejects = all_of(path)
    assert [s.name for s in songs] == ["003/003.mid"]
    assert [r.reason[:14] for r in rejects] == ["cannot be read"] * 2


# Tunes in ABC.

HEAD = "X:1\nT:Tune\nM:C|\nL:1/8\nK:C\n"


def tune(text: str, head: str = HEAD) -> list[list[int]]:
    return abc.parse(head + text + "\n", "x.abc").tracks[0].notes[:, :3].tolist()


NAMES = ["aird_white_cockade", "oneill_harvest_home", "oneill_masons_apron", "oneill_swallows_tail"]
NAMES += ["ryan_arkansas_traveller", "ryan_durangs_hornpipe", "ryan_fishers_hornpipe"]


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_a_pickup_and_sixteen_bars(name: str, samples: Path) -> None:
    text = (samples / f"{name}.abc").read_text()
    score = abc.parse(text, name)
    assert len(score.bar_lines()) - 1 == 17
    assert score.length == 17 * 1920
    onsets = score.tracks[0].notes[:, 0]
    assert 960 <= onsets[0] < 1920  # the pickup stands at the end of its bar
    assert set(range(1920, 17 * 1920, 1920)) <= set(onsets.tolist())  # each bar begins with a note
    ((line, bars),) = step_runs(score, score.tracks[0])
    assert bars == 17
    assert len(line) == len(onsets)  # nothing is lost on the grid of 16ths


def test_letters_octaves_lengths_and_keys() -> None:
    assert tune("C2D2 E2F2|c4 B,4|C8|") == [
        [0, 480, 60],
        [480, 480, 62],
        [960, 480, 64],
        [1440, 480, 65],
        [1920, 960, 72],
        [2880, 960, 59],
        [3840, 1920, 60],
    ]
    sharp = HEAD.replace("K:C", "K:D")
    assert [p for _, _, p in tune("F2=F2 ^G2_B2|", sharp)] == [66, 65, 68, 70]


def test_notes_in_two_four_are_doubled() -> None:
    head = "X:1\nT:Tune\nM:2/4\nL:1/16\nK:C\n"
    assert tune("C2D2 E2F2|", head) == tune("C2D2 E2F2|")


def test_broken_rhythm_and_triplets() -> None:
    assert tune("C>D E<F C4|")[:4] == [[0, 360, 60], [360, 120, 62], [480, 120, 64], [600, 360, 65]]
    assert tune("(3CDE C2 C4|")[:4] == [
        [0, 160, 60],
        [160, 160, 62],
        [320, 160, 64],
        [480, 480, 60],
    ]
    assert tune("(3(CDE) (3:2:3CDE C4|")[3:5] == [[480, 160, 60], [640, 160, 62]]


def test_ties_rests_chords_and_graces() -> None:
    assert tune("C4-C4|D8|")[0] == [0, 1920, 60]
    assert tune("C2-D2 E4|")[:2] == [[0, 480, 60], [480, 480, 62]]  # a tie to another pitch is none
    assert tune("C2z2 E4|") == [[0, 480, 60], [960, 960, 64]]
    assert tune("[CEG]4 {d}c4|") == [[0, 960, 67], [960, 960, 72]]


def test_repeats_are_written_once() -> None:
    assert tune("|:C8|D8:|:E8|F8:|") == tune("C8|D8|E8|F8|")


def test_a_repeat_inside_a_bar_joins_both_parts_of_it() -> None:
    found = tune("C2|D8|E6:|:F2|G8|A6:|")
    assert [on for on, _, _ in found] == [1440, 1920, 3840, 5280, 5760, 7680]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HEAD.replace("C|", "3/4"), "metre 3/4, not 4/4 or 2/4"),
        (HEAD.replace("C|", "6/8"), "metre 6/8, not 4/4 or 2/4"),
        (HEAD.replace("M:C|\n", ""), "metre missing, not 4/4 or 2/4"),
        (HEAD + "V:1\n", "several voices"),
    ],
)
def test_other_tunes_are_refused_in_words(head: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        tune("CDEF GABc|", head)
    assert str(caught.value) == f"x.abc: {said}"


@pytest.mark.parametrize("text", ["", "no music here", "\0\1\2", "X:1\nM:C|\nK:C\n"])
def test_what_is_no_tune_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^x\.abc: "):
        abc.parse(text, "x.abc")


def test_only_the_first_tune_of_a_file_is_read() -> None:
    both = HEAD + "C8|\n\n" + HEAD.replace("X:1", "X:2") + "D8|\n"
    assert abc.parse("% a book\n" + both, "x").tracks[0].notes[:, 2].tolist() == [60]


def bars(*quarters: float) -> list[int]:
    """Where bars of these lengths begin; each holds one note."""
    lengths = [Fraction(q) for q in quarters]
    held = [[(Fraction(0), n, 60)] if n else [] for n in lengths]
    score = abc._whole_bars(held, lengths, "x")
    assert score.length % 1920 == 0
    return [on // 480 for on in score.tracks[0].notes[:, 0].tolist()]


@pytest.mark.parametrize(
    ("lengths", "starts"),
    [
        ((4, 4, 4), [0, 4, 8]),
        ((1, 4, 4), [3, 4, 8]),  # a pickup
        ((1, 4, 3, 1, 4), [3, 4, 8, 11, 12]),  # a short bar and the pickup after it
        ((4, 3, 4), [0, 4, 8]),  # a short bar alone
        ((4, 5, 4), [0, 4, 12]),  # a long bar
        ((0, 4, 0, 4), [0, 4]),  # bars of nothing
        ((2, 4, 2, 2, 4), [2, 4, 8, 10, 12]),
    ],
)
def test_bars_of_any_length_are_set_on_the_grid(lengths: tuple, starts: list) -> None:
    assert bars(*lengths) == starts


def test_bars_without_end_are_refused() -> None:
    with pytest.raises(InputError, match="over 50,000 quarters"):
        bars(60_000)


def test_the_fiddle_corpus_has_hundreds_of_tunes() -> None:
    found = []
    for item in corpora.songs("fiddle"):  # the first collection's worth is enough
        found.append(item)
        if len(found) == 60:
            break
    songs = [i for i in found if isinstance(i, Song)]
    assert len(songs) > 20
    assert all(s.title and s.score.metres == ((0, 4, 4),) for s in songs)
    assert len({i.name for i in found}) == 60
