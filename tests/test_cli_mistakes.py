"""The command line when things go wrong: exit codes, words, streams."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import click
import pytest
import tiny
from commands import FISHER, HARVEST, environment, process
from tiny import SAMPLES

import musegen
from musegen import midi
from musegen.cli import main
from musegen.cli.main import VERBS

# help, exit codes, words


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli, verb: str) -> None:
    done = cli(verb, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: musegen {verb}")
    assert "--json" in done.out
    command = main.cli.get_command(click.Context(main.cli), verb)
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    assert not [o.name for o in options if not o.help]


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
    (["generate", "-o", "-", "--png"], 2, "--png does not go with -o -; give a folder or a file"),
    (["generate", "--stems", "-o", "-"], 2, "--stems does not go with -o -"),
    (["generate", "-o", "-", "--json"], 2, "--json does not go with -o -"),
    (["plot", FISHER, "-o", "-", "--json"], 2, "--json does not go with -o -"),
    (["render", FISHER, "-o", "-", "--json"], 2, "--json does not go with -o -"),
    (["generate", "--chords", "X%"], 2, "--chords: 'X%' is not a chord; write for example C, Am"),
    (["generate", "--rhythm", "1 x"], 2, "--rhythm: 'x' is no length; write lengths in quarters"),
    (["generate", "--rhythm", "(1) (2)"], 2, "--rhythm: has no notes to take a rhythm from; write"),
    (["generate", "--rhythm", ""], 2, "--rhythm: has no notes to take a rhythm from; write"),
    (["generate", "--rhythm", "none.mid"], 3, "none.mid: no such file"),
    (["generate", *MODEL], 4, "no model 'melody-2bars', did you mean 'melody-2bar'?"),
    (["generate", "--model", ""], 4, "the model has no name"),
    (["generate", "--style", "fidle"], 4, "no style 'fidle', did you mean 'fiddle'?"),
    (["generate", "-o", "tune.wav"], 2, "tune.wav: MIDI is written; end the name in .mid"),
    (["interpolate", "-", "-"], 2, "A or B, not both"),
    (["interpolate", FISHER, HARVEST, "--model", "performance"], 2, "--seed-b in place of music"),
    (["interpolate", "--seed-a", "1", "--seed-b", "2", "--model", "melody-2bar"], 2, "not seeds"),
    (["grid", FISHER, HARVEST], 2, "give four music files A B C D, or --seeds"),
    (["grid", "--seeds", "1,2,3"], 2, "'1,2,3'; write four numbers, as 1,2,3,4"),
    (["drumify", FISHER, "--model", "melody-2bar"], 4, "; try --model drums-2bar"),
    (["inpaint", FISHER, "--bars", "x"], 2, "--bars: 'x' is no range; write 5-6, or 5 for one"),
    (["inpaint", FISHER, "--bars", "99"], 3, "bars: 99-99 are not in the piece; it has bars 1-"),
    (["continue", FISHER, "--chords", "X%"], 2, "--chords: 'X%' is not a chord; write for"),
    (["export", FISHER, "-o", "-"], 2, "export writes files"),
    (["daw", "install"], 2, "say for which program; there are reaper, "),
    (["ableton", "vary", "--to", "1.1"], 2, "vary takes 1 x --clip, 0 came"),
    (["ableton", "vari", "--to", "1.1"], 2, "no verb 'vari', did you mean 'vary'?"),
    (["watch", "nowhere"], 1, "nowhere: is no folder; make it, or name another"),
    (["watch", ".", "--verb", "generate"], 2, "does not make music of one file"),
    (["continue", HARVEST, "--bars", "2", "--seconds", "3"], 1, "in seconds or in bars, not both"),
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
    assert len(done.err.splitlines()) == 1  # the seed and the sentence


def test_places_that_cannot_be_written_are_told(cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("generate", "-o", tmp_path / "file")
    assert done.code == 1
    assert "is a file; give a folder or a name ending in .mid" in done.err
    done = cli("generate", "-o", tmp_path / "file" / "tune.mid", "--seed", 1)
    assert done.code == 1
    assert "choose a folder you may write to" in done.err
    assert cli("prepare", SAMPLES, "-o", tmp_path / "file" / "data").code == 1
    (tmp_path / "musegen").write_text("")
    done = cli("watch", tmp_path)
    assert done.code == 1
    assert "choose a folder you may write to" in done.err


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Nobody hears of a list of fonts; the server has no place and says so."""
    (tmp_path / "file").write_text("")
    home = {"HOME": str(tmp_path / "file"), "MUSEGEN_HOME": str(tmp_path / "file" / "state")}
    unset = ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    env = {k: v for k, v in environment().items() if k not in unset} | home
    made = process("generate", "-o", str(tmp_path), "--png", "--seed", "3", env=env)
    assert (made.returncode, made.stderr) == (0, b"seed 3\n")
    pytest.importorskip("starlette")
    done = process("serve", env=env)
    assert done.returncode == 1
    assert b"cannot be written (Not a directory); set MUSEGEN_HOME to a folder" in done.stderr


def test_reports_are_not_overwritten_after_minutes_of_work(cli, tmp_path: Path) -> None:
    """Told before the model is loaded."""
    (tmp_path / "table.json").write_text("mine")
    (tmp_path / "file").write_text("")
    wrong = (
        (tmp_path, "exists already; use another -o, or --force"),
        (
            tmp_path / "file" / "report",
            "cannot be written (Not a directory); choose a folder you may write to",
        ),
    )
    for out, words in wrong:
        done = cli("evaluate", "--data", SAMPLES, "-o", out)
        assert done.code == 1
        assert words in done.err
        assert "preparing" not in done.err
    assert (tmp_path / "table.json").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folders_without_permission_are_told(cli, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = cli("generate", "-o", tmp_path / "locked", "--seed", 1)
    assert done.code == 1
    assert "choose a folder you may write to" in done.err


def test_ctrl_c_is_130(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> None:
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
