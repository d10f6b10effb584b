"""Prepared folders: the split by song, no duplicates, true counts, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import one_track

from musegen import corpora, dataset
from musegen.corpora import Entry, Reject, Song
from musegen.errors import InputError, MusegenError
from musegen.prepare import prepare, shards, tables
from musegen.prepare.split import PARTS, normal_titles
from musegen.prepare.windows import Settings
from musegen.score import Score, Track

Prepare = Callable[..., dict[str, Any]]


def walk(seed: int, bars: int = 12, start: int = 60) -> list[tuple]:
    """A melody of eighths that no other seed has."""
    steps = np.random.default_rng(seed).integers(-4, 5, 8 * bars)
    pitches = 48 + (start - 48 + np.cumsum(steps)) % 36
    return [(240 * i, 240, int(p), 80) for i, p in enumerate(pitches)]


def song(name: str, rows: list[tuple], title: str = "", corpus: str = "midi", **rest: Any) -> Song:
    return Song(name, corpus, one_track(rows, **rest), title)


def make_up(patch: pytest.MonkeyPatch, items: list[Song | Reject]) -> None:
    """Puts songs in the place of any source."""
    by_name = {item.name: item for item in items}
    entries = [Entry("midi", item.name, "made", item.name) for item in items]
    patch.setattr(corpora, "entries", lambda source: iter(entries))
    patch.setattr(corpora, "read", lambda entry: by_name[entry.name])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prepare:
    """Prepares songs that a test makes up."""

    def run(
        items: list[Song | Reject], name: str = "out", cut: Settings | None = None, **rest: Any
    ) -> dict[str, Any]:
        make_up(monkeypatch, items)
        return prepare(["made"], tmp_path / name, cut or Settings(), workers=0, **rest)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def songs_of(folder: Path) -> dict[str, dict[str, str]]:
    rows = map(json.loads, (folder / "songs.jsonl").read_text().splitlines())
    return {row["name"]: row for row in rows}


def windows_of(folder: Path, part: str) -> list[tuple[str, bytes]]:
    """(name of the song, notes without velocity) of each window."""
    names = list(songs_of(folder))
    notes, offsets = np.load(folder / f"{part}.notes.npy"), np.load(folder / f"{part}.offsets.npy")
    owners = np.load(folder / f"{part}.songs.npy")
    assert notes.dtype == np.int16
    assert (offsets[0], offsets[-1], len(offsets)) == (0, len(notes), len(owners) + 1)
    cut = [notes[a:b, :3].tobytes() for a, b in pairwise(offsets)]
    return [(names[o], w) for o, w in zip(owners, cut, strict=True)]


def many(n: int = 60) -> list[Song | Reject]:
    return [song(f"s{i}", walk(i)) for i in range(n)]


def test_the_split_is_by_song_and_about_as_large_as_asked(made: Prepare, tmp_path: Path) -> None:
    manifest = made(many(200), held_out=(0.2, 0.3))
    shares = [manifest["songs"][part] / 200 for part in PARTS]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.12)
    owners = [{name for name, _ in windows_of(tmp_path / "out", part)} for part in PARTS]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    placed = songs_of(tmp_path / "out")
    assert all(
        placed[name]["part"] == part for part, o in zip(PARTS, owners, strict=True) for name in o
    )


def test_the_split_does_not_depend_on_order_or_company(made: Prepare, tmp_path: Path) -> None:
    made(many(60), "all", held_out=(0.3, 0.3))
    made([s for i, s in enumerate(many(60)) if i % 2][::-1], "half", held_out=(0.3, 0.3))
    all_of, half = songs_of(tmp_path / "all"), songs_of(tmp_path / "half")
    assert len(half) == 30
    assert all(all_of[name]["part"] == row["part"] for name, row in half.items())


def test_variants_of_a_tune_stay_on_one_side(made: Prepare, tmp_path: Path) -> None:
    items: list[Song | Reject] = []
    for i in range(25):
        base = walk(i)
        items += [
            song(f"{i}", base),
            song(f"{i} moved", [(on, d, p + 3, v) for on, d, p, v in base]),
            song(f"{i} changed", base[:64] + walk(1000 + i)[64:]),
        ]
    manifest = made(items, held_out=(0.3, 0.3))
    placed = songs_of(tmp_path / "out")
    assert manifest["clusters"] == 25
    assert {row["part"] for row in placed.values()} == set(PARTS)
    for i in range(25):
        same = [placed[name] for name in (f"{i}", f"{i} moved", f"{i} changed")]
        assert len({(row["part"], row["cluster"]) for row in same}) == 1


def test_equal_titles_stay_on_one_side(made: Prepare, tmp_path: Path) -> None:
    titles = ["The Reel {}", "reel {}!", "Other / Reel {} (setting)", "A Reel {} -- Hornpipe"]
    items: list[Song | Reject] = [
        song(f"{i} {k}", walk(10 * i + k), t.format(chr(97 + i)))
        for i in range(20)
        for k, t in enumerate(titles)
        if k != 2
    ]
    items += [
        song(f"{i} 2", walk(10 * i + 2), f"Other {i} / Reel {chr(97 + i)}") for i in range(20)
    ]
    manifest = made(items, held_out=(0.3, 0.3))
    placed = songs_of(tmp_path / "out")
    assert manifest["clusters"] == 20
    for i in range(20):
        assert len({placed[f"{i} {k}"]["part"] for k in range(4)}) == 1


def test_different_songs_are_not_joined(made: Prepare) -> None:
    assert made(many(30))["clusters"] == 30


def test_shipped_samples_are_for_testing_only(made: Prepare, tmp_path: Path) -> None:
    items: list[Song | Reject] = [
        song(f"{i}", walk(i), t.title(), "fiddle") for i, t in enumerate(corpora.SAMPLE_TITLES)
    ]
    items.append(song("variant", [(on, d, p + 1, v) for on, d, p, v in walk(0)], "", "midi"))
    made(items, held_out=(0.5, 0.0))
    assert {row["part"] for row in songs_of(tmp_path / "out").values()} == {"test"}


def test_no_window_twice_in_a_part(made: Prepare, tmp_path: Path) -> None:
    loop = walk(1, 4)
    again = [(on + 4 * 1920 * k, d, p, v) for k in range(3) for on, d, p, v in loop]
    louder = [(on, d, p, 99) for on, d, p, _ in loop]
    manifest = made([song("a", again), song("b", louder)], everything="train")
    windows = [w for _, w in windows_of(tmp_path / "out", "train")]
    assert len(windows) == len(set(windows)) == manifest["windows"]["train"] == 4
    expected = {"repeated in its song": 7, "repeated in its part": 3}
    assert manifest["dropped_windows"] == expected
    assert manifest["songs"] == {"train": 2, "valid": 0, "test": 0}
    assert manifest["inputs"] == {"used": 1, "duplicate": 1, "rejected": 0}


def test_other_windows_of_the_same_songs_are_split_alike(made: Prepare, tmp_path: Path) -> None:
    made(many(), "short", held_out=(0.3, 0.3))
    short, long = tmp_path / "short", tmp_path / "long"
    four = Settings(bars=4)
    made(many(), "apart", four, held_out=(0.3, 0.3))
    parts = {name: row["part"] for name, row in songs_of(short).items()}
    assert any(row["part"] != parts[name] for name, row in songs_of(tmp_path / "apart").items())
    made(many(), "long", four, held_out=(0.3, 0.3), like=[short])
    assert {name: row["part"] for name, row in songs_of(long).items()} == parts
    before = contents(long)
    made(many(), "long", four, held_out=(0.3, 0.3), like=[short])
    assert contents(long) == before
    with pytest.raises(MusegenError, match=r"other settings \(like\)"):
        made(many(), "long", four, held_out=(0.3, 0.3))
    both = [short, tmp_path / "apart"]
    made(many(), "clean", four, held_out=(0.3, 0.3), like=both)
    for name, row in songs_of(tmp_path / "clean").items():
        assert row["part"] == min((songs_of(f)[name]["part"] for f in both), key=PARTS.index)
    with pytest.raises(InputError, match="no folder that musegen prepare made"):
        made(many(), "other", four, like=[tmp_path / "none"])
    assert not (tmp_path / "other").exists()


def test_windows_are_cut_as_asked(made: Prepare, tmp_path: Path) -> None:
    made([song("a", walk(1, 9))], cut=Settings(bars=4, hop=2), everything="test")
    windows = dataset.load(tmp_path / "out", "test")
    assert len(windows) == 3
    assert windows.representation.steps == 64
    expected = [(i, p) for i, (_, _, p, _) in enumerate(walk(1, 9)[16:48])]
    assert windows.window(1)[:, [0, 2]].tolist() == [[2 * i, p] for i, p in expected]


def test_unsuitable_windows_are_counted_by_reason(made: Prepare) -> None:
    def at(bar: int, *rows: tuple) -> list[tuple]:
        return [(1920 * bar + on, d, p, 80) for on, d, p in rows]

    rows = at(0, (0, 240, 60), (1920, 240, 62))  # two notes
    rows += at(2, (0, 240, 60), (240, 240, 62), (480, 240, 64))  # and then a silent bar
    rows += at(4, *[(i * 480, 480, 60) for i in range(8)])  # one pitch
    rows += at(6, *[(i * 480, 480, 10 + i) for i in range(8)])  # too low
    rows += at(8, *[(i * 480, 480, 60 + i) for i in range(8)])
    manifest = made([song("a", rows)], cut=Settings(hop=2), everything="train")
    assert manifest["windows"]["train"] == 1
    assert manifest["dropped_windows"] == {
        "fewer than 3 notes": 1,
        "a silent bar": 1,
        "one pitch only": 1,
        "outside the piano's range": 1,
    }


def test_rejects_are_counted_and_listed_with_reasons(made: Prepare, tmp_path: Path) -> None:
    items = [
        song("good", walk(1)),
        song("waltz", walk(2), metres=((0, 3, 4),)),
        song("waltz 2", walk(3), metres=((0, 3, 4),)),
        Song("drums", "midi", Score((Track(walk(4), is_drum=True),))),
        Song("empty", "midi", Score()),
        song("short", walk(5)[:3]),
        song("drone", [(240 * i, 240, 60, 80) for i in range(32)]),
        Reject("broken", "truncated"),
    ]
    manifest = made(items)
    assert manifest["rejects"] == {
        "no bars of four quarters (metre 3/4)": 2,
        "has only drums": 1,
        "has no notes": 1,
        "shorter than 2 bars": 1,
        "no 2-bar window is worth keeping (one pitch only)": 1,
        "truncated": 1,
    }
    listed = (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()
    assert [json.loads(row)["name"] for row in listed] == [i.name for i in items[1:]]
    assert sum(manifest["songs"].values()) == 1
    assert manifest["inputs"] == {"used": 1, "duplicate": 0, "rejected": 7}


def test_counts_and_hashes_are_true_and_come_again(made: Prepare, tmp_path: Path) -> None:
    items = many(30)
    first = made(items, "one", held_out=(0.2, 0.2))
    assert made(items, "two", held_out=(0.2, 0.2)) == first
    assert json.loads((tmp_path / "one" / "manifest.json").read_text()) == first
    for part in PARTS:
        table = np.load(tmp_path / "one" / f"{part}.notes.npy")
        offsets = np.load(tmp_path / "one" / f"{part}.offsets.npy")
        digest = hashlib.sha256(table.tobytes() + offsets.tobytes()).hexdigest()
        assert first["sha256"][part] == digest
        assert first["windows"][part] == len(offsets) - 1 == sum(first["corpora"][part].values())
        listed = [r for r in songs_of(tmp_path / "one").values() if r["part"] == part]
        assert first["songs"][part] == len(listed)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    names = {"plan.json", "manifest.json", "songs.jsonl", "rejects.jsonl", "shards/00000.npz"}
    names |= {f"{p}.{t}.npy" for p in PARTS for t in ("notes", "offsets", "songs")}
    assert set(contents(tmp_path / "one")) == names
    for name, (size, digest) in first["files"].items():
        data = (tmp_path / "one" / name).read_bytes()
        assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert set(first["files"]) == names - {"plan.json", "manifest.json", "shards/00000.npz"}
    changed = [*items[1:], song("s0", walk(999))]
    assert made(changed, "three", held_out=(0.2, 0.2))["sha256"] != first["sha256"]


def test_tables_are_what_numpy_would_save(made: Prepare, tmp_path: Path) -> None:
    made(many(9), held_out=(0.3, 0.3))
    for path in (tmp_path / "out").glob("*.npy"):
        np.save(tmp_path / "again.npy", np.load(path))
        assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()


def test_samples_on_the_way_through(samples: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = tmp_path / "midi"
    folder.mkdir()
    for path in samples.glob("ryan_*.mid"):
        shutil.copy(path, folder)
    manifest = prepare(
        [folder], tmp_path / "out", everything="test", report=lambda *n: seen.append(n)
    )
    assert manifest["songs"]["test"] == 3
    assert seen == [(3, 3)]
    assert manifest["sources"] == ["midi"]


def test_a_split_and_clusters_of_the_corpus_itself_hold(made: Prepare, tmp_path: Path) -> None:
    items: list[Song | Reject] = [
        Song(f"{p}{i}", "maestro", one_track(walk(seed)), split=p)
        for seed, (p, i) in enumerate((p, i) for p in PARTS for i in range(5))
    ]
    items += [Song(f"v{i}", "lakh", one_track(walk(90 + i)), cluster=f"{i % 4}") for i in range(20)]
    manifest = made(items, held_out=(0.3, 0.3))
    placed = songs_of(tmp_path / "out")
    assert all(placed[f"{p}{i}"]["part"] == p for p in PARTS for i in range(5))
    assert manifest["clusters"] == 15 + 4
    for i in range(4):
        assert len({placed[f"v{k}"]["part"] for k in range(i, 20, 4)}) == 1


def test_windows_of_training_are_not_held_out_in_other_kinds(made: Prepare, tmp_path: Path) -> None:
    """Drum patterns recur in songs that have nothing else in common."""

    def beats(*bars: int) -> Score:
        hits = [
            (1920 * at + 120 * step, 60, pitch, 90)
            for at, seed in enumerate(bars)
            for step, pitch in enumerate(
                np.random.default_rng(seed).choice([36, 38, 42, 46], 16).tolist()
            )
        ]
        return Score((Track(hits, is_drum=True),))

    stock = [(10 * k, 10 * k + 1) for k in range(60)]
    items: list[Song | Reject] = [
        Song(f"{k}", "midi", beats(*own, 999, 998)) for k, own in enumerate(stock)
    ]
    manifest = made(items, cut=Settings("drums", hop=2), held_out=(0.3, 0.3))
    parts = {p: {w for _, w in windows_of(tmp_path / "out", p)} for p in PARTS}
    assert not parts["train"] & (parts["valid"] | parts["test"])
    assert manifest["windows"]["train"] == manifest["songs"]["train"] + 1
    assert manifest["dropped_windows"]["also in the training part"] == 2
    cut = sum(manifest["windows"].values()) + sum(manifest["dropped_windows"].values())
    assert cut == 120


# A folder that is there already


def test_the_same_again_is_left_alone(made: Prepare, tmp_path: Path) -> None:
    said: list[str] = []
    first = made(many(5))
    before = contents(tmp_path / "out")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    assert made(many(5), say=said.append) == first
    assert contents(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == stamps
    assert said == [f"{tmp_path / 'out'}: is prepared already, and as its hashes say"]


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"files": 1}'])
def test_a_damaged_manifest_is_made_again(made: Prepare, tmp_path: Path, text: str) -> None:
    made(many(5))
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text(text)
    made(many(5))
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    "name", ["train.notes.npy", "valid.offsets.npy", "songs.jsonl", "shards/00000.npz"]
)
@pytest.mark.parametrize("how", ["gone", "cut", "changed"])
def test_damage_is_found_and_repaired(made: Prepare, tmp_path: Path, name: str, how: str) -> None:
    said: list[str] = []
    made(many(5))
    before = contents(tmp_path / "out")
    path, data = tmp_path / "out" / name, bytearray(before[name])
    data[len(data) // 2] ^= 1
    path.unlink()
    if how != "gone":
        path.write_bytes(data if how == "changed" else data[:-9])
    made(many(5), say=said.append)
    if name.startswith("shards") and how == "gone":  # as anybody may do who needs the room
        assert not path.exists()
        made(many(5), force=True)
    else:
        assert said[0] == f"{tmp_path / 'out'}: {name} damaged, made again"
    assert contents(tmp_path / "out") == before


def test_what_is_there_stays_without_force(made: Prepare, tmp_path: Path) -> None:
    made(many(3))
    before = contents(tmp_path / "out")
    with pytest.raises(MusegenError, match=r"made from other music than made .*--force"):
        made(many(4))
    with pytest.raises(MusegenError, match=r"made with other settings \(bars, hop\); .*--force"):
        made(many(3), cut=Settings(bars=4, hop=2))
    assert contents(tmp_path / "out") == before
    assert sum(made(many(4), force=True)["songs"].values()) == 4
    assert len(songs_of(tmp_path / "out")) == 4
    made(many(3), cut=Settings(bars=4, hop=2), force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_force_does_not_delete_somebodys_music(made: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "my.mid").write_bytes(b"mine")
    with pytest.raises(MusegenError, match="is no prepared folder"):
        made(many(3), force=True)
    assert (tmp_path / "out" / "my.mid").read_bytes() == b"mine"
    (tmp_path / "file").write_text("x")
    with pytest.raises(MusegenError, match="is no prepared folder"):
        made(many(3), "file", force=True)


def test_killed_before_the_first_word(made: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{shards.UNFINISHED}plan").write_text("{")
    made(many(3), "expected")
    made(many(3))
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_a_folder_among_its_own_source_is_refused(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(MusegenError, match="lies inside"):
        prepare([tmp_path], tmp_path / "below" / "out")
    assert not list(tmp_path.iterdir())


ERRORS = [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("bug")]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_a_folder_is_there_whole_or_not_at_all(
    made: Prepare, tmp_path: Path, monkeypatch: Any, error: BaseException, force: bool
) -> None:
    """What is stopped while tables are written keeps its shards, and the same call finishes it."""
    made(many(5), "expected")
    if force:
        made(many(3))
    before = contents(tmp_path / "out")
    finish = tables._Table.finish

    def fail(table: tables._Table) -> None:
        if "valid.offsets" in table.path.name:
            raise error
        finish(table)

    with monkeypatch.context() as patch:
        patch.setattr(tables._Table, "finish", fail)
        with pytest.raises((MusegenError, KeyboardInterrupt, RuntimeError)):
            made(many(5), force=force)
    if force:
        assert contents(tmp_path / "out") == before
    assert dataset.is_prepared(tmp_path / "out") == force
    assert not list(tmp_path.rglob(f"{shards.UNFINISHED}*"))
    said: list[str] = []
    made(many(5), force=force, say=said.append)
    assert said == [f"{tmp_path / 'out'}: 1 shards were there already"]
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_killed_between_two_renames(
    made: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(many(5), "expected")
    made(many(3))
    rename = Path.rename

    def killed(path: Path, to: Path) -> Path:
        if path.name == ".out.part":
            raise KeyboardInterrupt
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            made(many(5), force=True)
    assert not (tmp_path / "out").exists()
    shutil.copytree(tmp_path / ".out.part", tmp_path / ".other.part")
    made(many(5), force=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    made(many(3), "other", force=True)  # the source has changed meanwhile
    assert len(songs_of(tmp_path / "other")) == 3
    shutil.rmtree(tmp_path / "other")
    assert {p.name for p in tmp_path.iterdir()} == {"out", "expected"}


def test_nothing_usable_is_told_with_the_reasons(made: Prepare, tmp_path: Path) -> None:
    waltzes: list[Song | Reject] = [song(f"{i}", walk(i), metres=((0, 3, 4),)) for i in range(4)]
    with pytest.raises(InputError, match=r"gives no 2-bar windows \(4 x no bars of four quarters"):
        made(waltzes)
    assert not list(tmp_path.iterdir())


def test_a_missing_source_stops_before_anything_is_written(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(InputError, match="no such folder or corpus"):
        prepare([samples, tmp_path / "none"], tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (Settings("waltz"), "no kind of windows 'waltz'; there are melody, drums"),
        (Settings("band"), "needs a track set: --tracks with one of lpd5"),
        (Settings("band", tracks="quartet"), "needs a track set"),
        (Settings("melody", tracks="lpd5"), "has no track sets"),
        (Settings(bars=0), "1 to 2047 bars"),
        (Settings("groove", bars=18), "1 to 17 bars"),
        (Settings(hop=0), "hop of at least 1"),
        (Settings("trio", min_tracks=4), "4 tracks are more than there are"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    made: Prepare, tmp_path: Path, cut: Settings, words: str
) -> None:
    with pytest.raises(MusegenError, match=words):
        made(many(3), cut=cut)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("title", "titles"),
    [
        ("", []),
        ("The Reel", ["reel"]),
        ("FISHER'S -- HORNPIPE", ["fishers"]),
        ("Harvest-Home (1) / The Cork", ["harvest home", "cork"]),
        ("A The", []),
    ],
)
def test_titles_lose_what_differs_between_books(title: str, titles: list) -> None:
    assert normal_titles(title) == titles


# The command line


def test_shares_of_the_shards_and_then_the_whole(
    cli: Any, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the jobs of an array on a cluster do it, each by itself."""
    monkeypatch.setattr("musegen.prepare.ENTRIES", 4)
    wanted = ["--kind", "band", "--tracks", "lpd5", "--bars", 4, "--min-tracks", 2, "--workers", 0]
    made = 0
    for i in (3, 1, 2):
        share = ["--shard", f"{i}/3"]
        done = cli("prepare", samples, "-o", tmp_path / "out", *wanted, *share, "--json")
        assert done.code == 0
        made += done.json["shards"]
        assert len(list((tmp_path / "out" / "shards").iterdir())) == made
        assert not dataset.is_prepared(tmp_path / "out")
    done = cli("prepare", samples, "-o", tmp_path / "out", *wanted)
    assert f"{made} shards were there already" in done.err
    assert cli("prepare", samples, "-o", tmp_path / "once", *wanted).code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "once")
    assert cli("prepare", samples, "-o", tmp_path / "out", *wanted, "--shard", "1/3").code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "once")
    assert "used, " in done.out
    assert "  set aside: " in done.out


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--shard", "4/3"], 2, "'4/3' is no share; write for example 3/10"),
        (["--shard", "half"], 2, "'half' is no share"),
        (["--kind", "waltz"], 1, "no kind of windows 'waltz'"),
        (["--kind", "band"], 1, "needs a track set"),
        (["--kind", "drums", "--tracks", "lpd5"], 1, "has no track sets"),
    ],
)
def test_mistakes_are_told(
    cli: Any, samples: Path, tmp_path: Path, more: list[str], code: int, words: str
) -> None:
    done = cli("prepare", samples, "-o", tmp_path / "out", *more)
    assert (done.code, words in done.err) == (code, True)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_read_is_told(
    cli: Any, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("musegen.corpora.containers._listed", refuse)
    done = cli("prepare", samples, "-o", tmp_path / "out")
    assert done.code == 3
    assert done.err == f"musegen: {samples}: cannot be read (Permission denied)\n"
