"""Every verb as a user meets it: files, streams, exit codes, words."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import pretty_midi
import pytest
import tiny
import torch
from tiny import SAMPLES

import musegen
from musegen import midi
from musegen.cli.main import VERBS, run

FISHER = str(SAMPLES / "ryan_fishers_hornpipe.mid")
HARVEST = str(SAMPLES / "oneill_harvest_home.mid")
WALTZ = str(SAMPLES / "mutopia_satie_gymnopedie_no1.mid")
SCHEMA = 1


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on stdout."""
        document = json.loads(self.out)
        assert document["schema"] == SCHEMA
        return document


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """Runs the command line here; `train` sets up torch for the whole process, which is undone."""
    threads = torch.get_num_threads()

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    yield call
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


def process(*arguments: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess:
    """Runs it in a process of its own, with bytes for streams."""
    return subprocess.run(
        [sys.executable, "-m", "musegen", *arguments],
        input=stdin,
        env=environment(),
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
    )


def environment() -> dict[str, str]:
    root = str(Path(musegen.__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def other_readers_agree(path: Path | str) -> None:
    """mido and pretty_midi find the notes that we do."""
    score = midi.read(path)
    count = sum(len(t) for t in score.tracks)
    file = mido.MidiFile(path)
    on = [m for t in file.tracks for m in t if m.type == "note_on" and m.velocity]
    assert len(on) == count
    bar = 4 * 60 / score.tempos[0][1]
    assert file.length >= score.seconds - 1e-6
    assert file.length / bar == pytest.approx(round(file.length / bar))  # DAWs loop whole bars
    pretty = pretty_midi.PrettyMIDI(str(path))
    pitches = [n.pitch for i in pretty.instruments for n in i.notes]
    assert sorted(pitches) == sorted(np.concatenate([t.notes[:, 2] for t in score.tracks]).tolist())


# generate


def test_generate_writes_predictable_names_and_says_the_seed(cli, tmp_path: Path) -> None:
    done = cli("generate", "-n", 3, "-o", tmp_path / "out", "--seed", 5)
    assert done.code == 0
    names = [tmp_path / "out" / f"melody-0{i}.mid" for i in (1, 2, 3)]
    assert done.out.split() == [str(p) for p in names]
    assert done.err == "seed 5\n"
    assert sorted((tmp_path / "out").iterdir()) == names
    for p in names:
        other_readers_agree(p)


def test_generate_takes_every_option_and_the_file_keeps_the_recipe(cli, tmp_path: Path) -> None:
    out = tmp_path / "tune.mid"
    options = ["--bars", 4, "--temperature", 0.8, "--style", "fiddle", "--tempo", 90, "--key", "Am"]
    done = cli("generate", *options, "--seed", 7, "-o", out, "--png", "--json")
    assert done.code == 0
    files = done.json["files"]
    assert files == [{"midi": str(out), "png": str(out.with_suffix(".png"))}]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert (done.json["verb"], done.json["seed"]) == ("generate", 7)
    score = midi.read(out)
    assert score.tempos == ((0, pytest.approx(90.0)),)
    assert score.keys == ((0, 0, True),)
    assert len(score.bar_lines()) - 1 == 4
    recipe = cli("info", out, "--json").json["recipe"]
    assert recipe == {
        "version": musegen.__version__,
        "verb": "generate",
        "model": "melody-2bar",
        "seed": 7,
        "n": 1,
        "index": 0,
        "bars": 4,
        "temperature": 0.8,
        "style": "fiddle",
        "tempo": 90.0,
        "key": "Am",
    }
    again = [f"--{k}={recipe[k]}" for k in ("bars", "temperature", "style", "tempo", "key", "seed")]
    assert cli("generate", *again, "-o", tmp_path / "again.mid").code == 0
    assert (tmp_path / "again.mid").read_bytes() == out.read_bytes()


def test_a_drawn_seed_is_printed_and_makes_the_same_again(cli, tmp_path: Path) -> None:
    first = cli("generate", "-o", tmp_path / "a.mid")
    seed = re.fullmatch(r"seed (\d+)\n", first.err)[1]
    assert str(midi.read(tmp_path / "a.mid").recipe["seed"]) == seed
    cli("generate", "-o", tmp_path / "b.mid", "--seed", seed)
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()
    other = cli("generate", "-o", tmp_path / "c.mid", "-q")
    assert other.err == ""
    assert midi.read(tmp_path / "c.mid").recipe["seed"] != int(seed)


def test_nothing_is_overwritten_without_force(cli, tmp_path: Path) -> None:
    out = tmp_path / "melody-01.mid"
    out.write_bytes(b"mine")
    done = cli("generate", "-o", tmp_path, "--seed", 1)
    assert done.code == 1
    assert re.fullmatch(rf"musegen: {out}: exists already; .*--force\n", done.err)
    assert out.read_bytes() == b"mine"
    assert cli("generate", "-o", tmp_path, "--seed", 1, "--force").code == 0
    assert out.read_bytes().startswith(b"MThd")
    out.with_suffix(".png").write_bytes(b"mine")
    assert cli("generate", "-o", tmp_path / "melody-01.MID", "--png").code == 1


# interpolate and reconstruct


def test_interpolate_writes_a_folder_whose_ends_are_as_written(cli, tmp_path: Path) -> None:
    done = cli("interpolate", FISHER, HARVEST, "-n", 4, "-o", tmp_path, "--seed", 1)
    assert done.code == 0
    names = [tmp_path / f"interpolation-0{i}.mid" for i in (1, 2, 3, 4)]
    assert done.out.split() == [str(p) for p in names]
    assert "ryan_fishers_hornpipe.mid: took track 1" in done.err
    for name, source in ((names[0], FISHER), (names[-1], HARVEST)):
        source_notes, made = midi.read(source).tracks[0].notes, midi.read(name).tracks[0].notes
        assert np.array_equal(made[: len(source_notes)], source_notes)
    for p in names:
        other_readers_agree(p)


def test_interpolate_into_one_file_is_a_timeline(cli, tmp_path: Path) -> None:
    out = tmp_path / "morph.mid"
    options = ["--bars", 2, "--fit", "pad", "--track-a", 1, "--track-b", "melody", "--tempo", 100]
    done = cli("interpolate", FISHER, HARVEST, "-n", 3, "-o", out, *options, "--key", "C", "--json")
    assert done.code == 0
    assert [f["midi"] for f in done.json["files"]] == [str(out)]
    info = cli("info", out, "--json").json
    assert info["bars"] == 6
    assert [m[1] for m in info["markers"]] == ["1/3", "2/3", "3/3"]
    assert info["recipe"]["inputs"] == [Path(FISHER).name, Path(HARVEST).name]
    assert info["recipe"]["tracks"] == ["1", "melody"]
    assert info["keys"] == [[0, 0, False]]
    other_readers_agree(out)


def test_reconstruct_says_how_much_is_right(cli, tmp_path: Path) -> None:
    done = cli("reconstruct", HARVEST, "-o", tmp_path, "--seed", 2, "--json")
    assert done.code == 0
    made = tmp_path / "oneill_harvest_home-reconstructed.mid"
    assert done.json["files"] == [{"midi": str(made)}]
    assert done.json["accuracy"] > 0.9
    assert len(done.json["windows"]) * 2 == done.json["bars"]
    assert f"{done.json['accuracy']:.1%} of the steps" in done.err
    other_readers_agree(made)


def test_tracks_that_are_not_there_are_named(cli, tmp_path: Path) -> None:
    done = cli("reconstruct", HARVEST, "--track", 7, "-o", tmp_path)
    assert done.code == 3
    assert "has no pitched track 7; there are 1 'Melody'" in done.err


def test_music_in_three_is_refused_by_name(cli, tmp_path: Path) -> None:
    done = cli("interpolate", FISHER, WALTZ, "-o", tmp_path)
    assert done.code == 3
    (line,) = [line for line in done.err.splitlines() if line.startswith("musegen:")]
    assert line.startswith(f"musegen: {Path(WALTZ).name}: is in 3/4, but")
    assert not list(tmp_path.iterdir())


# prepare, train, evaluate


def test_prepare_train_generate(cli, tmp_path: Path) -> None:
    done = cli("prepare", SAMPLES, "-o", tmp_path / "data", "--json")
    assert done.code == 0
    assert sum(done.json["manifest"]["songs"].values()) > 5
    assert cli("prepare", SAMPLES, "-o", tmp_path / "data").code == 1
    again = cli("prepare", SAMPLES, "-o", tmp_path / "data", "--force")
    assert again.code == 0
    assert "  train: " in again.out
    sets = [x for s in tiny.SETTINGS for x in ("--set", s)]
    out = tmp_path / "run"
    train = ["train", "melody_2bar_small", "--data", tiny.prepared(), "--out", out, *sets]
    done = cli(*train, "--every", 6, "--threads", 1, "--json")
    assert done.code == 0
    assert done.json["bundle"] == str(out / "bundle")
    assert "step 6: held out" in done.err
    names = {p.name for p in out.iterdir()}
    assert names == {"config.json", "log.jsonl", "checkpoint.pt", "samples", "bundle"}
    assert {p.suffix for p in (out / "samples").iterdir()} == {".png", ".mid"}
    card = (out / "bundle" / "README.md").read_text()
    assert "yours" in card  # the licence of the data
    done = cli("generate", "--model", out / "bundle", "-o", tmp_path / "own.mid", "--seed", 1)
    assert done.code in (0, 5)  # a network of 12 steps may have nothing to say
    other = cli(*train, "--seed", 1)
    assert other.code == 1
    assert "another preset, data or seed" in other.err


def test_training_goes_from_a_folder_of_midi_files(cli, tmp_path: Path) -> None:
    """Too few files are told; with more of them the same command works."""
    music, out = tmp_path / "music", tmp_path / "run"
    music.mkdir()
    (music / "one.mid").write_bytes(Path(FISHER).read_bytes())
    sets = [x for s in [*tiny.SETTINGS, "training.steps=1"] for x in ("--set", s)]
    train = ["train", "melody_2bar_small", "--data", music, "--out", out, *sets]
    done = cli(*train)
    assert done.code == 3
    assert "are too few" in done.err
    for p in SAMPLES.glob("*.mid"):
        (music / p.name).write_bytes(p.read_bytes())
    done = cli(*train)
    assert f"preparing {music}" in done.err
    assert done.code == 0
    assert f"going on with {out / 'data'}" in cli(*train).err


def test_folders_of_other_things_are_never_replaced(cli, tmp_path: Path) -> None:
    music = tmp_path / "data"
    music.mkdir()
    (music / "one.mid").write_bytes(Path(FISHER).read_bytes())
    done = cli("prepare", SAMPLES, "-o", music, "--force")
    assert done.code == 1
    assert "is no prepared folder" in done.err
    # a run in the folder above would prepare into this very name
    assert cli("train", "melody_2bar_small", "--data", music, "--out", tmp_path).code == 1
    assert [p.name for p in music.iterdir()] == ["one.mid"]


@pytest.mark.parametrize(
    ("assignment", "code", "words"),
    [
        ("training.stepz=1", 2, "did you mean 'steps'"),
        ("training.steps=many", 2, "expected int"),
        ("training.batch=0", 1, "at least 1"),
        ("model.steps=64", 1, "must be 32"),
    ],
)
def test_bad_settings_are_told_before_any_work(
    cli, tmp_path: Path, assignment: str, code: int, words: str
) -> None:
    out = tmp_path / "run"
    done = cli("train", "melody_2bar_small", "--data", SAMPLES, "--out", out, "--set", assignment)
    assert done.code == code
    assert words in done.err
    assert not out.exists()


def test_interrupted_training_saves_says_one_sentence_and_exits_with_130(tmp_path: Path) -> None:
    sets = [x for s in [*tiny.SETTINGS, "training.steps=100000"] for x in ("--set", s)]
    out = tmp_path / "run"
    arguments = ["train", "melody_2bar_small", "--data", str(tiny.prepared()), "--out", str(out)]
    child = subprocess.Popen(
        [sys.executable, "-m", "musegen", *arguments, *sets, "--every", "20", "-q"],
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    until = time.monotonic() + 60
    while not (out / "checkpoint.pt").exists() and time.monotonic() < until:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    words = "stopped and saved; the same command goes on from here"
    assert stderr.decode() == f"musegen: {out}: {words}\n"
    assert stdout == b""


def test_evaluate_prints_and_writes_its_tables(cli, tmp_path: Path) -> None:
    done = cli("evaluate", "--data", tiny.prepared(), "-n", 16, "-o", tmp_path / "r", "--json")
    assert done.code == 0
    assert done.json["reconstruction"]["all"]["sampled_mean"] > 0.5
    table = json.loads((tmp_path / "r" / "table.json").read_text())
    assert table["overlap"] == done.json["overlap"]
    assert (tmp_path / "r" / "densities.png").read_bytes().startswith(b"\x89PNG")
    again = cli("evaluate", "--data", tiny.prepared(), "-n", 16, "-o", tmp_path / "r")
    assert again.code == 1
    plain = cli("evaluate", "--data", tiny.prepared(), "-n", 16, "--part", "valid")
    assert "reconstruction of held-out windows" in plain.out
    folder = cli("evaluate", "--data", SAMPLES, "-n", 16, "--json")
    assert folder.code == 0
    assert "every song counts as held out" in folder.err


# models, info, plot, presets, doctor


def test_models_lists_licences_and_styles(cli) -> None:
    done = cli("models")
    assert done.code == 0
    assert "melody-2bar" in done.out
    assert "weights MIT" in done.out
    (row,) = [r for r in cli("models", "--json").json["models"] if r["name"] == "melody-2bar"]
    for corpus, licence in row["data_licences"].items():
        assert corpus in done.out
        assert licence in done.out
    assert row["bytes"] < 12e6


def test_info_tells_tracks_metre_and_the_likeliest_melody(cli) -> None:
    done = cli("info", SAMPLES / "bach_bwv66_6.mid")
    assert done.code == 0
    assert "metre 4/4" in done.out
    assert done.out.count("<- melody") == 1
    found = cli("info", SAMPLES / "bach_bwv66_6.mid", "--json").json
    assert [t["number"] for t in found["tracks"]] == list(range(1, len(found["tracks"]) + 1))
    assert found["recipe"] == {}
    assert found["melody_track"] == 1


def test_plot_draws_beside_the_file_or_elsewhere(cli, tmp_path: Path) -> None:
    tune = tmp_path / "tune.mid"
    tune.write_bytes(Path(HARVEST).read_bytes())
    assert cli("plot", tune).out == f"{tmp_path / 'tune.png'}\n"
    assert cli("plot", tune).code == 1
    assert cli("plot", tune, "--force").code == 0
    done = cli("plot", tune, "-o", tmp_path / "x" / "y.png", "--json")
    assert done.json["png"] == str(tmp_path / "x" / "y.png")
    assert (tmp_path / "x" / "y.png").read_bytes() == (tmp_path / "tune.png").read_bytes()


def test_presets_lists_all_or_every_field_of_one(cli) -> None:
    assert set(cli("presets", "--json").json["presets"]) == set(musegen_presets())
    one = cli("presets", "cat-mel_2bar_small", "--json").json["preset"]
    assert one["model"]["decoder"] == [256, 256]
    assert json.loads(cli("presets", "cat-mel_2bar_small").out) == one


def musegen_presets() -> list[str]:
    from musegen.presets import PRESETS

    return list(PRESETS)


def test_doctor_makes_a_melody(cli) -> None:
    done = cli("doctor", "--json")
    assert done.code == 0
    assert done.json["ok"]
    assert done.json["test_melody_notes"] > 0
    assert done.json["models"] == ["melody-2bar"]
    assert "all is well" in cli("doctor").out


def test_doctor_says_what_is_missing(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    version = metadata.version

    def without_muspy(name: str) -> str:
        if name == "muspy":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_muspy)
    done = cli("doctor")
    assert "muspy missing" in done.out
    assert "all is well" not in done.out


# help, exit codes, words


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli, verb: str) -> None:
    done = cli(verb, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: musegen {verb}")
    assert "--json" in done.out


def test_version_and_overview(cli) -> None:
    assert cli("--version").out.endswith(f"{musegen.__version__}\n")
    overview = cli("--help").out
    assert all(verb in overview for verb in VERBS)


MODEL = ["--model", "melody-2bars"]
WRONG: list[tuple[list[str], int, str]] = [
    ([], 2, "Usage: musegen"),
    (["generat"], 2, "no verb 'generat', did you mean 'generate'?"),
    (["generate", "--seeds", "1"], 2, "--seed"),
    (["generate", "--seed", "-1"], 2, "-1 is not in the range 0<=x<=2147483647"),
    (["generate", "--seed", "abc"], 2, "'abc' is not a valid integer"),
    (["generate", "--key", "H"], 2, "'H' is not a key; write for example C, F#, Bb"),
    (["generate", "--bars", "0"], 2, "0 is not in the range"),
    (["generate", "--temperature", "nan"], 2, "'nan' is not a number"),
    (["generate", "--tempo", "nan"], 2, "'nan' is not a number"),
    (["generate", "-n", "2", "-o", "-"], 2, "-o must be a folder"),
    (["generate", "-o", "-", "--png"], 2, "--png needs files"),
    (["generate", *MODEL], 4, "no model 'melody-2bars', did you mean 'melody-2bar'?"),
    (["generate", "--model", ""], 4, "the model has no name"),
    (["generate", "--style", "fidle"], 4, "no style 'fidle', did you mean 'fiddle'?"),
    (["interpolate", "-", "-"], 2, "A or B, not both"),
    (["interpolate", FISHER, HARVEST, "-n", "1"], 2, "1 is not in the range"),
    (["interpolate", FISHER, HARVEST, *MODEL], 4, "did you mean 'melody-2bar'"),
    (["interpolate", "nothing.mid", HARVEST], 3, "nothing.mid: no such file; check the path"),
    (["reconstruct", str(SAMPLES)], 3, "is a folder; give one MIDI file"),
    (["info", __file__], 3, "not a MIDI file"),
    (["info", "nothing.mid"], 3, "no such file"),
    (["plot", "-"], 2, "say where with -o"),
    (["presets", "melody_2bar_smal"], 4, "did you mean 'melody_2bar_small'?"),
    (["prepare", "nowhere", "-o", "x"], 3, "nowhere: no such folder or corpus"),
    (["train", "melody_2bar_smal", "--data", "x", "--out", "y"], 4, "did you mean"),
    (["train", "melody_2bar_small", "--data", "nowhere", "--out", "y"], 3, "no such folder"),
    (["train", "melody_2bar_small", "--data", "x", "--out", "y", "--every", "0"], 2, "range"),
    (["evaluate", "--data", "nowhere"], 3, "nowhere: no such folder"),
    (["evaluate", "melody-2bars", "--data", "nowhere"], 4, "did you mean"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG, ids=lambda v: str(v)[:40])
def test_mistakes_are_told_in_words(
    cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*arguments)
    assert done.code == code
    assert done.out == ""
    assert words in done.err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_nothing_generated_has_its_own_exit_code(cli, tmp_path: Path) -> None:
    done = cli("generate", "--model", tiny.silent_bundle(), "-o", tmp_path)
    assert done.code == 5
    assert "the model gave no notes; try another --seed" in done.err
    assert not list(tmp_path.iterdir())


def test_a_broken_bundle_has_the_exit_code_of_models(cli, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    done = cli("generate", "--model", tmp_path, "-o", tmp_path / "out")
    assert done.code == 4
    assert len(done.err.splitlines()) == 2  # the seed and the sentence


def test_places_that_cannot_be_written_are_told(cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("generate", "-o", tmp_path / "file")
    assert done.code == 1
    assert "is a file; give a folder or a name ending in .mid" in done.err
    done = cli("generate", "-o", tmp_path / "file" / "tune.mid", "--seed", 1)
    assert done.code == 1
    assert "choose a folder you may write to" in done.err
    assert cli("prepare", SAMPLES, "-o", tmp_path / "file" / "data").code == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folders_without_permission_are_told(cli, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = cli("generate", "-o", tmp_path / "locked", "--seed", 1)
    assert done.code == 1
    assert "choose a folder you may write to" in done.err


def test_ctrl_c_is_130(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("musegen.midi.read", interrupted)
    done = cli("info", FISHER)
    assert done.code == 130
    assert done.err.strip() == "stopped"


# streams, in processes of their own


def test_music_streams_through_pipes() -> None:
    """- reads standard input and writes standard output: bytes there, words on stderr."""
    made = process("generate", "-o", "-", "--seed", "3")
    assert made.returncode == 0
    assert made.stderr == b"seed 3\n"
    assert made.stdout.startswith(b"MThd")
    score = midi.read(io.BytesIO(made.stdout))
    assert len(score.tracks[0])
    back = process("reconstruct", "-", "-o", "-", "-q", stdin=made.stdout)
    assert back.returncode == 0
    assert back.stderr == b""
    assert midi.read(io.BytesIO(back.stdout)).recipe["inputs"] == ["standard input"]
    info = process("info", "-", "--json", stdin=back.stdout)
    assert json.loads(info.stdout)["recipe"]["verb"] == "reconstruct"
    picture = process("plot", "-", "-o", "-", stdin=back.stdout)
    assert picture.stdout.startswith(b"\x89PNG")


def test_empty_and_broken_input_streams_are_told() -> None:
    for data, words in ((b"", b"the file is empty"), (b"MThd rubbish", b"standard input: ")):
        done = process("info", "-", stdin=data)
        assert done.returncode == 3
        assert words in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_device_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = process("presets", stdout=full)
    assert done.returncode == 1
    assert re.fullmatch(rb"musegen: .*No space left on device\n", done.stderr)


def test_a_reader_that_leaves_early_is_no_error_of_ours() -> None:
    read, write = os.pipe()
    os.close(read)
    done = process("presets", stdout=write)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""
