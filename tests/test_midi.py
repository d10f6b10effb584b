"""Writing and reading MIDI files: what is written comes back, here and in other libraries."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from typing import Any

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import FORMATS, seeds
from strategies import normal_scores, one_track, rows, tracks

from musegen import midi
from musegen.errors import MusegenError
from musegen.score import Score, Track

BAR = 1920


def reread(score: Score) -> Score:
    return midi.read(io.BytesIO(midi.to_bytes(score)))


def parsed(score: Score) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(midi.to_bytes(score)), charset="utf-8")


def by_tick(track: Any) -> list[tuple[int, Any]]:
    now, found = 0, []
    for message in track:
        now += message.time
        found.append((now, message))
    return found


@given(normal_scores())
def test_what_is_written_is_read_back(score: Score) -> None:
    assert reread(score) == score


@given(normal_scores())
def test_writing_again_gives_the_same_bytes(score: Score) -> None:
    assert midi.to_bytes(reread(score)) == midi.to_bytes(score)


@settings(max_examples=50)
@given(normal_scores())
def test_mido_reads_the_same_music(score: Score) -> None:
    file = parsed(score)
    conductor, *parts = file.tracks
    events = by_tick(conductor)
    tempos = [(t, 6e7 / m.tempo) for t, m in events if m.type == "set_tempo"]
    metres = [(t, m.numerator, m.denominator) for t, m in events if m.type == "time_signature"]
    assert tempos == [(t, pytest.approx(q)) for t, q in score.tempos]
    assert tuple(metres) == score.metres
    assert tuple((t, m.text) for t, m in events if m.type == "marker") == score.markers
    assert len(parts) == len(score.tracks)
    for part, track in zip(parts, score.tracks, strict=True):
        assert part.name == track.name
        notes, sounding = [], {}
        for tick, message in by_tick(part):
            if message.type == "program_change":
                assert (tick, message.program) == (0, track.program)
            if message.type == "note_on":
                assert message.note not in sounding
                assert (message.channel == 9) == track.is_drum
                sounding[message.note] = tick, message.velocity
            if message.type == "note_off":
                onset, velocity = sounding.pop(message.note)
                notes.append([onset, tick - onset, message.note, velocity])
        assert not sounding
        assert sorted(notes) == sorted(track.notes.tolist())


@settings(max_examples=25)
@given(normal_scores())
def test_pretty_midi_reads_the_same_music(score: Score) -> None:
    import pretty_midi

    file = pretty_midi.PrettyMIDI(io.BytesIO(midi.to_bytes(score)))
    assert file.resolution == 480
    times, tempos = file.get_tempo_changes()
    assert [file.time_to_tick(t) for t in times] == [t for t, _ in score.tempos]
    assert tempos == pytest.approx([q for _, q in score.tempos])
    metres = [
        (file.time_to_tick(m.time), m.numerator, m.denominator) for m in file.time_signature_changes
    ]
    assert tuple(metres) == score.metres
    assert len(file.instruments) == len(score.tracks)
    for part, track in zip(file.instruments, score.tracks, strict=True):
        assert (part.program, part.is_drum) == (track.program, track.is_drum)
        notes = [
            (file.time_to_tick(n.start), file.time_to_tick(n.end), n.pitch, n.velocity)
            for n in part.notes
        ]
        assert sorted((on, off - on, p, v) for on, off, p, v in notes) == sorted(
            map(tuple, track.notes.tolist())
        )


@given(normal_scores())
def test_form_of_the_file(score: Score) -> None:
    file = parsed(score)
    assert (file.type, file.ticks_per_beat) == (1, 480)
    conductor, *parts = file.tracks
    assert not any(m.type.startswith("note") for m in conductor)
    ends = {sum(m.time for m in t) for t in file.tracks}
    assert len(ends) == 1
    events = [e[0] for e in (*score.tempos, *score.metres, *score.keys, *score.markers)]
    longer = Score(score.tracks, 480, metres=score.metres, length=max(score.end, *events))
    assert ends <= {int(longer.bar_lines()[-1])}
    for part in parts:
        assert part[0].type == "track_name"
        assert part[-1].type == "end_of_track"
        assert part[1].type == "program_change"


def test_an_unheard_bar_is_kept_so_that_loops_fit() -> None:
    score = one_track([(0, 480, 60, 80)], length=2 * BAR)
    assert [sum(m.time for m in t) for t in parsed(score).tracks] == [2 * BAR] * 2


def test_a_late_marker_moves_the_end_to_the_bar_line_behind_it() -> None:
    score = one_track([(0, 480, 60, 80)], markers=((BAR + 1, "coda"),))
    assert [sum(m.time for m in t) for t in parsed(score).tracks] == [2 * BAR] * 2


def test_a_track_without_a_name_gets_one() -> None:
    score = Score((Track([(0, 1, 60, 80)], 24), Track([(0, 1, 36, 80)], is_drum=True)))
    assert [t.name for t in reread(score).tracks] == ["Program 25", "Drums"]


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name_and_marker_can_be_written(name: str, marker: str) -> None:
    score = Score((Track([(0, 1, 60, 80)], name=name),), markers=((0, marker),))
    back = reread(score)
    assert back == reread(back)
    assert all(c in name for c in back.tracks[0].name) or back.tracks[0].name == "Program 1"


@given(st.lists(tracks(), min_size=17, max_size=20))
@settings(max_examples=10)
def test_more_tracks_than_channels(many: list[Track]) -> None:
    score = Score(tuple(many))
    assert reread(score) == score
    used = [{m.channel for m in t if not m.is_meta} for t in parsed(score).tracks[1:]]
    assert all((channels == {9}) == t.is_drum for channels, t in zip(used, many, strict=True))


@given(rows(last=2000))
def test_overlaps_of_one_pitch_are_cut_at_the_next_onset(drawn: list) -> None:
    expected = {}
    for onset, duration, pitch, _ in drawn:
        later = [on for on, _, p, _ in drawn if p == pitch and on > onset]
        longest = max(d for on, d, p, _ in drawn if (on, p) == (onset, pitch))
        expected[onset, pitch] = min([longest, *(on - onset for on in later)])
        assert duration <= longest
    back = reread(one_track(drawn)).tracks
    notes = back[0].notes.tolist() if back else []
    assert {(on, p): d for on, d, p, _ in notes} == expected
    assert len(notes) == len(expected)


def test_a_repeated_note_ends_before_it_begins_again() -> None:
    score = one_track([(0, 480, 60, 80), (480, 480, 60, 90)])
    track = parsed(score).tracks[1]
    order = [m.type for tick, m in by_tick(track) if tick == 480]
    assert order == ["note_off", "note_on"]


@pytest.mark.parametrize("ppq", [24, 96, 220, 960, 10_080])
def test_other_resolutions_become_480(ppq: int) -> None:
    score = one_track([(0, ppq, 60, 80), (ppq * 3 // 2, ppq // 2, 62, 80)], ppq=ppq)
    assert reread(score).tracks[0].notes.tolist() == [[0, 480, 60, 80], [720, 240, 62, 80]]


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=8), json, max_size=5))
def test_the_recipe_comes_back_from_a_text_event(recipe: dict) -> None:
    score = one_track([(0, 480, 60, 80)], recipe=recipe)
    assert reread(score).recipe == recipe
    texts = [m.text for m in parsed(score).tracks[0] if m.type == "text"]
    assert [t.startswith("musegen {") for t in texts] == [True] * bool(recipe)


def test_extreme_tempi_are_held_to_what_a_file_can_say() -> None:
    score = one_track([(0, 480, 60, 80)], tempos=((0, 1e-3), (480, 1e9)))
    tempos = [m.tempo for m in parsed(score).tracks[0] if m.type == "set_tempo"]
    assert tempos == [2**24 - 1, 1]


# Where files come from and go to.


def test_every_sample_is_read_and_comes_back(samples: Path) -> None:
    files = sorted(samples.glob("*.mid"))
    assert len(files) > 10
    for file in files:
        score = midi.read(file)
        assert sum(map(len, score.tracks)) > 50, file.name
        if file.stat().st_size < 20_000:  # the larger ones take their time
            back = reread(score)
            assert back == reread(back), file.name
            assert len(back.tracks) == len(score.tracks)


def test_an_abc_tune_equals_its_midi_file(samples: Path, capfd: Any) -> None:
    for file in sorted(samples.glob("*.abc")):
        tune, written = midi.read(file), midi.read(file.with_suffix(".mid"))
        assert tune.tracks[0].notes[:, :3].tolist() == written.tracks[0].notes[:, :3].tolist()
        assert list(tune.bar_lines()) == list(written.bar_lines())
    assert capfd.readouterr() == ("", "")  # standard output may be a MIDI file


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_are_told_by_name_or_by_their_first_bytes(
    suffix: str, monkeypatch: Any, tmp_path: Path
) -> None:
    data = seeds([suffix])[suffix][0]
    path = tmp_path / f"x.{suffix.upper()}"
    path.write_bytes(data)
    score = midi.read(path)
    assert sum(map(len, score.tracks)) > 50
    assert midi.read(io.BytesIO(data)) == score
    assert midi.read(io.BytesIO(data), name="a song") == score
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert midi.read("-") == score
    if suffix in ("musicxml", "json", "abc"):
        assert midi.read(io.BytesIO(b"\xef\xbb\xbf" + data)) == score
    if suffix == "musicxml":
        assert midi.read(io.BytesIO(data.decode().encode("utf-16"))) == score


def test_standard_input_and_output(monkeypatch: Any, tmp_path: Path) -> None:
    score = one_track([(0, 480, 60, 80)])
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    assert score.write("-") == Path("-")
    data = out.buffer.getvalue()  # type: ignore[attr-defined]
    assert data == midi.to_bytes(score)
    for dash in ("-", Path("-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert midi.read(dash).tracks[0].notes.tolist() == score.tracks[0].notes.tolist()


def test_writing_makes_folders_and_keeps_what_is_there(tmp_path: Path) -> None:
    score, other = one_track([(0, 480, 60, 80)]), one_track([(0, 480, 62, 80)])
    path = tmp_path / "new" / "deep" / "a.mid"
    assert score.write(path) == path
    with pytest.raises(MusegenError, match=r"a\.mid: exists already; .*--force"):
        other.write(path)
    assert path.read_bytes() == midi.to_bytes(score)
    other.write(path, force=True)
    assert path.read_bytes() == midi.to_bytes(other)
    assert [p.name for p in path.parent.iterdir()] == ["a.mid"]


def test_permissions_of_a_new_file_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        midi.write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_failed_write(
    tmp_path: Path, monkeypatch: Any, error: BaseException
) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(b"old")

    def fail(self: Path, target: Path) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    expected = MusegenError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if isinstance(error, OSError) else None):
        midi.write_atomic(path, b"new", force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mid"]
    assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MusegenError, match="cannot be written"):
        midi.write_atomic(tmp_path / "file" / "a.mid", b"x")
    with pytest.raises(MusegenError, match="cannot be written"):
        midi.write_atomic(tmp_path / ("n" * 300), b"x")
    with pytest.raises(MusegenError, match="is not a file"):
        midi.write_atomic(tmp_path, b"x", force=True)
    with pytest.raises(MusegenError, match="is not a file"):
        midi.write_atomic(os.devnull, b"x", force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert not Path(os.devnull).is_file()
