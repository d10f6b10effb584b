"""Corpora: what is listed, under which name, and what becomes of it in any container."""

from __future__ import annotations

import csv
import json
import pickle
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musegen import corpora, midi
from musegen.corpora import Reject, Song, readers
from musegen.corpora.catalogue import CORPORA
from musegen.errors import InputError
from musegen.score import Score, Track


def pop909(folder: Path, songs: int = 3) -> Path:
    """A folder like POP909: beats half a second apart, a melody, a bass and chords on them."""
    chords = [f"{i}\t{i + 1}\t{'CFGA'[i % 4]}:maj" for i in range(16)]
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
        (song / "chord_midi.txt").write_text("\n".join(chords) + "\n")
    (folder / "POP909" / "index.xlsx").write_bytes(b"PK")
    return folder / "POP909"


def zipped(folder: Path, inside: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for found in sorted(folder.rglob("*")):
            file.write(found, inside + found.relative_to(folder).as_posix())
    return path


def tarred(folder: Path, inside: str = "", mode: str = "w:gz") -> Path:
    path = folder.with_name(f"{folder.name}.tar{mode.strip('w').replace(':', '.')}")
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for found in sorted(folder.rglob("*")):
            file.add(found, inside + found.relative_to(folder).as_posix(), recursive=False)
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
    broken.write_bytes(b"broken")
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
    assert reasons[0].startswith("not a MIDI file")
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


def test_a_tar_gives_the_same_songs_with_what_lies_beside_them(tmp_path: Path) -> None:
    folder = pop909(tmp_path)
    songs = [(s.score, s.score.chords) for s in all_of(folder)[0]]
    (folder / "002" / "002.mid").write_bytes(b"broken")
    for mode in ("w", "w:gz", "w:xz"):
        there, rejects = all_of(tarred(folder, "POP909-Dataset-master/POP909/", mode))
        assert [s.name[-11:] for s in there] == ["001/001.mid", "003/003.mid"]
        assert [(s.score, s.score.chords) for s in there] == [songs[0], songs[2]]
        assert [r.name[-11:] for r in rejects] == ["002/002.mid"]
    (folder / "003" / "beat_midi.txt").unlink()
    assert all_of(tarred(folder))[1][1].reason == "beat_midi.txt is missing"


def test_chords_stand_on_the_beats_of_the_songs(tmp_path: Path) -> None:
    folder = pop909(tmp_path)
    (folder / "002" / "chord_midi.txt").write_text("0 1 C:maj\n1 what\n")
    (folder / "003" / "chord_midi.txt").unlink()
    with_chords, broken, without = all_of(folder)[0]
    chords = with_chords.score.chords
    assert chords[:3] == ((0, "C:maj"), (960, "F:maj"), (1920, "G:maj"))
    assert chords[-1] == (16 * 960, "N")
    assert broken.score.chords == without.score.chords == ()
    assert broken.score.tracks[1].notes[0, 2] == 38


def test_pop909_as_it_was_played(tmp_path: Path) -> None:
    folder = pop909(tmp_path)
    song, *_ = all_of(f"pop909-performed:{folder}")[0]
    read = midi.read(folder / "001" / "001.mid")
    assert song.corpus == "pop909-performed"
    assert song.score.tracks == read.tracks
    assert song.score.tempos == read.tempos
    assert song.score.metres == ((0, 4, 4),)
    assert song.score.remarks[-1] == readers.FREE
    assert song.score.chords[1] == (960, "F:maj")  # after one second, at 120 quarters a minute
    from_tar, *_ = all_of(f"pop909-performed:{tarred(folder)}")[0]
    assert (from_tar.score, from_tar.score.chords) == (song.score, song.score.chords)


# The layouts of other corpora.


def tune(seed: int) -> Score:
    pitches = 60 + np.random.default_rng(seed).integers(0, 12, 16)
    return Score((Track([(480 * i, 480, int(p), 80) for i, p in enumerate(pitches)]),))


def maestro(folder: Path) -> Path:
    parts = ["train", "validation", "test", "train"]
    rows = [("canonical_composer", "canonical_title", "split", "year", "midi_filename")]
    for i, part in enumerate(parts):
        name = f"200{i}/take_{i}.midi"
        tune(i).write(folder / name)
        if i < 3:
            rows.append(("A. Composer", f'Sonata, "{i}"', part, f"200{i}", name))
    with (folder / "maestro-v3.0.0.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (folder / "maestro-v3.0.0.json").write_text("{}")
    return folder


def test_maestro_keeps_its_own_split(tmp_path: Path) -> None:
    folder = maestro(tmp_path / "maestro-v3.0.0")
    for source in (
        folder,
        zipped(folder, "maestro-v3.0.0/"),
        tarred(folder),
        tarred(folder, "m/", "w"),
    ):
        songs, rejects = all_of(source)
        assert {s.corpus for s in songs} == {"maestro"}
        assert [s.split for s in songs] == ["train", "valid", "test"]
        assert songs[0].title == 'A. Composer Sonata, "0"'
        assert [s.score.tracks for s in songs] == [
            midi.read(folder / f"200{i}/take_{i}.midi").tracks for i in range(3)
        ]
        assert songs[0].score.remarks[-1] == readers.FREE
        (reject,) = rejects
        assert reject.name.endswith("take_3.midi")
        assert reject.reason.endswith("maestro-v3.0.0.csv does not say its part")
    (folder / "maestro-v3.0.0.csv").unlink()
    assert {s.corpus for s in all_of(folder)[0]} == {"midi"}
    with pytest.raises(InputError, match=r"expected MAESTRO with its list maestro-v\*\.csv"):
        all_of(f"maestro:{folder}")


def test_lakh_and_its_pianorolls_are_known_by_their_names(tmp_path: Path) -> None:
    pypianoroll = pytest.importorskip("pypianoroll")
    for i, track in enumerate(["TRAAAAA000000000AA", "TRAAAAA000000000AA", "TRBBBBB000000000BB"]):
        name = f"{i:032x}"
        tune(i).write(tmp_path / "lmd_matched" / "A" / track / f"{name}.mid")
        path = tmp_path / "lpd_5" / "lpd_5_cleansed" / "A" / track / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        pypianoroll.from_pretty_midi(_pretty(tune(i))).save(path)
    (tmp_path / "lmd_full" / "0").mkdir(parents=True)
    shutil.copy(path.with_suffix(".npz"), tmp_path / "lmd_full" / "0" / "notes.npz")
    tune(0).write(tmp_path / "lmd_full" / "0" / f"{0:032x}.mid")
    for folder, corpus in [("lmd_matched", "lakh"), ("lpd_5", "lpd")]:
        songs, rejects = all_of(tarred(tmp_path / folder, f"{folder}/"))
        assert not rejects
        assert [s.corpus for s in songs] == [corpus] * 3
        assert [s.cluster[:3] for s in songs] == ["TRA", "TRA", "TRB"]  # versions of one song
        assert [len(s.score.tracks[0]) for s in songs] == [16] * 3
    (song,) = all_of(tmp_path / "lmd_full")[0]
    assert (song.corpus, song.cluster) == ("lakh", "")


def _pretty(score: Score) -> Any:
    interop = pytest.importorskip("musegen.interop")
    return interop.to_pretty_midi(score)


BOOK = """% a book
X: 1
T:One
M:4/4
L:1/4
K:C
CDEF|GABc|

X: 2
T:Two
T:The Second
M:6/8
K:C
CDE FGA|

X: 3
T:Three
M:2/4
L:1/8
K:G
G2A2|B4|
"""


def test_a_book_of_tunes_is_as_many_pieces(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "book.abc").write_text(BOOK)
    (tmp_path / "books" / "one.abc").write_text(BOOK[: BOOK.index("X: 2")])
    (tmp_path / "books" / "none.abc").write_text("nothing")
    for source in (tmp_path / "books", zipped(tmp_path / "books"), tarred(tmp_path / "books")):
        found = list(corpora.entries(source))
        names = ["book.abc#0", "book.abc#1", "book.abc#2", "none.abc", "one.abc"]
        assert [e.name for e in found] == names
        assert [e.title for e in found] == ["One", "Two / The Second", "Three", "", "One"]
        songs = [corpora.read(e) for e in found]
        assert isinstance(songs[3], Reject)
        first = songs[0]
        assert isinstance(first, Song)
        assert isinstance(songs[4], Song)
        assert first.score == songs[4].score
        assert first.score.tracks[0].notes[:, 2].tolist() == [60, 62, 64, 65, 67, 69, 71, 72]


def test_nottingham_in_its_shapes(tmp_path: Path) -> None:
    for path in ("a/ABC_cleaned/reelsa-c.abc", "a/ABC_original/reelsa-c.abc", "b/reelsa-c.abc"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(BOOK)
    for name in ("c/MIDI/ashover1.mid", "c/MIDI/jigs3.mid", "c/MIDI/melody/jigs3.mid"):
        tune(1).write(tmp_path / name)
    tune(1).write(tmp_path / "a" / "MIDI" / "ashover1.mid")
    assert [e.name for e in corpora.entries(tmp_path / "a")] == [
        f"ABC_cleaned/reelsa-c.abc#{i}" for i in range(3)
    ]
    assert len(list(corpora.entries(tmp_path / "b"))) == 3
    assert [e.name for e in corpora.entries(tmp_path / "c")] == [
        "MIDI/ashover1.mid",
        "MIDI/jigs3.mid",
    ]
    assert [e.name for e in corpora.entries(tmp_path / "c" / "MIDI")] == [
        "ashover1.mid",
        "jigs3.mid",
    ]
    assert {e.corpus for s in "abc" for e in corpora.entries(tmp_path / s)} == {"nottingham"}


def test_every_format_that_can_be_read_is_a_piece(tmp_path: Path, samples: Path) -> None:
    for suffix in midi.SUFFIXES:
        (tmp_path / f"x{suffix}").write_bytes(b"")
    shutil.copy(samples / "bach_bwv253.mid", tmp_path / "x.mid")
    (tmp_path / "y.MID").write_bytes((tmp_path / "x.mid").read_bytes())
    (tmp_path / "readme.txt").write_text("not music")
    found = list(corpora.entries(tmp_path))
    assert {Path(e.name).suffix for e in found} == {*midi.SUFFIXES, ".MID"}
    read = [corpora.read(e) for e in found]
    assert sum(isinstance(r, Song) for r in read) == 2
    assert {r.reason for r in read if isinstance(r, Reject)} == {
        "the file is empty; export it again from where it came",
    } | {r.reason for r in read if isinstance(r, Reject) and r.name == "x.abc"}


# Listing and reading.


def test_listing_reads_no_music_and_entries_travel(tmp_path: Path, monkeypatch: Any) -> None:
    folder = pop909(tmp_path)
    sources = [
        folder,
        zipped(folder),
        tarred(folder),
        tarred(folder, mode="w"),
        "fiddle",
        "chorales",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(midi, "read", lambda *args, **rest: pytest.fail("read"))
        listed = [list(corpora.entries(s)) for s in sources]
    assert [len(found) for found in listed] == [3, 3, 3, 3, 4433, 408]
    for source, found in zip(sources, listed, strict=True):
        assert list(corpora.entries(source)) == found  # in a fixed order
        assert len({e.name for e in found}) == len(found)
        sent = pickle.loads(pickle.dumps(found[0]))
        assert sent == found[0]
        assert corpora.read(sent) == corpora.read(found[0])
    assert max(len(pickle.dumps(e)) for found in listed[:2] for e in found) < 500


def test_sources_that_hold_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "text.mid").write_text("x")
    (tmp_path / "empty").mkdir()
    for source, said in [
        (tmp_path / "none", "no such folder or corpus"),
        (tmp_path / "text.mid", "expected a folder or a zip or tar"),
        (tmp_path / "empty", "holds no music files"),
        (f"nottingham:{tmp_path / 'empty'}", "songs of nottingham"),
        ("fiddle:somewhere", "no such folder or corpus"),
        ("x" * 300, "cannot be read"),
    ]:
        with pytest.raises(InputError, match=said) as caught:
            all_of(source)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(corpora, "BANDS", tmp_path / "gone")
    with pytest.raises(InputError, match=r"bands: .*gone is not there; clone .* or use bands:PATH"):
        all_of("bands")


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tune(1).write(tmp_path / "fiddle" / "mine.mid")
    assert [(s.name, s.corpus) for s in all_of("fiddle")[0]] == [("mine.mid", "midi")]


def test_a_reader_that_fails_stops_nobody(tmp_path: Path, monkeypatch: Any) -> None:
    tune(1).write(tmp_path / "a.mid")
    tune(2).write(tmp_path / "b.mid")
    read = midi.read

    def fail(source: Any, *, name: str) -> Score:
        if name == "a.mid":
            raise ZeroDivisionError
        return read(source, name=name)

    monkeypatch.setattr(midi, "read", fail)
    songs, rejects = all_of(tmp_path)
    assert [s.name for s in songs] == ["b.mid"]
    assert rejects == [Reject("a.mid", "its reader failed (ZeroDivisionError); please report it")]


def test_faults_of_a_container_are_rejects(tmp_path: Path) -> None:
    tune(1).write(tmp_path / "x" / "a.mid")
    (tmp_path / "x" / "gone.mid").symlink_to(tmp_path / "nothing")
    songs, rejects = all_of(tmp_path / "x")
    assert len(songs) == 1
    assert rejects == [Reject("gone.mid", "not a file, or a link to nothing")]
    (tmp_path / "x" / "gone.mid").unlink()
    tune(2).write(tmp_path / "x" / "b.mid")
    path = tarred(tmp_path / "x", mode="w")
    path.write_bytes(path.read_bytes()[:1800])
    assert all_of(path)[1][-1].reason.startswith("the archive breaks off here")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    tune(1).write(tmp_path / "a.mid")
    Path(tmp_path / "a.mid").rename(bytes(tmp_path).decode() + "/\udcff.mid")
    (song,) = all_of(tmp_path)[0]
    assert song.name == "\ufffd.mid"
    song.name.encode()


# The catalogue.


def test_the_catalogue_says_all_of_every_corpus() -> None:
    for name, row in CORPORA.items():
        assert row.name == name
        assert all(getattr(row, f) for f in ("about", "source", "licence", "split"))
        assert all(getattr(row, f) for f in ("train", "weights", "files"))
        assert row.url.startswith("http") or name == "midi"
        for mark, wanted in row.layouts:
            re.compile(mark)
            re.compile(wanted)
    packaged = {name for name, row in CORPORA.items() if not row.layouts}
    assert packaged == {"fiddle", "chorales"}
    assert CORPORA["maestro"].weights.startswith("no")
    assert "MIT" in CORPORA["pop909"].licence
    at_hand = {name for name, row in CORPORA.items() if corpora.at_hand(row)}
    assert at_hand == {"fiddle", "chorales", "bands"}


def test_the_verb_lists_them(cli: Any) -> None:
    done = cli("corpora")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(CORPORA)
    assert max(map(len, lines)) < 150
    (maestro,) = [line for line in lines if line.startswith("maestro")]
    assert "CC BY-NC-SA 4.0" in maestro
    rows = json.loads(cli("corpora", "--json").out)["corpora"]
    assert [r["name"] for r in rows] == list(CORPORA)
    assert {r["name"] for r in rows if r["at_hand"]} == {"fiddle", "chorales", "bands"}


def test_the_verb_tells_all_about_one(cli: Any) -> None:
    done = cli("corpora", "maestro")
    assert CORPORA["maestro"].url in done.out
    assert CORPORA["maestro"].weights in done.out
    assert json.loads(cli("corpora", "lakh", "--json").out)["corpus"]["name"] == "lakh"
    wrong = cli("corpora", "maestr")
    assert wrong.code == 2
    assert "no corpus 'maestr', did you mean 'maestro'?" in wrong.err
