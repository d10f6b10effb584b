"""Scripts inside hosts, against fakes of their APIs; files in their formats."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import subprocess
import sys
import types
import zipfile
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from commands import FISHER, WALTZ, environment
from fakes import FakeLive, Here, Reaper
from lxml import etree
from tiny import SAMPLES, tune

from musegen import client, midi
from musegen.daw import ACTIONS, HOSTS, ableton, dawproject, fl, install, muse, reaper
from musegen.errors import MusegenError
from musegen.score import Score, Track

MELODY = [
    [i / 2, i / 2 + 0.5, p, 90, 0] for i, p in enumerate([60, 62, 64, 65, 67, 65, 64, 62] * 2)
]


def drive(api: Reaper, verb: str) -> None:
    """Run an action, and REAPER's loop until nothing is deferred any more."""
    reaper.run(verb, api)
    while api.deferred:
        assert api.deferred.pop() == "musegen_reaper.tick()"
        reaper.tick()


def test_reaper_varies_an_item_on_new_tracks_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(delay=3).install(monkeypatch)
    api = Reaper(96.0, {"n": "2", "seed": "5"})
    api.item(16, 8, MELODY)
    drive(api, "vary")
    assert api.told == []
    assert here.jobs[0].body["inputs"][0]["tempo"] == 96.0
    assert [t["name"].startswith("musegen vary") for t in api.tracks] == [True, True]
    for track in api.tracks:
        (item,) = track["items"]
        assert (item["start"], item["length"]) == (16, 8)
        assert item["notes"]
        assert all(0 <= on < off <= 8 * 960 for _, on, off, *_ in item["notes"])
    assert api.undo == ["begin", "musegen vary (seed 5)"]


def test_reaper_lays_an_interpolation_behind_what_is_selected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Here().install(monkeypatch)
    api = Reaper(120.0, {"steps": "3", "seed": "1"})
    api.item(0, 8, MELODY)
    api.item(8, 8, [[on, off, pitch + 5, v, c] for on, off, pitch, v, c in MELODY])
    drive(api, "interpolate")
    (track,) = api.tracks
    assert [item["start"] for item in track["items"]] == [16, 24, 32]
    first = [[on / 960, off / 960, p] for _, on, off, _, p, _ in track["items"][0]["notes"]]
    assert first == [row[:3] for row in MELODY]  # the ends are as written


def test_reaper_generates_at_the_cursor_and_asks_for_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Here().install(monkeypatch)
    api = Reaper(120.0, {"n": "1", "bars": "2", "seed": "3"})
    api.cursor = 4.0  # seconds: the ninth quarter
    drive(api, "generate")
    assert api.tracks[0]["items"][0]["start"] == 8
    api = Reaper()
    drive(api, "vary")
    assert api.told == ["Select a MIDI item with notes first."]
    api = Reaper(answers={"amount": "much"})
    api.item(0, 8, MELODY)
    drive(api, "vary")
    assert api.told == ["amount is a number, not 'much'."]
    api = Reaper(answers={"cancel": "x"})
    drive(api, "generate")
    assert api.tracks == []
    api = Reaper(answers={"model": "melody-2baar"})
    drive(api, "generate")
    assert "melody-2bar" in api.told[0]


def test_reaper_cuts_at_the_item_and_leaves_muted_notes_out() -> None:
    api = Reaper()
    api.item(4, 2, [[-1, 1, 60, 80, 0], [1.5, 3, 62, 80, 9], [2, 3, 64, 80, 0], [0, 1, 65, 80, 0]])
    api.selected[0]["notes"][3][0] = True
    piece = reaper._piece(api, reaper._item(api, 0))
    assert piece["notes"] == [
        {"pitch": 60, "start": 0.0, "duration": 1.0, "velocity": 80, "drums": False},
        {"pitch": 62, "start": 1.5, "duration": 0.5, "velocity": 80, "drums": True},
    ]


def test_installed_reaper_actions_run_on_their_own(tmp_path: Path) -> None:
    folder, files = install("reaper", tmp_path / "musegen")
    assert folder == tmp_path / "musegen"
    assert len(files) == 2 + len(ACTIONS)
    for path in files:
        ast.parse(path.read_text(), feature_version=(3, 7))
    fake = "import types,sys; m=types.ModuleType('reaper_python'); sys.modules['reaper_python']=m\n"
    fake += "m.RPR_CountSelectedMediaItems=lambda p: 0\n"
    fake += "m.RPR_ShowMessageBox=lambda text, *x: print(text)\n"
    script = (folder / "musegen_vary.py").read_text()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", fake + script], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout == "Select a MIDI item with notes first.\n"


def test_muse_scripts_change_the_part_and_keep_its_other_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Here().install(monkeypatch)
    head = ["TIMESIG 4 4", "PART 3072 3072", "BEATLEN 384", "QUANTLEN 96", "TYPE MIDI"]
    notes = [f"NOTE {i * 192} {60 + i % 5} 192 80" for i in range(16)]
    file = tmp_path / "part"
    file.write_text("\n".join([*head, *notes, "CONTROLLER 0 7 100 0"]) + "\n")
    assert muse.main("vary", ["script", str(file)]) == 0
    lines = file.read_text().splitlines()
    assert [line for line in lines if not line.startswith("NOTE")] == [
        *head,
        "CONTROLLER 0 7 100 0",
    ]
    changed = [list(map(int, line.split()[1:])) for line in lines if line.startswith("NOTE")]
    assert changed
    assert all(t + d <= 3072 and t % 96 == 0 for t, _, d, _ in changed)
    assert muse.main("generate", ["script", str(file)]) == 0
    empty = tmp_path / "empty"
    empty.write_text("\n".join(head) + "\n")
    assert muse.main("vary", ["script", str(empty)]) == 1  # nothing to vary: as it was
    assert empty.read_text() == "\n".join(head) + "\n"


def test_muse_scripts_are_programs(tmp_path: Path) -> None:
    _, files = install("muse", tmp_path)
    assert {f.name for f in files} == {f"musegen-{verb}" for verb in muse.VERBS}
    if os.name == "posix":
        assert all(os.access(f, os.X_OK) for f in files)
        done = subprocess.run(
            [files[0], str(tmp_path / "nothing")],
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("musegen: ")


def test_osc_messages_come_back_as_they_were() -> None:
    values = [3, -1, 0.5, "", "abc", "abcd", True, False]
    assert ableton.decode(ableton.encode("/live/x", *values)) == ("/live/x", values)
    # The example of the OSC 1.0 specification.
    told = ableton.encode("/oscillator/4/frequency", 440.0)
    assert told == b"/oscillator/4/frequency\0,f\0\0\x43\xdc\0\0"
    for broken in (b"", b"/x", b"/x\0\0,q\0\0", b"/x\0\0,i\0\0\0"):
        with pytest.raises(ValueError, match="OSC"):
            ableton.decode(broken)


def test_clips_of_live_go_out_and_come_into_empty_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    Here().install(monkeypatch)
    fake = FakeLive()
    fake.start()
    rows = [[p, on, off - on, v, False] for on, off, p, v, _ in MELODY]
    fake.clips[0, 0] = {"length": 8.0, "notes": rows, "name": "mine"}
    fake.clips[1, 1] = {"length": 4.0, "notes": [], "name": "also mine"}
    live = ableton.Live(fake.port, 0)
    try:
        result, slots = ableton.run("vary", live, [(0, 0)], (1, 0), n=3, seed=4)
        assert slots == [0, 2, 3]
        for slot, score in zip(slots, result["scores"], strict=True):
            clip = fake.clips[1, slot]
            assert clip["length"] == 8.0
            assert clip["name"].startswith("vary")
            assert len(clip["notes"]) == len(client.notes_of(score))
        assert fake.clips[0, 0]["notes"] == rows
        assert fake.largest < 1000  # packets that every system passes on whole
        with pytest.raises(MusegenError, match="no clip in slot 6"):
            live.clip(0, 5)
        with pytest.raises(MusegenError, match="add scenes"):
            live.free(1, 6, 3)
        fake.socket.close()
        monkeypatch.setattr(ableton, "PATIENCE", 0.05)
        with pytest.raises(MusegenError, match="Live does not answer"):
            live.ask("/live/song/get/tempo")
    finally:
        live.close()


@pytest.fixture
def flpianoroll(monkeypatch: pytest.MonkeyPatch) -> Any:
    """FL Studio's module: a score of notes, and a dialog whose answers the test gives."""
    module = types.ModuleType("flpianoroll")
    notes: list[Any] = [types.SimpleNamespace(number=1)]
    module.answers = {}
    module.score = types.SimpleNamespace(
        PPQ=96, notes=notes, addNote=notes.append, clear=lambda whole: notes.clear()
    )

    class ScriptDialog:
        def __init__(self, title: str, words: str) -> None:
            self.fields: dict[str, Any] = {}

        def AddInputCombo(self, name: str, values: list[str], chosen: int) -> None:
            assert 0 <= chosen < len(values)
            self.fields[name] = chosen

        def AddInputKnobInt(self, name: str, value: int, low: int, high: int) -> None:
            self.fields[name] = value

        def GetInputValue(self, name: str) -> Any:
            return module.answers.get(name, self.fields[name])

    module.Note, module.ScriptDialog = types.SimpleNamespace, ScriptDialog
    monkeypatch.setitem(sys.modules, "flpianoroll", module)
    return module


def test_fl_scripts_hold_their_notes_and_need_nothing(flpianoroll: Any) -> None:
    band = Score((tune([60, 62]).tracks[0], Track([[0, 120, 36, 100]], 0, True)))
    script = fl.to_script([tune([60, 64, 67]), band], ["one", 'tw"o'], 'a "title"\n')
    imported = [
        n for n in ast.walk(ast.parse(script)) if isinstance(n, (ast.Import, ast.ImportFrom))
    ]
    assert [[a.name for a in n.names] for n in imported] == [["flpianoroll"]]
    names = {n.id for n in ast.walk(ast.parse(script)) if isinstance(n, ast.Name)}
    assert not names & {"open", "exec", "eval", "__import__"}
    space: dict[str, Any] = {}
    exec(script, space)
    assert space["NAMES"] == ["one", 'tw"o: Fiddle', 'tw"o: Drums'] or len(space["NAMES"]) == 3
    space["apply"](space["createDialog"]())
    found = [(n.number, n.time, n.length) for n in flpianoroll.score.notes]
    assert found == [(60, 0, 48), (64, 48, 48), (67, 96, 48)]  # 240 of 480 are 48 of 96
    assert flpianoroll.score.notes[0].velocity == pytest.approx(70 / 127)
    flpianoroll.answers = {"Place": 1, "Piece": 2, "Transpose": 12}
    space["apply"](space["createDialog"]())
    assert (flpianoroll.score.notes[-1].number, len(flpianoroll.score.notes)) == (48, 4)
    exec(fl.to_script([], []), space)
    assert space["PIECES"] == []


@cache
def schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(file=Path(__file__).parent / "data" / "dawproject" / f"{name}.xsd")


def opened(data: bytes) -> etree._Element:
    """The project of a file that holds to the official schema, and whose references lead there."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["project.xml", "metadata.xml"]
        project, meta = (etree.fromstring(archive.read(name)) for name in archive.namelist())
    schema("MetaData").assertValid(meta)
    schema("Project").assertValid(project)
    ids = [element.get("id") for element in project.iter() if "id" in element.attrib]
    assert len(set(ids)) == len(ids)
    for element in project.iter():
        assert {element.get(k, ids[0]) for k in ("track", "destination", "parameter")} <= {*ids}
    return project


def test_the_schema_sees_what_it_must() -> None:
    root = dawproject.project(tune([60]))
    root.find("Transport/Tempo").set("unit", "bananas")
    with pytest.raises(etree.DocumentInvalid, match="bananas"):
        schema("Project").assertValid(etree.fromstring(ET.tostring(root)))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.mid")), ids=lambda p: p.stem)
def test_dawproject_is_valid(path: Path) -> None:
    opened(dawproject.to_bytes(midi.read(path), path.stem))


@pytest.mark.parametrize("path", [FISHER, WALTZ])
def test_dawproject_holds_every_note_in_clips_of_whole_bars(path: str) -> None:
    score = midi.read(path)
    root = opened(dawproject.to_bytes(score, "t"))
    lanes = root.findall("Arrangement/Lanes/Lanes")
    assert len(lanes) == len(score.tracks)
    for lane, track in zip(lanes, score.tracks, strict=True):
        (clip,) = lane.findall("Clips/Clip")
        assert float(clip.attrib["duration"]) * score.ppq == pytest.approx(score.bar_lines()[-1])
        rows = [
            [float(n.attrib["time"]), float(n.attrib["duration"]), int(n.attrib["key"])]
            for n in clip.iter("Note")
        ]
        expected = track.notes[:, :3] / [score.ppq, score.ppq, 1]
        assert np.allclose(rows, expected, atol=1e-5)
    assert dawproject.to_bytes(score, "t") == dawproject.to_bytes(score, "t")


def test_dawproject_keeps_changes_of_tempo_and_metre_and_markers() -> None:
    score = tune(
        [60] * 32,
        tempos=((0, 96.0), (3840, 140.0)),
        metres=((0, 4, 4), (3840, 3, 4)),
        markers=((0, "A & <B>"), (3840, "C")),
    )
    root = opened(dawproject.to_bytes(score))
    points = root.findall("Arrangement/TempoAutomation/RealPoint")
    assert [(float(p.attrib["time"]), float(p.attrib["value"])) for p in points] == [
        (0, 96),
        (8, 140),
    ]
    metres = root.findall("Arrangement/TimeSignatureAutomation/TimeSignaturePoint")
    assert [p.attrib["numerator"] for p in metres] == ["4", "3"]
    assert [m.attrib["name"] for m in root.iter("Marker")] == ["A & <B>", "C"]


def test_export_writes_for_each_program(cli: Any, tmp_path: Path) -> None:
    band = tmp_path / "band.mid"
    Score((tune([60, 64]).tracks[0], Track([[0, 120, 36, 100]], 0, True, "Kit 1"))).write(band)
    done = cli("export", band, "-o", tmp_path / "stems", "--json")
    stems = [Path(p) for p in done.json["files"]]
    assert [p.name for p in stems] == ["band-01-fiddle.mid", "band-02-kit_1.mid"]
    lengths = {int(midi.read(p).bar_lines()[-1]) for p in stems}
    assert lengths == {1920}
    assert midi.read(stems[1]).tracks[0].is_drum
    assert cli("export", band, "-o", tmp_path / "x.dawproject").code == 0
    assert cli("export", band, FISHER, "-o", tmp_path / "x.pyscript").code == 0
    compile((tmp_path / "x.pyscript").read_text(), "x", "exec")
    assert cli("export", band, "-o", tmp_path / "x.dawproject").code == 1  # no --force
    assert cli("export", band, "-o", tmp_path / "x.als").code == 2


def test_stems_come_beside_what_is_made(cli: Any, tmp_path: Path) -> None:
    done = cli("generate", "--seed", "1", "-o", tmp_path / "a.mid", "--stems", "--json")
    (row,) = done.json["files"]
    assert set(row) == {"midi", "stem-01-melody"}
    assert Path(row["stem-01-melody"]).name == "a-01-melody.mid"
    assert midi.read(row["stem-01-melody"]).tracks == midi.read(row["midi"]).tracks
    assert cli("generate", "-o", "-", "--stems").code == 2


def test_hosts_are_listed_and_installed(cli: Any, tmp_path: Path) -> None:
    done = cli("daw", "--json")
    assert set(done.json["hosts"]) == set(HOSTS)
    done = cli("daw", "install", "reaper", "--folder", tmp_path / "r", "--json")
    assert all(Path(file).exists() for file in done.json["files"])
    done = cli("daw", "install", "reapr")
    assert done.code == 2
    assert "reaper" in done.err
    done = cli("daw", "install", "ableton")
    assert done.code == 1
    assert "AbletonOSC" in done.err


@pytest.mark.parametrize(
    ("host", "name"), [("ardour", "musegen.lua"), ("musescore", "musegen.qml")]
)
def test_scripts_in_other_languages_are_put_where_asked(
    host: str, name: str, tmp_path: Path
) -> None:
    _, (file,) = install(host, tmp_path)
    assert file.name == name
    text = file.read_text()
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")
    assert "musegen" in text


ARDOUR = """
tables = {}
ardour = function (t) tables.about = t end
C = { StringVector = function () return { list = {}, push_back = function (self, f)
    table.insert (self.list, f) end } end }
local function list (items)
    return { iter = function () local i = 0; return function () i = i + 1; return items[i] end end }
end
local function beats (t)  -- Ardour counts 1920 ticks a quarter
    return { get_beats = function () return math.floor (t) end,
             get_ticks = function () return math.floor ((t % 1) * 1920 + 0.5) end }
end
local function note (on, length, pitch, velocity)
    return { time = function () return beats (on) end,
             length = function () return beats (length) end,
             note = function () return pitch end, velocity = function () return velocity end,
             channel = function () return 0 end }
end
notes = {}
for i = 0, 15 do notes[i + 1] = note (i / 2, 0.5, 60 + (i * 5) % 12, 80) end
local region = { isnil = function () return false end, model = function () return notes end,
                 position = function () return 4711 end }
region.to_midiregion = function () return region end
selected = { region }
Editor = {
    get_selection = function () return { regions = { regionlist = function ()
        return list (selected) end } } end,
    do_import = function (self, files, a, b, c, d, e, at)
        tables.files, tables.at = files.list, at end,
}
Editing = { ImportDistinctFiles = 1, ImportAsTrack = 2 }
ARDOUR = { LuaAPI = { note_list = list }, SrcQuality = {}, MidiTrackNameSource = {},
           MidiTempoMapDisposition = {}, PluginInfo = function () end }
LuaDialog = { MessageType = {}, ButtonType = {}, Message = function (title, text)
    return { run = function () tables.told = text end } end }
"""


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for musegen is a shell script")
def test_the_ardour_action_sends_its_region_and_imports_what_comes(tmp_path: Path) -> None:
    """In a Lua interpreter with a fake of Ardour; musegen itself is the real one."""
    lupa = pytest.importorskip("lupa", reason="no Lua interpreter")
    _, (file,) = install("ardour", tmp_path)
    command = tmp_path / "run-musegen"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m musegen "$@"\n')
    command.chmod(0o755)
    script = re.sub(r'MUSEGEN = "[^"]*"', f'MUSEGEN = "{command}"', file.read_text())
    script = script.replace('OPTIONS = "-n 4"', 'OPTIONS = "-n 2 --seed 1"')
    lua = lupa.LuaRuntime()
    lua.execute(ARDOUR)
    lua.execute(script)
    tables = lua.globals().tables
    assert tables.about["type"] == "EditorAction"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        lua.execute("factory () ()")
    assert tables.told is None
    files = [Path(path) for path in tables.files.values()]
    assert tables.at == 4711
    assert len(files) == 2
    sent = midi.read(str(files[0].parent).removesuffix("-out") + ".mid")
    assert sent.tracks[0].notes.tolist() == [[i * 240, 240, 60 + i * 5 % 12, 80] for i in range(16)]
    assert all(len(midi.read(path).bar_lines()) == 3 for path in files)
    lua.execute("selected = {}; factory () ()")
    assert tables.told == "Select a MIDI region first."
    for path in files[0].parent.parent.glob(files[0].parent.name.removesuffix("-out") + "*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUSEGEN_HOME", str(tmp_path / "home"))
