"""Scores to sound and to ports, and the watched folder."""

from __future__ import annotations

import io
import os
import sys
import types
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import FISHER
from tiny import tune

from musegen import midi
from musegen.errors import InputError, MusegenError
from musegen.score import Score, Track
from musegen.sound import play, render
from musegen.sound.synth import RATE, TAIL, drum, seconds_at, synthesise, tone
from musegen.watch import RESULTS, Watch, watch

DRUMS = Score((Track([[0, 60, 36, 110], [480, 60, 38, 100], [960, 60, 42, 90]], 0, True),))


def opened(data: bytes) -> tuple[np.ndarray, int]:
    with wave.open(io.BytesIO(data)) as file:
        rows = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return rows.reshape(-1, file.getnchannels()), file.getframerate()


def loudness(samples: np.ndarray, start: float, end: float) -> float:
    return float(np.sqrt((samples[round(start * RATE) : round(end * RATE)] ** 2).mean()))


def test_seconds_follow_the_tempo_map() -> None:
    score = Score(tempos=((0, 120.0), (960, 60.0), (1920, 240.0)))
    found = seconds_at(score, np.array([0, 480, 960, 1440, 1920, 2400]))
    assert found.tolist() == [0, 0.5, 1, 2, 3, 3.25]


@pytest.mark.parametrize("metre", [(4, 4), (3, 4)])
def test_a_file_is_as_long_as_its_bars(metre: tuple[int, int]) -> None:
    score = tune([60, 62, 64], metres=((0, *metre),), tempos=((0, 90.0), (480, 140.0)))
    samples, rate = opened(render.render(score, engine="synth", tail=0.0))
    bars = seconds_at(score, score.bar_lines()[-1:])[0]
    assert abs(len(samples) / rate - bars) < 1 / rate
    ringing, _ = opened(render.render(score, engine="synth"))
    assert len(ringing) - len(samples) == round(TAIL * rate)


def test_every_program_and_drum_sounds_at_its_pitch() -> None:
    for program in range(0, 128, 8):
        wave_ = tone(69, RATE // 2, program)
        spectrum = np.abs(np.fft.rfft(wave_ * np.hanning(len(wave_))))
        strongest = np.fft.rfftfreq(len(wave_), 1 / RATE)[spectrum.argmax()]
        assert abs(strongest / 440 - 1) < 0.01, program
        assert abs(wave_[0]) < 0.01  # no click where it begins or ends
        assert abs(wave_[-1]) < 0.01
    for pitch in range(27, 88):
        stroke = drum(pitch)
        assert 0.05 < np.abs(stroke).max() < 2
        assert np.isfinite(stroke).all()
    assert np.abs(tone(127, RATE // 10, 0)).max() > 0  # above what the rate can hold


def test_drums_are_heard_where_they_are_struck() -> None:
    sound = synthesise(DRUMS)
    assert np.abs(sound).max() > 0.3
    for beat in (0, 0.5, 1.0):
        assert loudness(sound, beat, beat + 0.05) > 0.02
    assert loudness(sound, 0.45, 0.5) < 0.3 * loudness(sound, 0.5, 0.55)


def test_louder_notes_are_louder_and_silence_is_silent() -> None:
    rows = [[0, 400, 60, 30], [960, 400, 60, 120]]
    sound = synthesise(Score((Track(rows),)))
    assert loudness(sound, 1.0, 1.3) > 2 * loudness(sound, 0.0, 0.3)
    assert np.abs(synthesise(Score(length=1920))).max() == 0
    assert (synthesise(DRUMS) == synthesise(DRUMS)).all()


def test_render_writes_a_file_and_says_with_what(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "x.wav"
    done = cli("render", FISHER, "-o", out, "--engine", "synth")
    assert done.out.strip() == str(out)
    assert "synthesiser" in done.err
    samples, rate = opened(out.read_bytes())
    score = midi.read(FISHER)
    wanted = seconds_at(score, score.bar_lines()[-1:])[0] + TAIL
    assert abs(len(samples) / rate - wanted) < 1e-3
    assert np.abs(samples).max() > 3000
    assert cli("render", FISHER, "-o", out).code == 1
    assert cli("render", FISHER, "-o", tmp_path / "x.mp3").code == 2
    done = cli("render", FISHER, "-o", out, "--force", "--font", tmp_path / "no.sf2")
    assert done.code == 1
    assert "no such soundfont" in done.err


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_fluidsynth_is_used_where_it_is_and_cut_to_the_bar(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stand-in for fluidsynth: ten seconds of a constant, two channels."""
    program = tmp_path / "fluidsynth"
    program.write_text(
        f"""#!{sys.executable}
import sys, wave
file = wave.open(sys.argv[sys.argv.index("-F") + 1], "wb")
file.setnchannels(2); file.setsampwidth(2); file.setframerate(44100)
open(sys.argv[-1], "rb").read().index(b"MThd")
file.writeframes(b"\\x00\\x10" * 2 * 441000)
"""
    )
    program.chmod(0o755)
    font = tmp_path / "f.sf2"
    font.write_bytes(b"font")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MUSEGEN_SOUNDFONT", str(font))
    said: list[str] = []
    samples, rate = opened(render.render(tune([60] * 8), say=said.append))
    assert said == ["FluidSynth with f.sf2"]
    assert (len(samples), rate, samples.shape[1]) == (3 * 44100, 44100, 2)
    long, _ = opened(render.render(tune([60] * 8 * 8), say=said.append))
    assert len(long) == 17 * 44100
    assert not long[-1].any()  # filled up with silence
    program.write_text(f"#!{sys.executable}\nimport sys; sys.exit('no such device')\n")
    with pytest.raises(MusegenError, match="no such device"):
        render.render(tune([60]))


class Clock:
    def __init__(self) -> None:
        self.now, self.sent = 100.0, []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def send(self, data: bytes) -> None:
        self.sent.append((round(self.now - 100, 6), data))


def test_pieces_are_played_in_time_one_after_the_other() -> None:
    clock = Clock()
    band = Score((tune([60, 64]).tracks[0], DRUMS.tracks[0]), tempos=((0, 120.0),))
    play.play([band, band], clock.send, clock=lambda: clock.now, sleep=clock.sleep)
    ons = [(at, data[0] & 15, data[1]) for at, data in clock.sent if data[0] & 0xF0 == 0x90]
    bar = [(0, 0, 60), (0, 9, 36), (0.25, 0, 64), (0.5, 9, 38), (1.0, 9, 42)]
    assert ons == bar + [(at + 2, c, p) for at, c, p in bar]
    assert clock.now == 104.0
    at_64 = [data[0] & 0xF0 for at, data in clock.sent if at == 0.25 and data[0] & 15 == 0]
    assert at_64 == [0x80, 0x90]  # ends come before beginnings


def test_no_note_hangs_when_playing_is_stopped() -> None:
    clock = Clock()

    def send(data: bytes) -> None:
        clock.send(data)
        if len(clock.sent) == 2:  # the first note has just begun
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play.play([tune([60, 64])], send, clock=lambda: clock.now, sleep=clock.sleep)
    assert [data[0] & 0xF0 for _, data in clock.sent] == [0xC0, 0x90, 0x80]


def test_ever_new_pieces_go_on_from_seed_to_seed() -> None:
    made = play.endless(lambda seed: tune([60 + seed]), 3)
    assert [int(next(made).tracks[0].notes[0, 2]) for _ in range(3)] == [63, 64, 65]


class Port:
    """As much of python-rtmidi as is used."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.opened, self.sent = names, "", []

    def get_ports(self) -> list[str]:
        return self.names

    def open_port(self, i: int) -> None:
        self.opened = self.names[i]

    def open_virtual_port(self, name: str) -> None:
        raise NotImplementedError

    def send_message(self, data: list[int]) -> None:
        self.sent.append(data)

    def close_port(self) -> None:
        self.opened = ""


def test_ports_are_found_by_a_part_of_their_name(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port(["Midi Through 14:0", "IAC Driver Bus 1"])
    module = types.SimpleNamespace(MidiOut=lambda api, name: port, get_compiled_api=lambda: [1])
    monkeypatch.setitem(sys.modules, "rtmidi", module)
    assert cli("play", "--json").json["ports"] == port.names
    monkeypatch.setattr(play.time, "sleep", lambda seconds: None)
    send, close = play.open_port("iac")
    assert port.opened == "IAC Driver Bus 1"
    send(b"\x90\x3c\x40")
    assert port.sent == [[0x90, 0x3C, 0x40]]
    close()
    assert "no MIDI port" in cli("play", FISHER, "--port", "other").err
    assert "no virtual ports" in cli("play", FISHER, "--port", "x", "--virtual").err


@pytest.mark.parametrize("error", [SystemError, OSError])
def test_a_computer_without_midi_is_told_so(
    cli: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def none(api: int, name: str) -> None:
        raise error("error creating ALSA sequencer client")

    module = types.SimpleNamespace(MidiOut=none, get_compiled_api=lambda: [1, 2])
    monkeypatch.setitem(sys.modules, "rtmidi", module)
    done = cli("play", FISHER, "--port", "x")
    assert done.code == 1
    assert "no MIDI system" in done.err
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    assert "musegen[midi]" in cli("play").err


def test_files_are_taken_when_they_are_whole_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "old.mid").write_bytes(b"x")
    seen = Watch(tmp_path)
    assert seen.look() == []
    new = tmp_path / "new.MID"
    new.write_bytes(b"half")
    (tmp_path / "notes.txt").write_bytes(b"x")
    (tmp_path / "empty.mid").write_bytes(b"")
    assert seen.look() == []
    new.write_bytes(b"half and half")
    assert seen.look() == []  # it still grows
    assert seen.look() == [new]
    assert seen.look() == []
    os.utime(new, ns=(1, 1))
    seen.look()
    assert seen.look() == [new]  # it was saved again
    assert {p.name for p in Watch(tmp_path, old=True).look()} == set()
    with pytest.raises(MusegenError, match="no folder"):
        Watch(tmp_path / "nothing")


def test_a_watched_folder_goes_on_after_a_bad_file(tmp_path: Path) -> None:
    for name in ("a.mid", "b.mid"):
        (tmp_path / name).write_bytes(b"x")
    told: list[str] = []
    made: list[tuple[str, str]] = []

    def make(path: Path, results: Path) -> None:
        if path.name == "a.mid":
            raise InputError("a.mid", "is broken")
        made.append((path.name, results.name))

    watch(Watch(tmp_path, old=True), make, told.append, every=0.0, rounds=3)
    assert told == ["a.mid: is broken"]
    assert made == [("b.mid", RESULTS)]


def test_watch_makes_variations(cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import musegen.watch as room

    (tmp_path / "t.mid").write_bytes(Path(FISHER).read_bytes())
    whole = room.watch
    monkeypatch.setattr(room, "watch", lambda *a, **k: whole(*a, **k, every=0.0, rounds=2))
    done = cli("watch", tmp_path, "--old", "-n", "2", "--seed", "1")
    assert done.code == 0
    assert [Path(line).name for line in done.out.split()] == ["t-vary-01.mid", "t-vary-02.mid"]
    assert len(list((tmp_path / RESULTS).iterdir())) == 2
    assert cli("watch", tmp_path, "--verb", "grid").code == 2
