"""Every verb as a user meets it: files, seeds, recipes, tables."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from commands import FISHER, HARVEST, WALTZ, environment, other_readers_agree
from tiny import SAMPLES

import musegen
from musegen import midi, pretrained
from musegen.attributes import ATTRIBUTES, vectors
from musegen.errors import InputError
from musegen.evaluate.attributes import measure

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
    assert done.json["bars"] == 17
    assert len(done.json["windows"]) == 9
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
    assert "is prepared already" in cli("prepare", SAMPLES, "-o", tmp_path / "data").err
    assert cli("prepare", SAMPLES, "-o", tmp_path / "data", "--bars", 4).code == 1
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


def test_evaluate_measures_interpolations_beside_another_model(cli, tmp_path: Path) -> None:
    options = ("--data", tiny.prepared(), "--interpolation", "-n", 16, "--against", tiny.bundle())
    done = cli("evaluate", *options, "-o", tmp_path, "--json")
    assert list(done.json["curves"]) == ["melody-2bar", tiny.bundle().name, "mixed notes"]
    assert (tmp_path / "interpolation.png").read_bytes().startswith(b"\x89PNG")
    assert cli("evaluate", "--data", tiny.prepared(), "--against", "melody-2bar").code == 2
    assert cli("evaluate", *options, "--card").code == 2
    assert cli("evaluate", *options[:2], "--pace", "even").code == 2
    even = cli("evaluate", *options[:5], "--pace", "even", "--json")
    ways = [way.json["curves"]["melody-2bar"]["distance"] for way in (even, done)]
    assert ways[0][2] > ways[1][2] + 0.05  # the paper's places are all but A there


def test_evaluate_learns_the_vectors_that_vary_adds(cli, tmp_path: Path) -> None:
    """They go into the bundle and its card, and leave its other tables alone."""
    folder = tmp_path / "mine"
    shutil.copytree(tiny.bundle(), folder)
    options = ("--data", tiny.prepared(), "--attributes", "-n", 16)
    done = cli("evaluate", folder, *options, "--card", "--json")
    changed = done.json["per cent"]["density"]
    assert done.json["deviations"]["density"].keys() == changed.keys() == ATTRIBUTES.keys()
    bundle = pretrained.load(folder)
    assert bundle.info.keys() - tiny.INFO.keys() == {"attributes", "attribute test"}
    x = tiny.windows("train").encode(np.arange(len(tiny.windows("train"))))
    z, _ = bundle.model.encode(torch.from_numpy(x.astype(np.int64)))
    found = vectors(z.detach().double().numpy(), x)
    assert bundle.info["attributes"]["density"] == pytest.approx(found["density"], abs=1e-3)
    assert "--attributes -n 16 --seed 0" in (folder / "README.md").read_text()
    asked = ("--model", folder, "--attribute", "density=2", "--seed", 1, "-o", tmp_path / "v")
    assert cli("vary", FISHER, *asked).code == 0
    assert cli("evaluate", folder, *options, "--spread", 1).code == 2
    with pytest.raises(InputError, match="has no training windows"):
        measure(bundle, None)


# models, info, plot, presets, doctor


def test_models_lists_licences_and_styles(cli) -> None:
    done = cli("models")
    assert done.code == 0
    assert "melody-2bar" in done.out
    assert re.search(r"weights( +MIT)+\n", done.out)
    (row,) = [r for r in cli("models", "--json").json["models"] if r["name"] == "melody-2bar"]
    for corpus, licence in row["data_licences"].items():
        assert corpus in done.out
        assert licence in done.out
    assert row["bytes"] < 12e6


@pytest.mark.parametrize("name", pretrained.names())
def test_every_shipped_model_does_what_it_says(cli, tmp_path: Path, name: str) -> None:
    from musegen import pipeline

    (row,) = [r for r in cli("models", "--json").json["models"] if r["name"] == name]
    assert tuple(row["verbs"]) == pipeline.load(name).verbs()
    assert row["bytes"] < 25e6
    made = []
    verb = row["verbs"][0]
    music = [] if verb == "generate" else [SAMPLES / "oneill_swallows_tail.mid"]
    config = pretrained.read_config(pretrained.locate(name))
    needs = pipeline.PIPELINES[config["family"]].needs(config["model"])
    assert needs <= {"rhythm"}
    music += ["--rhythm", "1 1/2 1/2 (1) 2"] if needs else []
    for out in ("a.mid", "b.mid"):
        done = cli(verb, *music, "--model", name, "--seed", 4, "-o", tmp_path / out)
        assert done.code == 0, done.err
        made.append((tmp_path / out).read_bytes())
    assert made[0] == made[1]
    score = midi.read(tmp_path / "a.mid")
    assert sum(len(track) for track in score.tracks) > 3
    assert score.recipe["model"] == name


def test_a_verb_takes_a_model_that_has_it(cli, tmp_path: Path) -> None:
    tune = SAMPLES / "oneill_swallows_tail.mid"
    done = cli("continue", tune, "--bars", 1, "--seed", 1, "-o", tmp_path / "longer.mid")
    assert done.code == 0, done.err
    longer = midi.read(tmp_path / "longer.mid")
    assert longer.recipe["verb"] == "continue"
    assert longer.end > midi.read(tune).end
    done = cli("accompany", tune, "--model", "melody-2bar", "-o", tmp_path)
    assert done.code == 4
    assert "melody-2bar cannot accompany" in done.err


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        (("generate",), "melody-2bar"),
        (("generate", "--chords", "Am F"), "melody-chords-4bar"),
        (("generate", "--chords", "Am F", "--seconds", 4), "performance"),
        (("generate", "--mute", "drums"), "band-4bar"),
        (("generate", "--rhythm", "1 1/2 1/2"), "performance-rhythm"),
        (("generate", "--rhythm", SAMPLES / "oneill_swallows_tail.mid"), "performance-rhythm"),
        (("accompany", SAMPLES / "oneill_swallows_tail.mid", "--given", "guitar"), "band-4bar"),
    ],
)
def test_options_choose_the_model(cli, tmp_path: Path, asked: tuple, model: str) -> None:
    done = cli(*asked, "--seed", 1, "-o", tmp_path / "a.mid")
    assert done.code == 0, done.err
    assert midi.read(tmp_path / "a.mid").recipe["model"] == model


def test_who_takes_chords_is_said(cli, tmp_path: Path) -> None:
    done = cli("generate", "--model", "melody-2bar", "--chords", "C", "-o", tmp_path / "a.mid")
    assert done.code == 4
    assert done.err.endswith("melody-2bar takes no chords; try --model melody-chords-4bar\n")
    assert not list(tmp_path.iterdir())


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
    one = cli("presets", "cat-mel_2bar_small", "--json").json
    assert one["preset"]["model"]["decoder"] == [256, 256]
    assert one["meanings"]["training.batch"].startswith("windows a step")
    words = cli("presets", "cat-mel_2bar_small").out
    assert "model.decoder = [256, 256]\n    units of each layer of the decoder LSTM." in words


def musegen_presets() -> list[str]:
    from musegen.presets import PRESETS

    return list(PRESETS)


def test_doctor_makes_a_melody(cli) -> None:
    done = cli("doctor", "--json")
    assert done.code == 0
    assert done.json["ok"]
    assert done.json["test_melody_notes"] > 0
    assert done.json["models"] == pretrained.names()
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


# vary, blend, grid


def test_vary_blend_and_grid_write_their_files(cli, tmp_path: Path) -> None:
    a, b = SAMPLES / "ryan_fishers_hornpipe.mid", SAMPLES / "oneill_swallows_tail.mid"
    model = ("--model", tiny.bundle(), "--seed", 1)
    done = cli("vary", a, "-n", 2, "--amount", 0.2, "-o", tmp_path / "v", "--json", *model)
    assert done.code == 0, done.err
    files = [row["midi"] for row in json.loads(done.out)["files"]]
    assert [Path(f).name for f in files] == [
        f"ryan_fishers_hornpipe-variation-{i:02d}.mid" for i in (1, 2)
    ]
    done = cli("blend", a, b, "--weight", 0.3, "-o", tmp_path / "blend.mid", *model)
    assert done.code == 0, done.err
    assert midi.read(tmp_path / "blend.mid").recipe["weight"] == 0.3
    done = cli("grid", a, b, b, a, "--size", 2, "-o", tmp_path / "g", "--png", *model)
    assert done.code == 0, done.err
    assert len(list((tmp_path / "g").glob("*.mid"))) == 4
    assert len(list((tmp_path / "g").glob("*.png"))) == 4


def test_options_that_a_model_does_not_take_are_named(cli, tmp_path: Path) -> None:
    done = cli("generate", "--sampler", "ddim", "-o", tmp_path, "--model", tiny.bundle())
    assert done.code == 2
    assert "takes no --sampler; it takes -n, --" in done.err
    tune = SAMPLES / "oneill_swallows_tail.mid"
    done = cli("continue", tune, "--model", "melody-2bar", "-o", tmp_path)
    assert done.code == 4
    assert "melody-2bar cannot continue, it can generate" in done.err
    done = cli("interpolate", SAMPLES / "oneill_swallows_tail.mid", "-o", tmp_path)
    assert done.code == 2
    assert "give two music files A and B, or --seed-a and --seed-b" in done.err
    assert not list(tmp_path.iterdir())
