"""Actions for REAPER: generate, vary, continue, interpolate and accompany what is selected.

`musegen daw install reaper` copies this file beside `musegen_client.py` and writes one small
action for each verb. It runs in REAPER's own Python, so it needs the standard library alone; REAPER
goes on while music is made: the script looks every few milliseconds whether it is there.
"""

from __future__ import annotations

from typing import Any

try:
    from musegen import client
except ImportError:  # copied into a folder of scripts
    import musegen_client as client  # type: ignore[no-redef,import-not-found]

# For each verb: pieces that must be selected, and what the user is asked, with its default.
VERBS = {
    "generate": (0, [("n", "2"), ("bars", "4"), ("temperature", "1"), ("seed", ""), ("model", "")]),
    "vary": (1, [("n", "4"), ("amount", "0.3"), ("seed", ""), ("model", "")]),
    "continue": (1, [("n", "1"), ("bars", ""), ("seed", ""), ("model", "performance")]),
    "interpolate": (2, [("steps", "8"), ("seed", ""), ("model", "")]),
    "accompany": (1, [("n", "1"), ("seed", ""), ("model", "")]),
}
WHOLE = ("n", "bars", "seed", "steps")
_running: list[Any] = []


def run(verb: str, api: Any = None) -> None:
    """Ask for what is left open, send what is selected, and come back when the music is there."""
    api = api or _reaper()
    pieces, fields = VERBS[verb]
    items = [_item(api, i) for i in range(int(api.RPR_CountSelectedMediaItems(0)))]
    items = [item for item in items if item["notes"]]
    if len(items) < pieces:
        what = "a MIDI item" if pieces == 1 else f"{pieces} MIDI items"
        return _tell(api, f"Select {what} with notes first.")
    options = _ask(api, verb, fields)
    if options is None:
        return None
    items = items[:pieces]
    music = [_piece(api, item) for item in items]
    start = items[0]["start"] if items else _quarters(api, float(api.RPR_GetCursorPosition()))
    if verb == "interpolate":
        start = max(item["start"] + item["length"] for item in items)
    job = client.submit(verb, *music, reply=["notes"], **options)
    _running.append((job, start, api))
    tick()


def tick() -> None:
    """Look after what is under way; REAPER calls it again and again until nothing is."""
    for entry in list(_running):
        job, start, api = entry
        state = client.poll(job)["state"]
        if state not in client.ENDED:
            continue
        _running.remove(entry)
        if state == "done":
            _place(api, job.verb, client.result(job), start)
        else:
            _tell(api, job.message or f"The job was {state}.")
    if _running:
        _running[0][2].RPR_defer("musegen_reaper.tick()")


def _reaper() -> Any:
    import reaper_python  # type: ignore[import-not-found]

    return reaper_python


def _tell(api: Any, text: str) -> None:
    api.RPR_ShowMessageBox(text, "musegen", 0)


def _quarters(api: Any, seconds: float) -> float:
    return float(api.RPR_TimeMap2_timeToQN(0, seconds))


def _item(api: Any, i: int) -> dict[str, Any]:
    """A selected item: its place in quarter notes, and its notes from there on."""
    item = api.RPR_GetSelectedMediaItem(0, i)
    take = api.RPR_GetActiveTake(item)
    begin = float(api.RPR_GetMediaItemInfo_Value(item, "D_POSITION"))
    end = begin + float(api.RPR_GetMediaItemInfo_Value(item, "D_LENGTH"))
    start = _quarters(api, begin)
    told: dict[str, Any] = {"start": start, "seconds": begin, "notes": []}
    told["length"] = _quarters(api, end) - start
    if not take or not api.RPR_TakeIsMIDI(take):
        return told
    for n in range(int(api.RPR_MIDI_CountEvts(take, 0, 0, 0)[2])):
        found = api.RPR_MIDI_GetNote(take, n, 0, 0, 0, 0, 0, 0, 0)
        muted, first, last, channel, pitch, velocity = found[4:10]
        on = float(api.RPR_MIDI_GetProjQNFromPPQPos(take, first)) - start
        off = float(api.RPR_MIDI_GetProjQNFromPPQPos(take, last)) - start
        if muted or off <= 0 or on >= told["length"]:
            continue
        note = {"pitch": int(pitch), "start": max(0.0, on), "duration": off - max(0.0, on)}
        note.update(velocity=max(1, int(velocity)), drums=int(channel) == 9)
        told["notes"].append(note)
    return told


def _piece(api: Any, item: dict[str, Any]) -> dict[str, Any]:
    """An item as the client sends it; notes near its end are cut there."""
    num, den, tempo = api.RPR_TimeMap_GetTimeSigAtTime(0, item["seconds"], 0, 0, 0)[2:5]
    notes = [
        dict(n, duration=min(n["duration"], item["length"] - n["start"])) for n in item["notes"]
    ]
    piece = {"notes": notes, "tempo": float(tempo), "length": item["length"]}
    return dict(piece, metre=[int(num), int(den)])


def _ask(api: Any, verb: str, fields: list[tuple[str, str]]) -> dict[str, Any] | None:
    """What the user wants; None when the dialog was left or holds no numbers."""
    names = ",".join(name for name, _ in fields)
    values = ",".join(value for _, value in fields)
    answer = api.RPR_GetUserInputs(f"musegen {verb}", len(fields), names, values, 1024)
    if not answer[0]:
        return None
    options: dict[str, Any] = {}
    for (name, _), text in zip(fields, str(answer[4]).split(",")):  # noqa: B905  not in 3.7
        text = text.strip()
        try:
            if text:
                options[name] = (
                    text if name == "model" else int(text) if name in WHOLE else float(text)
                )
        except ValueError:
            _tell(api, f"{name} is a number, not {text!r}.")
            return None
    return options


def _place(api: Any, verb: str, result: dict[str, Any], start: float) -> None:
    """New tracks with the music, one undo step; an interpolation one piece after the other."""
    api.RPR_Undo_BeginBlock()
    tracks: dict[tuple[int, int], Any] = {}
    at = start
    for i, score in enumerate(result["scores"]):
        apart = 0 if verb == "interpolate" else i
        for k, part in enumerate(score["tracks"]):
            name = part["name"] or ("Drums" if part["drums"] else "Notes")
            label = f"musegen {verb} {apart + 1}: {name}"
            if (apart, k) not in tracks:
                tracks[apart, k] = _new_track(api, label)
            _new_item(api, tracks[apart, k], part, at, score["length"])
        at = at + score["length"] if verb == "interpolate" else start
    api.RPR_UpdateArrange()
    api.RPR_Undo_EndBlock(f"musegen {verb} (seed {result['seed']})", -1)


def _new_track(api: Any, name: str) -> Any:
    index = int(api.RPR_CountTracks(0))
    api.RPR_InsertTrackAtIndex(index, True)
    track = api.RPR_GetTrack(0, index)
    api.RPR_GetSetMediaTrackInfo_String(track, "P_NAME", name, True)
    return track


def _new_item(api: Any, track: Any, part: dict[str, Any], start: float, length: float) -> None:
    item = api.RPR_CreateNewMIDIItemInProj(track, start, start + length, True)
    item = item[0] if isinstance(item, tuple) else item
    take = api.RPR_GetActiveTake(item)
    channel = 9 if part["drums"] else 0
    for note in part["notes"]:
        on = start + note["start"]
        first = api.RPR_MIDI_GetPPQPosFromProjQN(take, on)
        last = api.RPR_MIDI_GetPPQPosFromProjQN(take, on + note["duration"])
        told = (note["pitch"], note["velocity"], True)
        api.RPR_MIDI_InsertNote(take, False, False, first, last, channel, *told)
    api.RPR_MIDI_Sort(take)
