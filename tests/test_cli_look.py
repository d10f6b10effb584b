"""info and plot on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from musegen import midi, plot
from musegen.plot.lanes import excerpt

BAND, CHORALE = "freedoom_1_d_e1m1.mid", "bach_bwv66_6.mid"


def test_info_is_a_table(cli, samples: Path) -> None:
    done = cli("info", samples / BAND)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == f"{samples / BAND}: 72 bars, 1:33 minutes, 96 ticks a quarter note"
    head = next(i for i, line in enumerate(lines) if "instrument" in line)
    rows = lines[head + 1 : head + 9]
    words = " ".join(rows[1].split())
    assert words == "2 MIDI out #2 Distortion Guitar 575 C3 - G#4 104 1.5 9 - 72"
    assert "Drums" in rows[7]
    assert [row[:1] for row in rows] == [str(i) for i in range(1, 9)]


def test_info_as_json_has_every_field(cli, samples: Path) -> None:
    found = cli("info", samples / BAND, "--json").json
    assert found["remarks"] == list(midi.read(samples / BAND).remarks)
    assert found["tracks"][1]["instrument"] == "Distortion Guitar"
    assert "metrics" not in found


def test_info_measures_bars(cli, samples: Path) -> None:
    out = cli("info", samples / BAND, "--metrics").out
    head = next(line for line in out.splitlines() if "UPC" in line)
    assert head.split()[:6] == ["track", "EB", "UPC", "QN", "PP", "DP"]
    found = cli("info", samples / BAND, "--metrics", "--json").json["metrics"]
    assert found["mode"] == "octave"
    assert found["bars"] == 72
    assert len(found["EB"]) == 8
    assert found["UPC"][7] is None
    assert 0 < found["DP"][7] <= 1


def test_remarks_are_said(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    read = midi.read
    monkeypatch.setattr(midi, "read", lambda p, **_: replace(read(p), remarks=("mended a thing",)))
    path = plot.Score().write(tmp_path / "a.mid")
    done = cli("info", path)
    assert "note: mended a thing" in done.out
    assert cli("info", path, "--json").json["remarks"] == ["mended a thing"]


def test_silence_has_no_metrics(cli, tmp_path: Path) -> None:
    path = plot.Score().write(tmp_path / "a.mid")
    assert "no notes" in cli("info", path).out
    done = cli("info", path, "--metrics")
    assert done.code == 3
    assert "has no notes to measure" in done.err


@pytest.fixture(scope="module")
def prepared(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from musegen.prepare import prepare

    source, out = tmp_path_factory.mktemp("tunes"), tmp_path_factory.mktemp("out") / "data"
    for path in (*samples.glob("ryan_*.mid"), *samples.glob("oneill_*.mid")):
        shutil.copy(path, source)
    shutil.copy(samples / "mutopia_satie_gymnopedie_no1.mid", source)
    prepare([source], out)
    return out


def test_info_of_a_prepared_folder(cli, prepared: Path) -> None:
    done = cli("info", prepared)
    assert done.code == 0
    manifest = json.loads((prepared / "manifest.json").read_text())
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{prepared}: melody windows of 2 bars, ")
    part, songs, windows = lines[3].split()[:3]
    assert part == "train"
    assert [int(songs), int(windows)] == [manifest["songs"][part], manifest["windows"][part]]
    assert "set aside: 1 x no bars of four quarters (metre 3/4)" in lines
    assert cli("info", prepared, "--json").json["manifest"] == manifest


def test_a_broken_manifest_is_said(cli, tmp_path: Path) -> None:
    for text in ("{", "[]", "{}", '{"corpora": {"train": 3}}'):
        (tmp_path / "manifest.json").write_text(text)
        done = cli("info", tmp_path)
        assert done.code == 3
        assert "manifest.json: is damaged" in done.err


def test_info_of_a_bundle_is_its_card(cli, tmp_path: Path) -> None:
    from musegen import pretrained

    folder = pretrained.locate("melody-2bar")
    card = (folder / "README.md").read_text()
    assert cli("info", "melody-2bar").out.strip() == card.strip()
    assert cli("info", folder).out.strip() == card.strip()
    found = cli("info", "melody-2bar", "--json").json
    assert found["bundle"]["family"] == "musicvae"
    other = shutil.copytree(folder, tmp_path / "mine")
    (other / "README.md").unlink()
    assert "has no card" in cli("info", other).out


def test_info_of_another_folder(cli, tmp_path: Path) -> None:
    done = cli("info", tmp_path)
    assert done.code == 3
    assert "neither a prepared folder nor a bundle" in done.err


def test_plot_draws_by_suffix(cli, samples: Path, tmp_path: Path) -> None:
    done = cli("plot", samples / CHORALE, "-o", tmp_path / "a.svg", "--json")
    assert done.json["svg"] == str(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    done = cli("plot", samples / CHORALE, "-o", tmp_path / "a.pdf")
    assert done.code == 3
    assert "end it in .png or .svg" in done.err


def test_plot_of_some_tracks_and_bars(cli, samples: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    out = tmp_path / "a.png"
    options = ["--tracks", "pick, 8,8", "--bars", "9-12"]
    assert cli("plot", samples / BAND, "-o", out, *options).code == 0
    score = midi.read(samples / BAND)
    score = replace(score, tracks=(score.tracks[2], score.tracks[7]))
    lines = score.bar_lines()
    expected = excerpt(score, int(lines[8]), int(lines[12]))
    assert out.read_bytes() == plot.picture(expected, Path(BAND).stem, first_bar=9)
    assert cli("plot", samples / BAND, "-o", out, "--bars", "12", "--force").code == 0
    assert cli("plot", samples / BAND, "-o", out, "--bars", "72-72", "--force").code == 0


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--tracks", "9"], 3, "has no track '9'; musegen info lists them"),
        (["--tracks", "0"], 3, "has no track '0'"),
        (["--tracks", "1,,2"], 3, "has no track ''"),
        (["--tracks", "tuba"], 3, "has no track 'tuba'"),
        (["--bars", "72-73"], 3, "has 72 bars; give --bars within them"),
        (["--bars", "0-3"], 2, "write for example 1-8"),
        (["--bars", "3-2"], 2, "write for example 1-8"),
        (["--bars", "x"], 2, "write for example 1-8"),
    ],
)
def test_plot_says_what_is_not_there(
    cli, samples: Path, tmp_path: Path, options: list[str], code: int, reason: str
) -> None:
    done = cli("plot", samples / BAND, "-o", tmp_path / "a.png", *options)
    assert done.code == code
    assert reason in done.err
    assert not list(tmp_path.iterdir())
