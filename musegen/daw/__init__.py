"""musegen inside other programs: scripts for their menus, and files in their formats.

    reaper      actions for REAPER, run by its own Python
    muse        scripts for MusE's menu
    ableton     clips of Ableton Live, through AbletonOSC
    fl          piano-roll scripts of FL Studio with the notes inside
    dawproject  projects for Bitwig, Studio One, Cubase and others
    scripts/    an action for Ardour in Lua, a plug-in for MuseScore in QML

This module lists the hosts and puts their scripts where each looks for them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from musegen import client
from musegen.errors import MusegenError

HERE = Path(__file__).parent
ACTIONS = ("generate", "vary", "continue", "interpolate", "accompany")


@dataclass(frozen=True)
class Host:
    """A program and its scripts.

    Attributes:
        title: its name.
        words: what musegen does there.
        folder: where it looks for scripts on this system; None where that is not known.
        files: name and text of each script, for a folder.
        then: what the user does next.
    """

    title: str
    words: str
    folder: Callable[[], Path | None]
    files: Callable[[Path], dict[str, str]]
    then: str


def _place(linux: str, macos: str, windows: str) -> Callable[[], Path | None]:
    """A folder for each system; "~" is the user's, "%APPDATA%" what Windows says."""

    def folder() -> Path | None:
        if sys.platform == "win32":
            text = os.path.expandvars(windows)
        else:
            text = macos if sys.platform == "darwin" else linux
        return Path(text).expanduser() if text and "%" not in text else None

    return folder


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _reaper(folder: Path) -> dict[str, str]:
    files = {"musegen_reaper.py": _text("reaper.py"), "musegen_client.py": _text("../client.py")}
    for verb in ACTIONS:
        lines = ["import sys", f"sys.path.insert(0, {str(folder)!r})", "import musegen_reaper"]
        files[f"musegen_{verb}.py"] = "\n".join(
            [f"# musegen: {verb}", *lines, f"musegen_reaper.run({verb!r})", ""]
        )
    return files


def _muse(folder: Path) -> dict[str, str]:
    from musegen.daw import muse

    root = str(Path(client.__file__).parents[1])
    files = {}
    for verb in muse.VERBS:
        lines = [f"#!{sys.executable}", "import sys", f"sys.path.append({root!r})"]
        lines += ["from musegen.daw.muse import main", f"sys.exit(main({verb!r}, sys.argv))", ""]
        files[f"musegen-{verb}"] = "\n".join(lines)
    return files


def _command() -> str:
    """How a program that is not Python starts musegen: the script beside this Python, if any."""
    beside = Path(sys.executable).with_name("musegen.exe" if os.name == "nt" else "musegen")
    return beside.as_posix() if beside.exists() else "musegen"


def _ardour(folder: Path) -> dict[str, str]:
    text = _text("scripts/musegen_ardour.lua")
    return {"musegen.lua": text.replace('MUSEGEN = "musegen"', f'MUSEGEN = "{_command()}"')}


def _musescore(folder: Path) -> dict[str, str]:
    text = _text("scripts/musegen.qml")
    return {"musegen.qml": text.replace('musegen: "musegen"', f'musegen: "{_command()}"')}


HOSTS = {
    "reaper": Host(
        "REAPER",
        "generate, vary, continue, interpolate, accompany selected items",
        _place(
            "~/.config/REAPER/Scripts/musegen",
            "~/Library/Application Support/REAPER/Scripts/musegen",
            r"%APPDATA%\REAPER\Scripts\musegen",
        ),
        _reaper,
        "in REAPER: Actions > Show action list > New action > Load ReaScript, choose the five",
    ),
    "muse": Host(
        "MusE",
        "generate, vary, reconstruct the selected part",
        _place("~/.config/MusE/MusE/scripts", "", ""),
        _muse,
        "in MusE: open a part in the piano roll, menu Scripts",
    ),
    "ardour": Host(
        "Ardour",
        "variations of the selected MIDI region as new tracks",
        _place(
            "~/.config/ardour8/scripts",
            "~/Library/Preferences/Ardour8/scripts",
            r"%LOCALAPPDATA%\Ardour8\scripts",
        ),
        _ardour,
        "in Ardour: Edit > Lua Scripts > Script Manager, choose musegen for an action",
    ),
    "musescore": Host(
        "MuseScore 3",
        "a variation of the open score as a new score",
        _place(
            "~/Documents/MuseScore3/Plugins",
            "~/Documents/MuseScore3/Plugins",
            r"%USERPROFILE%\Documents\MuseScore3\Plugins",
        ),
        _musescore,
        "in MuseScore: Plugins > Plugin Manager, tick musegen, then Plugins > musegen",
    ),
    "fl": Host(
        "FL Studio",
        "notes in piano-roll scripts: musegen export tune.mid -o tune.pyscript",
        _place(
            "",
            "~/Documents/Image-Line/FL Studio/Settings/Piano roll scripts",
            r"%USERPROFILE%\Documents\Image-Line\FL Studio\Settings\Piano roll scripts",
        ),
        lambda folder: {},
        "put .pyscript files there; in the piano roll they are in Tools > Scripting",
    ),
    "ableton": Host(
        "Ableton Live",
        "clip slots in and out: musegen ableton vary --clip 1.1 --to 1.2",
        lambda: None,
        lambda folder: {},
        "install AbletonOSC, and choose it as a control surface in Live's preferences",
    ),
    "dawproject": Host(
        "Bitwig, Studio One, Cubase 14",
        "projects: musegen export song.mid -o song.dawproject",
        lambda: None,
        lambda folder: {},
        "open the .dawproject file",
    ),
}


def install(name: str, folder: str | Path | None = None) -> tuple[Path, list[Path]]:
    """Put a host's scripts into its folder, over older ones; returns the folder and the files.

    Raises:
        MusegenError: the host has no scripts to install, or its folder is not known here.
    """
    from musegen.midi import write_atomic

    host = HOSTS[name]
    where = Path(folder).absolute() if folder else host.folder()
    if where is None:
        raise MusegenError(f"{host.title}: nothing is installed for it here; {host.then}")
    written = []
    for file, text in host.files(where).items():
        path = write_atomic(where / file, text.encode(), force=True)
        if text.startswith("#!"):
            path.chmod(0o755)
        written.append(path)
    home = Path(client.home())
    home.mkdir(0o700, parents=True, exist_ok=True)
    write_atomic(home / "python.txt", sys.executable.encode(), force=True)
    return where, written
